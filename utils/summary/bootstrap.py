"""Wild cluster bootstrap-t: an interval that takes whole folds as its unit."""

import math

import numpy as np
import pandas as pd

from utils.summary.statistics import ROUNDING, fold_means, varies

# Up to here all 6^folds weight vectors are used, and no draw is random.
MOST_ENUMERATED_FOLDS = 6


def wild_cluster_interval(
    differences: np.ndarray | pd.DataFrame,
    level: float = 0.95,
    draws: int = 9999,
    seed: int = 777,
) -> tuple[float, float]:
    """Interval for the mean difference, each fold with the same weight.

    Every residual of fold f is multiplied by one weight v_f, so the settings of
    a fold stay together; the t statistic of the resampled data, with the
    cluster-robust variance, is compared with that of the data. With equal
    weights per fold both depend on the fold means alone:

        t* = mean(v_f e_f) / (sd(v_f e_f) / √F),  e_f = fold mean − mean

    and the interval is mean ± c · sd/√F, c the `level` quantile of |t*|.

    Parameters
    ----------
    differences : (folds, settings), method minus reference, NaN where a setting
        was skipped in a fold.
    draws, seed : of the random weights, used beyond `MOST_ENUMERATED_FOLDS` folds.

    Returns
    -------
    (low, high). NaN with fewer than two folds or if all fold means are equal;
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
    means = means[~np.isnan(means)]
    if not varies(means):
        return math.nan, math.nan
    weights = webb_weights(len(means), draws, seed)
    resampled = np.sort(_absolute_t(weights * (means - means.mean())))  # (vectors,)
    critical = resampled[math.ceil(level * (len(resampled) - 1))]
    half = critical * means.std(ddof=1) / math.sqrt(len(means))
    return float(means.mean() - half), float(means.mean() + half)


def _absolute_t(resampled: np.ndarray) -> np.ndarray:
    """|t| of each row of `resampled` (vectors, folds) against 0, inf without spread."""
    mean = np.abs(resampled.mean(axis=1))
    error = resampled.std(axis=1, ddof=1) / math.sqrt(resampled.shape[1])
    spread = error > ROUNDING * mean
    return np.divide(mean, error, out=np.full(len(mean), np.inf), where=spread)


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
