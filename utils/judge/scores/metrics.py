"""Metrics of a ranking against the ground truth, exact under ties (docs/definitions.md 6).

Every metric is an expectation over a random order of the items inside each
group of equal scores (McSherry and Najork, "Computing information retrieval
performance measures efficiently in the presence of tied scores", ECIR 2008).
All are computed from the same small description, `TieGroups`.
"""

import numpy as np
from scipy.special import digamma
from scipy.stats import kendalltau

from utils.judge.scores.gains import Gains
from utils.judge.scores.ties import TieGroups


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


def at_k(groups: TieGroups, truth: Gains, k: int, discount: np.ndarray) -> dict[str, float]:
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


def stratified_precision(groups: TieGroups, truth: Gains, k: int) -> float:
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


def spearman(groups: TieGroups, truth: Gains) -> float:
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


def whole_ranking(groups: TieGroups, truth: Gains) -> dict[str, float]:
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
