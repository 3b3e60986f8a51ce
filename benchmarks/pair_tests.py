"""Do two rankings of the same models overlap equally with the ground truth?

Swapping the two rankings' neurons at random assumes far more than equal overlap:
that the rankings are exchangeable neuron by neuron. It rejects 11 to 13% at a
nominal 5% where one ranking is concentrated in few neurons and the other spread
out. Relabelling the truth's neurons, as `utils.judge.details.permutation` does for one ranking,
tests that neither ranking knows anything, which is not the question either.
`compare_overlaps` asks for three answers and returns the largest p.
`benchmarks/pairs.py` measures how often each rejects.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class PairTest:
    """Two-sided p of "both rankings have the same lift" and its three parts.

    `difference` is the mean over folds of lift(a) - lift(b), `error` its standard
    error over the neurons of all folds. `p` is the largest of the parts:
    `p_relabelled` of the studentised relabelling test, `p_skewness` of the same
    with the skewness of the neurons' contributions removed, `p_folds` of the t
    test over folds with the skewness of the folds removed. NaN where a part does
    not exist (one fold, or no difference in any neuron); then `p` is NaN too.
    """

    difference: float
    error: float
    p: float
    p_relabelled: float
    p_skewness: float
    p_folds: float


def compare_overlaps(
    differences: Sequence[np.ndarray],
    relabellings: Sequence[np.ndarray],
    same_neurons: bool = False,
) -> PairTest:
    """Test that two rankings have the same lift, averaged over folds.

    With C = `lift_matrix` of a minus that of b, the difference of lifts in a fold is
    Σ_j C[j, j], and what neuron j adds to the part of it that is about neurons is
    z_j = D[j, j], D the doubly centred C. The statistic is t = (Σ over folds and
    neurons of C[j, j]) / √(Σ z_j²); relabelling π in each fold gives Σ_a D[a, π(a)] /
    √(Σ_a D[a, π(a)]²) instead. See `assess` for the rest.

    Parameters
    ----------
    differences : one C (m, m) per fold; m may differ between folds. Where a fold has
        settings, C is their mean.
    relabellings : one (m, draws) of `permutation.draw_relabellings` per fold, with
        another seed for each fold and the same number of draws. With `same_neurons`
        one is enough.
    same_neurons : whether neuron j is the same in every fold, as in models tuned from
        one checkpoint, so that heavy neurons and chosen ones recur. One relabelling
        then serves all folds, and z_j is summed over folds before it is squared.

    Notes
    -----
    Sources: studentised by the neurons' own squares, the relabelling test is exact
    where neither ranking knows anything about the truth's neurons, and asymptotically
    right where both know equally much: DiCiccio and Romano, JASA 112 (2017), theorem
    2.1 for a covariance, after Janssen, Stat. Probab. Lett. 36 (1997) and Chung and
    Romano, Ann. Statist. 41 (2013). The doubly centred D: Hoeffding, Ann. Math.
    Statist. 22 (1951).

    Deviations: their statistic is the covariance of two columns of numbers, ours the
    trace of a matrix, which is the same where C[a, b] = x_a r_b. The numerator is the
    difference of lifts itself, not its centred part: what the rankings' preference
    for some inputs or outputs is worth is part of their lift.
    """
    lifts = np.array([np.trace(c) for c in differences])
    if same_neurons:
        differences, relabellings = [np.sum(differences, axis=0)], relabellings[:1]
    observed = np.zeros(3)
    relabelled = np.zeros((3, relabellings[0].shape[1]))
    for difference, labels in zip(differences, relabellings, strict=True):
        centred = _centred(difference)
        diagonal = np.diagonal(centred)
        observed += [(diagonal**power).sum() for power in (1, 2, 3)]
        for row, neurons in zip(centred, labels, strict=True):
            values = row.take(neurons)
            squares = values * values
            relabelled += [values, squares, squares * values]
    observed[0] = lifts.sum()
    return assess(observed, relabelled, lifts)


def lift_matrix(method: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """C[a, b]: what neuron a adds to the lift when the truth's neuron b stands there.

    Parameters
    ----------
    method, truth : (m, 2d) of `permutation.neuron_matrix` or `neuron_rows`, sums K
        and R: membership of each weight in the top, or its probability.

    Returns
    -------
    float64 (m, m) whose trace is the lift: overlap / (K R / N), N = 2md.
    """
    expected = method.sum(dtype=np.float64) * truth.sum(dtype=np.float64) / method.size
    return (method @ truth.T).astype(np.float64) / expected  # (m, 2d) x (2d, m) -> (m, m)


def assess(observed: np.ndarray, relabelled: np.ndarray, lifts: np.ndarray) -> PairTest:
    """The three parts of the test and the largest of their p.

    Parameters
    ----------
    observed : (3,): the sum of the differences of lifts over folds, and the sums over
        folds and neurons of z² and z³.
    relabelled : (3, draws): Σ z, Σ z² and Σ z³ of each relabelling.
    lifts : (folds,) the difference of lifts in each fold.

    Notes
    -----
    The largest p: an intersection-union test rejects only if each of its parts does,
    and holds its level wherever one of them does (Berger, Technometrics 24 (1982)).
    The relabelling test holds it where neither ranking is informed. Where one is by
    hitting few heavy neurons, a sample without such a neuron has a low lift and a low
    standard error at once, and only the parts that remove skewness come near it.
    """
    if not observed[1] > 0:
        nan = math.nan
        return PairTest(float(lifts.mean()), nan, nan, nan, nan, nan)
    statistic, skewness = _studentised(observed)
    null, null_skewness = _studentised(relabelled)
    parts = (
        equal_tailed_p(statistic, null),
        equal_tailed_p(
            without_skewness(statistic, skewness), without_skewness(null, null_skewness)
        ),
        folds_p(lifts),
    )
    return PairTest(
        float(lifts.mean()),
        math.sqrt(observed[1]) / len(lifts),
        float(np.max(parts)),  # NaN if one is
        *parts,
    )


def equal_tailed_p(observed: float, null: np.ndarray) -> float:
    """Twice the smaller tail of `null` (draws,), the observed value among them.

    Not the tail of |t|: the null distribution of a concentrated against a spread-out
    ranking is so skewed that all of its 5% would lie on one side.
    Source: the +1 of Phipson and Smyth, SAGMB 9 (2010).
    """
    above, below = (null >= observed).sum(), (null <= observed).sum()
    return min(1.0, 2 * (1 + int(min(above, below))) / (len(null) + 1))


def without_skewness(t: np.ndarray | float, skewness: np.ndarray | float) -> np.ndarray | float:
    """Hall's monotone transformation of a t statistic of skewed data.

    `skewness` is that of the data over √n: Σz³ / (Σz²)^1.5, within [-1, 1].
    Source: Hall, JRSS B 54 (1992), the cubic g of a studentised mean.
    """
    return t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6


def folds_p(lifts: np.ndarray) -> float:
    """p of "the mean is 0" over folds (folds,): t with df = folds - 1, skewness removed."""
    n = len(lifts)
    if n < 2 or not np.ptp(lifts) > 0:
        return math.nan
    residuals = lifts - lifts.mean()
    t = lifts.mean() / math.sqrt((residuals**2).sum() / (n - 1) / n)
    skewness = (residuals**3).sum() / (residuals**2).sum() ** 1.5
    return float(2 * stats.t.sf(abs(without_skewness(t, skewness)), n - 1))


def _studentised(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """t and the skewness over √n from Σz, Σz², Σz³: (3, ...)."""
    squares = np.maximum(sums[1], np.finfo(float).tiny)
    return sums[0] / np.sqrt(squares), np.clip(sums[2] / squares**1.5, -1, 1)


def _centred(overlaps: np.ndarray) -> np.ndarray:
    """The matrix (m, m) less the means of its rows and columns."""
    rows, columns = overlaps.mean(axis=1, keepdims=True), overlaps.mean(axis=0, keepdims=True)
    return overlaps - rows - columns + overlaps.mean()
