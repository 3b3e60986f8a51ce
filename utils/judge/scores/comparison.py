"""One ranking compared with the ground truth: the columns of docs/definitions.md 7."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from utils.judge.names import NEURON, WEIGHT
from utils.judge.scores import metrics, nulls, ties
from utils.judge.scores.ground_truth import BUDGET, GroundTruth

AT_K = ("precision", "recall", "f1", "overlap", "lift", "lift_stratified", "ndcg", "mass")
WHOLE = (
    "ap",
    "auc",
    "spearman",
    "kendall",
    "first_hit",
    "first_hit_best",
    "first_hit_worst",
    "exam",
)
KEYS = ("ds", "fold", "setting", "level", "method", "n", "n_items", "n_positives")


def compare(
    groups: ties.TieGroups,
    truth: GroundTruth,
    level: str,
    n: int | None,
    limit: int | None = None,
) -> dict[str, float]:
    """All metrics of one ranking by column name; NaN where a value does not exist.

    n : neuron budget of the columns @n; None leaves them out.
    limit : items that a truncated ranking holds; what lies beyond does not exist.
    """
    side = truth.gains(level)
    row: dict[str, float] = {}
    for label, k in truth.ks(level, n).items():
        exists = limit is None or k <= limit
        values = metrics.at_k(groups, side, k, truth.discount) if exists else {}
        row |= {f"{name}@{label}": values.get(name, np.nan) for name in AT_K}
    if limit is None:
        return row | metrics.whole_ranking(groups, side)
    hit = metrics.first_hit(groups)
    return row | (hit if hit["first_hit_worst"] <= limit else {})


def random_expected(
    truth: GroundTruth, level: str, n: int | None, limit: int | None = None
) -> dict[str, float]:
    """The closed-form row of a random ranking; `n` and `limit` as in `compare`."""
    side = truth.gains(level)
    row: dict[str, float] = {}
    for label, k in truth.ks(level, n).items():
        if limit is None or k <= limit:
            values = nulls.random_at_k(side, k, truth.discount)
            row |= {f"{name}@{label}": values[name] for name in AT_K}
    return row | nulls.random_whole(side) if limit is None else row


def random_stratified(
    groups: ties.TieGroups, truth: GroundTruth, n: int | None, limit: int | None = None
) -> dict[str, float]:
    """The row of a random ranking that mixes the two matrices like this one.

    groups : of a ranking of weights; `n` and `limit` as in `compare`.
    """
    row: dict[str, float] = {}
    for label, k in truth.ks(WEIGHT, n).items():
        if limit is None or k <= limit:
            values = nulls.stratified_at_k(groups, truth.weights, k, truth.discount)
            row |= {f"{name}@{label}": values[name] for name in AT_K}
    return row


def weight_groups(
    scores: np.ndarray, order: np.ndarray, truth: GroundTruth, ns: Iterable[int]
) -> ties.TieGroups:
    """Tie groups of a weight-level ranking, for every K of the budgets `ns`."""
    ks = {k for n in ns for k in truth.ks(WEIGHT, n).values()}
    return ties.group_items(scores, order, truth.weights, ks)


def neuron_groups(
    scores: np.ndarray, order: np.ndarray, truth: GroundTruth, ns: Iterable[int]
) -> ties.TieGroups:
    """Tie groups of a neuron-level ranking at its own level."""
    ks = {k for n in ns for k in truth.ks(NEURON, n).values()}
    return ties.group_items(scores, order, truth.neurons, ks)


def columns(percents: Iterable[float]) -> list[str]:
    """Column names of the scores table, in the order of docs/definitions.md 7."""
    labels = [*(f"{percent:g}%" for percent in percents), BUDGET]
    return [*KEYS, *(f"{name}@{label}" for label in labels for name in AT_K), *WHOLE]


def scores_table(rows: list[dict], percents: Iterable[float]) -> pd.DataFrame:
    table = pd.DataFrame(rows).reindex(columns=columns(percents))
    return table.astype({"n": "Int64", "kendall": "float64"})
