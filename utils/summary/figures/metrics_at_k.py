"""Precision, recall, F1 and overlap against K."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.judge.comparison import RANDOM_EXPECTED, WEIGHT
from utils.run.pictures import (
    drawing,
)
from utils.summary.figures.shared import (
    GREY,
    GROUPS,
    SHORT_GROUPS,
    Line,
    dashed,
    draw_band,
    draw_legend,
    groups_of,
    legend_entries,
    new_figure,
    percent_axis,
    rows_of,
)

AT_K_PANELS = {"precision": "precision", "recall": "recall", "f1": "F1", "overlap": "overlap"}


def metrics_at_k(means: pd.DataFrame, lines: dict[tuple[str, str], Line], width: str) -> Figure:
    """Precision, recall, F1 and overlap against K%, folds as a band, chance dashed.

    means : `fold_means` of the scores.
    """
    percents = percents_of(means)
    groups = groups_of(lines)
    wide = width == "2col"
    chance = {"random": dashed("random (expected)")}
    with drawing():
        if wide:
            figure = new_figure(width, 1.75 * len(groups) + 0.1)
            cells = figure.add_gridspec(len(groups), 5, width_ratios=[1, 1, 1, 1, 1.75])
        else:
            figure = new_figure(width, 3.9 * len(groups))
            cells = figure.add_gridspec(
                3 * len(groups), 2, height_ratios=[1, 1, 0.62] * len(groups)
            )
        for row, level in enumerate(groups):
            for i, panel in enumerate(AT_K_PANELS):
                place = (row, i) if wide else (3 * row + i // 2, i % 2)
                axes = figure.add_subplot(cells[place])
                draw_at_k(axes, means, lines, level, panel, percents)
                if wide and i == 0:
                    axes.set_ylabel(SHORT_GROUPS[level], fontsize=7)
                if (wide and row == len(groups) - 1) or (not wide and i > 1):
                    axes.set_xlabel("K (% of the weights)", fontsize=7)
            entries = legend_entries(lines, level, chance, width)
            legend_cell = cells[row, 4] if wide else cells[3 * row + 2, :]
            title = None if wide else GROUPS[level]
            draw_legend(figure, legend_cell, entries, 1 if wide else 2, title)
    return figure


def draw_at_k(
    axes: Axes,
    means: pd.DataFrame,
    lines: dict[tuple[str, str], Line],
    level: str,
    panel: str,
    percents: list[float],
) -> None:
    columns = [f"{panel}@{p:g}%" for p in percents]
    for key, line in lines.items():
        if key[0] == level:
            values = rows_of(means, *key)[columns].to_numpy()
            draw_band(axes, np.array(percents), values, line)
    chance = rows_of(means, WEIGHT, RANDOM_EXPECTED)[columns].to_numpy().mean(axis=0)
    axes.plot(percents, chance, color=GREY, linestyle=(0, (4, 2)), linewidth=1, zorder=4)
    percent_axis(axes, percents)
    axes.set_ylim(bottom=0)
    axes.set_title(AT_K_PANELS[panel], fontsize=7.5)
    axes.tick_params(labelsize=6)


def percents_of(means: pd.DataFrame) -> list[float]:
    names = [c for c in means.columns if c.startswith("precision@") and c.endswith("%")]
    return sorted(float(name.removeprefix("precision@").removesuffix("%")) for name in names)
