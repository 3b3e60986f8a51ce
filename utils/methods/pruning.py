"""weight / snip, fisher, obd: three criteria of pruning (docs/definitions.md 13.7)."""

from functools import partial

import numpy as np
import torch

from utils import ranking
from utils.methods.evidence import Evidence
from utils.methods.magnitude import weight_magnitude
from utils.methods.method import Method, Scores
from utils.model.gradients import input_and_gradients, sample_blocks
from utils.model.states import BLOCK, States
from utils.model.tail import Tail
from utils.pieces import add_product, by_rows


def snip(magnitude: np.ndarray, grad_loss: np.ndarray) -> np.ndarray:
    """|w| · |mean gradient|, float32 (N,); higher is more suspicious.

    Lee, Ajanthan, Torr, "SNIP: Single-Shot Network Pruning Based on Connection
    Sensitivity", ICLR 2019: the size of the loss's derivative with respect to a
    switch c_w at 1 that multiplies the weight. Deviations: not divided by its sum, which changes no
    rank; of a trained model over its failures, where SNIP prunes at initialisation.

    Parameters
    ----------
    magnitude : |w|, float32 (N,)
    grad_loss : mean gradient of the loss over neg, float32 (N,)
    """
    return magnitude * np.abs(grad_loss)


@torch.no_grad()
def fisher(tail: Tail, states: States, samples: np.ndarray, block: int = BLOCK) -> np.ndarray:
    """Mean over `samples` of each weight's squared gradient, float32 (N,), >= 0.

    The diagonal of the Fisher information (Kirkpatrick et al., "Overcoming
    Catastrophic Forgetting in Neural Networks", PNAS 114(13), 2017); higher is
    more suspicious. A sample's gradient is an outer product, so its square is the
    outer product of squares, (δ_pre²)ᵀ(u²) and (δ_o²)ᵀ(a²), and no samples x
    weights array is made. Deviation: with the true labels (the empirical Fisher)
    instead of labels drawn from the model.
    """
    sum_bef, sum_aft = torch.zeros_like(tail.w_bef), torch.zeros_like(tail.w_aft)
    for h, a, y, labels in sample_blocks(states, samples, "hayl", tail.device, block):
        u, grad_o, grad_pre = by_rows(partial(input_and_gradients, tail), h, y, labels)
        add_product(sum_aft, grad_o.square_(), a.square_())
        add_product(sum_bef, grad_pre.square_(), u.square_())
    mean = [total.div_(len(samples)).cpu().numpy() for total in (sum_bef, sum_aft)]
    return ranking.flatten(*mean)


def optimal_brain_damage(fisher: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """½ h w², float32 (N,), h the diagonal of the Hessian; higher is more suspicious.

    LeCun, Denker, Solla, "Optimal Brain Damage", NIPS 1989: what deleting
    the weight adds to the loss, to second order. Deviation: the empirical Fisher
    stands for the diagonal of the Hessian, which it equals in expectation where
    the model's probabilities are right.
    """
    return np.float32(0.5) * fisher * magnitude * magnitude


def fisher_of_failures(evidence: Evidence) -> np.ndarray:
    """Mean squared gradient of the loss over neg, (N,)."""
    return evidence.once(
        "pruning.fisher", lambda: fisher(evidence.tail, evidence.states, evidence.neg)
    )


def score_snip(evidence: Evidence) -> Scores:
    return Scores(snip(weight_magnitude(evidence.tail), evidence.grad_loss))


def score_fisher(evidence: Evidence) -> Scores:
    return Scores(fisher_of_failures(evidence))


def score_obd(evidence: Evidence) -> Scores:
    return Scores(
        optimal_brain_damage(fisher_of_failures(evidence), weight_magnitude(evidence.tail))
    )


METHODS = (
    Method("weight", "snip", 5, score_snip),
    Method("weight", "fisher", 5, score_fisher),
    Method("weight", "obd", 5, score_obd),
)
