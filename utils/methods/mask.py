"""neuron / mask: a learned factor for every neuron (docs/definitions.md 13.6)."""

from functools import partial

import numpy as np
import torch

from utils.methods.arachne import sample_positives
from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores
from utils.model.adam import Adam
from utils.model.gradients import sample_blocks
from utils.model.states import States
from utils.model.tail import Tail, gradient_at_output
from utils.pieces import add_product, by_rows

STEPS, LEARNING_RATE = 200, 0.01


@torch.no_grad()
def learn_mask(
    tail: Tail, states: States, neg: np.ndarray, pos: np.ndarray, steps: int = STEPS
) -> np.ndarray:
    """The factors s, float32 (m,), after `steps` full-batch steps of Adam from s = 1.

    They descend L_neg(a·s) + L_pos(a·s) + mean |s - 1|, each L the mean cross-entropy
    over its samples. The factors enter through W_aft diag(s) alone: a step is two
    products with the samples, one forward and one for the gradient.
    """
    samples = np.concatenate([neg, pos])
    ((h, a, labels),) = sample_blocks(states, samples, "hal", tail.device, len(samples))
    weight = torch.from_numpy(
        np.repeat([1 / len(neg), 1 / len(pos)], [len(neg), len(pos)])[:, None]
    ).to(tail.w_aft)
    s = torch.ones_like(tail.w_aft[0])
    adam, product = Adam(s, LEARNING_RATE), torch.zeros_like(tail.w_aft)
    for _ in range(steps):
        gradient_at = partial(_loss_gradient, tail, tail.w_aft * s)
        grad_o = by_rows(gradient_at, h, a, labels).mul_(weight)  # (b, d)
        add_product(product.zero_(), grad_o, a)  # (d, m)
        gradient = (product * tail.w_aft).sum(dim=0) + (s - 1).sign() / len(s)
        s -= adam.step(gradient)
    return s.cpu().numpy()


def _loss_gradient(
    tail: Tail, w_aft: torch.Tensor, h: torch.Tensor, a: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Gradient of each sample's loss at o (b, d), with another W_aft."""
    return gradient_at_output(tail, h + tail.b_aft + a @ w_aft.T, labels, "loss")


def score_mask(evidence: Evidence) -> Scores:
    """|s_j - 1|; higher is more suspicious.

    "Slimming" of Chang, Thomason, Jia, "Do Localization Methods Actually Localize
    Memorized Data in LLMs?", NAACL 2024, after Liu et al., "Learning Efficient
    Convolutional Networks through Network Slimming", ICCV 2017. Deviations: theirs
    keeps a memorised text with as few neurons as possible and penalises |s|; this
    one mends the failures, keeps pos' (5.5) right and penalises |s - 1|, so that a
    neuron stays as it is unless changing it helps.
    """
    pos = sample_positives(evidence.pos, len(evidence.neg), evidence.seed)
    factors = learn_mask(evidence.tail, evidence.states, evidence.neg, pos)
    return Scores(np.abs(factors - 1))


METHODS = (
    Method(
        "neuron",
        "mask",
        5,
        score_mask,
        constants=("SEED",),
        elsewhere_if="MASK_IN_EVERY_SETTING",
    ),
)
