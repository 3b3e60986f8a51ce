"""Do the truths agree? Each method's lift by one truth against its lift by another."""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from utils.judge.comparison import LIFTED, WEIGHT
from utils.run.pictures import BLACK, BLUE, VERMILION, drawing
from utils.summary.figures.shared import GREY, SMALL, label, new_figure

# A lift of 0 has no logarithm: it stands at the edge, where the axis begins.
LOWEST = 0.03
COLOURS = {WEIGHT: BLUE, LIFTED: VERMILION}
MARKERS = {WEIGHT: "o", LIFTED: "s"}


def truth_against_truth(verdict: pd.DataFrame, x: str, y: str, k: str, width: str) -> Figure:
    """Lift@K by truth `x` and by truth `y`, both axes logarithmic, dashed at chance.

    verdict : rows of verdict.csv.
    """
    lifts = verdict.pivot(index=["level", "method"], columns="truth", values="lift")
    lifts = lifts[[x, y]].dropna().clip(lower=LOWEST)
    with drawing():
        figure = new_figure(width, 3.6 if width == "2col" else 3.5)
        axes = figure.subplots()
        for (level, _), point in lifts.iterrows():
            axes.plot(
                point[x], point[y], MARKERS[level], color=COLOURS[level], markersize=4,
                markerfacecolor=COLOURS[level] if level == WEIGHT else "white",
            )  # fmt: skip
        for draw in (axes.axvline, axes.axhline):
            draw(1, color=GREY, linestyle=(0, (4, 2)), linewidth=0.8, zorder=0)
        axes.set(xscale="log", yscale="log")
        widen(axes, lifts[x].to_numpy(), lifts[y].to_numpy())
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(f"lift@{k} by '{x}'", fontsize=7.5)
        axes.set_ylabel(f"lift@{k} by '{y}'", fontsize=7.5)
        axes.tick_params(labelsize=SMALL[width])
        names = [label(*key, width) for key in lifts.index]
        name_points(axes, lifts[x].to_numpy(), lifts[y].to_numpy(), names, SMALL[width])
    return figure


def widen(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Leave room around the points, more at the right, where their names stand."""
    for values, limit, more in ((x, axes.set_xlim, 4.0), (y, axes.set_ylim, 1.6)):
        low, high = min(values.min(), 1), max(values.max(), 1)
        limit(low / 1.6, high * more)


def name_points(axes: Axes, x: np.ndarray, y: np.ndarray, names: list[str], size: float) -> None:
    """Write each name beside its point, moved up or down where it would cover another or a point.

    A thin line joins a name that stands apart with its point.
    """
    figure = axes.figure
    figure.canvas.draw()  # the layout decides how many pixels a name takes
    points = axes.transData.transform(np.column_stack([x, y]))
    unit = figure.dpi / 72  # pixels in a point
    taken = [Bbox.from_bounds(*(point - 4 * unit), 8 * unit, 8 * unit) for point in points]
    for i in np.argsort(-points[:, 1], kind="stable"):
        text = axes.annotate(
            names[i], (x[i], y[i]), xytext=(6, 0), textcoords="offset points", fontsize=size,
            va="center", ha="left", parse_math=False,
        )  # fmt: skip
        others = [box for j, box in enumerate(taken) if j != i]
        for step, side in sorted(
            product(range(-24, 25), (1, -1)), key=lambda p: (abs(p[0]), -p[1])
        ):
            text.set_horizontalalignment("left" if side > 0 else "right")
            text.set_position((side * (6 if abs(step) < 3 else 14), 0.4 * size * step))
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in others):
                break
        taken.append(box)
        if abs(step) >= 3:
            axes.annotate(
                "", (x[i], y[i]), xytext=text.get_position(), textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 0,
                            "shrinkB": 3},
            )  # fmt: skip


def ceiling(
    verdict: pd.DataFrame, references: pd.DataFrame, truth: str, k: str, width: str
) -> Figure:
    """Each method's lift by one truth as a bar from chance, with what could be reached as lines.

    references : columns truth, method, lift.
    """
    rows = verdict[verdict["truth"] == truth].sort_values("lift", ignore_index=True)
    ends = references[references["truth"] == truth].sort_values("lift")
    with drawing():
        figure = new_figure(width, 0.16 * len(rows) + 0.95)
        axes = figure.subplots()
        lifts = rows["lift"].clip(lower=LOWEST).to_numpy()
        told = (rows["p_adjusted"] <= 0.05).to_numpy()
        colours = np.where(lifts >= 1, BLUE, VERMILION)
        axes.barh(
            range(len(rows)), lifts - 1, left=1, height=0.7,
            color=[c if t else "white" for c, t in zip(colours, told, strict=True)],
            edgecolor=colours, linewidth=0.8,
        )  # fmt: skip
        axes.set_xscale("log")
        axes.axvline(1, color=GREY, linewidth=1)
        for row, dash in zip(ends.itertuples(index=False), ("-", (0, (1, 1)), "--"), strict=False):
            axes.axvline(row.lift, color=BLACK, linestyle=dash, linewidth=0.9, label=row.method)
        axes.set_yticks(
            range(len(rows)),
            [label(*key, width) for key in zip(rows["level"], rows["method"], strict=True)],
            fontsize=SMALL[width], parse_math=False,
        )  # fmt: skip
        low = min(lifts.min(), 0.8)
        axes.set_xlim(low / 1.3, 1.4 * max(ends["lift"].max() if len(ends) else 0, lifts.max()))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(labelsize=SMALL[width])
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"lift@{k} by '{truth}' (1 is chance)", fontsize=7.5)
        if len(ends):
            figure.legend(fontsize=SMALL[width], frameon=False, loc="outside upper right", ncols=2)
    return figure
