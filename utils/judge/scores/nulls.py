"""What a ranking without any knowledge scores: closed forms (docs/definitions.md 6)."""

import numpy as np
from scipy.special import digamma

from utils.judge.scores import metrics
from utils.judge.scores.gains import Gains
from utils.judge.scores.ties import TieGroups


def random_at_k(truth: Gains, k: int, discount: np.ndarray) -> dict[str, float]:
    """Expectation of `metrics.at_k` under a uniformly random ranking."""
    n, r = truth.n_items, truth.n_positives
    ideal_dcg = float(np.sum(truth.ideal[:k] * np.diff(discount[: k + 1])))
    return {
        "precision": r / n,
        "recall": k / n,
        "f1": 2 * k * r / (n * (k + r)),
        "overlap": k / n,
        "lift": 1.0,
        "lift_stratified": 1.0 if truth.stratum is not None else float("nan"),
        "ndcg": truth.total_gain / n * discount[k] / ideal_dcg,
        "mass": k / n,
    }


def random_whole(truth: Gains) -> dict[str, float]:
    """Expectation of `metrics.whole_ranking`, and of Kendall's tau, under a random ranking."""
    n, r = truth.n_items, truth.n_positives
    harmonic = float(digamma(n + 1) - digamma(1))
    ap = 1.0 if n == 1 else (r - 1) / (n - 1) + harmonic / n * (n - r) / (n - 1)
    hit = (n + 1) / (r + 1)
    return {
        "ap": ap,
        "auc": 0.5,
        "spearman": 0.0,
        "kendall": 0.0,
        "first_hit": hit,
        "first_hit_best": 1.0,
        "first_hit_worst": float(n - r + 1),
        "exam": hit / n,
    }


def stratified_at_k(
    groups: TieGroups, truth: Gains, k: int, discount: np.ndarray
) -> dict[str, float]:
    """Expectation of `metrics.at_k` when only this ranking's mix of matrices is kept.

    A method that only prefers one matrix scores exactly this.
    """
    n, r = truth.n_items, truth.n_positives
    precision = metrics.stratified_precision(groups, truth, k)
    overlap_shares = truth.top_shares(k)
    gains = truth.gain_means
    counts = metrics.strata_counts(groups, k)
    ideal_dcg = float(np.sum(truth.ideal[:k] * np.diff(discount[: k + 1])))
    sizes = np.diff(groups.start[: len(groups.stratum0) + 1])
    expected_gain = groups.stratum0 * gains[0] + (sizes - groups.stratum0) * gains[1]
    dcg = metrics.expected_dcg(groups.start, expected_gain, k, discount)
    found = precision * k
    found_gain = sum(c * g for c, g in zip(counts, gains, strict=True))
    return {
        "precision": precision,
        "recall": found / r,
        "f1": 2 * found / (k + r),
        "overlap": sum(c * q for c, q in zip(counts, overlap_shares, strict=True)) / k,
        "lift": precision / (r / n),
        "lift_stratified": 1.0,
        "ndcg": dcg / ideal_dcg,
        "mass": found_gain / truth.total_gain,
    }
