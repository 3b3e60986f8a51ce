"""Compare the rankings of one fold with its ground truth: the rows of docs/definitions.md 7."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from utils import ranking
from utils.judge.scores import metrics, nulls
from utils.truth.positives import Border

WEIGHT, NEURON, LIFTED = "weight", "neuron", "weight (from neuron)"
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
BUDGET = "n"
RANDOM_EXPECTED, RANDOM_SAMPLED = "random (expected)", "random (sampled)"
# They know the training and are no methods: no family of tests holds them.
ORACLE, CEILING = "neuron oracle", "replays (ceiling)"
OPTIMIZER_STEP, CONTROL = "optimizer step", "|change| x other gradient"
REFERENCES = (CEILING, ORACLE, OPTIMIZER_STEP, CONTROL)


@dataclass(frozen=True)
class FoldTruth:
    """The ground truth of a fold at both levels, and what lifted methods need of it.

    percents : the K in percent; discount : `metrics.discounts` up to the largest K.
    """

    m: int
    d: int
    weights: metrics.Truth
    neurons: metrics.Truth
    by_neuron: metrics.NeuronCounts
    percents: tuple[float, ...]
    discount: np.ndarray

    @property
    def borders(self) -> dict[str, Border]:
        """Where the positives end at either level."""
        return {"weights": self.weights.border, "neurons": self.neurons.border}

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels at which anything is positive."""
        levels = (WEIGHT, NEURON, LIFTED)
        return tuple(level for level in levels if self.truth(level).n_positives)

    def truth(self, level: str) -> metrics.Truth:
        return self.neurons if level == NEURON else self.weights

    def ks(self, level: str, n: int | None) -> dict[str, int]:
        """Every K by the label of its columns; n is the neuron budget of the columns @n, if any."""
        items = self.truth(level).n_items
        ks = {f"{percent:g}%": ranking.share_of(percent, items) for percent in self.percents}
        if n is None:
            return ks
        return ks | {BUDGET: min(n, items) if level == NEURON else ranking.weight_budget(n, items)}


def prepare_truth(
    values: np.ndarray,
    m: int,
    d: int,
    percents: tuple[float, ...],
    positive_percent: float,
    ns: Iterable[int],
) -> FoldTruth:
    """Describe one truth once for all methods that are compared with it.

    Parameters
    ----------
    values : float32 (N,), such as |W(M2) - W(M1)| or a signed repair credit. The
        gain of a weight is its value where above 0, that of a neuron the sum of
        the values of its 2d weights where above 0.
    ns : the neuron budgets that will be asked for.
    """
    n_weights = len(values)
    stratum = np.repeat(np.array([0, 1], dtype=np.int8), m * d)
    weights = metrics.make_truth(
        np.maximum(values, 0), ranking.share_of(positive_percent, n_weights), stratum
    )
    by_sum = np.maximum(ranking.neuron_sums(values, m, d), 0)
    neurons = metrics.make_truth(by_sum, ranking.share_of(positive_percent, m))
    ks = {ranking.share_of(percent, n_weights) for percent in percents}
    ks |= {ranking.weight_budget(n, n_weights) for n in ns}
    return FoldTruth(
        m, d, weights, neurons, metrics.count_by_neuron(weights, m, d, ks), percents,
        metrics.discounts(max(ks)),
    )  # fmt: skip


def compare(
    groups: metrics.TieGroups,
    truth: FoldTruth,
    level: str,
    n: int | None,
    limit: int | None = None,
) -> dict[str, float]:
    """All metrics of one ranking by column name; NaN where a value does not exist.

    n : neuron budget of the columns @n; None leaves them out.
    limit : items that a truncated ranking holds; what lies beyond does not exist.
    """
    side = truth.truth(level)
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
    truth: FoldTruth, level: str, n: int | None, limit: int | None = None
) -> dict[str, float]:
    """The closed-form row of a random ranking; `n` and `limit` as in `compare`."""
    side = truth.truth(level)
    row: dict[str, float] = {}
    for label, k in truth.ks(level, n).items():
        if limit is None or k <= limit:
            values = nulls.random_at_k(side, k, truth.discount)
            row |= {f"{name}@{label}": values[name] for name in AT_K}
    return row | nulls.random_whole(side) if limit is None else row


def weight_groups(
    scores: np.ndarray, order: np.ndarray, truth: FoldTruth, ns: Iterable[int]
) -> metrics.TieGroups:
    """Tie groups of a weight-level ranking, for every K of the budgets `ns`."""
    ks = {k for n in ns for k in truth.ks(WEIGHT, n).values()}
    return metrics.group_items(scores, order, truth.weights, ks)


def neuron_groups(
    scores: np.ndarray, order: np.ndarray, truth: FoldTruth, ns: Iterable[int]
) -> metrics.TieGroups:
    """Tie groups of a neuron-level ranking at its own level."""
    ks = {k for n in ns for k in truth.ks(NEURON, n).values()}
    return metrics.group_items(scores, order, truth.neurons, ks)


def oracle(truth: FoldTruth) -> np.ndarray:
    """Positives among each neuron's 2d weights, float32 (m,).

    Lifted to weights, no score per neuron finds more positives in the first K:
    the best precision, recall, F1 and lift. Metrics that weigh by |dW| (nDCG,
    mass) or look at other tops of the truth (overlap, Spearman) have another best.
    """
    return truth.by_neuron.positives.astype(np.float32)


def columns(percents: Iterable[float]) -> list[str]:
    """Column names of the scores table, in the order of docs/definitions.md 7."""
    labels = [*(f"{percent:g}%" for percent in percents), BUDGET]
    return [*KEYS, *(f"{name}@{label}" for label in labels for name in AT_K), *WHOLE]


def scores_table(rows: list[dict], percents: Iterable[float]) -> pd.DataFrame:
    table = pd.DataFrame(rows).reindex(columns=columns(percents))
    return table.astype({"n": "Int64", "kendall": "float64"})


def user_method(path: Path) -> tuple[str, str] | None:
    """Level and name of a file `<level>_<name>_score.npy`, or None for another file."""
    level, _, rest = path.name.partition("_")
    name = rest.removesuffix("_score.npy")
    if level not in (WEIGHT, NEURON) or not rest.endswith("_score.npy") or not name:
        return None
    return level, name
