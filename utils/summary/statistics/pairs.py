"""A method against a reference, paired by fold, and every two methods against each other."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from utils.summary.statistics.effect_sizes import a12, rank_biserial
from utils.summary.statistics.t_tests import ROUNDING, holm, nadeau_bengio, paired_t


@dataclass(frozen=True)
class PairComparison:
    """Method `a` against reference `b` over paired folds; positive favours `a`.

    `low`, `high`, `t`, `p`: paired t test, df = folds - 1. `corrected_*`: the
    same with the variance of Nadeau and Bengio. `rank_biserial` in [-1, 1],
    0 without a difference; `a12` in [0, 1], 1/2 without a difference.
    """

    differences: tuple[float, ...]
    n_folds: int
    n_positive: int
    mean: float
    low: float
    high: float
    t: float
    p: float
    corrected_low: float
    corrected_high: float
    corrected_t: float
    corrected_p: float
    rank_biserial: float
    a12: float


def compare_pair(
    a: np.ndarray, b: np.ndarray, n_folds: int | None = None, level: float = 0.95
) -> PairComparison:
    """Everything the summary says about one method and one reference.

    Parameters
    ----------
    a, b : (folds,) means of the method and of the reference, paired by fold,
        without NaN.
    n_folds : folds of one repeat of the cross-validation, whichever were run
        (see `nadeau_bengio`); default: the number of values.
    level : of the two intervals.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or not np.isfinite([a, b]).all():
        raise ValueError("a pair needs one finite value per fold on both sides")
    b = without_rounding(a, b)
    differences = a - b
    plain = paired_t(differences, level)
    corrected = nadeau_bengio(differences, n_folds or len(a), level)
    return PairComparison(
        differences=tuple(differences.tolist()),
        n_folds=len(a),
        n_positive=int((differences > 0).sum()),
        mean=float(differences.mean()) if len(a) else math.nan,
        low=plain.low,
        high=plain.high,
        t=plain.t,
        p=plain.p,
        corrected_low=corrected.low,
        corrected_high=corrected.high,
        corrected_t=corrected.t,
        corrected_p=corrected.p,
        rank_biserial=rank_biserial(differences),
        a12=a12(a, b),
    )


def without_rounding(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`b`, with the values of `a` where they differ by rounding alone: that has no sign."""
    return np.where(np.abs(a - b) <= ROUNDING * np.maximum(np.abs(a), np.abs(b)), a, b)


def average_ranks(table: pd.DataFrame, higher_is_better: bool = True) -> pd.Series:
    """Mean rank of each method over folds, rank 1 the best, mid-ranks for ties.

    Parameters
    ----------
    table : (folds, methods) of fold means; a fold where a method is missing is
        left out, for ranks of unequal length do not compare.

    Returns
    -------
    float64 (methods,), indexed by method; all NaN if no fold is complete.

    Source: Demšar, JMLR 7 (2006), section 3.2.2.
    """
    return table.dropna().rank(axis=1, ascending=not higher_is_better).mean(axis=0)


def pairwise_holm(table: pd.DataFrame, n_folds: int | None = None) -> pd.DataFrame:
    """Holm-adjusted p of the paired t test between every two methods.

    The matrix a critical-difference diagram draws its bars from. Its family is
    all pairs. A signed-rank test could not part any two methods at five folds,
    and tests on mean ranks let a third method decide about two (Benavoli,
    Corani and Mangili, JMLR 17 (2016)).

    Parameters
    ----------
    table : (folds, methods) of fold means; a fold where a method is missing is
        left out.
    n_folds : folds of one repeat, where the folds are of several: the test is then
        `nadeau_bengio`, for the plain one would take every repeat for new data.

    Returns
    -------
    float64 (methods, methods), symmetric, 1 on the diagonal. Two methods that
    are equal in every fold have 1; NaN where the test does not exist.
    """
    values = table.dropna().to_numpy(dtype=np.float64)
    n_methods = values.shape[1]
    rows, columns = np.triu_indices(n_methods, k=1)
    raw = np.empty(len(rows))
    for pair, (i, j) in enumerate(zip(rows, columns, strict=True)):
        comparison = compare_pair(values[:, i], values[:, j], n_folds)
        equal = comparison.n_folds > 0 and not any(comparison.differences)
        p = comparison.p if n_folds is None else comparison.corrected_p
        raw[pair] = 1.0 if equal else p
    matrix = np.eye(n_methods)
    matrix[rows, columns] = matrix[columns, rows] = holm(raw)
    return pd.DataFrame(matrix, index=table.columns, columns=table.columns)
