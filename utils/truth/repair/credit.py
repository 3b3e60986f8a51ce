"""Repair credit: how much of the loss that the layer's change mends is owed to each weight.

|dW| says how far the optimiser moved a weight, not what the move mended.
Along the straight path from M1's two matrices to M2's, everything else being
M1's, the loss over failing test samples changes by the path integral of its
gradient; a weight's credit is its own part of that integral, with the sign
turned round (docs/definitions.md 9.2).

Lan, Liu, Zhou, Yosinski, "LCA: Loss Change Allocation for Neural Network
Training", NeurIPS 2019; Sundararajan, Taly, Yan 2017 for the path integral,
here along a path of weights. Deviation from Lan et al.: one straight path
instead of the steps that training took.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from utils import ranking
from utils.model.gradients import add_gradient, loss_gradients, sample_blocks
from utils.model.states import BLOCK, States
from utils.model.tail import Tail
from utils.pieces import by_rows, cpu_threads

PATH_POINTS = 8
COLUMNS = [
    "setting", "n_test", "loss_m1", "loss_transplanted", "credit", "gap", "share_helping",
    "credit_in_top1%",
]  # fmt: skip


@dataclass(frozen=True)
class RepairCredit:
    """credit : float32 (N,), canonical order, signed: > 0 where the change helped.

    loss_m1, loss_transplanted : mean cross-entropy of M1, and of M1 with both matrices of M2.
    """

    credit: np.ndarray
    loss_m1: float
    loss_transplanted: float

    @property
    def gap(self) -> float:
        """Sum of the credits minus the loss that the whole change mends; 0 but for quadrature."""
        return float(self.credit.sum(dtype=np.float64)) - (self.loss_m1 - self.loss_transplanted)


def path_points(count: int = PATH_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss-Legendre quadrature on [0, 1], each float64 (count,)."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


def moved(tail: Tail, delta_bef: torch.Tensor, delta_aft: torch.Tensor, t: float) -> Tail:
    """`tail` with both matrices a share `t` of the way along their change."""
    return replace(
        tail,
        w_bef=torch.add(tail.w_bef, delta_bef, alpha=t),
        w_aft=torch.add(tail.w_aft, delta_aft, alpha=t),
    )


@cpu_threads(1)  # threads take whole pieces (utils.pieces)
@torch.no_grad()
def repair_credit(
    tail: Tail,
    w_bef_m2: np.ndarray,
    w_aft_m2: np.ndarray,
    states: States,
    samples: np.ndarray,
    block: int = BLOCK,
) -> RepairCredit:
    """c_w = -dW_w · integral over t in [0, 1] of ∂L_I/∂W_w at W(M1) + t dW.

    Parameters
    ----------
    tail : M1's.
    w_bef_m2, w_aft_m2 : float32 (m, d) and (d, m), the matrices of M2.
    states : caches of the split that `samples` index; only h and the labels are read.
    samples : int64 (I,), ascending, not empty.
    """
    m2 = [torch.from_numpy(w).to(tail.device) for w in (w_bef_m2, w_aft_m2)]
    deltas = m2[0] - tail.w_bef, m2[1] - tail.w_aft
    total_bef, total_aft = torch.zeros_like(tail.w_bef), torch.zeros_like(tail.w_aft)
    for t, weight in zip(*path_points(), strict=True):
        here = moved(tail, *deltas, float(t))
        for h, labels in sample_blocks(states, samples, "hl", tail.device, block):
            found = by_rows(partial(_inputs_and_gradients, here), h, labels)
            add_gradient((total_bef, total_aft), *found, float(weight) / len(samples))
    credit = [
        total.mul_(delta).neg_().cpu()
        for total, delta in zip((total_bef, total_aft), deltas, strict=True)
    ]
    return RepairCredit(
        ranking.flatten(*(part.numpy() for part in credit)),
        *losses(tail, w_bef_m2, w_aft_m2, states, samples, block),
    )


def losses(
    tail: Tail,
    w_bef_m2: np.ndarray,
    w_aft_m2: np.ndarray,
    states: States,
    samples: np.ndarray,
    block: int = BLOCK,
) -> tuple[float, float]:
    """Mean cross-entropy over `samples` of M1, and of M1 with both matrices of M2."""
    m2 = [torch.from_numpy(w).to(tail.device) for w in (w_bef_m2, w_aft_m2)]
    transplanted = replace(tail, w_bef=m2[0], w_aft=m2[1])
    return (
        mean_loss(tail, states, samples, block),
        mean_loss(transplanted, states, samples, block),
    )


def _inputs_and_gradients(
    tail: Tail, h: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    u = tail.ffn_input(h)  # (b, d)
    pre = tail.pre_activation(u)  # (b, m)
    a = tail.activate(pre)
    return u, a, *loss_gradients(tail, pre, tail.output(h, a), labels)


@cpu_threads(1)
@torch.no_grad()
def mean_loss(tail: Tail, states: States, samples: np.ndarray, block: int = BLOCK) -> float:
    """Mean cross-entropy with the true label over `samples`, from their h alone."""
    total = 0.0
    for h, labels in sample_blocks(states, samples, "hl", tail.device, block):
        loss = F.cross_entropy(
            by_rows(tail.logits, h).cpu().double(), labels.cpu(), reduction="sum"
        )
        total += float(loss)
    return total / len(samples)


def repair_row(setting: str, found: RepairCredit, n_test: int, n_top: int) -> dict[str, object]:
    """One row of repair.csv.

    n_top : the size of the top 1%, by credit; the last column is the credit that they hold.
    """
    credit = found.credit
    top = np.partition(credit, len(credit) - n_top)[len(credit) - n_top :]
    return {
        "setting": setting,
        "n_test": n_test,
        "loss_m1": found.loss_m1,
        "loss_transplanted": found.loss_transplanted,
        "credit": float(credit.sum(dtype=np.float64)),
        "gap": found.gap,
        "share_helping": float(np.mean(credit > 0)),
        "credit_in_top1%": float(top.sum(dtype=np.float64)),
    }
