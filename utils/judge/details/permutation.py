"""Is a ranking's overlap with the ground truth more than chance among neurons?

|W(M2) - W(M1)| clusters by neuron: a few neurons own most of the changed
weights. A test that shuffles single weights takes any other clustered ranking
for a discovery. Here whole neurons trade places: row j of W_bef and column j of
W_aft of the ground truth move together, and the 2d weights of a neuron stay in
their order, so that a preference for some inputs or outputs is no evidence
either.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from utils.ranking import unflatten

# Overlaps that differ by a smaller share are equal: float32 sums of memberships.
ROUNDING = 1e-6


@dataclass(frozen=True)
class NeuronPermutation:
    """Overlap with the ground truth against its distribution over relabellings.

    `observed`, `null_mean` and `null_sd` are numbers of weights; mean and sd are
    exact. `z` is NaN where every relabelling gives the same overlap. `p` is
    one-sided: the share of relabellings, the true labels among them, that
    overlap at least as much.
    """

    observed: float
    null_mean: float
    null_sd: float
    z: float
    p: float
    draws: int


def neuron_permutation_test(
    method_top: np.ndarray,
    truth_top: np.ndarray,
    m: int,
    d: int,
    draws: int = 9999,
    seed: int = 777,
) -> NeuronPermutation:
    """Test the overlap of two sets of weights given as canonical indices.

    For many methods on one ground truth, draw the relabellings once and call
    `neuron_overlap_test`.
    """
    return neuron_overlap_test(
        neuron_matrix(method_top, m, d),
        neuron_matrix(truth_top, m, d),
        draw_relabellings(m, draws, seed),
    )


def neuron_overlap_test(
    method: np.ndarray, truth: np.ndarray, relabellings: np.ndarray
) -> NeuronPermutation:
    """Neuron-permutation test of Σ method·truth.

    With C = method · truthᵀ, the overlap under the relabelling π is
    Σ_a C[a, π(a)], so one product serves every relabelling. Exactly over all m!
    of them: mean ΣC/m, variance Σ D²/(m − 1), D the doubly centred C of his
    eq. 8 (Hoeffding, Ann. Math. Statist. 22 (1951)). p = (1 + #{π: overlap(π) ≥
    observed})/(draws + 1), valid at any number of draws (Phipson and Smyth 2010).

    Parameters
    ----------
    method, truth : float32 (m, 2d) of `neuron_matrix` or `neuron_rows`: 1 for a
        weight in the top K, 0 for others, or its probability to be there.
    relabellings : (m, draws) of `draw_relabellings`.
    """
    # Both are zero nearly everywhere, and BLAS would add up in an order that depends on threads.
    overlaps = (sparse.csr_array(method) @ sparse.csr_array(truth).T).toarray()  # (m, m)
    observed = float(np.trace(overlaps, dtype=np.float64))
    mean, sd = null_moments(overlaps)
    null = relabelled_overlaps(overlaps, relabellings)
    at_least = int((null >= observed - ROUNDING * observed).sum())
    draws = len(null)
    return NeuronPermutation(
        observed=observed,
        null_mean=mean,
        null_sd=sd,
        z=(observed - mean) / sd if sd > 0 else math.nan,
        p=(1 + at_least) / (draws + 1),
        draws=draws,
    )


def null_moments(overlaps: np.ndarray) -> tuple[float, float]:
    """Exact mean and sd of Σ_a C[a, π(a)] over all permutations, C (m, m)."""
    m = len(overlaps)
    rows = overlaps.mean(axis=1, dtype=np.float64)
    columns = overlaps.mean(axis=0, dtype=np.float64)
    grand = rows.mean()
    # Σ D² of the doubly centred matrix, without a float64 copy of it.
    squares = sum(np.square(row - grand, dtype=np.float64).sum() for row in overlaps)
    centred = squares - m * ((rows - grand) ** 2).sum() - m * ((columns - grand) ** 2).sum()
    mean = float(m * grand)
    sd = math.sqrt(max(0.0, float(centred)) / (m - 1)) if m > 1 else 0.0
    return mean, sd if sd > ROUNDING * mean else 0.0


def relabelled_overlaps(overlaps: np.ndarray, relabellings: np.ndarray) -> np.ndarray:
    """Σ_a C[a, π(a)] of each column π of `relabellings`: float64 (draws,)."""
    null = np.zeros(relabellings.shape[1])
    for row, neurons in zip(overlaps, relabellings, strict=True):
        null += row.take(neurons)
    return null


def draw_relabellings(m: int, draws: int = 9999, seed: int = 777) -> np.ndarray:
    """Random permutations of the m neurons, one per column: unsigned ints (m, draws)."""
    rng = np.random.default_rng(seed)
    relabellings = np.empty((m, draws), dtype=np.min_scalar_type(m))
    for draw in range(draws):
        relabellings[:, draw] = rng.permutation(m)
    return relabellings


def neuron_matrix(indices: np.ndarray, m: int, d: int) -> np.ndarray:
    """A set of weights, one neuron a row: float32 (m, 2d) of 0 and 1.

    Parameters
    ----------
    indices : (K,) distinct canonical indices.
    """
    chosen = np.zeros(2 * m * d, dtype=np.float32)
    chosen[indices] = 1
    return neuron_rows(chosen, m, d)


def neuron_rows(values: np.ndarray, m: int, d: int) -> np.ndarray:
    """Arrange a canonical per-weight array (2md,) by neuron: (m, 2d).

    Row j holds the d weights of row j of W_bef, then the d of column j of W_aft.
    """
    bef, aft = unflatten(values, m, d)
    return np.concatenate([bef, aft.T], axis=1)  # (m, d), (m, d) -> (m, 2d)
