"""Scores that no method gave: at random, and of the control of the truth `repair`."""

import numpy as np

from utils import ranking


def random_scores(seed: int, stream: int, size: int) -> np.ndarray:
    """Uniform random scores, float32 (size,), of an independent stream of the fold's seed."""
    return np.random.default_rng([seed, stream]).random(size, dtype=np.float32)


def other_gradient(
    abs_change: np.ndarray, gradient: np.ndarray, m: int, d: int, seed: int
) -> np.ndarray:
    """|dW| · |g| with the entries of g shuffled inside each matrix, float32 (N,).

    A control and no method: what the product's form alone scores against a
    credit that is itself |dW| times a gradient.

    abs_change, gradient : float32 (N,), canonical order.
    """
    rng = np.random.default_rng(seed)
    parts = ranking.unflatten(np.abs(gradient), m, d)
    shuffled = [rng.permutation(part.ravel()) for part in parts]
    return abs_change * np.concatenate(shuffled)
