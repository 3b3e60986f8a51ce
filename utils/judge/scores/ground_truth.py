"""The ground truth of a fold at both levels, described once for all rankings."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from utils import ranking
from utils.judge.names import LIFTED, NEURON, WEIGHT
from utils.judge.scores.gains import Gains, make_gains
from utils.judge.scores.metrics import discounts
from utils.judge.scores.ties import NeuronCounts, count_by_neuron
from utils.truth.positives import Border

BUDGET = "n"


@dataclass(frozen=True)
class GroundTruth:
    """One truth, and what lifted methods need of it.

    percents : the K in percent; discount : `metrics.discounts` up to the largest K.
    """

    m: int
    d: int
    weights: Gains
    neurons: Gains
    by_neuron: NeuronCounts
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
        return tuple(level for level in levels if self.gains(level).n_positives)

    def gains(self, level: str) -> Gains:
        return self.neurons if level == NEURON else self.weights

    def ks(self, level: str, n: int | None) -> dict[str, int]:
        """Every K by the label of its columns; n is the neuron budget of the columns @n, if any."""
        items = self.gains(level).n_items
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
) -> GroundTruth:
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
    weights = make_gains(
        np.maximum(values, 0), ranking.share_of(positive_percent, n_weights), stratum
    )
    by_sum = np.maximum(ranking.neuron_sums(values, m, d), 0)
    neurons = make_gains(by_sum, ranking.share_of(positive_percent, m))
    ks = {ranking.share_of(percent, n_weights) for percent in percents}
    ks |= {ranking.weight_budget(n, n_weights) for n in ns}
    return GroundTruth(
        m, d, weights, neurons, count_by_neuron(weights, m, d, ks), percents, discounts(max(ks))
    )


def oracle(truth: GroundTruth) -> np.ndarray:
    """Positives among each neuron's 2d weights, float32 (m,).

    Lifted to weights, no score per neuron finds more positives in the first K:
    the best precision, recall, F1 and lift. Metrics that weigh by |dW| (nDCG,
    mass) or look at other tops of the truth (overlap, Spearman) have another best.
    """
    return truth.by_neuron.positives.astype(np.float32)
