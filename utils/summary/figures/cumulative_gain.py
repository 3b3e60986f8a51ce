"""How much of all change the first weights of a ranking hold."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from utils.judge import details
from utils.judge.comparison import WEIGHT
from utils.run.pictures import (
    BLACK,
    drawing,
)
from utils.summary.figures.shared import (
    GREY,
    SHORT_GROUPS,
    Line,
    dashed,
    draw_band,
    draw_legend,
    fold_grid,
    groups_of,
    legend_entries,
    new_figure,
    percent_axis,
    rows_of,
)


def cumulative_gain(curves: pd.DataFrame, lines: dict[tuple[str, str], Line], width: str) -> Figure:
    """Share of all change found against the share of weights inspected, setting `all`.

    Beside it the same divided by chance, over a logarithm: what a developer
    inspects is the first percent, where the shares themselves are too small to see.
    """
    lines = {key: line for key, line in lines.items() if len(rows_of(curves, *key))}
    groups = groups_of(lines)
    wide = width == "2col"
    ideal = Line2D([], [], color=BLACK, linewidth=1.2, label="ideal")
    extra = {"ideal": ideal, "random": dashed("random (expected)")}
    with drawing():
        count = len(groups)
        if wide:
            figure = new_figure(width, 2.3 * count)
            cells = figure.add_gridspec(count, 3, width_ratios=[1, 1, 0.85])
        else:
            figure = new_figure(width, 3.1 * count)
            cells = figure.add_gridspec(2 * count, 2, height_ratios=[1, 0.62] * count)
        for place, level in enumerate(groups):
            row = place if wide else 2 * place
            draw_gain(figure.add_subplot(cells[row, 0]), curves, lines, level)
            draw_relative_gain(figure.add_subplot(cells[row, 1]), curves, lines, level)
            legend_cell = cells[row, 2] if wide else cells[row + 1, :]
            entries = legend_entries(lines, level, extra, width)
            title = f"{SHORT_GROUPS[level]}"
            draw_legend(figure, legend_cell, entries, 1 if wide else 2, title)
    return figure


def draw_gain(
    axes: Axes, curves: pd.DataFrame, lines: dict[tuple[str, str], Line], level: str
) -> None:
    for key, line in lines.items():
        if key[0] == level:
            x, y = fold_grid(rows_of(curves, *key), "mass")
            draw_band(axes, x, 100 * y, line, every=20)
    x, y = fold_grid(rows_of(curves, WEIGHT, details.IDEAL), "mass")
    axes.plot(x, 100 * y.mean(axis=0), color=BLACK, linewidth=1.2, zorder=4)
    axes.plot(x, x, color=GREY, linestyle=(0, (4, 2)), linewidth=1, zorder=4)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.set_xlabel("weights inspected (%)", fontsize=7)
    axes.set_ylabel("Σ|ΔW| found (%)", fontsize=7)
    axes.tick_params(labelsize=6.5)


def draw_relative_gain(
    axes: Axes, curves: pd.DataFrame, lines: dict[tuple[str, str], Line], level: str
) -> None:
    highest = 1.0
    for key, line in lines.items():
        if key[0] == level:
            x, y = fold_grid(rows_of(curves, *key), "mass")
            draw_band(axes, x, y / (x / 100), line, every=20)
            highest = max(highest, float((y / (x / 100)).mean(axis=0).max()))
    x, y = fold_grid(rows_of(curves, WEIGHT, details.IDEAL), "mass")
    axes.plot(x, y.mean(axis=0) / (x / 100), color=BLACK, linewidth=1.2, zorder=4)
    axes.axhline(1, color=GREY, linestyle=(0, (4, 2)), linewidth=1, zorder=4)
    percent_axis(axes, [0.01, 0.1, 1, 10, 100])
    axes.set(xlim=(0.01, 100), ylim=(0, 1.15 * highest))
    axes.set_xlabel("weights inspected (%)", fontsize=7)
    axes.set_ylabel("found / found by chance", fontsize=7)
    axes.tick_params(labelsize=6.5)
