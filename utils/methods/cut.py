"""The first entries of a ranking: n neurons, or 8 n^2 weights (docs/definitions.md 1)."""

import numpy as np
import pandas as pd

from utils import ranking


def first_of(order: np.ndarray, level: str, n: int) -> np.ndarray:
    """The first n neurons, or the first 8 n^2 weights, of a whole ranking."""
    size = n if level == "neuron" else ranking.weight_budget(n, len(order))
    return np.array(order[:size])


def table_of(first: np.ndarray, scores: np.ndarray, level: str, m: int, d: int) -> pd.DataFrame:
    """The first entries of a ranking, most suspicious first: where each is, in words.

    first : indices of neurons, or canonical indices, (k,). scores : of these, (k,).
    """
    where = {"neuron": first} if level == "neuron" else ranking.weight_rows(first, m, d)
    return pd.DataFrame({"rank": np.arange(1, len(first) + 1), **where, "score": scores})
