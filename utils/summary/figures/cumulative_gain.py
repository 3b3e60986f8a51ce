"""How much of all gain the first weights of a ranking hold, against chance."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from utils.drawing import drawing
from utils.judge import names
from utils.judge.names import WEIGHT
from utils.summary.figures.shared import (
    SMALL,
    chance_handle,
    draw_bar,
    draw_chance,
    draw_line,
    fold_grid,
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
from utils.summary.figures.styles import BLACK, DARK, Styles
from utils.summary.rankings import Key

LOWEST = 0.02  # of chance; what is lower stands at the edge
IDEAL = {"color": BLACK, "linewidth": 1.3}


def cumulative_gain(
    curves: pd.DataFrame, ranked: list[Key], styles: Styles, percent: float, width: str
) -> Figure:
    """Gain found in the first weights over what chance finds there, setting `all`.

    Both axes are logarithmic: what a developer inspects is the first percent,
    where shares of all gain are too small to be seen. A bar over the folds at
    K = `percent`, which is marked.
    """
    ranked = [key for key in ranked if len(rows_of(curves, *key))]
    levels = groups_of(ranked, styles)
    wide = width == "2col"
    found = {key: ratios(curves, *key) for key in [*ranked, (WEIGHT, names.IDEAL)]}
    x, best = found[WEIGHT, names.IDEAL]
    low = max(lowest_positive([y.mean(axis=0) for _, y in found.values()]), LOWEST)
    with drawing():
        figure = new_figure(width, 3.3 if wide else 3.9)
        grid = figure.subplots(1, len(levels), squeeze=False, sharey=True)[0]
        for axes, level in zip(grid, levels, strict=True):
            keys = of_panel(ranked, level, styles)
            draw_ratios(axes, {key: found[key] for key in keys}, styles, percent, low)
            axes.plot(x, best.mean(axis=0), **IDEAL, zorder=2)
            draw_chance(axes, np.array([x[0], 100]), np.array([1.0, 1.0]))
            mark(axes, percent, SMALL[width])
            percent_axis(axes, [0.01, 0.1, 1, 10, 100])
            axes.set_xlim(x[0] / 1.15, 115)
            axes.set_title(f"level: {level}", fontsize=7)
            axes.set_xlabel("weights inspected (%)", fontsize=7)
            axes.tick_params(labelsize=6.5)
        highest = max(y.mean(axis=0).max() for _, y in found.values())
        for axes in grid:
            set_log_limits(axes, "y", low / 1.2, 1.4 * highest)
        grid[0].set_ylabel("gain found / found by chance", fontsize=7)
        ideal = Line2D([], [], label="ideal", **IDEAL)
        handles = [*handles_of(ranked, styles, width), ideal, chance_handle()]
        legend_below(figure, handles, width, 5 if wide else 3)
    return figure


def draw_ratios(
    axes: Axes,
    found: dict[Key, tuple[np.ndarray, np.ndarray]],
    styles: Styles,
    percent: float,
    low: float,
) -> None:
    """found : x (points,) and values (folds, points) of each ranking."""
    named = [key for key in styles.named(found) if styles.of(*key).standing == "best"]
    places = dict(zip(named, spread_around(percent, len(named), 1.06), strict=True))
    for key, (x, y) in found.items():
        style = styles.of(*key)
        draw_line(axes, x, np.maximum(y.mean(axis=0), low / 1.2), style, every=len(x) // 7 or 1)
        if key in places:
            at = np.array([np.interp(percent, x, fold) for fold in y])
            draw_bar(axes, places[key], np.maximum(at, low / 1.2), style)


def ratios(curves: pd.DataFrame, level: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Percent of the weights (points,), and gain found there over chance's (folds, points)."""
    x, y = fold_grid(rows_of(curves, level, method), "mass")
    return x, y / (x / 100)


def mark(axes: Axes, percent: float, size: float) -> None:
    axes.axvline(percent, color=DARK, linestyle=(0, (1, 1.5)), linewidth=0.8, zorder=1)
    axes.text(
        percent * 1.1, 0.99, f"K = {percent:g}%", transform=axes.get_xaxis_transform(),
        va="top", ha="left", fontsize=size, color=DARK,
    )  # fmt: skip
