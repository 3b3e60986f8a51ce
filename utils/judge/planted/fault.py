"""One planted fault, and how well a method finds it (definitions 12)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from utils import ranking
from utils.judge.names import NEURON, shown_level
from utils.judge.planted import plant as planting
from utils.judge.scores.gains import Gains
from utils.methods.evidence import Evidence
from utils.methods.method import Method
from utils.model.states import States
from utils.model.tail import Tail, activation_function
from utils.pieces import cpu_threads

# What is said of a fault, and of a method on it.
OF_FAULT = [
    "ds", "fold", "kind", "percent", "fault", "src", "tgt", "n_weights", "steps", "accuracy_m1",
    "accuracy_planted", "n_neg", "n_pos",
]  # fmt: skip
OF_METHOD = ["level", "method", "precision@R", "lift@R", "ap", "ap/random", "auc", "first_hit"]
COLUMNS = [*OF_FAULT, *OF_METHOD]


class NoFault(ValueError):
    """Nothing can be planted; the message says why."""


@dataclass(frozen=True)
class PlantedFault:
    """A fault in place, and what a method is given to find it.

    before, after : the repair split's states under M1 and under the planted model.
    neg, pos : int64, samples of the source class that M1 has right: taken for the target
        class now, or right still.
    """

    plan: planting.Plan
    fault: planting.Fault
    before: States
    after: States
    neg: np.ndarray
    pos: np.ndarray

    @cached_property
    def truth(self) -> Gains:
        """The planted weights as positives."""
        tail = self.fault.tail
        return planting.planted_truth(self.plan.weights, ranking.n_weights(tail.m, tail.d))

    def lacks(self, least: int) -> str | None:
        """Why no method can be asked, in words: fewer than `least` samples of either kind."""
        if min(len(self.neg), len(self.pos)) >= least:
            return None
        return (
            f"of the repair samples of class {self.plan.src} that M1 has right {len(self.neg)} are "
            f"taken for class {self.plan.tgt} and {len(self.pos)} are right still; "
            f"{least} of each are needed"
        )

    def in_numbers(self) -> dict[str, float]:
        """The columns OF_FAULT, but which fault of what fold it is."""
        return {
            "src": self.plan.src,
            "tgt": self.plan.tgt,
            "n_weights": len(self.plan.weights),
            "steps": self.fault.steps,
            "accuracy_m1": accuracy(self.before),
            "accuracy_planted": accuracy(self.after),
            "n_neg": len(self.neg),
            "n_pos": len(self.pos),
        }

    def evidence(self, seed: int, ig_points: int) -> Evidence:
        """What methods look at; quantities that several of them share are made once."""
        return Evidence(
            self.fault.tail, self.after, self.neg, self.pos, seed, ig_points, fold_memo={}
        )


def accuracy(states: States) -> float:
    return float(np.mean(states.logits.argmax(1) == states.labels))


def make_fault(
    kind: str, percent: float, number: int, seed: int, m1: Tail, repair: States, test: States
) -> PlantedFault:
    """Draw a fault and plant it.

    percent : of the neurons, or of the weights, that are planted.
    m1 : M1's tail. repair, test : states of the split that methods look at, and of that
        which the fault is trained on.

    Raises
    ------
    NoFault : there are no two classes for it, or training does not reach what it should.
    """
    plan = planting.draw(kind, percent, seed, number, planting.class_counts(repair), m1.m, m1.d)
    if plan is None:
        raise NoFault(
            f"there is no class of which M1 has {planting.LEAST_RIGHT} repair samples right"
        )
    if not np.any(test.labels == plan.src) or np.all(test.labels == plan.src):
        raise NoFault(f"the test split has no sample of class {plan.src}, or of no other")
    fault = planting.plant(m1, plan, test.h, test.labels, seed)
    if not fault.reached:
        raise NoFault(
            f"after {planting.MOST_STEPS} steps of training these weights "
            f"{100 * fault.share:.0f}% of the test samples of class {plan.src} are taken for class "
            f"{plan.tgt}; a fault is in place at {100 * planting.ENOUGH:.0f}%"
        )
    after = planting.planted_states(fault, repair)
    return PlantedFault(plan, fault, repair, after, *planting.samples_of(plan, repair, after))


def judge_method(method: Method, evidence: Evidence, truth: Gains) -> dict[str, str | float]:
    """The columns OF_METHOD: how well a method finds what was planted.

    evidence, truth : of a `PlantedFault`.
    """
    activation_function(evidence.tail.activation)
    with cpu_threads(1):  # threads take whole pieces (utils.pieces)
        found = method.function(evidence)
    score, order = found.score, found.ranking
    if method.level == NEURON:
        score, order = ranking.spread(score, evidence.tail.d), None
    order = ranking.rank_by(score) if order is None else order
    head = {"level": shown_level(method.level), "method": method.name}
    return head | planting.score_row(score, order, truth)
