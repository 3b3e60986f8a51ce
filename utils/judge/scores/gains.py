"""The ground truth at one level: each item's gain, its rank by gain, and where positives end.

Ties of the truth are kept as such: nothing here knows an order among equal gains.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from utils import ranking
from utils.truth.positives import Border, find_border, tied_range


@dataclass(frozen=True)
class Gains:
    """The ground truth at one level, shared by all methods compared with it.

    gain : (N,), |dW| of a weight, or its sum over a neuron's weights; >= 0.
    midrank2 : int32 (N,), twice the mid-rank by descending gain, in 2..2N; N < 2**30.
    ideal : float64 (N,) gains in descending order.
    border : where the positives end; metrics need at least one.
    stratum : int8 (N,) or None, the matrix that each item belongs to (0, 1).
    """

    gain: np.ndarray
    midrank2: np.ndarray
    ideal: np.ndarray
    border: Border
    stratum: np.ndarray | None
    _top_shares: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def n_items(self) -> int:
        return len(self.gain)

    @property
    def n_positives(self) -> int:
        """R; at most as many as were wanted (docs/definitions.md 6)."""
        return self.border.n_positives

    def are_positive(self, midrank2: np.ndarray) -> np.ndarray:
        """Which items are positive, given their doubled mid-ranks: bool, of the same shape.

        No tie lies across the border, so mid-ranks up to R are those of the first R.
        """
        return midrank2 <= 2 * self.n_positives

    @cached_property
    def positives(self) -> np.ndarray:
        """bool (N,)"""
        return self.are_positive(self.midrank2)

    @cached_property
    def total_gain(self) -> float:
        return float(self.ideal.sum())

    @cached_property
    def midrank_norm(self) -> float:
        """Length of the centred doubled mid-ranks."""
        centred = self.midrank2 - (self.n_items + 1.0)
        return float(np.sqrt(np.dot(centred, centred)))

    @cached_property
    def positive_shares(self) -> np.ndarray:
        """q_m: share of positives in each matrix."""
        return self.stratum_means(self.positives)

    @cached_property
    def gain_means(self) -> np.ndarray:
        """Mean gain in each matrix."""
        return self.stratum_means(self.gain)

    def top_shares(self, k: int) -> np.ndarray:
        """Expected share of each matrix's items that are among the truth's first k."""
        if k not in self._top_shares:
            self._top_shares[k] = self.expect_in_top(k, self.midrank2, self.stratum_means)
        return self._top_shares[k]

    def expect_in_top(
        self, k: int, midrank2: np.ndarray, count: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """How many items are expected in the truth's first k, under a random order within ties.

        The group of equal gains that holds the k-th place counts in proportion.

        Parameters
        ----------
        midrank2 : doubled mid-ranks of the items in question.
        count : adds up a mask of these items (bool, of the same shape) as is needed; linear.

        Returns
        -------
        What `count` returns: whole numbers where no tie lies across the k-th place.
        """
        start, end = tied_range(self.ideal, k)
        of_group = start + end + 1  # the doubled mid-rank of its items
        if end == k:
            return count(midrank2 <= of_group)
        share = (k - start) / (end - start)
        return count(midrank2 < of_group) + share * count(midrank2 == of_group)

    def stratum_means(self, values: np.ndarray) -> np.ndarray:
        """Mean of `values` (N,) in each of the two matrices, float64 (2,)."""
        return np.array([values[self.stratum == s].mean(dtype=np.float64) for s in (0, 1)])


def make_gains(gain: np.ndarray, wanted: int, stratum: np.ndarray | None = None) -> Gains:
    """Describe the ground truth by its gains and decide which items are positive.

    Parameters
    ----------
    gain : float32 or float64 (N,), >= 0; higher is a weight that changed more.
    wanted : 1 to N, the positives wanted. There are fewer where a tie lies across the
        last one or gains are 0 (`find_border`), and maybe none: that the caller refuses.
    """
    order = ranking.rank_by(gain)
    ideal = gain[order].astype(np.float64)
    start = group_starts(ideal)
    twice = start[:-1] + start[1:] + 1  # 2 (t + (n + 1)/2) with n = next start - t
    midrank2 = np.empty(len(gain), dtype=np.int32)
    midrank2[order] = np.repeat(twice, np.diff(start))
    return Gains(gain, midrank2, ideal, find_border(ideal, wanted), stratum)


def group_starts(ordered: np.ndarray) -> np.ndarray:
    """Where runs of equal values begin, and the length at the end: int64 (G + 1,)."""
    change = np.flatnonzero(ordered[1:] != ordered[:-1])
    starts = np.empty(len(change) + 2, dtype=np.int64)
    starts[0], starts[-1] = 0, len(ordered)
    np.add(change, 1, out=starts[1:-1])
    return starts
