"""Repeated K-fold: which repeat a fold belongs to, and how that repeat is split.

Everything follows from the fold's number alone, so that raising REPEATS changes no fold
that is there already (docs/definitions.md 2).
"""

from collections.abc import Iterable

import numpy as np

SPLIT_SEED_IN_FORCE = "split seed in force"


def repeat_of(fold: int, n_folds: int) -> int:
    """The repeat, from 0, that a fold of `n_folds` a repeat belongs to."""
    return fold // n_folds


def seed_of_split(split_seed: int, fold: int, n_folds: int) -> int:
    """The seed that shuffles the fold's repeat: SPLIT_SEED plus the repeat."""
    return split_seed + repeat_of(fold, n_folds)


def split_record(split_seed: int, fold: int, n_folds: int) -> dict[str, int]:
    """The split seed in force, where it is another one than SPLIT_SEED: beyond repeat 0."""
    seed = seed_of_split(split_seed, fold, n_folds)
    return {} if seed == split_seed else {SPLIT_SEED_IN_FORCE: seed}


def repeats_of(folds: Iterable[int], n_folds: int) -> np.ndarray:
    """The repeat of each fold, int64 (folds,)."""
    return np.array([repeat_of(fold, n_folds) for fold in folds], dtype=np.int64)


def describe(folds: Iterable[int], n_folds: int) -> str:
    """What folds of more than one repeat are, in words; empty for those of one repeat alone.

    For example "2 repeats of 5 folds", or "2 repeats of 5 folds, of which repeat 1 has 1".
    """
    counts: dict[int, int] = {}
    for fold in sorted(folds):
        repeat = repeat_of(fold, n_folds)
        counts[repeat] = counts.get(repeat, 0) + 1
    if len(counts) < 2:
        return ""
    short = [f"repeat {r} has {n} here" for r, n in counts.items() if n < n_folds]
    said = f"{len(counts)} repeats of {n_folds} folds"
    return f"{said}, of which {', '.join(short)}" if short else said
