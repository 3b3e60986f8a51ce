"""A ranking as groups of equal scores: what every metric is computed from.

One small description, `TieGroups`, serves weights, neurons, and weights that
inherit their neuron's score.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from utils import ranking
from utils.judge.scores.gains import Gains, group_starts


class NotARanking(ValueError):
    """An order that is not the ranking of the scores it was given with."""


@dataclass(frozen=True)
class TieGroups:
    """Groups of equal score in descending order, G of them over N items.

    start : int64 (G + 1,), items before each group (t_g), and N at the end.
    positives : (G,), positives in each group (r_g).
    midrank2 : (G,), sum of the truth's doubled mid-ranks in each group.
    gain : (P,), sum of gains of the first P groups, which reach the largest K.
    stratum0 : (P,) items of matrix 0 in each of the first P groups, or None.
    hits : K -> expected items of the truth's top K in each of the first groups, which reach K.
    """

    start: np.ndarray
    positives: np.ndarray
    midrank2: np.ndarray
    gain: np.ndarray
    stratum0: np.ndarray | None
    hits: dict[int, np.ndarray]

    @property
    def n_items(self) -> int:
        return int(self.start[-1])


def group_items(
    scores: np.ndarray, order: np.ndarray, truth: Gains, ks: Iterable[int]
) -> TieGroups:
    """Tie groups of items that each have a score of their own.

    Parameters
    ----------
    scores : (N,), higher is more suspicious
    order : int32 (N,), the ranking of these scores
    ks : every K that will be asked for

    Raises
    ------
    NotARanking : `order` is not a ranking of `scores`.
    """
    order = order.astype(np.intp)  # once, instead of at each use as an index
    ordered = scores[order]
    if not np.all(ordered[1:] <= ordered[:-1]) or not _is_permutation(order):
        raise NotARanking("the ranking does not order the scores")
    start = group_starts(ordered)
    ks = sorted(set(ks))
    n_prefix = int(np.searchsorted(start, ks[-1])) if ks else 0
    head = order[: start[n_prefix]]
    midrank2 = truth.midrank2[order]

    def per_group(values: np.ndarray, groups: int) -> np.ndarray:
        if groups == start[groups]:  # no ties: every group is one item
            return values
        wide = np.float64 if values.dtype.kind == "f" else np.int64
        return np.add.reduceat(values, start[:groups], dtype=wide)

    def of_top(k: int) -> np.ndarray:
        groups = int(np.searchsorted(start, k))
        items = midrank2[: start[groups]]
        return truth.expect_in_top(k, items, lambda mask: per_group(mask, groups))

    n_groups = len(start) - 1
    stratum0 = None
    if truth.stratum is not None:
        stratum0 = per_group(truth.stratum[head] == 0, n_prefix)
    return TieGroups(
        start=start,
        positives=count_in_groups(np.flatnonzero(truth.are_positive(midrank2)), start),
        midrank2=per_group(midrank2, n_groups),
        gain=per_group(truth.gain[head].astype(np.float64), n_prefix),
        stratum0=stratum0,
        hits={k: of_top(k) for k in ks},
    )


def count_in_groups(places: np.ndarray, start: np.ndarray) -> np.ndarray:
    """How many of the ascending positions `places` fall in each group, int64 (G,)."""
    return np.bincount(np.searchsorted(start, places, side="right") - 1, minlength=len(start) - 1)


def _is_permutation(order: np.ndarray) -> bool:
    seen = np.zeros(len(order), dtype=bool)
    seen[order] = True
    return bool(seen.all())


@dataclass(frozen=True)
class NeuronCounts:
    """What the weight-level truth holds per neuron, each (m,): for lifted methods.

    Every neuron owns 2d weights, d of them in each matrix.
    """

    d: int
    positives: np.ndarray
    midrank2: np.ndarray
    gain: np.ndarray
    hits: dict[int, np.ndarray]


def count_by_neuron(truth: Gains, m: int, d: int, ks: Iterable[int]) -> NeuronCounts:
    """Sums of the weight-level truth over the weights of each neuron."""

    def whole(values: np.ndarray) -> np.ndarray:
        bef, aft = ranking.unflatten(values, m, d)
        return bef.sum(axis=1, dtype=np.int64) + aft.sum(axis=0, dtype=np.int64)

    return NeuronCounts(
        d=d,
        positives=whole(truth.positives),
        midrank2=whole(truth.midrank2),
        gain=ranking.neuron_sums(truth.gain, m, d),
        hits={k: truth.expect_in_top(k, truth.midrank2, whole) for k in sorted(set(ks))},
    )


def group_neurons(neuron_scores: np.ndarray, counts: NeuronCounts) -> TieGroups:
    """Tie groups at weight level of a neuron's score given to its 2d weights.

    Works from the counts per neuron; nothing of length N is made.

    neuron_scores : (m,), higher is more suspicious
    """
    order = ranking.rank_by(neuron_scores)
    start = group_starts(neuron_scores[order])
    size = 2 * counts.d

    def per_group(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values[order], start[:-1])

    return TieGroups(
        start=start * size,
        positives=per_group(counts.positives),
        midrank2=per_group(counts.midrank2),
        gain=per_group(counts.gain),
        stratum0=np.diff(start) * counts.d,
        hits={k: per_group(values) for k, values in counts.hits.items()},
    )
