"""neuron / zero_out, care: the loss where one neuron is set to a value (docs/definitions.md 13.4).

No pass per neuron. Setting a_j to α moves y by δ w_j, δ = α - a_j and w_j = W_aft[:, j].
With y and w_j taken without their means, the variance inside the final LayerNorm
becomes v' = v + 2 δ (y · w_j)/d + δ² (w_j · w_j)/d, and the logits change by

    A_c (1/√(v' + ε) - 1/√(v + ε)) + δ B_jc/√(v' + ε),   A = y Hᵀ, B = W_aftᵀ Hᵀ,

H the classifier times the LayerNorm's weight. What is left is an exponential per
sample, neuron, value and class, in blocks that stay in a core's cache. Where the head
has more maps than one, H is the first of them, and the rest is evaluated (utils.methods.behind).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch

from utils.methods.behind import Behind, behind, changes_of_logits
from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores
from utils.model.gradients import sample_blocks
from utils.model.states import BLOCK, States
from utils.model.tail import Tail, blocks
from utils.pieces import ROWS, by_rows, run_pieces

# Values of α for care.
CARE_VALUES = 8
# Neurons of a piece (utils.pieces), and logits that are worked on at once: these fit the
# cache of a core; a GPU wants more of them.
NEURONS, LOGITS, LOGITS_GPU = 256, 2**17, 2**25
# Growth of the sum of exponentials for which float32's log1p and its products are exact enough.
LEAST_GROWTH, MOST_GROWTH = -0.5, 1e6


@dataclass(frozen=True)
class Directions:
    """What one unit of each neuron adds to y, seen from behind.

    w : (d, m), W_aft without the mean of each column.
    square : (m,), w_j · w_j/d.
    logits : (C, m), B above; of a head of several maps (p, m).
    """

    w: torch.Tensor
    square: torch.Tensor
    logits: torch.Tensor


@dataclass(frozen=True)
class Outputs:
    """Some samples as they are.

    y : (b, d), without each sample's mean.
    variance : (b, 1), of the final LayerNorm, with ε.
    terms : (b, C), A above; of a head of several maps (b, p).
    given : as `terms`, what the first map gives.
    log_p : (b, C), logarithm of each class's probability.
    labels : int64 (b, 1).
    """

    y: torch.Tensor
    variance: torch.Tensor
    terms: torch.Tensor
    given: torch.Tensor
    log_p: torch.Tensor
    labels: torch.Tensor

    def __getitem__(self, rows: slice) -> "Outputs":
        return Outputs(*(getattr(self, each.name)[rows] for each in fields(self)))


def directions(tail: Tail, head: Behind) -> Directions:
    w = tail.w_aft - tail.w_aft.mean(dim=0)
    return Directions(w, w.square().mean(dim=0), head.first @ w)


def _describe(tail: Tail, head: Behind, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    centred = y - y.mean(dim=1, keepdim=True)
    variance = centred.square().mean(dim=1, keepdim=True) + tail.eps
    log_p = tail.logits_of_output(y).log_softmax(dim=1)
    terms = centred @ head.first.T
    return centred, variance, terms, terms / variance.sqrt() + head.bias, log_p


@torch.no_grad()
def mean_loss_change(
    tail: Tail, states: States, samples: np.ndarray, values: np.ndarray, block: int = BLOCK
) -> np.ndarray:
    """Mean over `samples` of L(do a_j = α) - L, L the cross-entropy with the true label.

    Parameters
    ----------
    values : (K, m), K values α of each neuron; one neuron is set at a time.

    Returns
    -------
    float64 (K, m), signed: above 0 where the loss grows.
    """
    head, alpha = behind(tail), torch.from_numpy(values).to(tail.w_aft)
    ways = directions(tail, head)
    total = np.zeros(values.shape)
    for a, y, labels in sample_blocks(states, samples, "ayl", tail.device, block):
        outputs = Outputs(*by_rows(partial(_describe, tail, head), y), labels[:, None])
        pieces = [
            partial(_sum_of_changes, tail.eps, head, outputs, ways, a, alpha, part)
            for part in blocks(tail.m, NEURONS)
        ]
        total += np.concatenate(run_pieces(pieces), axis=1)
    return total / len(samples)


@torch.no_grad()
def _sum_of_changes(
    eps: float,
    head: Behind,
    outputs: Outputs,
    ways: Directions,
    a: torch.Tensor,
    alpha: torch.Tensor,
    part: slice,
) -> np.ndarray:
    """Sum over the samples of the change of loss, of the neurons `part`: float64 (K, neurons)."""
    ways = Directions(ways.w[:, part], ways.square[part], ways.logits[:, part])
    total = np.zeros((len(alpha), len(ways.square)))
    room = room_for(ways.logits)
    for rows in blocks(len(a), ROWS):
        some = outputs[rows]
        slope = some.y @ ways.w * (2 / len(ways.w))  # (b, neurons), how δ enters v'
        for k, value in enumerate(alpha[:, part]):
            change = loss_changes(eps, head, some, ways, slope, value - a[rows, part], room)
            total[k] += change.cpu().numpy().sum(axis=0, dtype=np.float64)
    return total


def room_for(logits: torch.Tensor) -> torch.Tensor:
    """Memory for the logits (C, neurons) of as many samples as are worked on at once.

    Taken once: buffers of this size that come and go leave holes in the heap.
    """
    size = LOGITS if logits.device.type == "cpu" else LOGITS_GPU
    return logits.new_empty(max(1, size // logits.numel()), *logits.shape)


def loss_changes(
    eps: float,
    head: Behind,
    outputs: Outputs,
    ways: Directions,
    slope: torch.Tensor,
    delta: torch.Tensor,
    room: torch.Tensor,
) -> torch.Tensor:
    """How much moving each of some neurons by `delta` alone changes each sample's loss.

    slope : (b, neurons), 2 (y · w_j)/d. delta : (b, neurons), δ. room : of `room_for`.
    """
    added = delta * (slope + delta * ways.square)  # v' - v
    after = (outputs.variance + added).clamp_(min=eps).sqrt_()
    before = outputs.variance.sqrt()
    scale = -added / (before * after * (before + after))  # 1/√(v' + ε) - 1/√(v + ε)
    move = delta / after
    if head.last is not None:
        return evaluated_changes(head, outputs, ways, scale, move, len(room))
    true = ways.logits[outputs.labels[:, 0]] * move
    true += outputs.terms.gather(1, outputs.labels) * scale
    logs = [
        log_growth(outputs[rows], ways, scale[rows], move[rows], room)
        for rows in blocks(len(delta), len(room))
    ]
    return torch.cat(logs).sub_(true)


def evaluated_changes(
    head: Behind,
    outputs: Outputs,
    ways: Directions,
    scale: torch.Tensor,
    move: torch.Tensor,
    at_once: int,
) -> torch.Tensor:
    """`loss_changes` where the head is evaluated, `at_once` samples at a time."""
    parts = []
    for rows in blocks(len(move), at_once):
        some = outputs[rows]
        changes = changes_of_logits(
            head, some.terms, some.given, ways.logits, scale[rows], move[rows]
        )  # (b, C, neurons)
        true = changes[torch.arange(len(changes)), some.labels[:, 0]]
        growth = (some.log_p.exp()[:, :, None] * changes.expm1()).sum(dim=1)
        parts.append(log_of_growth(growth, partial(torch.clone, changes), some.log_p) - true)
    return torch.cat(parts)


def log_growth(
    outputs: Outputs,
    ways: Directions,
    scale: torch.Tensor,
    move: torch.Tensor,
    room: torch.Tensor,
) -> torch.Tensor:
    """Logarithm of Σ_c p_c exp(change of logit c), (b, neurons), for b up to len(room).

    From the growth Σ_c p_c (exp(change) - 1), so that no small difference of two
    losses is taken and what moves nothing changes nothing; by the logarithms of the
    probabilities where float32 would lose the growth.

    scale, move : (b, neurons), what A and B are multiplied by.
    """

    def changes() -> torch.Tensor:  # (b, C, neurons)
        found = torch.mul(ways.logits, move[:, None], out=room[: len(move)])
        return found.baddbmm_(outputs.terms[:, :, None], scale[:, None])

    growth = torch.bmm(outputs.log_p.exp()[:, None], changes().expm1_())[:, 0]
    return log_of_growth(growth, changes, outputs.log_p)


def log_of_growth(
    growth: torch.Tensor, changes: Callable[[], torch.Tensor], log_p: torch.Tensor
) -> torch.Tensor:
    """log(1 + growth), (b, neurons), from the logarithms where float32 would lose it.

    changes : makes the changes of the logits (b, C, neurons), to write into.
    """
    exact = (growth > LEAST_GROWTH) & (growth < MOST_GROWTH)
    if bool(exact.all()):
        return growth.log1p_()
    by_logarithms = changes().add_(log_p[:, :, None]).logsumexp(dim=1)
    return torch.where(exact, growth.log1p(), by_logarithms)


def midpoints(lowest: np.ndarray, highest: np.ndarray, count: int = CARE_VALUES) -> np.ndarray:
    """Midpoints of `count` equal parts of each neuron's range, float32 (count, m).

    lowest, highest : (m,)
    """
    shares = (np.arange(count) + 0.5)[:, None] / count
    low, high = lowest.astype(np.float64), highest.astype(np.float64)
    return (low + shares * (high - low)).astype(np.float32)


def spread_of_effects(change: np.ndarray) -> np.ndarray:
    """Mean over α of |E(α) - mean E|, (m,), from E(α) up to a constant: (K, m)."""
    return np.abs(change - change.mean(axis=0)).mean(axis=0)


def value_range(rows: np.ndarray, block: int = BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of each column, each (m,)."""
    parts = blocks(len(rows), block)
    return (
        np.min([rows[part].min(axis=0) for part in parts], axis=0),
        np.max([rows[part].max(axis=0) for part in parts], axis=0),
    )


def score_zero_out(evidence: Evidence) -> Scores:
    """|mean over neg of L(a with a_j = 0) - L(a)|, exact; higher is more suspicious.

    "Zero-Out" of Chang, Thomason, Jia, "Do Localization Methods Actually Localize
    Memorized Data in LLMs?", NAACL 2024. Deviations: the closed form above instead
    of a pass per neuron; the size of the change, because a neuron that causes a
    failure lowers the loss when it is gone and one that prevents it raises it.
    """
    zeros = np.zeros((1, evidence.tail.m), dtype=np.float32)
    change = mean_loss_change(evidence.tail, evidence.states, evidence.neg, zeros)
    return Scores(np.abs(change[0]).astype(np.float32))


def score_care(evidence: Evidence) -> Scores:
    """Mean over α of |E(α) - mean E|, E(α) = mean over neg of L(do a_j = α).

    The average causal effect of a neuron in CARE (Sun, Sun, Pham, Shi,
    "Causality-Based Neural Network Repair", ICSE 2022); higher is more suspicious.
    α runs through the midpoints of 8 equal parts of the neuron's range over all S
    samples. Deviations: the effect is on the loss of the failures, where CARE's is
    on the undesired property; a mean over a grid stands for the one over a uniform α.
    """
    ranges = evidence.once_per_fold("interventions.range", lambda: value_range(evidence.states.a))
    values = midpoints(*ranges)
    change = mean_loss_change(evidence.tail, evidence.states, evidence.neg, values)
    return Scores(spread_of_effects(change).astype(np.float32))


METHODS = (
    Method("neuron", "zero_out", 5, score_zero_out),
    Method("neuron", "care", 5, score_care),
)
