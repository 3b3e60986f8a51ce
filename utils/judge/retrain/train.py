"""Training that moves the first K weights of a ranking: ten courses, and what is kept of them.

Each of two optimisers is tried with five speeds. Samples that are not trained on
say which speed and how many steps are kept; no step at all is among the choices.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from utils.judge.retrain.passes import Block, Movable, Part, each, m1_blocks
from utils.model.adam import Adam
from utils.model.states import States
from utils.model.tail import Tail
from utils.pieces import ROWS, cpu_threads

OPTIMIZERS = ("adam", "sgd")
SPEEDS = (0.003, 0.01, 0.03, 0.1, 0.3)
STEPS, EVERY = 40, 5  # steps of a course, and after how many the held-out samples are asked

# Up to so many values of neurons and outputs a pass takes all five speeds at once: for the
# digits, and for the few neurons of a ViT-Base; a whole ViT-Base layer would leave the cache.
MOST_VALUES = 1_300_000


@dataclass(frozen=True)
class Trainer:
    """M1 and the samples of one setting, for any number of rankings.

    fitted, held_out : M1's states of the samples trained on and of those that choose.
    loss_held_out : M1's mean cross-entropy on the second.
    scale : root of the mean square of both matrices.
    """

    tail: Tail
    fitted: list[Block]
    held_out: list[Block]
    loss_held_out: float
    scale: float


@dataclass(frozen=True)
class Trained:
    """What one optimiser keeps for one ranking.

    delta : float32 (K,), what is added to the first K weights, in the ranking's order.
    r : the speed, NaN where no step is the best choice. steps : 0, 5, ... 40.
    loss_fit, loss_held_out : mean cross-entropy on the samples trained on, and on the others.
    passed_over : of the 40 choices (speed, steps) those that no longer had a finite loss.
    """

    delta: np.ndarray
    r: float
    steps: int
    loss_fit: float
    loss_held_out: float
    passed_over: int


@dataclass(frozen=True)
class _Choice:
    """A place on a course: the less it is by `key`, the better."""

    loss: float
    steps: int
    r: float
    delta: torch.Tensor

    def key(self) -> tuple[float, int, float]:
        return self.loss, self.steps, self.r


@cpu_threads(1)
def make_trainer(tail: Tail, states: States, fitted: np.ndarray, held_out: np.ndarray) -> Trainer:
    """M1 on the samples `fitted` and `held_out`, int64, of a split of which h and labels are read.

    Raises ValueError where there is no sample, or where M1's loss is not finite.
    """
    if not len(fitted) or not len(held_out):
        raise ValueError("there is no sample to train on, or none that is held out")
    parts = [m1_blocks(tail, states.h[rows], states.labels[rows]) for rows in (fitted, held_out)]
    nothing = Movable(tail, np.zeros(0, dtype=np.int32))
    held_out_parts = [nothing.part(block) for block in parts[1]]
    loss = float(nothing.losses(nothing.move(nothing.zeros()), held_out_parts)[0])
    if not math.isfinite(loss):
        raise ValueError("M1's loss on the held-out samples is not finite")
    squares = [float(w.double().square().mean()) for w in (tail.w_bef, tail.w_aft)]
    return Trainer(tail, *parts, loss, math.sqrt(sum(squares) / 2))


@cpu_threads(1)  # threads take whole pieces (utils.pieces)
@torch.no_grad()
def retrain(trainer: Trainer, weights: np.ndarray) -> dict[str, Trained]:
    """Train the weights `weights` alone: by optimiser what it keeps.

    Full-batch steps on the mean cross-entropy over the fitted samples, all else M1's.
    `adam` (beta .9, .999, epsilon 1e-8) has the learning rate r · scale, `sgd` (no
    momentum) r · ‖W_K‖/‖g_K‖ with g_K the first gradient: both move the weights by about
    a share r of their size at the first step. After each 5th of 40 steps the loss over
    all held-out samples is taken; the (r, steps) with the least is kept, or no step; of
    equal ones that with fewer steps, then the smaller r. A course whose weights or
    held-out loss are no longer finite ends there.

    weights : int32 (K,), the first K canonical indices of a ranking.
    Raises ValueError where one stands there twice or is no index of a weight.
    """
    net = Movable(trainer.tail, weights)
    fitted, held_out = (
        each([partial(net.part, block) for block in blocks], net.device)
        for blocks in (trainer.fitted, trainer.held_out)
    )
    first = net.gradients(net.move(net.zeros()), fitted)
    rates = {"adam": trainer.scale, "sgd": _ratio(net.values(), first)}
    stay = _Choice(trainer.loss_held_out, 0, 0.0, net.zeros()[0])
    courses = [(name, speeds) for name in OPTIMIZERS for speeds in _together(net)]
    run = partial(_courses, net, fitted, held_out, first, stay)
    found = each([partial(run, name, speeds, rates[name]) for name, speeds in courses], net.device)
    kept = {}
    for name in OPTIMIZERS:
        own = [result for (of, _), result in zip(courses, found, strict=True) if of == name]
        best = min((choice for choice, _ in own), key=_Choice.key)
        kept[name] = Trained(
            net.places.in_order_of_ranking(best.delta),
            best.r if best.steps else math.nan,
            best.steps,
            float(net.losses(net.move(best.delta[None]), fitted)[0]),
            best.loss,
            sum(passed_over for _, passed_over in own),
        )
    return kept


def _together(net: Movable) -> list[tuple[float, ...]]:
    """The speeds in groups that are trained at once: all where the arrays are small.

    What decides is the size alone, and never the number of threads.
    """
    values = (len(net.aft) + len(net.aft_quiet) + net.tail.d) * ROWS
    return [SPEEDS] if len(SPEEDS) * values <= MOST_VALUES else [(r,) for r in SPEEDS]


def _ratio(values: torch.Tensor, gradient: torch.Tensor) -> float:
    """‖values‖/‖gradient‖; 0 where there is no gradient to follow."""
    length = float(gradient.double().norm())
    return float(values.double().norm()) / length if length else 0.0


@torch.no_grad()
def _courses(
    net: Movable,
    fitted: list[Part],
    held_out: list[Part],
    first: torch.Tensor,
    stay: _Choice,
    optimizer: str,
    speeds: tuple[float, ...],
    unit: float,
) -> tuple[_Choice, int]:
    """The best choice of some speeds, and how many of their choices were passed over.

    first : the gradient (1, K) at M1, which all courses share. unit : the learning rate is r
    times this.
    """
    step = _stepper(optimizer, [r * unit for r in speeds], first)
    deltas, gradients = net.zeros(len(speeds)), first.expand(len(speeds), -1)
    best, asked, alive = stay, 0, np.ones(len(speeds), dtype=bool)
    for number in range(1, STEPS + 1):
        deltas -= step(gradients)
        alive &= deltas.isfinite().all(dim=1).cpu().numpy()
        moved = net.move(deltas)
        if number % EVERY == 0:
            losses = net.losses(moved, held_out)
            alive &= np.isfinite(losses)
            asked += np.count_nonzero(alive)
            moves = deltas.any(dim=1).cpu().numpy()  # where nothing does it is no step
            for i in np.flatnonzero(alive & moves):
                choice = _Choice(float(losses[i]), number, speeds[i], deltas[i])
                if choice.key() < best.key():
                    best = replace(choice, delta=deltas[i].clone())
        if not alive.any():
            break
        if number < STEPS:
            gradients = net.gradients(moved, fitted)
    return best, len(speeds) * (STEPS // EVERY) - int(asked)


def _stepper(
    optimizer: str, rates: list[float], first: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """What gradients (g, K) take away from the weights, with a learning rate for each."""
    column = first.new_tensor(rates)[:, None]  # (g, 1)
    if optimizer == "adam":
        return Adam(first.expand(len(rates), -1), column).step
    return lambda gradients: column * gradients
