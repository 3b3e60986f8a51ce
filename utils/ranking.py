"""Canonical order, rankings and budgets (docs/definitions.md 1).

A per-weight array has N = 2 m d entries in the order
[W_bef.ravel(), W_aft.ravel()], W_bef (m, d) and W_aft (d, m), C order.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

MATRICES = ("W_bef", "W_aft")
ENOUGH_FOR_TORCH = 2**20


class RankingKey(NamedTuple):
    """Which ranking: of what setting, at what level ("neuron" or "weight"), by what method."""

    setting: str
    level: str
    method: str


def n_weights(m: int, d: int) -> int:
    return 2 * m * d


def flatten(w_bef: np.ndarray, w_aft: np.ndarray) -> np.ndarray:
    """Per-weight matrices (m, d) and (d, m) in canonical order, (2 m d,)."""
    return np.concatenate([w_bef.ravel(), w_aft.ravel()])


def unflatten(values: np.ndarray, m: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `flatten`, as views: (m, d) and (d, m)."""
    return values[: m * d].reshape(m, d), values[m * d :].reshape(d, m)


def locate(indices: np.ndarray, m: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrix (0 W_bef, 1 W_aft), row and column of canonical `indices`, each int64."""
    indices = np.asarray(indices, dtype=np.int64)
    matrix = (indices >= m * d).astype(np.int64)
    columns = np.where(matrix == 0, d, m)
    rest = indices - matrix * (m * d)
    return matrix, rest // columns, rest % columns


def weight_rows(indices: np.ndarray, m: int, d: int) -> dict[str, np.ndarray]:
    """Columns matrix, row, col that say in words where canonical `indices` are."""
    matrix, row, col = locate(indices, m, d)
    return {"matrix": np.array(MATRICES)[matrix], "row": row, "col": col}


def neuron_sums(values: np.ndarray, m: int, d: int) -> np.ndarray:
    """Sum of a per-weight array over the 2d weights of each neuron, float64 (m,)."""
    bef, aft = unflatten(values, m, d)
    return bef.sum(axis=1, dtype=np.float64) + aft.sum(axis=0, dtype=np.float64)


def spread(neuron_values: np.ndarray, d: int) -> np.ndarray:
    """Give each weight its neuron's value: (m,) to (2 m d,) in canonical order."""
    m = len(neuron_values)
    values = np.empty(n_weights(m, d), dtype=neuron_values.dtype)
    bef, aft = unflatten(values, m, d)
    bef[:] = neuron_values[:, None]  # (m, d)
    aft[:] = neuron_values[None, :]  # (d, m)
    return values


def rank_by(scores: np.ndarray) -> np.ndarray:
    """Ranking of suspiciousness scores: canonical indices, highest score first.

    Equal scores come by ascending index; -0.0 equals 0.0.

    Parameters
    ----------
    scores : float32 or float64 (N,), N < 2**31, higher is more suspicious.

    Returns
    -------
    int32 (N,)

    Raises
    ------
    ValueError : a score is NaN.
    """
    if np.isnan(scores).any():
        raise ValueError("scores with NaN have no ranking")
    return stable_order(descending_keys(scores))


def descending_keys(scores: np.ndarray) -> np.ndarray:
    """Integers, as wide as `scores`, whose ascending order is the scores' descending order.

    The bits of an IEEE number, read as an integer, order positive numbers as
    their values do and negative ones the other way round.
    """
    whole = np.dtype(f"i{scores.dtype.itemsize}")
    keys = (scores + scores.dtype.type(0)).view(whole)  # + 0 turns -0.0 into 0.0
    keys ^= (keys >> (8 * whole.itemsize - 1)) & np.iinfo(whole).max
    return np.invert(keys, out=keys)


def stable_order(keys: np.ndarray) -> np.ndarray:
    """Indices that sort integer `keys` ascending, equal keys by ascending index, int32 (N,).

    Of 32 bits each is put before its index in one number of 64: sorting those is many times as
    fast as sorting indices, and leaves nothing equal. Of 64 bits torch sorts large arrays by
    their digits.
    """
    if keys.dtype.itemsize == 4:
        pairs = keys.astype(np.int64)
        pairs <<= 32
        pairs |= np.arange(len(keys), dtype=np.int64)
        pairs.sort()
        return pairs.astype(np.int32)
    if len(keys) < ENOUGH_FOR_TORCH:
        return np.argsort(keys, kind="stable").astype(np.int32)
    import torch

    return torch.sort(torch.from_numpy(keys), stable=True).indices.numpy().astype(np.int32)


def inverse(ranking: np.ndarray) -> np.ndarray:
    """Position of each item in a whole ranking: int32 (N,), 0 is the first."""
    position = np.empty(len(ranking), dtype=np.int32)
    position[ranking] = np.arange(len(ranking), dtype=np.int32)
    return position


def top_membership(scores: np.ndarray, k: int) -> np.ndarray:
    """Probability of each item to be in the top k under a random order within ties.

    Parameters
    ----------
    scores : (N,), higher is more suspicious, without NaN.
    k : 1 to N.

    Returns
    -------
    float32 (N,), sums to k: 1 above the group of equal scores that holds position
    k, 0 below, and inside it the share of the group that still fits.
    """
    threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = scores > threshold
    tied = scores == threshold
    share = (k - np.count_nonzero(above)) / np.count_nonzero(tied)
    return above.astype(np.float32) + np.float32(share) * tied


def share_of(percent: float, n_items: int) -> int:
    """floor(percent% of n_items), at least 1, without floating-point surprises."""
    return max(1, int(Fraction(str(percent)) * n_items / 100))


def default_budget(d: int) -> int:
    """Neuron budget n when none is given: d/8."""
    return max(1, d // 8)


def weight_budget(n: int, n_items: int) -> int:
    """8 n^2 weights, or all of them where there are fewer (only if m < 4d)."""
    return min(8 * n * n, n_items)


def check_budget(n: int, d: int, m: int) -> int:
    """n, where that many before, after and intermediate neurons exist.

    Raises
    ------
    ValueError : they do not.
    """
    if not 1 <= n <= min(d, m):
        raise ValueError(f"the neuron budget n={n} is not between 1 and {min(d, m)}")
    return n


def minmax(values: np.ndarray) -> np.ndarray:
    """Map to [0, 1], keeping the dtype; a constant array maps to 0."""
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros_like(values)
    scaled = values - low
    scaled /= high - low
    return scaled
