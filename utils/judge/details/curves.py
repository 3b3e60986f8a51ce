"""What step 7 keeps of each fold, beside its scores, for the summary across folds.

Rows about the setting `all` alone: a permutation test for each of a hundred
rankings would cost more than everything else in the comparison.
"""

from dataclasses import dataclass

import numpy as np

from utils import ranking
from utils.judge.details import permutation
from utils.judge.names import NEURON
from utils.judge.scores.gains import group_starts
from utils.judge.scores.ground_truth import GroundTruth
from utils.judge.scores.ties import group_neurons

CURVE_POINTS = 200
LOWEST_PERCENT = 0.01
MOST_BINS = 64
PERMUTATION_COLUMNS = [
    "ds", "fold", "setting", "level", "method", "top", "k",
    "observed", "null_mean", "null_sd", "z", "p", "draws",
]  # fmt: skip
LOCATION_COLUMNS = ["ds", "fold", "setting", "level", "method", "matrix", "bin", "neurons", "share"]
CURVE_COLUMNS = ["ds", "fold", "setting", "level", "method", "percent", "k", "mass", "recall"]


def weight_scores(scores: np.ndarray, level: str, d: int) -> np.ndarray:
    """Scores of a method at weight level: a neuron's score goes to its 2d weights."""
    return ranking.spread(scores, d) if level == NEURON else scores


def truth_rows(truth: GroundTruth, k: int) -> np.ndarray:
    """Probability of each weight to be in the truth's top k: float32 (m, 2d), sums to k."""
    side = truth.weights
    member = side.expect_in_top(k, side.midrank2, lambda mask: mask.astype(np.float32))
    return permutation.neuron_rows(member, truth.m, truth.d)


def positive_rows(truth: GroundTruth) -> np.ndarray:
    """The positive weights, one neuron a row: float32 (m, 2d) of 0 and 1."""
    positives = truth.weights.positives.astype(np.float32)
    return permutation.neuron_rows(positives, truth.m, truth.d)


def method_rows(scores: np.ndarray, level: str, truth: GroundTruth, k: int) -> np.ndarray:
    """Probability of each weight to be in a method's top k: float32 (m, 2d), sums to k."""
    at_weights = weight_scores(scores, level, truth.d)
    return permutation.neuron_rows(
        ranking.top_membership(at_weights, k), truth.m, truth.d
    )  # (N,) -> (m, 2d)


def permutation_row(
    method: np.ndarray, top: np.ndarray, k: int, relabellings: np.ndarray
) -> dict[str, float]:
    """The neuron-permutation test of one method's top k against the truth's top k.

    method, top : (m, 2d) of `method_rows` and `truth_rows`.
    """
    test = permutation.neuron_overlap_test(method, top, relabellings)
    return {"k": k, **vars(test)}


@dataclass(frozen=True)
class NeuronBins:
    """Neurons sorted by the positives they hold, in bins of nearly equal size.

    order : int32 (m,), neurons, most positives first.
    start : int64 (G + 1,), where groups of equally many begin in `order`, and m.
    bins : int64 (m,), bin of each place of `order`.
    """

    order: np.ndarray
    start: np.ndarray
    bins: np.ndarray

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values` (m,) in each bin, under a random order of neurons with equally many."""
        sizes = np.diff(self.start)
        means = np.add.reduceat(values[self.order], self.start[:-1]) / sizes
        return np.bincount(self.bins, weights=np.repeat(means, sizes))


def neuron_bins(truth: GroundTruth) -> NeuronBins:
    """Cut the neurons into `MOST_BINS` bins, or one per neuron where there are fewer."""
    positives = truth.by_neuron.positives
    order = ranking.rank_by(positives.astype(np.float32))
    bins = np.arange(truth.m) * min(MOST_BINS, truth.m) // truth.m
    return NeuronBins(order, group_starts(positives[order]), bins)


def location_rows(rows: np.ndarray, bins: NeuronBins, d: int) -> list[dict]:
    """Where a set of weights lies: its share in each bin of neurons, by matrix.

    rows : (m, 2d) of `positive_rows`, `truth_rows` or `method_rows`.
    """
    total = rows.sum(dtype=np.float64)
    neurons = np.bincount(bins.bins)
    found = []
    halves = {"W_bef": rows[:, :d], "W_aft": rows[:, d:]}
    for matrix, half in halves.items():
        counts = bins.spread(half.sum(axis=1, dtype=np.float64))
        for i, count in enumerate(counts):
            found.append(
                {"matrix": matrix, "bin": i, "neurons": neurons[i], "share": count / total}
            )
    return found


def curve_ks(n_items: int) -> np.ndarray:
    """K of the cumulative-gain curves: int64, even steps on a logarithmic axis up to N."""
    percents = np.geomspace(LOWEST_PERCENT, 100, CURVE_POINTS)
    return np.unique(np.maximum(1, np.floor(percents * n_items / 100)).astype(np.int64))


def method_curve(
    scores: np.ndarray, order: np.ndarray | None, level: str, truth: GroundTruth, ks: np.ndarray
) -> dict[str, np.ndarray]:
    """Expected mass and recall of the first K weights, at every K: each (len(ks),).

    Inside a group of equal scores the expectation grows in proportion, so it is
    linear between the groups' ends.

    order : the ranking of a weight-level method; neuron scores need none.
    """
    side = truth.weights
    if level == NEURON:
        groups = group_neurons(scores, truth.by_neuron)
        start, gain, positives = groups.start, groups.gain, groups.positives
    else:
        start = group_starts(scores[order])
        gain = np.add.reduceat(side.gain[order], start[:-1], dtype=np.float64)
        positives = np.add.reduceat(side.positives[order], start[:-1], dtype=np.int64)
    return {
        "mass": _cumulative(start, gain, ks) / side.total_gain,
        "recall": _cumulative(start, positives, ks) / side.n_positives,
    }


def _cumulative(start: np.ndarray, values: np.ndarray, ks: np.ndarray) -> np.ndarray:
    return np.interp(ks, start, np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)]))


def ideal_curve(truth: GroundTruth, ks: np.ndarray) -> dict[str, np.ndarray]:
    """`method_curve` of the truth's own ranking: no method can be above it."""
    side = truth.weights
    mass = np.cumsum(side.ideal)[ks - 1] / side.total_gain
    return {"mass": mass, "recall": np.minimum(ks / side.n_positives, 1)}
