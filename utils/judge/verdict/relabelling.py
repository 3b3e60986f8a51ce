"""One fold's part of the verdict: lift under every relabelling of the truth's neurons.

Under the null hypothesis the neurons of a truth trade places: row j of W_bef
with column j of W_aft. With M the membership of each weight in a method's top
K, one neuron a row, and T the truth's positives, C = M T^T holds every
relabelling: the overlap under the permutation pi is sum_a C[a, pi(a)]
(docs/definitions.md 10; Hoeffding 1951 for its exact moments). Both are
sparse, so that C costs a few million products at ViT-Base size.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from utils import ranking
from utils.judge.details.permutation import neuron_rows, null_moments, relabelled_overlaps
from utils.judge.names import NEURON

COLUMNS = ["ds", "fold", "level", "method", "n_settings", "k", "lift", "null_mean", "null_sd"]


@dataclass(frozen=True)
class Positives:
    """A truth's positives, one neuron a row: sparse (m, 2d) of 0 and 1, and R, their number."""

    rows: sparse.csr_array
    count: int

    @property
    def per_neuron(self) -> np.ndarray:
        """Positives among the 2d weights of each neuron, float64 (m,)."""
        return np.asarray(self.rows.sum(axis=1), dtype=np.float64).ravel()


@dataclass(frozen=True)
class Relabelled:
    """Mean lift over settings of one method: as it is, its exact null moments, and each draw.

    null : float64 (draws,), under each relabelling.
    """

    lift: float
    null_mean: float
    null_sd: float
    null: np.ndarray


def positive_rows(positives: np.ndarray, m: int, d: int) -> Positives:
    """Arrange a truth's positives, bool (N,), by neuron."""
    rows = neuron_rows(positives, m, d)  # (N,) -> (m, 2d)
    return Positives(sparse.csr_array(rows, dtype=np.float64), int(np.count_nonzero(positives)))


def membership(scores: np.ndarray, level: str, m: int, d: int, k: int) -> sparse.csr_array:
    """Probability of each weight to be in a method's top k: sparse (m, 2d), or (m, 1) of a
    neuron-level method, whose 2d weights share one value. Ties are broken at random.

    scores : (N,), or (m,) of a neuron-level method.
    """
    if level == NEURON:
        shares = neuron_membership(scores, d, k)
        return sparse.csr_array(shares[:, None])  # (m, 1)
    return sparse.csr_array(neuron_rows(ranking.top_membership(scores, k), m, d), dtype=np.float64)


def neuron_membership(scores: np.ndarray, d: int, k: int) -> np.ndarray:
    """Probability of a neuron's 2d weights to be among the first k, float64 (m,)."""
    size = 2 * d
    ordered = np.sort(scores)[::-1]
    threshold = ordered[(k - 1) // size]  # the score of the weight at place k
    above, tied = scores > threshold, scores == threshold
    share = (k - size * np.count_nonzero(above)) / (size * np.count_nonzero(tied))
    return above + share * tied


def overlap_matrix(
    pairs: Iterable[tuple[sparse.csr_array, Positives]], n_weights: int, k: int
) -> np.ndarray:
    """C (m, m), float64: mean over settings of M_s T_s^T, each over its expected overlap K R_s/N.

    Its trace is then the mean lift@K over the settings, and sum_a C[a, pi(a)]
    that under the relabelling pi.

    pairs : a method's membership in each setting, and the truth's positives there.
    """
    pairs = list(pairs)
    scaled = [n_weights / (k * positives.count * len(pairs)) for _, positives in pairs]
    if pairs[0][0].shape[1] == 1:  # a neuron's score given to its weights: rank one each
        members = np.concatenate([member.toarray() for member, _ in pairs], axis=1)  # (m, S)
        counts = [s * p.per_neuron for s, (_, p) in zip(scaled, pairs, strict=True)]
        return members @ np.stack(counts)  # (m, S) x (S, m)
    sums: dict[int, tuple[sparse.csr_array, Positives]] = {}
    for scale, (member, positives) in zip(scaled, pairs, strict=True):
        before = sums.get(id(positives))
        part = member * scale
        sums[id(positives)] = (part if before is None else before[0] + part, positives)
    products = [member @ positives.rows.T for member, positives in sums.values()]
    return sum(products[1:], products[0]).toarray()  # (m, 2d) x (2d, m)


def relabel(overlaps: np.ndarray, relabellings: np.ndarray) -> Relabelled:
    """The lift of `overlap_matrix` and its distribution over relabellings.

    relabellings : (m, draws) of `permutation.draw_relabellings`, the same for every method
        and in every fold.
    """
    mean, sd = null_moments(overlaps)
    return Relabelled(
        float(np.trace(overlaps)), mean, sd, relabelled_overlaps(overlaps, relabellings)
    )


def read_nulls(table: pd.DataFrame, lifts: np.ndarray) -> Iterator[tuple[tuple[str, str], dict]]:
    """Rows of the table with their draws: ((level, method), values of `Relabelled`)."""
    for row, null in zip(table.itertuples(index=False), lifts, strict=True):
        values = {name: getattr(row, name) for name in ("lift", "null_mean", "null_sd")}
        yield (row.level, row.method), values | {"null": null}
