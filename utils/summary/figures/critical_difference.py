"""Mean ranks over folds, and which methods are not told apart."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from utils.judge.comparison import RANDOM_EXPECTED, WEIGHT
from utils.run.pictures import (
    BLACK,
    BLUE,
    drawing,
)
from utils.summary import statistics
from utils.summary.across_folds import is_reference_only
from utils.summary.figures.shared import SMALL, WIDTHS, label, new_figure


def rank_table(
    scores: pd.DataFrame,
    ranked: list[tuple[str, str]],
    primary: str,
    width: str,
) -> pd.DataFrame:
    """Folds x methods of fold means, for those that every fold has; with chance."""
    means = scores.groupby(["fold", "level", "method"])[primary].mean().unstack(["level", "method"])
    keys = [key for key in ranked if not is_reference_only(key[1])]
    keys.append((WEIGHT, RANDOM_EXPECTED))
    table = means[keys].dropna(axis=1)
    table.columns = [label(*key, width) for key in table.columns]
    return table


def critical_difference(
    table: pd.DataFrame, primary: str, width: str, n_folds: int | None = None
) -> Figure:
    """Mean ranks over folds; bars join methods that no test tells apart (descriptive).

    table : (folds, methods), higher is better. The p values are Holm-adjusted
    paired t tests between every two methods.
    n_folds : as of `statistics.pairwise_holm`.
    """
    import scikit_posthocs

    ranks = statistics.average_ranks(table)
    p = statistics.pairwise_holm(table, n_folds).fillna(1.0)
    wide = width == "2col"
    size = SMALL[width]
    with drawing():
        figure = new_figure(width, 2)
        axes = figure.subplots()
        drawn = scikit_posthocs.critical_difference_diagram(
            ranks, p, ax=axes, label_props={"fontsize": size},
            label_fmt_left="{label} ({rank:.1f}) ", label_fmt_right=" ({rank:.1f}) {label}",
            elbow_props={"color": "#333333", "linewidth": 0.6},
            marker_props={"color": BLACK, "s": 8},
            crossbar_props={"color": BLUE, "linewidth": 1.5, "marker": "o", "markersize": 3},
        )  # fmt: skip
        levels = restack([bar for bars in drawn["crossbars"] for bar in bars])
        rows = levels + (len(ranks) + 1) // 2
        figure.set_size_inches(WIDTHS[width], (0.15 if wide else 0.12) * rows + 0.75)
        axes.spines["top"].set_visible(True)  # the axis of the ranks
        axes.tick_params(labelsize=size)
        axes.set_title(
            f"mean rank by {primary} over {len(table)} folds, 1 is best (descriptive)\n"
            "a bar joins the dotted methods that are not told apart\n"
            f"at 0.05 ({'' if n_folds is None else 'corrected '}paired t, Holm over all pairs)",
            fontsize=size,
        )
    return figure


def restack(bars: list[Line2D]) -> int:
    """Order the bars by where they begin and end, each as high as it fits; the levels used.

    The library takes bars that begin together in the order of a set, which
    differs from run to run.
    """
    ends: list[float] = []
    for bar, ranks in sorted(
        ((bar, sorted(bar.get_xdata())) for bar in bars),
        key=lambda item: (item[1][0], item[1][-1], item[1]),
    ):
        free = [level for level, end in enumerate(ends) if end < ranks[0]]
        level = free[0] if free else len(ends)
        if level == len(ends):
            ends.append(ranks[-1])
        ends[level] = ranks[-1]
        bar.set_data(ranks, [-level - 1] * len(ranks))
    return len(ends)
