"""Wild cluster bootstrap-t: an interval whose units are whole folds, and repeats of them."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from utils.summary.statistics.t_tests import ROUNDING, Interval, fold_means, varies

# Up to here all 6^folds weight vectors are used, and no draw is random.
MOST_ENUMERATED_FOLDS = 6


def wild_cluster_interval(
    differences: np.ndarray | pd.DataFrame,
    level: float = 0.95,
    draws: int = 9999,
    seed: int = 777,
    repeats: np.ndarray | None = None,
) -> Interval:
    """Interval for the mean difference, each fold with the same weight.

    Every residual of fold f is multiplied by one weight v_f, so the settings of
    a fold stay together; the t statistic of the resampled data, with the
    cluster-robust variance, is compared with that of the data. With equal
    weights per fold both depend on the fold means alone:

        t* = mean(v_f e_f) / (sd(v_f e_f) / √F),  e_f = fold mean − mean

    and the interval is mean ± c · sd/√F, c the `level` quantile of |t*|.

    With several repeats there are two levels. The residual of a fold is that of its
    repeat's mean plus its own inside the repeat; the first is multiplied by a weight
    of the repeat, the second by one of the fold, and sd becomes `scaled_error`.

    Parameters
    ----------
    differences : (folds, settings), method minus reference, NaN where a setting
        was skipped in a fold.
    draws, seed : of the random weights, used beyond `MOST_ENUMERATED_FOLDS` folds.
    repeats : (folds,), the repeat of each fold; None: all are of one.

    Returns
    -------
    NaN with fewer than two folds or if all fold means are equal;
    (-inf, inf) with two folds at 95%, whose weights leave t* unbounded too often.

    Notes
    -----
    Source: Cameron, Gelbach and Miller, REStat 90 (2008) (the bootstrap-t); Webb,
    Canadian Journal of Economics 56 (2023) (the six-point weights: with few
    clusters two points give too few different t*).

    Deviation: the null hypothesis is not imposed on the residuals. For a plain
    mean of five folds this covers 95%, and the restricted test, inverted, 94%;
    it needs no search either. With three or four folds it covers 92% and 93%,
    the restricted one over 99% and 95%. `benchmarks/coverage.py` measures both.

    Folds count as independent here. They share training data, and where that
    makes their means correlate this interval is too short, like the t interval:
    87% at a correlation of 0.2 (same benchmark), which is what the variance of
    `statistics.nadeau_bengio` allows for.
    """
    means = fold_means(differences)
    groups = np.zeros(len(means)) if repeats is None else np.asarray(repeats)
    groups, means = groups[~np.isnan(means)], means[~np.isnan(means)]
    if not varies(means):
        return Interval(math.nan, math.nan)
    member = (groups[:, None] == np.unique(groups)).astype(np.float64)  # (folds, repeats)
    resampled = np.sort(_absolute_t(resample(means, member, draws, seed), member))  # (vectors,)
    critical = resampled[math.ceil(level * (len(resampled) - 1))]
    half = critical * scaled_error(means, member) / math.sqrt(len(means))
    return Interval(float(means.mean() - half), float(means.mean() + half))


def resample(means: np.ndarray, member: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Residuals of fold means (folds,) with random weights: float64 (vectors, folds).

    member : (folds, repeats), 1 where a fold is of a repeat, else 0.
    """
    if one_level(member):
        return webb_weights(len(means), draws, seed) * (means - means.mean())
    of_fold, of_repeat = np.split(webb_weights(sum(member.shape), draws, seed), [len(means)], 1)
    outer, inner = reflated_residuals(means, member)
    return (of_repeat * outer) @ member.T + of_fold * inner


def one_level(member: np.ndarray) -> bool:
    """Whether folds are of one repeat, or each of its own: the fold is then the only unit."""
    return member.shape[1] in (1, len(member))


class TwoLevels(NamedTuple):
    """What belongs to the repeats, and what to the folds inside them."""

    repeats: np.ndarray
    folds: np.ndarray


def variances(values: np.ndarray, member: np.ndarray) -> TwoLevels:
    """Variance between repeats and inside them, of values (..., folds); neither below 0.

    By the analysis of variance of a one-way random model, for any sizes of the repeats
    (Searle, Casella and McCulloch, Variance Components, Wiley 1992, section 3.6).
    """
    folds, repeats = member.shape
    sizes = member.sum(axis=0)
    means = values @ member / sizes  # (..., repeats)
    inside = ((values - means @ member.T) ** 2).sum(axis=-1) / (folds - repeats)
    centred = means - values.mean(axis=-1, keepdims=True)
    square = (sizes * centred**2).sum(axis=-1) / (repeats - 1)
    size = (folds - (sizes**2).sum() / folds) / (repeats - 1)
    return TwoLevels(np.maximum(square - inside, 0) / size, inside)


def scaled_error(values: np.ndarray, member: np.ndarray) -> np.ndarray:
    """√F times the standard error of the mean of values (..., folds), all of one weight.

    The standard deviation where the fold is the only unit; else from the two levels'
    variances, √(inside + between · Σ n²/F), n the folds of each repeat.
    """
    if one_level(member):
        return values.std(axis=-1, ddof=1)
    variance = variances(values, member)
    return np.sqrt(
        variance.folds + variance.repeats * (member.sum(axis=0) ** 2).sum() / len(member)
    )


def reflated_residuals(means: np.ndarray, member: np.ndarray) -> TwoLevels:
    """Residuals of the repeats (repeats,) and of the folds inside them (folds,).

    Scaled so that their mean squares are the variances of the two levels. As they come,
    the repeats' residuals hold the folds' variance too, which would count twice, and both
    are too small, for they are about estimated means (Carpenter, Goldstein and Rasbash,
    JRSS C 52 (2003)).
    """
    variance = variances(means, member)
    centres = means @ member / member.sum(axis=0)
    outer, inner = centres - means.mean(), means - centres @ member.T
    return TwoLevels(_reflated(outer, variance.repeats), _reflated(inner, variance.folds))


def _reflated(residuals: np.ndarray, variance: float) -> np.ndarray:
    square = (residuals**2).mean()
    return residuals * math.sqrt(variance / square) if square > 0 else residuals


def _absolute_t(resampled: np.ndarray, member: np.ndarray) -> np.ndarray:
    """|t| of each row of `resampled` (vectors, folds) against 0, inf without spread."""
    mean = np.abs(resampled.mean(axis=1))
    error = scaled_error(resampled, member) / math.sqrt(resampled.shape[1])
    varied = error > ROUNDING * mean
    return np.divide(mean, error, out=np.full(len(mean), np.inf), where=varied)


def webb_weights(n_folds: int, draws: int, seed: int) -> np.ndarray:
    """Vectors of Webb's weights ±√½, ±1, ±√(3/2), which have mean 0 and variance 1.

    Returns
    -------
    float64 (vectors, n_folds): each of the 6^folds vectors once, up to its sign,
    which |t| does not depend on; beyond `MOST_ENUMERATED_FOLDS` folds `draws`
    random ones.
    """
    magnitudes = np.sqrt([0.5, 1.0, 1.5])
    values = np.concatenate([magnitudes, -magnitudes])
    if n_folds > MOST_ENUMERATED_FOLDS:
        return np.random.default_rng(seed).choice(values, size=(draws, n_folds))
    # The first fold takes positive weights only: half of the vectors, (folds, 3·6^(folds-1)).
    choices = np.indices((3,) + (6,) * (n_folds - 1)).reshape(n_folds, -1)
    return values[choices].T
