"""t tests and intervals from a handful of folds: the unit is the fold.

The settings of one fold share the model and the ground truth, so they are
averaged first and one number per fold is left. Every function returns NaN, not
0, where a quantity does not exist: with one fold, or where all values are equal.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

# Differences smaller than this share of the values they come from are rounding.
ROUNDING = 1e-12


class Interval(NamedTuple):
    """Both ends of an interval; NaN where there is none."""

    low: float
    high: float


@dataclass(frozen=True)
class TTest:
    """A two-sided t test of "the mean is 0" and the interval that belongs to it."""

    t: float
    p: float
    low: float
    high: float


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


def varies(values: np.ndarray) -> bool:
    """Whether there are two values or more that differ by more than rounding."""
    return len(values) > 1 and float(np.ptp(values)) > ROUNDING * float(np.abs(values).max())


def t_interval(values: np.ndarray, level: float = 0.95) -> Interval:
    """t interval for the mean of `values` (folds,), df = folds - 1."""
    test = paired_t(values, level)
    return Interval(test.low, test.high)


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
    # Student's distribution itself: scipy.stats.t gives the same numbers at ten times the cost.
    half = stdtrit(df, (1 + level) / 2) * error
    return TTest(float(t), float(2 * stdtr(df, -abs(t))), float(mean - half), float(mean + half))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p values (any shape), in the order given.

    The family is the p values that exist: NaN stays NaN and does not count.

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
