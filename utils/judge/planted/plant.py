"""Faults whose place is known: a few weights of M1's last FFN trained to confuse two classes.

Every other truth is inferred from training; here the faulty weights were drawn
before anything was trained, and nothing else of the model is changed
(docs/definitions.md 12).

Chang, Thomason, Jia, "Do Localization Methods Actually Localize Memorized Data
in LLMs?", NAACL 2024, the INJ benchmark. Deviations: a confusion of two classes
is planted in place of a sequence, and each weight stays as small as others are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from utils import ranking
from utils.judge.scores import metrics, nulls, ties
from utils.judge.scores.gains import Gains, make_gains
from utils.model.gradients import add_gradient, loss_gradients
from utils.model.states import States, states_from_h
from utils.model.tail import Tail
from utils.pieces import by_rows, cpu_threads

NEURONS, WEIGHTS = "neurons", "weights"
KINDS = (NEURONS, WEIGHTS)
NAMED_WITHOUT = 1  # percent of the neurons or weights that a fault's name leaves unsaid
LEAST_RIGHT = 5  # samples of the source class that M1 has to have right
LEARNING_RATE = 3e-3
ENOUGH = 0.6  # of the source class's samples taken for the target class
MOST_STEPS = 600
LARGEST = 99  # percentile of |W| in its matrix that no planted weight exceeds
# Samples of other classes to train on, times the weights: a seeded choice where there are more,
# for which 600 steps of a ViT-Base (381 samples) have to take less than a minute.
MOST_PRODUCTS = 1_800_000_000
LEAST_OTHERS = 256


@dataclass(frozen=True)
class Plan:
    """What is to be planted. weights : int32 (R,), canonical indices, ascending."""

    kind: str
    src: int
    tgt: int
    weights: np.ndarray


@dataclass(frozen=True)
class Fault:
    """A fault in place.

    tail : M1's with the planted weights. delta : float32 (R,), planted minus M1's.
    steps : of training. share : of the source class's samples taken for the target.
    """

    tail: Tail
    delta: np.ndarray
    steps: int
    share: float

    @property
    def reached(self) -> bool:
        return self.share >= ENOUGH


def draw(
    kind: str, percent: float, seed: int, number: int, right: np.ndarray, m: int, d: int
) -> Plan | None:
    """The classes and the weights of a fault; all faults of one number share the classes.

    percent : of the neurons, or of the weights.
    right : int64 (C,), samples of each class that M1 has right.
    Returns None where no class has enough of them.
    """
    rng = np.random.default_rng([seed, 9, number])
    sources = np.flatnonzero(right >= LEAST_RIGHT)
    if not len(sources) or len(right) < 2:
        return None
    src = int(rng.choice(sources))
    tgt = int(rng.choice(np.delete(np.arange(len(right)), src)))
    size = ranking.n_weights(m, d)
    if kind == NEURONS:
        chosen = np.zeros(m, dtype=np.float32)
        chosen[rng.choice(m, ranking.share_of(percent, m), replace=False)] = 1
        weights = np.flatnonzero(ranking.spread(chosen, d))
    else:
        weights = np.sort(rng.choice(size, ranking.share_of(percent, size), replace=False))
    return Plan(kind, src, tgt, weights.astype(np.int32))


def bounds(tail: Tail, weights: np.ndarray) -> np.ndarray:
    """The largest size that each of `weights` may have, float32 (R,)."""
    parts = [w.abs().cpu().numpy() for w in (tail.w_bef, tail.w_aft)]
    largest = np.array([np.percentile(part, LARGEST) for part in parts], dtype=np.float32)
    return largest[(weights >= parts[0].size).astype(int)]


def with_weights(tail: Tail, weights: np.ndarray, values: np.ndarray) -> Tail:
    """`tail` with other values, float32 (R,), at the canonical indices `weights`."""
    flat = ranking.flatten(tail.w_bef.cpu().numpy(), tail.w_aft.cpu().numpy())
    flat[weights] = values
    parts = ranking.unflatten(flat, tail.m, tail.d)
    w_bef, w_aft = (torch.from_numpy(part).to(tail.device) for part in parts)
    return replace(tail, w_bef=w_bef, w_aft=w_aft)


def plant(tail: Tail, plan: Plan, h: np.ndarray, labels: np.ndarray, seed: int) -> Fault:
    """Train the drawn weights alone, until enough of src is taken for tgt.

    Half of the loss is that of src's samples with the label tgt, half that of
    the others with their own. All of src's samples are in each step, of the
    others as many as MOST_PRODUCTS allows.

    h : float32 (S, d), labels : int64 (S,), of samples that no method looks at.
    """
    batches = _batches(tail, plan, h, labels, seed)
    limit = torch.from_numpy(bounds(tail, plan.weights))
    start = ranking.flatten(tail.w_bef.cpu().numpy(), tail.w_aft.cpu().numpy())[plan.weights]
    values = torch.from_numpy(start.copy())
    adam = torch.optim.Adam([values], lr=LEARNING_RATE)
    places = torch.from_numpy(plan.weights.astype(np.int64))
    here, steps = tail, 0
    with cpu_threads(1):  # threads take whole pieces (utils.pieces)
        while True:
            gradient, share = _gradient(here, batches, plan.tgt)
            if share >= ENOUGH or steps == MOST_STEPS:
                break
            values.grad = gradient[places]
            adam.step()
            values.copy_(torch.clamp(values, -limit, limit))
            here = with_weights(tail, plan.weights, values.numpy())
            steps += 1
    return Fault(here, values.numpy() - start, steps, share)


def _batches(
    tail: Tail, plan: Plan, h: np.ndarray, labels: np.ndarray, seed: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """h and wanted labels of src's samples, and of the others."""
    of_src = np.flatnonzero(labels == plan.src)
    others = np.flatnonzero(labels != plan.src)
    most = max(LEAST_OTHERS, MOST_PRODUCTS // ranking.n_weights(tail.m, tail.d))
    if len(others) > most:
        rng = np.random.default_rng([seed, 9])
        others = np.sort(rng.choice(others, most, replace=False))
    wanted = np.full(len(of_src), plan.tgt), labels[others]
    return [
        (torch.from_numpy(np.array(h[rows])).to(tail.device), torch.from_numpy(given).long())
        for rows, given in zip((of_src, others), wanted, strict=True)
    ]


@torch.no_grad()
def _gradient(
    tail: Tail, batches: list[tuple[torch.Tensor, torch.Tensor]], tgt: int
) -> tuple[torch.Tensor, float]:
    """Gradient of the loss with respect to every weight (N,), and src's share taken for tgt."""
    totals = torch.zeros_like(tail.w_bef), torch.zeros_like(tail.w_aft)
    shares = []

    def states(h: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        u = tail.ffn_input(h)
        pre = tail.pre_activation(u)
        a = tail.activate(pre)
        y = tail.output(h, a)
        predicted = tail.logits_of_output(y).argmax(1)
        return u, a, *loss_gradients(tail, pre, y, labels), predicted

    for h, labels in batches:
        *found, predicted = by_rows(states, h, labels.to(tail.device))
        add_gradient(totals, *found, 0.5 / len(h))
        shares.append(float((predicted == tgt).double().mean()))
    return torch.cat([total.ravel().cpu() for total in totals]), shares[0]


def planted_states(fault: Fault, states: States) -> States:
    """The caches of a split as the planted model has them: h is M1's."""
    return replace_states(states, *states_from_h(fault.tail, states.h))


def replace_states(states: States, a: np.ndarray, y: np.ndarray, logits: np.ndarray) -> States:
    return replace(states, a=a, y=y, logits=logits)


def samples_of(plan: Plan, before: States, after: States) -> tuple[np.ndarray, np.ndarray]:
    """neg and pos: src's samples that M1 has right, taken for tgt now, or right still.

    Each int64, ascending.
    """
    own = (before.labels == plan.src) & (before.logits.argmax(1) == plan.src)
    now = after.logits.argmax(1)
    return np.flatnonzero(own & (now == plan.tgt)), np.flatnonzero(own & (now == plan.src))


def planted_truth(weights: np.ndarray, n_weights: int) -> Gains:
    """The planted weights as positives of equal gain."""
    gain = np.zeros(n_weights, dtype=np.float32)
    gain[weights] = 1
    return make_gains(gain, len(weights))


def score_row(scores: np.ndarray, order: np.ndarray, truth: Gains) -> dict[str, float]:
    """How well a ranking of all weights finds the planted ones.

    scores : (N,), higher is more suspicious; order : int32 (N,), its ranking.
    """
    count = truth.n_positives
    groups = ties.group_items(scores, order, truth, {count})
    at = metrics.at_k(groups, truth, count, metrics.discounts(count))
    ap = metrics.average_precision(groups, count)
    return {
        "precision@R": at["precision"],
        "lift@R": at["lift"],
        "ap": ap,
        "ap/random": ap / nulls.random_whole(truth)["ap"],
        "auc": metrics.auc(groups, count),
        "first_hit": metrics.first_hit(groups)["first_hit"],
    }


def class_counts(states: States) -> np.ndarray:
    """Samples of each class that the model has right, int64 (C,)."""
    right = states.logits.argmax(1) == states.labels
    return np.bincount(states.labels[right], minlength=states.logits.shape[1])


def faults(count: int, percents: Sequence[float]) -> Iterator[tuple[str, float, int]]:
    """Kind, percent and number of every fault."""
    for kind in KINDS:
        for percent in percents:
            for number in range(count):
                yield kind, percent, number
