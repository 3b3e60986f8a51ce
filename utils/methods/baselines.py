"""Trivial baselines that a fault localisation method has to beat."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from utils import ranking
from utils.methods.method import Scores
from utils.model.gradients import sample_blocks
from utils.model.states import BLOCK, States
from utils.model.tail import Tail, blocks
from utils.pieces import by_rows

if TYPE_CHECKING:
    from utils.methods.evidence import Evidence


def weight_magnitude(tail: Tail) -> np.ndarray:
    """|W|, float32 (N,); higher is more suspicious."""
    return ranking.flatten(tail.w_bef.abs().cpu().numpy(), tail.w_aft.abs().cpu().numpy())


@torch.no_grad()
def wanda(tail: Tail, states: States, samples: np.ndarray, block: int = BLOCK) -> np.ndarray:
    """|W_ji| times the L2 norm of input i over `samples`, float32 (N,).

    Sun, Liu, Bair, Kolter, "A Simple and Effective Pruning Approach for Large
    Language Models", ICLR 2024, eq. 1: the importance of a weight; here higher
    is taken as more suspicious. Inputs are u for W_bef and a for W_aft.
    """
    squares_u, squares_a = np.zeros(tail.d), np.zeros(tail.m)
    for h, a in sample_blocks(states, samples, "ha", tail.device, block):
        squares_u += by_rows(tail.ffn_input, h).square().sum(dim=0).cpu().numpy()
        squares_a += a.square().sum(dim=0).cpu().numpy()
    norm_u, norm_a = (np.sqrt(s).astype(np.float32) for s in (squares_u, squares_a))
    return ranking.flatten(
        tail.w_bef.abs().cpu().numpy() * norm_u[None, :],  # (m, d)
        tail.w_aft.abs().cpu().numpy() * norm_a[None, :],  # (d, m)
    )


def activation_variance(
    rows: np.ndarray, samples: np.ndarray, mean: np.ndarray, block: int = BLOCK
) -> np.ndarray:
    """Unbiased variance of each column of `rows` over `samples`, float32 (m,).

    mean : (m,), the column means over the same samples.
    """
    if len(samples) < 2:
        raise ValueError(f"a variance needs at least 2 samples, got {len(samples)}")
    total = np.zeros(rows.shape[1])
    for part in blocks(len(samples), block):
        centred = np.take(rows, samples[part], axis=0) - mean
        total += np.square(centred, out=centred).sum(axis=0, dtype=np.float64)
    return (total / (len(samples) - 1)).astype(np.float32)


def score_magnitude(evidence: "Evidence") -> Scores:
    return Scores(weight_magnitude(evidence.tail))


def score_wanda(evidence: "Evidence") -> Scores:
    return Scores(wanda(evidence.tail, evidence.states, evidence.everyone))


def score_mean_act(evidence: "Evidence") -> Scores:
    return Scores(evidence.mean_act)


def score_act_variance(evidence: "Evidence") -> Scores:
    return Scores(activation_variance(evidence.states.a, evidence.neg, evidence.mean_act))
