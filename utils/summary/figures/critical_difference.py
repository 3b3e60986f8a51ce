"""Mean ranks over folds, and which methods are not told apart."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from utils.drawing import drawing
from utils.judge.names import RANDOM_EXPECTED, WEIGHT
from utils.summary.figures.names import ink
from utils.summary.figures.shared import SMALL, draw_point, label, new_figure
from utils.summary.figures.styles import DARK, GREY, Styles
from utils.summary.rankings import Key, is_reference_only
from utils.summary.statistics.pairs import average_ranks, pairwise_holm

ALPHA = 0.05
# Bars that are drawn: with all of them, a dozen, nobody sees which is about what.
MOST_BARS = 4


def rank_table(scores: pd.DataFrame, ranked: list[Key], primary: str) -> pd.DataFrame:
    """Folds x methods, columns (level, method), of fold means that every fold has; with chance."""
    means = scores.groupby(["fold", "level", "method"])[primary].mean().unstack(["level", "method"])
    keys = [key for key in ranked if not is_reference_only(key[1])]
    keys.append((WEIGHT, RANDOM_EXPECTED))
    return means[keys].dropna(axis=1)


def critical_difference(
    table: pd.DataFrame, styles: Styles, width: str, n_folds: int | None = None
) -> Figure:
    """Each method's mean rank; a bar at the right joins those that no test tells from the best.

    A critical-difference diagram (Demšar, JMLR 7 (2006)) with a line for each
    method, which leaves every name whole in one column of a paper.

    table : (folds, methods) of `rank_table`, higher is better. The p values are
        Holm-adjusted paired t tests between every two methods.
    n_folds : as of `pairs.pairwise_holm`.
    """
    ranks = average_ranks(table).sort_values(kind="stable")
    p = pairwise_holm(table, n_folds).fillna(1.0)
    apart = (p.loc[ranks.index, ranks.index] <= ALPHA).to_numpy()
    bars = bars_of_best(groups_not_apart(apart))
    levels = stacked(bars)
    wide = width == "2col"
    size = SMALL[width]
    with drawing():
        figure = new_figure(width, (0.15 if wide else 0.135) * len(ranks) + 0.55)
        share = min(0.9, 0.06 * max(levels, default=0) + 0.12)
        axes, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, share])
        draw_ranks(axes, ranks, styles, width)
        for bar, level in zip(bars, levels, strict=True):
            right.plot([level] * 2, [bar[0], bar[-1]], color=DARK, linewidth=1.2)
            right.plot([level] * len(bar), bar, ".", color=DARK, markersize=4)
        right.set_xlim(0.3, max(levels, default=1) + 0.7)
        right.set_xticks([])
        right.spines[:].set_visible(False)
        right.tick_params(axis="y", length=0, labelleft=False)
        axes.set_xlabel("mean rank (1 is best)", fontsize=size + 0.5)
    return figure


def draw_ranks(axes: Axes, ranks: pd.Series, styles: Styles, width: str) -> None:
    size = SMALL[width]
    for i, (key, rank) in enumerate(ranks.items()):
        style = styles.of(*key)
        axes.plot([1, rank], [i, i], color=GREY, linewidth=0.5, zorder=1)
        if style.marker:
            draw_point(axes, rank, i, style)
        else:
            axes.plot([rank], [i], "|", color=style.color, markersize=6, clip_on=False)
    names = [f"{label(*key, width)} ({rank:.1f})" for key, rank in ranks.items()]
    axes.set_yticks(range(len(ranks)), names, fontsize=size, parse_math=False)
    for tick, key in zip(axes.get_yticklabels(), ranks.index, strict=True):
        tick.set_color(ink(styles.of(*key)))
    axes.set_ylim(len(ranks) - 0.5, -0.5)
    axes.set_xlim(1, np.ceil(ranks.max()))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=2))
    axes.set_xticks(sorted({1, *(t for t in axes.get_xticks() if 3 <= t <= np.ceil(ranks.max()))}))
    axes.tick_params(axis="x", labelsize=size)
    axes.tick_params(axis="y", length=0)


def groups_not_apart(apart: np.ndarray) -> list[list[int]]:
    """The largest sets of which no two are told apart, each ascending; sorted.

    apart : bool (n, n), symmetric. Source: Bron and Kerbosch, CACM 16 (1973), with a pivot.
    """
    alike = [set(np.flatnonzero(~row)) - {i} for i, row in enumerate(apart)]
    found: list[list[int]] = []

    def grow(clique: set[int], open_: set[int], closed: set[int]) -> None:
        if not open_ and not closed:
            found.append(sorted(map(int, clique)))
            return
        pivot = max(sorted(open_ | closed), key=lambda i: len(alike[i] & open_))
        for i in sorted(open_ - alike[pivot]):
            grow(clique | {i}, open_ & alike[i], closed & alike[i])
            open_, closed = open_ - {i}, closed | {i}

    grow(set(), set(range(len(apart))), set())
    return sorted(found)


def bars_of_best(groups: list[list[int]]) -> list[list[int]]:
    """The groups of several that the best method, 0, is in: the MOST_BARS longest, in order."""
    bars = [group for group in groups if len(group) > 1 and group[0] == 0]
    return sorted(sorted(bars, key=len, reverse=True)[:MOST_BARS])


def stacked(bars: list[list[int]]) -> list[int]:
    """A column for each bar, from 1, so that none lies on another; each as far left as it fits."""
    ends: list[int] = []
    columns = []
    for bar in bars:
        free = [i for i, end in enumerate(ends) if end < bar[0]]
        column = free[0] if free else len(ends)
        if column == len(ends):
            ends.append(bar[-1])
        ends[column] = bar[-1]
        columns.append(column + 1)
    return columns
