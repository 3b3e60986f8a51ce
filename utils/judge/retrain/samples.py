"""Which samples M1 is retrained on, which ones choose, and random rankings to compare with."""

from collections.abc import Iterator

import numpy as np

MOST_FITTED = 1000
RETRAIN_SEED = 10  # beside the fold's seed: no other draw of a fold shares it


def split_samples(n_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The held-out quarter of the repair split, and the other samples.

    Returns
    -------
    two int64 arrays, floor(S/4) and S - floor(S/4) samples, in the order of the permutation.
    """
    order = np.random.default_rng([seed, RETRAIN_SEED]).permutation(n_samples)
    held_out = n_samples // 4
    return order[:held_out], order[held_out:]


def fitted_samples(rest: np.ndarray, neg: np.ndarray, pos: np.ndarray) -> np.ndarray:
    """The first 1,000 of `rest` that are in neg or in pos, in their natural mixture.

    rest : int64, the samples that are not held out. neg, pos : int64, a setting's samples.
    Returns int64, in the order of `rest`.
    """
    return rest[np.isin(rest, neg) | np.isin(rest, pos)][:MOST_FITTED]


def random_neurons(seed: int, draws: int, m: int) -> Iterator[np.ndarray]:
    """Seeded random rankings of the neurons, int32 (m,) each."""
    for i in range(draws):
        rng = np.random.default_rng([seed, RETRAIN_SEED, i])
        yield rng.permutation(m).astype(np.int32)
