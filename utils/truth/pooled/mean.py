"""The pooled truth: |dW| averaged over replays of the last epoch, and how far they agree.

A replay is the last epoch again from M1 with the data in another order. What
its change has in common with M2's is what a truth of this kind can carry; a
method that knows everything but the order of the data scores what the mean of
the replays scores against M2's change (Nili et al., "A toolbox for
representational similarity analysis", PLoS Comput. Biol. 2014, lower bound of
the noise ceiling; docs/definitions.md 9.1).
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from utils import ranking

# A replay in M2's own order of the data: what arithmetic alone leaves of a truth.
SAME_ORDER = "same order"
COLUMNS = ["truth_a", "truth_b", "overlap@1%", "spearman"]


def mean_change(changes: list[np.ndarray]) -> np.ndarray:
    """Mean of several |dW|, each float32 (N,): float32 (N,), summed in float64."""
    total = np.zeros(len(changes[0]), dtype=np.float64)
    for change in changes:
        total += change
    return (total / len(changes)).astype(np.float32)


def agreement_table(changes: dict[str, np.ndarray], percent: float) -> pd.DataFrame:
    """How far each two truths agree: a row per pair, columns COLUMNS.

    overlap@1% is the expected share of the top `percent`% of one that is in the
    top of the other, ties in proportion on both sides; Spearman's rho takes
    mid-ranks, and is NaN where a truth is constant.

    changes : |dW| by name, each (N,): "0" is M2's, SAME_ORDER is compared with it alone.
    """
    k = ranking.share_of(percent, len(next(iter(changes.values()))))
    tops = {name: ranking.top_membership(change, k) for name, change in changes.items()}
    ranks = {name: _centred_ranks(change) for name, change in changes.items()}
    pairs = [pair for pair in combinations(changes, 2) if SAME_ORDER not in pair or "0" in pair]
    rows = [
        (a, b, float(np.dot(tops[a], tops[b].astype(np.float64))) / k, _cosine(ranks[a], ranks[b]))
        for a, b in pairs
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    ranks = rankdata(values)
    return ranks - ranks.mean()


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    scale = np.sqrt(np.dot(a, a) * np.dot(b, b))
    return float(np.dot(a, b) / scale) if scale > 0 else float("nan")
