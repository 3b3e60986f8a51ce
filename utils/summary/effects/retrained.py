"""What retraining says across folds: loss mended where a ranking points (definitions 15)."""

import numpy as np
import pandas as pd

from utils.data.setting_names import ALL
from utils.judge.names import (
    ALL_WEIGHTS,
    CREDIT,
    LIFTED,
    RANDOM,
    RANDOM_NEURONS,
    REFERENCES,
)
from utils.summary.rankings import Key
from utils.summary.scores.means import fold_summary
from utils.summary.statistics.pairs import compare_pair
from utils.summary.statistics.resolution import SIGNIFICANT
from utils.summary.statistics.t_tests import holm
from utils.truth import CHANGE, POOLED

KEYS = ["level", "method"]
PERCENT = 1
MENDED = "loss_mended"
# Rows that are no methods.
BESIDE = (CHANGE, POOLED, CREDIT, RANDOM, RANDOM_NEURONS, ALL_WEIGHTS, *REFERENCES)
AGAINST = [
    "reference", "difference", "difference_low", "difference_high", "corrected_p",
    "corrected_holm_p",
]  # fmt: skip


def verdict_of(optimizer: str) -> str:
    """How the verdict by one optimiser is called."""
    return f"retrained ({optimizer})"


def counted(retrained: pd.DataFrame) -> pd.DataFrame:
    """The rows that the verdict counts: `all`, 1% (all weights: 100%)."""
    at_one = (retrained["k_percent"] == PERCENT) | (retrained["method"] == ALL_WEIGHTS)
    return retrained[(retrained["setting"] == ALL) & at_one]


def grid(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """(folds, methods) of one column, columns (level, method)."""
    return rows.pivot(index="fold", columns=KEYS, values=column)


def reference_of(key: Key) -> str:
    """What a method is compared with: its weights, or its neurons, drawn at random."""
    return RANDOM_NEURONS if key[0] == LIFTED else RANDOM


def retrained_table(retrained: pd.DataFrame, n_folds: int) -> pd.DataFrame:
    """Per optimiser and ranking: loss mended, intervals over folds, and the test against random.

    Columns optimizer, level, method, `fold_summary` of loss_mended, the means over folds of r,
    steps and net, and AGAINST: the paired difference from `reference_of`, with the interval and
    p of Nadeau and Bengio, Holm-adjusted over the methods of the optimiser. Highest mean first.
    """
    parts = []
    for optimizer, rows in counted(retrained).groupby("optimizer", sort=False):
        mended = grid(rows, MENDED)
        folds = list(mended.index)
        beside = rows.groupby(KEYS)[["r", "steps", "net"]].mean()
        table = pd.DataFrame([
            dict(zip(["optimizer", *KEYS], (optimizer, *key), strict=True))
            | fold_summary(mended[[key]].to_numpy(dtype=np.float64), folds, n_folds)
            | beside.loc[key].to_dict() | against_random(mended, key, n_folds)
            for key in mended.columns
        ])  # fmt: skip
        table["corrected_holm_p"] = holm(table["corrected_p"].to_numpy(dtype=np.float64))
        parts.append(table.sort_values("mean", ascending=False, kind="stable"))
    if not parts:
        return pd.DataFrame(columns=["optimizer", *KEYS])
    return pd.concat(parts, ignore_index=True).drop(columns=["n_settings", "icc_settings"])


def against_random(mended: pd.DataFrame, key: Key, n_folds: int) -> dict[str, object]:
    """AGAINST of one method; empty of rows that are no methods, or without its reference."""
    wanted = reference_of(key)
    at = next((other for other in mended.columns if other[1] == wanted), None)
    if key[1] in BESIDE or at is None:
        return dict.fromkeys(AGAINST, np.nan) | {"reference": None}
    both = mended[[key, at]].dropna().to_numpy(dtype=np.float64)  # (F, 2)
    one = compare_pair(both[:, 0], both[:, 1], n_folds)
    values = (wanted, one.mean, one.corrected_low, one.corrected_high, one.corrected_p, np.nan)
    return dict(zip(AGAINST, values, strict=True))


def sentences(table: pd.DataFrame) -> list[str]:
    """How many methods mend more, or less, than random places, by optimiser.

    table : of `retrained_table`.
    """
    said = []
    for optimizer, rows in table.groupby("optimizer", sort=False):
        rows = rows[rows["reference"].notna()]
        if not len(rows):
            continue
        told = rows["corrected_holm_p"] <= SIGNIFICANT
        more, less = (int((told & (rows["difference"] * s > 0)).sum()) for s in (1, -1))
        above = int((rows["difference"] > 0).sum())
        text = (
            f"Retrained ({optimizer}): {more} of {len(rows)} methods mend more than weights (a "
            f"neuron-level method: neurons) drawn at random and {less} mend less, told apart by "
            "the corrected test, Holm-adjusted"
        )
        if rows["corrected_p"].isna().all():
            text = (
                f"Retrained ({optimizer}): one fold gives no test of whether a method mends more "
                "than weights (a neuron-level method: neurons) drawn at random"
            )
        said.append(f"{text}; by the means alone {above} of {len(rows)} mend more.")
    return said
