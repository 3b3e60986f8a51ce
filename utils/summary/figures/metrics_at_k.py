"""Precision, recall, F1 and overlap against K."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.drawing import drawing
from utils.judge.names import RANDOM_EXPECTED, WEIGHT
from utils.summary.figures.shared import (
    chance_handle,
    draw_bar,
    draw_chance,
    draw_line,
    groups_of,
    handles_of,
    legend_below,
    lowest_positive,
    new_figure,
    of_panel,
    percent_axis,
    rows_of,
    set_log_limits,
    spread_around,
)
from utils.summary.figures.styles import Styles
from utils.summary.rankings import Key

PANELS = {"precision": "precision", "recall": "recall", "f1": "F1", "overlap": "overlap"}
# Axes reach this far below chance; lower values stand at the edge.
BELOW_CHANCE = 12
TALLEST = 4.7  # inches: 12 cm


def metrics_at_k(
    means: pd.DataFrame, ranked: list[Key], styles: Styles, percent: float, width: str
) -> Figure:
    """Metrics against K%, both logarithmic, a bar over the folds at K = `percent`.

    Every metric has one y axis for all levels, and the references stand in each panel.

    means : `fold_means` of the scores.
    """
    percents = percents_of(means)
    levels = groups_of(ranked, styles)
    wide = width == "2col"
    with drawing():
        figure, panels = lay_out(len(levels), width)
        for (metric, title), row in zip(PANELS.items(), panels, strict=True):
            for axes, level in zip(row, levels, strict=True):
                draw_at_k(axes, means, of_panel(ranked, level, styles), styles, metric, percent)
                axes.tick_params(labelsize=6)
                beside = axes is row[0] or wide
                if wide and level == levels[0]:
                    axes.set_title(title, fontsize=7.5)
                if wide and metric == "precision":
                    axes.set_ylabel(f"level: {level}", fontsize=7)
                if not wide and beside:
                    axes.set_ylabel(title, fontsize=7)
                if not wide and metric == "precision":
                    axes.set_title(f"level: {level}", fontsize=7)
            share_axis(row, means, ranked, percents, metric)
        bottom = [row[-1] for row in panels] if wide else panels[-1]
        for axes in bottom:
            axes.set_xlabel("K (% of the weights)", fontsize=7)
        handles = [*handles_of(ranked, styles, width), chance_handle()]
        legend_below(figure, handles, width, 5 if wide else 3)
    return figure


def lay_out(n_levels: int, width: str) -> tuple[Figure, list[list[Axes]]]:
    """panels[metric][level]: metrics beside each other, or, in one column, below each other."""
    if width == "2col":
        figure = new_figure(width, 1.45 * n_levels + 1.05)
        grid = figure.subplots(n_levels, len(PANELS), squeeze=False, sharex=True).T
    else:
        figure = new_figure(width, TALLEST)
        grid = figure.subplots(len(PANELS), n_levels, squeeze=False, sharex=True)
        for row in grid:
            for axes in row[1:]:
                axes.tick_params(labelleft=False)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)
    return figure, [list(row) for row in grid]


def draw_at_k(
    axes: Axes, means: pd.DataFrame, keys: list[Key], styles: Styles, metric: str, percent: float
) -> None:
    percents = percents_of(means)
    columns = columns_of(metric, percents)
    # References are all black: nobody could say whose a bar is.
    named = [key for key in styles.named(keys) if styles.of(*key).standing == "best"]
    places = dict(zip(named, spread_around(percent, len(named)), strict=True))
    for key in keys:
        style = styles.of(*key)
        values = rows_of(means, *key)[columns].to_numpy()
        draw_line(axes, np.array(percents), values.mean(axis=0), style)
        if key in places and percent in percents:
            draw_bar(axes, places[key], values[:, percents.index(percent)], style)
    draw_chance(axes, np.array(percents), chance_of(means, metric, percents))
    percent_axis(axes, percents)


def share_axis(
    row: list[Axes], means: pd.DataFrame, ranked: list[Key], percents: list[float], metric: str
) -> None:
    """One y axis for a metric at every level, from below chance to above the best."""
    columns = columns_of(metric, percents)
    drawn = [rows_of(means, *key)[columns].to_numpy() for key in ranked]
    chance = chance_of(means, metric, percents)
    low = max(lowest_positive([*drawn, chance]), chance.min() / BELOW_CHANCE)
    high = max(max(np.nanmax(values) for values in drawn), chance.max())
    for axes in row:
        for line in axes.lines:  # a zero has no logarithm: it stands at the edge
            line.set_ydata(np.maximum(line.get_ydata(), low / 1.2))
        set_log_limits(axes, "y", low / 1.2, 1.15 * high, most=4)


def chance_of(means: pd.DataFrame, metric: str, percents: list[float]) -> np.ndarray:
    return (
        rows_of(means, WEIGHT, RANDOM_EXPECTED)[columns_of(metric, percents)]
        .to_numpy()
        .mean(axis=0)
    )


def columns_of(metric: str, percents: list[float]) -> list[str]:
    return [f"{metric}@{p:g}%" for p in percents]


def percents_of(means: pd.DataFrame) -> list[float]:
    names = [c for c in means.columns if c.startswith("precision@") and c.endswith("%")]
    return sorted(float(name.removeprefix("precision@").removesuffix("%")) for name in names)
