"""Metrics of a ranking against the ground truth, exact under ties (docs/definitions.md 6).

Every metric is an expectation over a random order of the items inside each
group of equal scores (McSherry and Najork, "Computing information retrieval
performance measures efficiently in the presence of tied scores", ECIR 2008).
All are computed from the same small description, `TieGroups`, whether the
items are weights, neurons, or weights that inherit their neuron's score. Ties
of the truth are kept as such: nothing here knows an order among equal gains.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import digamma
from scipy.stats import kendalltau

from utils import ranking
from utils.truth.positives import Border, find_border, tied_range


@dataclass(frozen=True)
class Truth:
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


def make_truth(gain: np.ndarray, wanted: int, stratum: np.ndarray | None = None) -> Truth:
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
    return Truth(gain, midrank2, ideal, find_border(ideal, wanted), stratum)


def group_starts(ordered: np.ndarray) -> np.ndarray:
    """Where runs of equal values begin, and the length at the end: int64 (G + 1,)."""
    change = np.flatnonzero(ordered[1:] != ordered[:-1])
    starts = np.empty(len(change) + 2, dtype=np.int64)
    starts[0], starts[-1] = 0, len(ordered)
    np.add(change, 1, out=starts[1:-1])
    return starts


def group_items(
    scores: np.ndarray, order: np.ndarray, truth: Truth, ks: Iterable[int]
) -> TieGroups:
    """Tie groups of items that each have a score of their own.

    Parameters
    ----------
    scores : (N,), higher is more suspicious
    order : int32 (N,), the ranking of these scores
    ks : every K that will be asked for

    Raises
    ------
    ValueError : `order` is not a ranking of `scores`.
    """
    order = order.astype(np.intp)  # once, instead of at each use as an index
    ordered = scores[order]
    if not np.all(ordered[1:] <= ordered[:-1]) or not _is_permutation(order):
        raise ValueError("the ranking does not order the scores")
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


def count_by_neuron(truth: Truth, m: int, d: int, ks: Iterable[int]) -> NeuronCounts:
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


def expected_total(start: np.ndarray, totals: np.ndarray, k: int) -> float:
    """Expected sum of `totals` (one per group) over the first k positions.

    Whole groups before k count in full, the group that holds position k in
    proportion: h_c + (k - t_c) r_c / n_c.
    """
    c = int(np.searchsorted(start, k, side="left")) - 1  # the group with t_c < k <= t_c + n_c
    share = (k - start[c]) / (start[c + 1] - start[c])
    return float(totals[:c].sum() + share * totals[c])


def discounts(n: int) -> np.ndarray:
    """D_k = sum_{i<=k} 1/log2(i + 1) for k = 0..n, float64 (n + 1,)."""
    return np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, n + 2)))])


def expected_dcg(start: np.ndarray, gain: np.ndarray, k: int, discount: np.ndarray) -> float:
    """Expected discounted cumulative gain of the first k positions.

    discount : `discounts(n)` with n >= k
    """
    c = int(np.searchsorted(start, k, side="left"))  # groups that begin before position k
    sizes = np.diff(start[: c + 1])
    ends = np.minimum(start[1 : c + 1], k)
    return float(np.sum(gain[:c] / sizes * (discount[ends] - discount[start[:c]])))


def at_k(groups: TieGroups, truth: Truth, k: int, discount: np.ndarray) -> dict[str, float]:
    """precision, recall, F1, overlap, lift, stratified lift, nDCG and mass at K, by name.

    All are higher for a better method. NaN where a value does not exist.
    """
    n, r = truth.n_items, truth.n_positives
    found = expected_total(groups.start, groups.positives, k)
    precision, recall = found / k, found / r
    base = r / n
    overlap = expected_total(groups.start, groups.hits[k], k) / k
    by_matrix = stratified_precision(groups, truth, k)
    ideal_dcg = float(np.sum(truth.ideal[:k] * np.diff(discount[: k + 1])))
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * found / (k + r),
        "overlap": overlap,
        "lift": precision / base,
        "lift_stratified": precision / by_matrix if by_matrix > 0 else float("nan"),
        "ndcg": expected_dcg(groups.start, groups.gain, k, discount) / ideal_dcg,
        "mass": expected_total(groups.start, groups.gain, k) / truth.total_gain,
    }


def strata_counts(groups: TieGroups, k: int) -> tuple[float, float]:
    """Expected number of the first k positions that fall in each matrix."""
    in_first = expected_total(groups.start, groups.stratum0, k)
    return in_first, k - in_first


def stratified_precision(groups: TieGroups, truth: Truth, k: int) -> float:
    """precision@K of a ranking that keeps only how this one mixes the matrices.

    sum_m K_m q_m / K, q_m the share of positives in matrix m; NaN without strata.
    """
    if truth.stratum is None:
        return float("nan")
    counts = strata_counts(groups, k)
    return sum(c * q for c, q in zip(counts, truth.positive_shares, strict=True)) / k


def average_precision(groups: TieGroups, n_positives: int) -> float:
    """Expected average precision under ties (McSherry and Najork 2008, section 3.3)."""
    hit = np.flatnonzero(groups.positives)
    r = groups.positives[hit].astype(np.float64)
    t = groups.start[hit].astype(np.float64)
    n = groups.start[hit + 1] - t
    h = np.cumsum(r) - r
    b = np.divide(r - 1, n - 1, out=np.zeros_like(r), where=n > 1)
    # H_{t+n} - H_t; one term needs no difference of two large numbers
    harmonic = np.where(n == 1, 1 / (t + 1), digamma(t + n + 1) - digamma(t + 1))
    terms = r / n * (n * b + (h + 1 - b * (t + 1)) * harmonic)
    return float(terms.sum() / n_positives)


def auc(groups: TieGroups, n_positives: int) -> float:
    """Area under the ROC curve with mid-ranks (Mann-Whitney); 0.5 is chance."""
    n, r = groups.n_items, n_positives
    if r == n:
        return float("nan")
    hit = np.flatnonzero(groups.positives)
    midrank = (groups.start[hit] + groups.start[hit + 1] + 1) / 2  # 1 is the most suspicious
    rank_sum = float(np.sum(groups.positives[hit] * midrank))
    return 1 - (rank_sum - r * (r + 1) / 2) / (r * (n - r))


def spearman(groups: TieGroups, truth: Truth) -> float:
    """Spearman's rho with mid-ranks; NaN where one side is constant."""
    n = float(groups.n_items)
    sizes = np.diff(groups.start)
    tied = sizes[sizes > 1].astype(np.float64)
    cubes = len(sizes) - len(tied) + np.sum(tied * tied * tied)
    # Doubled mid-ranks, centred: their squares sum to (n^3 - cubes)/3; they themselves
    # sum to 0, so the other side's mean drops out of the product.
    centred = np.add(groups.start[:-1], groups.start[1:], dtype=np.float64)
    centred -= n
    scale = np.sqrt(max(0.0, n * n * n - cubes) / 3) * truth.midrank_norm
    return float(np.dot(centred, groups.midrank2) / scale) if scale > 0 else float("nan")


def first_hit(groups: TieGroups) -> dict[str, float]:
    """Rank of the first positive (wasted effort): expected, best, worst; EXAM = expected / N.

    Lower is better. (n + 1)/(r + 1) is the expected place of the first of r
    positives among n items in random order.
    """
    g = int(np.argmax(groups.positives > 0))
    t, n = int(groups.start[g]), int(groups.start[g + 1] - groups.start[g])
    r = int(groups.positives[g])
    expected = t + (n + 1) / (r + 1)
    return {
        "first_hit": expected,
        "first_hit_best": float(t + 1),
        "first_hit_worst": float(t + n - r + 1),
        "exam": expected / groups.n_items,
    }


def whole_ranking(groups: TieGroups, truth: Truth) -> dict[str, float]:
    """The metrics that look at the whole ranking, by their column names."""
    return {
        "ap": average_precision(groups, truth.n_positives),
        "auc": auc(groups, truth.n_positives),
        "spearman": spearman(groups, truth),
        **first_hit(groups),
    }


def kendall(scores: np.ndarray, gain: np.ndarray) -> float:
    """Kendall's tau-b of scores and gains, both (N,); NaN where one is constant."""
    return float(kendalltau(scores, gain).statistic)
