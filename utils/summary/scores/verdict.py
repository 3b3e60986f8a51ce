"""The verdict across folds: which methods beat chance in these models, adjusted over methods.

It speaks of these folds' models: were the neurons that a method points at the
ones that the truth holds, beyond what relabelled neurons give? Whether new folds
would agree is another question, which the intervals over folds answer
(docs/definitions.md 10).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from utils.judge.verdict.relabelling import Relabelled
from utils.summary.rankings import Key

COLUMNS = [
    "truth", "level", "method", "n_folds", "k", "lift", "null_mean", "null_sd", "z", "p",
    "p_adjusted", "share_of_ceiling", "share_of_neuron_oracle",
]  # fmt: skip
# z that differ by a smaller share are equal: they are sums in another order.
ROUNDING = 1e-9
# A smaller share of the mean is rounding, and no spread.
NO_SPREAD = 1e-6


@dataclass(frozen=True)
class Standing:
    """One method across folds; `z_null` (B,) are the z of the relabellings, NaN without spread."""

    n_folds: int
    lift: float
    null_mean: float
    null_sd: float
    z: float
    z_null: np.ndarray


def standing_of(folds: list[Relabelled]) -> Standing:
    """Mean over folds. Draw b of each fold is the same relabelling pi_b, so the draws of the
    mean are the mean of the folds' draws.

    Folds that share a base model share their neurons, and the folds' own variances then do not
    add up: `null_sd` is that of the mean over the draws, of one fold alone the exact one.
    """
    count = len(folds)
    lift = float(np.mean([fold.lift for fold in folds]))
    mean = float(np.mean([fold.null_mean for fold in folds]))
    draws = min(len(fold.null) for fold in folds)
    null = np.mean([fold.null[:draws] for fold in folds], axis=0)  # (F, B) -> (B,)
    sd = folds[0].null_sd if count == 1 else spread_of(null, mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = sd if sd > 0 else np.nan
        return Standing(count, lift, mean, sd, (lift - mean) / scale, (null - mean) / scale)


def spread_of(null: np.ndarray, mean: float) -> float:
    """Standard deviation of the draws (B,) around their exact mean; 0 where it is rounding."""
    sd = float(np.sqrt(np.mean((null - mean) ** 2)))
    return sd if sd > NO_SPREAD * mean else 0.0


def p_value(z: float, z_null: np.ndarray) -> float:
    """Two-sided: (1 + #{|z_b| >= |z|})/(B + 1), valid at any B (Phipson and Smyth 2010).

    A method can be worse than chance as well as better. NaN where z does not exist.
    """
    if np.isnan(z):
        return float("nan")
    reached = np.abs(z_null) >= abs(z) * (1 - ROUNDING)
    return (1 + int(np.count_nonzero(reached))) / (len(z_null) + 1)


def adjusted(family: list[Standing]) -> list[float]:
    """p of each method against the largest |z_b| of any of the family (Westfall and Young 1993).

    The same relabellings serve every method, so the maximum keeps how the
    methods depend on each other.
    """
    real = [standing for standing in family if not np.isnan(standing.z)]
    if not real:
        return [float("nan")] * len(family)
    draws = min(len(standing.z_null) for standing in real)
    largest = np.max([np.abs(standing.z_null[:draws]) for standing in real], axis=0)  # (B,)
    return [p_value(standing.z, largest) for standing in family]


def share_of_best(value: float, best: float, chance: float = 1.0) -> float:
    """(value - random)/(best - random): 1 is as good as `best`, below 0 worse than chance."""
    return (value - chance) / (best - chance) if best > chance else float("nan")


def verdict_table(
    truth: str,
    found: dict[Key, list[Relabelled]],
    k: int,
    ceiling: float,
    oracle: float,
) -> pd.DataFrame:
    """One truth's rows of verdict.csv, highest lift first.

    Parameters
    ----------
    found : (level, method) -> its folds. All of them are one family.
    ceiling, oracle : lift of the replays and of the neuron oracle, NaN where there is none.
    """
    standings = {key: standing_of(folds) for key, folds in found.items()}
    rows = []
    for (key, one), p_adjusted in zip(
        standings.items(), adjusted(list(standings.values())), strict=True
    ):
        rows.append(
            (
                truth, *key, one.n_folds, k, one.lift, one.null_mean, one.null_sd, one.z,
                p_value(one.z, one.z_null), p_adjusted, share_of_best(one.lift, ceiling),
                share_of_best(one.lift, oracle),
            )
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values("lift", ascending=False, kind="stable", ignore_index=True)
