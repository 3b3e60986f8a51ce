"""neuron / grad_act: gradient times activation (docs/definitions.md 13.3)."""

from functools import partial

import numpy as np
import torch

from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores
from utils.model.gradients import sample_blocks
from utils.model.states import BLOCK, States
from utils.model.tail import Tail, gradient_at_output
from utils.pieces import by_rows


@torch.no_grad()
def gradient_times_activation(
    tail: Tail, states: States, samples: np.ndarray, block: int = BLOCK
) -> np.ndarray:
    """|mean over `samples` of a_j ∂L/∂a_j|, float32 (m,); higher is more suspicious.

    Molchanov, Tyree, Karras, Aila, Kautz, "Pruning Convolutional Neural Networks
    for Resource Efficient Inference", ICLR 2017: what removing the neuron does to
    the loss, to first order. Deviations: the absolute value is taken of the mean
    over samples, theirs of each sample; no rescaling between layers, for there is one.
    """
    total = torch.zeros(tail.m, dtype=tail.w_aft.dtype, device=tail.device)
    for a, y, labels in sample_blocks(states, samples, "ayl", tail.device, block):
        total += by_rows(partial(_products, tail), a, y, labels).sum(dim=0)
    return (total / len(samples)).abs().cpu().numpy()


def _products(tail: Tail, a: torch.Tensor, y: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (gradient_at_output(tail, y, labels, "loss") @ tail.w_aft).mul_(a)  # (b, m)


def score_grad_act(evidence: Evidence) -> Scores:
    return Scores(gradient_times_activation(evidence.tail, evidence.states, evidence.neg))


METHODS = (Method("neuron", "grad_act", 4, score_grad_act),)
