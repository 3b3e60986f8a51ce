"""What retraining gave, on a test split that nothing has seen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from utils import ranking
from utils.judge.planted.plant import with_weights
from utils.judge.retrain.train import Trained
from utils.judge.transplant.walk import Receiver, measure, walk

COUNTS = (
    "loss_fit", "loss_held_out", "loss", "accuracy", "repaired", "broken", "net",
    "target_repaired", "loss_mended",
)  # fmt: skip
COLUMNS = [
    "ds", "fold", "setting", "level", "method", "optimizer", "k_percent", "k", "r", "steps",
    "loss_fit", "loss_held_out", "samples", "loss", "accuracy", "repaired", "broken", "net",
    "target_samples", "target_repaired", "loss_mended",
]  # fmt: skip


def loss_of_m1(receiver: Receiver) -> float:
    """M1's mean cross-entropy on the split."""
    logits = next(walk(receiver, np.zeros(0, dtype=np.int32), [0]))
    return measure(receiver, logits, np.zeros(0, dtype=np.int64))["loss"]


def effect(
    receiver: Receiver, weights: np.ndarray, trained: Trained, target: np.ndarray, loss_m1: float
) -> dict[str, float]:
    """The columns r, steps and COUNTS of one row.

    receiver : M1 on the test split; whose matrices it would get is not looked at.
    weights : int32 (K,), the weights that were trained, in the order of `trained.delta`.
    target : int64, samples of the setting that M1 gets wrong. loss_m1 : of `loss_of_m1`.
    """
    donor = with_delta(receiver, weights, trained.delta)
    logits = next(walk(donor, weights, [len(weights) if trained.steps else 0]))
    found = measure(receiver, logits, target)
    return {
        "r": trained.r,
        "steps": trained.steps,
        "loss_fit": trained.loss_fit,
        "loss_held_out": trained.loss_held_out,
        "net": found["repaired"] - found["broken"],
        "loss_mended": loss_m1 - found["loss"],
    } | found


def with_delta(receiver: Receiver, weights: np.ndarray, delta: np.ndarray) -> Receiver:
    """The receiver with M1's matrices plus `delta` (K,) at `weights` (K,) to be put into it."""
    tail = receiver.tail
    values = ranking.flatten(tail.w_bef.cpu().numpy(), tail.w_aft.cpu().numpy())[weights]
    moved = with_weights(tail, weights, values + delta)
    return replace(receiver, w_bef=moved.w_bef, w_aft=moved.w_aft)


def mean_effect(draws: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of several `effect`; r and steps only where all draws chose the same, else NaN."""
    found = {name: float(np.mean([draw[name] for draw in draws])) for name in COUNTS}
    for name in ("r", "steps"):
        chosen = {draw[name] for draw in draws}
        found[name] = chosen.pop() if len(chosen) == 1 else math.nan
    return found
