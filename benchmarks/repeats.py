"""What the intervals across folds cover when the K-fold is repeated on one data set.

Run from the repository's root: python -m benchmarks.repeats

Each replicate is a new data set of `ITEMS` items, split into K folds again in each
repeat. A fold's result is, with mean 0 and variance 1, a mixture of the mean of its
training items (each item has a value for how it teaches), of the mean of its held-out
items (another value, for how it tests), and of its own luck, the seed of the training.
So folds correlate exactly as their shares of data do: two folds of one repeat share
(K-2)/(K-1) of what they train on and nothing that they test on, two of different
repeats about (K-1)/K and 1/K. `repeat` is a part that all folds of a repeat share,
which no split makes: it shows what an interval does that has to find it out.

coverage_*   share of replicates whose 95% interval holds the true mean, 0:
             t                 folds as independent
             wild_by_fold      the wild cluster bootstrap, folds as independent
             wild_by_repeat    the same with whole repeats in the place of folds
             wild              in use: repeats, and folds inside them
             corrected         in use: Nadeau and Bengio's variance, any repeats
width_*      mean width of the interval in standard deviations of a fold, inf if unbounded

A share of 0.95 over 1,000 replicates has a standard error of 0.007.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from utils.run import storage
from utils.summary.statistics.bootstrap import wild_cluster_interval
from utils.summary.statistics.t_tests import nadeau_bengio, t_interval

REPLICATES = 1000
SEED = 777
ITEMS = 200
DRAWS = 499
# what shares of a fold's variance come from training items, held-out items, luck, the repeat
MIXTURES = {
    "luck alone": (0.0, 0.0, 1.0, 0.0),
    "held-out items alone": (0.0, 1.0, 0.0, 0.0),
    "a little of both, mostly luck": (0.1, 0.1, 0.8, 0.0),
    "a quarter training items": (0.25, 0.25, 0.5, 0.0),
    "half training items": (0.5, 0.25, 0.25, 0.0),
    "a fifth of the repeat's own": (0.0, 0.0, 0.8, 0.2),
}
# folds of a repeat, repeats
SHAPES = ((5, 1), (5, 2), (5, 4), (5, 10), (10, 3))
NAMES = ("t", "wild_by_fold", "wild_by_repeat", "wild", "corrected")
OUTPUT = Path(__file__).parent / "results" / "repeats.csv"


def splits(rng: np.random.Generator, k: int, repeats: int) -> np.ndarray:
    """Held-out items of each fold: bool (repeats * k, ITEMS); a repeat holds each item once."""
    found = np.zeros((repeats * k, ITEMS), dtype=bool)
    for repeat in range(repeats):
        for fold, held in enumerate(np.array_split(rng.permutation(ITEMS), k)):
            found[repeat * k + fold, held] = True
    return found


def results(
    rng: np.random.Generator, k: int, repeats: int, mixture: tuple[float, ...]
) -> np.ndarray:
    """One replicate: a result for each fold, true mean 0 and variance 1, (repeats * k,)."""
    held = splits(rng, k, repeats)
    teaches, tests = rng.standard_normal((2, ITEMS))
    train, test = (~held @ teaches), (held @ tests)
    parts = (
        train / np.sqrt((~held).sum(axis=1)),
        test / np.sqrt(held.sum(axis=1)),
        rng.standard_normal(repeats * k),
        np.repeat(rng.standard_normal(repeats), k),
    )
    return sum(np.sqrt(share) * part for share, part in zip(mixture, parts, strict=True))


def intervals(values: np.ndarray, k: int) -> list[tuple[float, float]]:
    """The intervals of NAMES."""
    repeats = np.arange(len(values)) // k
    corrected = nadeau_bengio(values, k)
    by_repeat = values.reshape(-1, k).mean(axis=1, keepdims=True)
    return [
        t_interval(values),
        wild_cluster_interval(values[:, None], draws=DRAWS, seed=SEED),
        wild_cluster_interval(by_repeat, draws=DRAWS, seed=SEED),
        wild_cluster_interval(values[:, None], draws=DRAWS, seed=SEED, repeats=repeats),
        (corrected.low, corrected.high),
    ]


def measure(
    k: int, repeats: int, name: str, replicates: int = REPLICATES
) -> dict[str, float | int | str]:
    """One row of the result; empty where an interval does not exist."""
    rng = np.random.default_rng(SEED)
    found = np.array(
        [
            intervals(results(rng, k, repeats, MIXTURES[name]), k)
            for _ in tqdm(range(replicates), desc=f"{repeats} x {k}, {name}", leave=False)
        ]
    )  # (replicates, intervals, 2)
    low, high = found[..., 0], found[..., 1]
    covered = np.where(np.isnan(low), np.nan, (low <= 0) & (high >= 0)).mean(axis=0)
    width = (high - low).mean(axis=0)
    head = {"k": k, "repeats": repeats, "mixture": name, "replicates": replicates}
    head |= {f"coverage_{n}": value for n, value in zip(NAMES, covered, strict=True)}
    return head | {f"width_{n}": value for n, value in zip(NAMES, width, strict=True)}


def main() -> None:
    table = pd.DataFrame([measure(*shape, name) for name in MIXTURES for shape in SHAPES])
    print(table.round(3).to_string(index=False))
    storage.save_table(OUTPUT, table.round(4))


if __name__ == "__main__":
    main()
