"""What the pictures across folds share: widths, a line per method, labels, legends.

Colours come from Okabe and Ito's palette, and every line has a marker or a dash
pattern of its own, so that figures can be read in grey.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from utils.judge.comparison import LIFTED, NEURON, ORACLE, WEIGHT
from utils.methods import METHODS
from utils.run.pictures import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    drawing,
)
from utils.summary import across_folds

# Inches: one column and both columns of the usual two-column journals.
WIDTHS = {"1col": 3.5, "2col": 7.16}
MOST_LABELS = 24
# Longer names are cut in their middle, so that they leave room for the picture.
LONGEST_LABEL = {"1col": 24, "2col": 34}
# Points: nothing is printed smaller, at the width of one column either.
SMALL = {"1col": 6, "2col": 6.5}
GREY, LIGHT = "#666666", "#BBBBBB"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
MARKERS = "os^DvPX*<>ph"
LINES = [
    (COLOURS[i % len(COLOURS)], marker, "-" if i < len(COLOURS) else (0, (3, 1.5)))
    for i, marker in enumerate(MARKERS)
]
MOST_LINES = len(LINES)
GROUPS = {WEIGHT: "weight-level methods", LIFTED: "neuron-level methods, lifted to weights"}
SHORT_GROUPS = {WEIGHT: "weight level", LIFTED: "neurons lifted to weights"}
# What stands under a figure in a paper; {metric} is the primary one, {percent} of the positives.
SPREAD = (
    "Lines and points are means over folds, bands and bars reach from the lowest to the highest "
)
LIFTED_STAR = "* a neuron's score given to its 2d weights. "


@dataclass(frozen=True)
class Line:
    """How a method is drawn in every figure."""

    color: str
    marker: str
    dash: str | tuple[int, tuple[float, ...]]
    highlighted: bool


def ranked_methods(summary: pd.DataFrame, primary: str) -> list[tuple[str, str]]:
    """The rankings of weights, (level, method), best first; without random rows."""
    rows = summary[(summary["metric"] == primary) & (summary["level"] != NEURON)]
    rows = rows[~rows["method"].str.startswith("random (")]
    rows = rows.sort_values("mean", ascending=False, kind="stable")
    return list(zip(rows["level"], rows["method"], strict=True))


def assign_lines(ranked: list[tuple[str, str]]) -> dict[tuple[str, str], Line]:
    """A line style for each method; beyond MOST_LINES of a level the lowest are grey.

    The first MOST_LINES of ours look the same in every run, whatever their rank. A
    user's methods come first where there are too many.
    """
    lines = {}
    for level in GROUPS:
        ours = [name for at, name in METHODS if at == (NEURON if level == LIFTED else level)]
        present = [name for at, name in ranked if at == level and name != ORACLE]
        others = [name for name in present if name not in ours]
        shown = (others + [name for name in present if name in ours])[:MOST_LINES]
        places = {name: ours.index(name) for name in shown if name in ours[:MOST_LINES]}
        free = [i for i in range(MOST_LINES) if i not in places.values()]
        free.sort(key=lambda i: i < len(ours))  # places of ours that are not shown come last
        places |= dict(zip([name for name in shown if name not in places], free, strict=False))
        for name in present:
            style = LINES[places[name]] if name in places else (LIGHT, "", "-")
            lines[level, name] = Line(*style, name in places)
        lines[level, ORACLE] = Line(BLACK, "", "-.", True)
    return {key: lines[key] for key in ranked}


def label(level: str, method: str, width: str) -> str:
    half = (LONGEST_LABEL[width] - 1) // 2
    short = method if len(method) <= LONGEST_LABEL[width] else f"{method[:half]}…{method[-half:]}"
    return f"{short} *" if level == LIFTED and method != ORACLE else short


def fold_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Settings averaged inside a fold: one row per (level, method, fold)."""
    names = across_folds.metrics_of(scores)
    return scores.groupby(["level", "method", "fold"], sort=False)[names].mean().reset_index()


def new_figure(width: str, height: float) -> Figure:
    with drawing():
        return Figure(figsize=(WIDTHS[width], height), layout="constrained")


def draw_band(axes: Axes, x: np.ndarray, values: np.ndarray, line: Line, every: int = 1) -> None:
    """Mean over folds as a line, smallest to largest fold as a band.

    x : (points,); values : (folds, points)
    """
    order = 3 if line.highlighted else 1
    axes.plot(
        x, values.mean(axis=0), color=line.color, linestyle=line.dash, marker=line.marker,
        markevery=every, markersize=3, linewidth=1.1 if line.highlighted else 0.6, zorder=order,
        markeredgewidth=0,
    )  # fmt: skip
    if line.highlighted and len(values) > 1:
        axes.fill_between(
            x, values.min(axis=0), values.max(axis=0), color=line.color, alpha=0.1, linewidth=0,
            zorder=order - 1,
        )  # fmt: skip


def legend_entries(
    lines: dict[tuple[str, str], Line], level: str, extra: dict[str, Line2D], width: str
) -> list[Line2D]:
    """Handles for the methods of a level that stand out, then `extra`."""
    found = []
    grey = 0
    for (at, method), line in lines.items():
        if at != level:
            continue
        if not line.highlighted:
            grey += 1
            continue
        found.append(
            Line2D([], [], color=line.color, linestyle=line.dash, marker=line.marker,
                   markersize=3.5, markeredgewidth=0, linewidth=1.1,
                   label=label(at, method, width))
        )  # fmt: skip
    if grey:
        found.append(
            Line2D(
                [],
                [],
                color=LIGHT,
                linewidth=0.8,
                label=f"{grey} other method{'s' if grey > 1 else ''}",
            )
        )
    return [*found, *(handle for handle in extra.values())]


def dashed(text: str) -> Line2D:
    return Line2D([], [], color=GREY, linestyle=(0, (4, 2)), linewidth=1, label=text)


def percent_axis(axes: Axes, percents: list[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(percents, [f"{p:g}" for p in percents])
    axes.minorticks_off()


def groups_of(keys: Iterable[tuple[str, str]]) -> list[str]:
    present = {level for level, _ in keys}
    return [level for level in GROUPS if level in present]


def draw_legend(
    figure: Figure, cell: SubplotSpec, entries: list[Line2D], columns: int, title: str | None = None
) -> None:
    """A legend in a cell of its own, so that panels above each other keep one width."""
    axes = figure.add_subplot(cell)
    axes.axis("off")
    axes.legend(
        handles=entries, loc="center left" if columns == 1 else "upper center", ncols=columns,
        fontsize=6, frameon=False, handlelength=2.4, borderaxespad=0, columnspacing=1.2,
        title=title, title_fontsize=7,
    )  # fmt: skip


def rows_of(table: pd.DataFrame, level: str, method: str) -> pd.DataFrame:
    return table[(table["level"] == level) & (table["method"] == method)]


def fold_grid(curves: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """x (points,) and values (folds, points) of one method's curve."""
    wide = curves.pivot(index="fold", columns="percent", values=column).dropna(axis=1)
    return wide.columns.to_numpy(dtype=float), wide.to_numpy(dtype=float)
