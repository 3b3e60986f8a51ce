"""weight / magnitude, wanda: baselines that look at no failure (docs/definitions.md 5.9)."""

import numpy as np
import torch

from utils import ranking
from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores
from utils.model.gradients import sample_blocks
from utils.model.states import BLOCK, States
from utils.model.tail import Tail
from utils.pieces import by_rows


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


def score_magnitude(evidence: Evidence) -> Scores:
    return Scores(weight_magnitude(evidence.tail))


def score_wanda(evidence: Evidence) -> Scores:
    return Scores(wanda(evidence.tail, evidence.states, evidence.everyone))


METHODS = (
    Method("weight", "magnitude", 5, score_magnitude, per_setting=False),
    Method("weight", "wanda", 5, score_wanda, per_setting=False),
)
