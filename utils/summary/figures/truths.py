"""Do the truths agree? Each method's lift by one truth against its lift by another."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from utils.drawing import drawing
from utils.summary.figures.names import ink, name_points
from utils.summary.figures.shared import (
    CHANCE_DASH,
    SMALL,
    draw_point,
    label,
    new_figure,
    set_log_limits,
)
from utils.summary.figures.styles import DARK, Styles
from utils.summary.rankings import Key

# A lift of 0 has no logarithm: it stands at the edge, where the axis begins.
LOWEST = 0.03


def truth_against_truth(
    verdict: pd.DataFrame, styles: Styles, x: str, y: str, k: str, width: str
) -> Figure:
    """Lift@K by truth `x` and by truth `y`, both axes logarithmic, dashed at chance.

    verdict : rows of verdict.csv.
    """
    lifts = verdict.pivot(index=["level", "method"], columns="truth", values="lift")
    lifts = lifts[[x, y]].dropna().clip(lower=LOWEST)
    with drawing():
        figure = new_figure(width, 4.0 if width == "2col" else 4.3)
        axes = figure.subplots()
        for key, point in lifts.iterrows():
            draw_point(axes, point[x], point[y], styles.of(*key))
        for draw in (axes.axvline, axes.axhline):
            draw(1, color=DARK, linestyle=CHANCE_DASH, linewidth=0.8, zorder=0)
        widen(axes, lifts[x].to_numpy(), lifts[y].to_numpy(), width)
        axes.set_xlabel(f"lift@{k} by '{x}'", fontsize=7.5)
        axes.set_ylabel(f"lift@{k} by '{y}'", fontsize=7.5)
        axes.tick_params(labelsize=SMALL[width])
        name_points(
            axes, lifts[x].to_numpy(), lifts[y].to_numpy(),
            [label(*key, width) for key in lifts.index],
            [styles.of(*key) for key in lifts.index], SMALL[width],
            np.array([(1, LOWEST, 1, 1e9), (LOWEST, 1, 1e9, 1)]),
        )  # fmt: skip
    return figure


def widen(axes: Axes, x: np.ndarray, y: np.ndarray, width: str) -> None:
    """Leave room around the points, more at the right, where their names stand."""
    right = 2.5 if width == "2col" else 5.0
    for values, which, more in ((x, "x", right), (y, "y", 1.6)):
        low, high = min(values.min(), 1), max(values.max(), 1)
        set_log_limits(axes, which, low / 1.6, high * more)


def ceiling(
    verdict: pd.DataFrame,
    references: pd.DataFrame,
    styles: Styles,
    truth: str,
    k: str,
    width: str,
) -> Figure:
    """Each method's lift by one truth as a bar from chance, with what could be reached as lines.

    Filled where p, adjusted over methods, is at most 0.05.

    references : columns truth, method, lift.
    """
    rows = verdict[verdict["truth"] == truth].sort_values("lift", ignore_index=True)
    keys = list(zip(rows["level"], rows["method"], strict=True))
    ends = references[references["truth"] == truth].sort_values("lift")
    with drawing():
        figure = new_figure(width, 0.155 * len(rows) + 1.05)
        axes = figure.subplots()
        lifts = rows["lift"].clip(lower=LOWEST).to_numpy()
        told = (rows["p_adjusted"] <= 0.05).to_numpy()
        colours = [styles.of(*key).color for key in keys]
        axes.barh(
            range(len(rows)), lifts - 1, left=1, height=0.7,
            color=[c if t else "white" for c, t in zip(colours, told, strict=True)],
            edgecolor=colours, linewidth=0.9,
        )  # fmt: skip
        axes.axvline(1, color=DARK, linewidth=1)
        for row in ends.itertuples(index=False):
            style = styles.of("", row.method)
            axes.axvline(
                row.lift, color=style.color, linestyle=style.dash, linewidth=0.9, label=row.method
            )
        low = min(lifts.min(), 0.8)
        high = max(ends["lift"].max() if len(ends) else 0, lifts.max(), 1.2)
        set_log_limits(axes, "x", low / 1.3, 1.4 * high)
        name_rows(axes, keys, styles, width)
        axes.set_xlabel(f"lift@{k} by '{truth}' (1 is chance)", fontsize=7.5)
        handles = [
            Patch(facecolor=DARK, edgecolor=DARK, label="told from chance (p ≤ 0.05)"),
            Patch(facecolor="white", edgecolor=DARK, linewidth=0.9, label="not told from chance"),
            *(line for line in axes.lines if not line.get_label().startswith("_")),
        ]
        figure.legend(
            handles=handles, fontsize=SMALL[width], frameon=False, loc="outside upper right",
            ncols=2,
        )  # fmt: skip
    return figure


def name_rows(axes: Axes, keys: list[Key], styles: Styles, width: str) -> None:
    """The methods beside their rows, in their colours, the first row lowest."""
    axes.set_yticks(
        range(len(keys)), [label(*key, width) for key in keys], fontsize=SMALL[width],
        parse_math=False,
    )  # fmt: skip
    for tick, key in zip(axes.get_yticklabels(), keys, strict=True):
        tick.set_color(ink(styles.of(*key)))
    axes.set_ylim(-0.7, len(keys) - 0.3)
    axes.tick_params(labelsize=SMALL[width])
    axes.tick_params(axis="y", length=0)
