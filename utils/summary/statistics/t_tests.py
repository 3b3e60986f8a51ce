"""What may be said from a handful of folds: paired comparisons whose unit is the fold.

The settings of one fold share the model and the ground truth, so they are
averaged first and one number per fold is left. Every function returns NaN, not
0, where a quantity does not exist: with one fold, or where all values are equal.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pingouin
from scipy import stats

# Differences smaller than this share of the values they come from are rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class TTest:
    """A two-sided t test of "the mean is 0" and the interval that belongs to it."""

    t: float
    p: float
    low: float
    high: float


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


def fold_means(table: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Average over the settings inside each fold.

    Parameters
    ----------
    table : (folds, settings); NaN where a setting was skipped in a fold.

    Returns
    -------
    float64 (folds,), NaN for a fold without any value.
    """
    values = np.asarray(table, dtype=np.float64)
    present = ~np.isnan(values)
    count = present.sum(axis=1)
    total = np.where(present, values, 0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


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
    # A difference that is only rounding is no difference: it has no sign.
    b = np.where(np.abs(a - b) <= ROUNDING * np.maximum(np.abs(a), np.abs(b)), a, b)
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


def t_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """t interval for the mean of `values` (folds,), df = folds - 1."""
    test = paired_t(values, level)
    return test.low, test.high


def paired_t(differences: np.ndarray, level: float = 0.95) -> TTest:
    """Paired t test on the differences (folds,), df = folds - 1.

    NaN throughout with fewer than two folds, and where all differences are
    equal: a variance of 0 in a few folds is no evidence of certainty.
    """
    n = len(differences)
    return _t_test(differences, 1 / n if n else math.nan, level)


def nadeau_bengio(differences: np.ndarray, n_folds: int, level: float = 0.95) -> TTest:
    """Paired t test whose variance allows for the data that folds share, of any repeats.

    The variance of the mean is s² · (1/J + n_test/n_train) instead of s²/J, with
    J differences and n_test/n_train = (1/k) / ((k-1)/k) = 1/(k-1), and t has J - 1
    degrees of freedom. With r whole repeats the factor is 1/(k·r) + 1/(k-1): more
    repeats take away the first term and never the second, for the data stay the same.

    It is exact when any two folds correlate by 1/k, of one repeat or of two, and
    conservative below: with one correlation ρ for all pairs the variance of the mean
    is E[s²] · (1/J + ρ/(1-ρ)). So J alone counts. The folds that were run need not
    fill their repeats, nor repeats have equally many: each fold has the same weight.

    Parameters
    ----------
    differences : (J,), one per fold that was run, of whichever repeats.
    n_folds : k, the folds of one repeat.

    Source: Nadeau and Bengio, "Inference for the generalization error", Machine
    Learning 52 (2003), stated for random splits. For cross-validation, repeated or
    not, it is the usual approximation: Bouckaert and Frank, "Evaluating the
    replicability of significance tests for comparing learning algorithms", PAKDD 2004.
    """
    n = len(differences)
    factor = 1 / n + 1 / (n_folds - 1) if n and n_folds > 1 else math.nan
    return _t_test(differences, factor, level)


def _t_test(values: np.ndarray, variance_factor: float, level: float) -> TTest:
    values = np.asarray(values, dtype=np.float64)
    if not varies(values):
        return TTest(math.nan, math.nan, math.nan, math.nan)
    df = len(values) - 1
    mean = values.mean()
    error = math.sqrt(values.var(ddof=1) * variance_factor)
    t = mean / error
    half = stats.t.ppf((1 + level) / 2, df) * error
    return TTest(
        float(t), float(2 * stats.t.sf(abs(t), df)), float(mean - half), float(mean + half)
    )


def varies(values: np.ndarray) -> bool:
    """Whether there are two values or more that differ by more than rounding."""
    return len(values) > 1 and float(np.ptp(values)) > ROUNDING * float(np.abs(values).max())


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation of paired differences (folds,).

    (rank sum of the positive − rank sum of the negative) / (sum of all ranks),
    ranks of |difference| with mid-ranks for ties, differences of 0 left out
    (Kerby 2014; pingouin's "RBC"). In [-1, 1], positive favours the method.
    NaN with fewer than two folds, where only a sign is left, and where every
    difference is 0.
    """
    differences = np.asarray(differences, dtype=np.float64)
    if len(differences) < 2 or not differences.any():
        return math.nan
    return float(pingouin.wilcoxon(differences)["RBC"].iloc[0])


def a12(a: np.ndarray, b: np.ndarray) -> float:
    """Vargha-Delaney A12: P(a > b) + P(a = b)/2 over all folds of `a` times all of `b`.

    In [0, 1], above 1/2 favours `a`. Unlike `rank_biserial` it ignores which
    folds belong together (Vargha and Delaney 2000; pingouin's "CLES").
    NaN with fewer than two folds.
    """
    if len(a) < 2:
        return math.nan
    return float(pingouin.compute_effsize(a, b, eftype="cles"))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p values (any shape), in the order given.

    The family is the p values that exist: NaN stays NaN and does not count.
    (statsmodels' multipletests collects garbage in every call, which takes longer than
    all other numbers of a family.)

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    exists = np.isfinite(p_values)
    p = p_values[exists]
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    p[order] = np.minimum(steps, 1)
    adjusted[exists] = p
    return adjusted


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


def signed_rank_floor(n_folds: int) -> float:
    """The smallest two-sided p an exact signed-rank test can give: 2 / 2^folds."""
    return min(1.0, 2.0 ** (1 - n_folds))


def signed_rank_note(n_folds: int, level: float = 0.05) -> str:
    """One sentence for the report on why there is, or is not, a signed-rank test."""
    floor = signed_rank_floor(n_folds)
    folds = f"{n_folds} fold{'s' if n_folds != 1 else ''}"
    smallest = (
        f"With {folds} the smallest p that an exact two-sided signed-rank test can give is "
        f"{floor:.4g}"
    )
    if floor > level:
        return f"{smallest}: it cannot reject at {level:g}, whatever the data, and is not reported."
    return f"{smallest}."


# In the place of `signed_rank_note` where folds are of several repeats.
NO_SIGNED_RANK = (
    "A signed-rank test needs independent folds; those of different repeats split the same data, "
    "so none is reported, and no smallest p."
)


def left_out(n_folds: int) -> str:
    """One sentence on what too few folds leave out; empty if nothing."""
    if n_folds < 2:
        return (
            "One fold has no variance across folds: intervals, p values, effect sizes and the "
            "intra-class correlation are left out; only the differences themselves are given."
        )
    if n_folds == 2:
        return (
            "Two folds do not bound the wild cluster bootstrap interval: it runs from minus to "
            "plus infinity at 95%."
        )
    return ""


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
