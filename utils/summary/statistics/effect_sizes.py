"""How large a difference between paired folds is, and how alike the settings of a fold are."""

import math

import numpy as np
import pandas as pd
from scipy import stats

from utils.summary.statistics.t_tests import fold_means, varies


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation of paired differences (folds,).

    (rank sum of the positive − rank sum of the negative) / (sum of all ranks),
    ranks of |difference| with mid-ranks for ties, differences of 0 left out
    (Kerby 2014). In [-1, 1], positive favours the method.
    NaN with fewer than two folds, where only a sign is left, and where every
    difference is 0.
    """
    differences = np.asarray(differences, dtype=np.float64)
    if len(differences) < 2 or not differences.any():
        return math.nan
    differences = differences[differences != 0]
    ranks = stats.rankdata(np.abs(differences))
    total = ranks.sum()
    return float(ranks[differences > 0].sum() / total - ranks[differences < 0].sum() / total)


def a12(a: np.ndarray, b: np.ndarray) -> float:
    """Vargha-Delaney A12: P(a > b) + P(a = b)/2 over all folds of `a` times all of `b`.

    In [0, 1], above 1/2 favours `a`. Unlike `rank_biserial` it ignores which
    folds belong together (Vargha and Delaney 2000).
    NaN with fewer than two folds.
    """
    if len(a) < 2:
        return math.nan
    signs = np.sign(np.asarray(a)[:, None] - np.asarray(b))  # (folds of a, folds of b)
    return float((signs + 1).mean() / 2)


def intra_class_correlation(table: np.ndarray | pd.DataFrame) -> float:
    """ICC(1) of a one-way random model: how alike the settings of one fold are.

    (MSB − MSW) / (MSB + (n₀ − 1)·MSW), with the mean squares between and within
    folds and n₀ = (N − Σ n_f²/N)/(F − 1), which is the number of settings when
    no cell is missing (Shrout and Fleiss 1979, case 1; n₀: Donner 1986).

    Parameters
    ----------
    table : (folds, settings), NaN where a setting was skipped in a fold.

    Returns
    -------
    At most 1; below 0 when settings differ more inside a fold than folds do.
    What all folds have in common, such as a setting that is always harder,
    counts as variation inside the fold. NaN with fewer than two folds, with one
    setting per fold, or if all values are equal.
    """
    values = np.asarray(table, dtype=np.float64)
    values = values[~np.isnan(values).all(axis=1)]
    present = ~np.isnan(values)
    sizes = present.sum(axis=1)
    n_folds, total = len(sizes), int(sizes.sum())
    if n_folds < 2 or total <= n_folds or not varies(values[present]):
        return math.nan
    means = fold_means(values)
    grand = values[present].mean()
    between = (sizes * (means - grand) ** 2).sum() / (n_folds - 1)
    within = np.nansum((values - means[:, None]) ** 2) / (total - n_folds)
    size = (total - (sizes**2).sum() / total) / (n_folds - 1)
    return float((between - within) / (between + (size - 1) * within))
