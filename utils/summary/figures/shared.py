"""What the pictures across folds share: widths, names, lines, points and legends."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from utils.drawing import drawing
from utils.judge.names import NEURON, RANDOM_EXPECTED
from utils.summary.figures.styles import DARK, GREY, Style, Styles
from utils.summary.rankings import AMONG_WEIGHTS, Key, shown
from utils.summary.scores.means import metrics_of

# Inches: one column and both columns of the usual two-column journals.
WIDTHS = {"1col": 3.5, "2col": 7.16}
# Longer names are cut in their middle, so that they leave room for the picture.
LONGEST_LABEL = {"1col": 25, "2col": 34}
# Points: nothing is printed smaller, at the width of one column either.
SMALL = {"1col": 6, "2col": 6.5}
CHANCE_DASH = (0, (4, 2))


def widths_of(constants: Mapping[str, Any]) -> list[str]:
    """The widths that FIGURE_WIDTHS asks for, the narrow one first."""
    return [width for width in WIDTHS if width in constants["FIGURE_WIDTHS"]]


def ranked_methods(summary: pd.DataFrame, primary: str) -> list[Key]:
    """The rankings of weights, (level, method), best first; without random rows."""
    rows = summary[(summary["metric"] == primary) & (summary["level"] != NEURON)]
    rows = rows[~rows["method"].str.startswith("random (")]
    rows = rows.sort_values("mean", ascending=False, kind="stable")
    return list(zip(rows["level"], rows["method"], strict=True))


def label(level: str, method: str, width: str) -> str:
    half = (LONGEST_LABEL[width] - 1) // 2
    short = method if len(method) <= LONGEST_LABEL[width] else f"{method[:half]}…{method[-half:]}"
    return shown(level, method).replace(method, short)


def means_by_fold(scores: pd.DataFrame) -> pd.DataFrame:
    """Settings averaged inside a fold: one row per (level, method, fold)."""
    names = metrics_of(scores)
    return scores.groupby(["level", "method", "fold"], sort=False)[names].mean().reset_index()


def new_figure(width: str, height: float) -> Figure:
    with drawing():
        return Figure(figsize=(WIDTHS[width], height), layout="constrained")


def groups_of(keys: Iterable[Key], styles: Styles) -> list[str]:
    """The levels among weights that any method has; references make no panel of their own."""
    present = {key[0] for key in keys if styles.of(*key).standing != "reference"}
    return [level for level in AMONG_WEIGHTS if level in present]


def of_panel(keys: Iterable[Key], level: str, styles: Styles) -> list[Key]:
    """The methods of a level, and the references, which stand beside those of every level."""
    return [key for key in keys if key[0] == level or styles.of(*key).standing == "reference"]


def rows_of(table: pd.DataFrame, level: str, method: str) -> pd.DataFrame:
    return table[(table["level"] == level) & (table["method"] == method)]


def fold_grid(curves: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """x (points,) and values (folds, points) of one method's curve."""
    wide = curves.pivot(index="fold", columns="percent", values=column).dropna(axis=1)
    return wide.columns.to_numpy(dtype=float), wide.to_numpy(dtype=float)


# -- lines and points --------------------------------------------------------------------------

ORDER = {"other": 1.5, "reference": 2.5, "best": 3.0}


def draw_line(
    axes: Axes, x: np.ndarray, y: np.ndarray, style: Style, every: int | slice = 1
) -> None:
    """The mean over folds against x, both (points,); a marker at each `every`-th point."""
    best = style.standing == "best"
    axes.plot(
        x, y, color=style.color, linestyle=style.dash, linewidth=1.1 if best else 0.7,
        marker=style.marker if best else "", markersize=3.2, markevery=every,
        markerfacecolor="white" if style.hollow else style.color, markeredgewidth=0.7,
        zorder=ORDER[style.standing],
    )  # fmt: skip


def draw_bar(axes: Axes, x: float, folds: np.ndarray, style: Style) -> None:
    """From the lowest to the highest of the folds' values (folds,)."""
    if len(folds) > 1:
        axes.plot(
            [x, x], [folds.min(), folds.max()], color=style.color, linewidth=0.8,
            solid_capstyle="butt", zorder=ORDER[style.standing] - 0.5,
        )  # fmt: skip


def draw_point(axes: Axes, x: float, y: float, style: Style, size: float = 4.5) -> None:
    """A method's marker; hollow ones are transparent and larger, so that none hides another."""
    axes.plot(
        [x], [y], linestyle="", color=style.color, marker=style.marker,
        markersize=size * (1.3 if style.hollow else 1),
        markerfacecolor=style.face, markeredgewidth=0.8, zorder=ORDER[style.standing] + 1,
        clip_on=False,
    )  # fmt: skip


def spread_around(x: float, count: int, step: float = 1.045) -> np.ndarray:
    """Places beside each other around x on a logarithmic axis, (count,)."""
    return x * step ** (np.arange(count) - (count - 1) / 2)


# -- axes --------------------------------------------------------------------------------------


def plain_log(axes: Axes, which: str) -> None:
    """A logarithmic axis whose ticks are numbers as they are; `which` is x or y."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def plain_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Ticks 1, 2, 5, 10, .. of a logarithmic axis, fewer where they would be more than `most`."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{d}e{p}") for p in powers for d in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            return ticks
    return ticks[:: -(-len(ticks) // most)]


def set_log_limits(axes: Axes, which: str, low: float, high: float, most: int = 7) -> None:
    """Limits of a logarithmic axis and the plain ticks between them."""
    plain_log(axes, which)
    getattr(axes, f"set_{which}lim")(low, high)
    getattr(axes, f"set_{which}ticks")(plain_ticks(low, high, most))
    getattr(axes, f"{which}axis").minorticks_off()


def percent_axis(axes: Axes, percents: list[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(percents, [f"{p:g}" for p in percents])
    axes.minorticks_off()


def lowest_positive(values: Iterable[np.ndarray]) -> float:
    """The smallest value above 0, NaN where there is none."""
    every = np.concatenate([np.ravel(one) for one in values])
    return float(np.min(every[every > 0], initial=np.inf)) if (every > 0).any() else np.nan


# -- legends -----------------------------------------------------------------------------------


def chance_handle() -> Line2D:
    return Line2D(
        [], [], color=DARK, linestyle=CHANCE_DASH, linewidth=1, label=RANDOM_EXPECTED
    )  # fmt: skip


def draw_chance(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    axes.plot(x, y, color=DARK, linestyle=CHANCE_DASH, linewidth=1, zorder=2)


def handles_of(keys: list[Key], styles: Styles, width: str, lines: bool = True) -> list[Line2D]:
    """Legend handles of the methods in colour, how many are grey, and the references.

    lines : whether methods are lines in the figure, not points alone.
    """
    handles = []
    for key in styles.named(keys):
        style = styles.of(*key)
        reference = style.standing == "reference"
        handles.append(
            Line2D(
                [], [], color=style.color, linestyle=style.dash if lines else "",
                marker="" if lines and reference else style.marker, markersize=3.8,
                markerfacecolor="white" if style.hollow else style.color, markeredgewidth=0.7,
                linewidth=0.9, label=label(*key, width),
            )
        )  # fmt: skip
    grey = len([key for key in keys if not styles.of(*key).named])
    if grey:
        at = len([key for key in styles.named(keys) if styles.of(*key).standing == "best"])
        text = f"{grey} other{'s' if grey > 1 else ''} (tables)"
        handles.insert(at, Line2D([], [], color=GREY, linewidth=1.2, label=text))
    return handles


def legend_below(figure: Figure, handles: list[Line2D], width: str, columns: int) -> None:
    """One legend for all panels, below them, in as many of `columns` as fit."""
    for ncols in range(columns, 0, -1):
        legend = figure.legend(
            handles=handles, loc="outside lower center", ncols=ncols, fontsize=SMALL[width],
            frameon=False, handlelength=2.2, columnspacing=1.0, handletextpad=0.5,
            borderaxespad=0.2, labelspacing=0.3,
        )  # fmt: skip
        if ncols == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()
