"""What a difference between two methods must be to mean something, and which are told apart.

The unit is the fold, and the test is the corrected one of Nadeau and Bengio: it is the only
one of the summary's that allows for the data that folds share.
"""

import math
from itertools import combinations

import numpy as np
import pandas as pd

from utils.summary.statistics.pairs import compare_pair, without_rounding
from utils.summary.statistics.t_tests import holm, nadeau_bengio

SIGNIFICANT = 0.05
COLUMNS = [
    "verdict", "metric", "n_methods", "n_folds", "sd_between_methods", "sd_of_folds",
    "sd_of_replays", "telling_difference", "pairs", "pairs_told_apart",
]  # fmt: skip


def resolution(values: pd.DataFrame, n_folds: int) -> dict[str, float]:
    """COLUMNS but verdict, metric and sd_of_replays, of one verdict.

    values : (folds, methods) of fold means. A method that is missing in a fold is compared
        with another on the folds that both have.
    n_folds : folds of one repeat of the cross-validation.

    Returns
    -------
    sd_between_methods : of the methods' means over folds.
    sd_of_folds : sd over folds of a method's value, mean over methods.
    telling_difference : median over pairs of half the corrected 95% interval of their paired
        difference. pairs_told_apart : by the corrected test, Holm-adjusted over all pairs.
    All but counts and sd_between_methods are NaN with one fold.
    """
    halves, p = [], []
    cells = values.to_numpy(dtype=np.float64)
    for pair in combinations(range(cells.shape[1]), 2):
        both = cells[:, pair]  # (F, 2)
        a, b = both[~np.isnan(both).any(axis=1)].T
        one = nadeau_bengio(a - without_rounding(a, b), n_folds)
        halves.append((one.high - one.low) / 2)
        p.append(one.p)
    known = np.array(halves)[np.isfinite(halves)]
    several = len(values) > 1
    return {
        "n_methods": values.shape[1],
        "n_folds": len(values),
        "sd_between_methods": float(values.mean().std(ddof=1)),
        "sd_of_folds": float(values.std(ddof=1).mean()) if several else math.nan,
        "telling_difference": float(np.median(known)) if len(known) else math.nan,
        "pairs": len(p),
        "pairs_told_apart": int((holm(np.array(p)) <= SIGNIFICANT).sum()) if several else math.nan,
    }


def not_told_apart(values: pd.DataFrame, n_folds: int) -> list | None:
    """The methods, best first, that the corrected test does not tell apart from the best.

    Holm-adjusted over the methods that the best is compared with.

    values : (folds, methods) of fold means, higher is better.

    Returns
    -------
    Column labels without the best itself, the first of `by_mean`; None with one fold, where
    no test exists.
    """
    if len(values) < 2:
        return None
    best, *others = by_mean(values)
    p = []
    for other in others:
        both = values[[best, other]].dropna().to_numpy(dtype=np.float64)  # (F, 2)
        one = compare_pair(both[:, 0], both[:, 1], n_folds)
        p.append(one.corrected_p if any(one.differences) else 1.0)
    adjusted = holm(np.array(p))
    # A constant difference has no variance and no test: it is not told apart.
    return [o for o, q in zip(others, adjusted, strict=True) if not q <= SIGNIFICANT]


def by_mean(values: pd.DataFrame) -> list:
    """The methods of (folds, methods), the highest mean first."""
    return list(values.mean().sort_values(ascending=False, kind="stable").index)
