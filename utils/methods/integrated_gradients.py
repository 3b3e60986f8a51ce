"""neuron / ig: integrated gradients of the true class's probability (docs/definitions.md 5.2)."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores
from utils.model.gradients import sample_blocks
from utils.model.states import BLOCK, States
from utils.model.tail import Tail, gradient_at_output
from utils.pieces import by_rows


@dataclass(frozen=True)
class IntegratedGradients:
    """score: float32 (m,), signed, higher is more suspicious; gap: float32 (S,)."""

    score: np.ndarray
    gap: np.ndarray


@torch.no_grad()
def integrated_gradients(
    tail: Tail, states: States, samples: np.ndarray, points: int, block: int = BLOCK
) -> IntegratedGradients:
    """Integrated gradients with respect to the intermediate neurons, averaged over `samples`.

    score_j = mean_x [ a_j (1/T) sum_{t=1..T} dP_true(t/T a) / da_j ], baseline 0
    (Sundararajan, Taly, Yan 2017, eq. 1; Dai et al. 2022, eq. 3, right Riemann
    sum). The neurons enter the rest of the model only through W_aft a, which
    is linear: so one product with W_aft gives every point of the path, and the
    gradients at the points are summed before the one product that takes them
    back to the neurons.

    Returns
    -------
    The score, and per sample the completeness gap
    |sum_j ig_j - (P(a) - P(0))| that the Riemann sum leaves.
    """
    total = torch.zeros(tail.m, dtype=torch.float32, device=tail.device)
    gaps = []
    for h, a, labels in sample_blocks(states, samples, "hal", tail.device, block):
        ig, gap = by_rows(partial(_from_zero, tail, points), h, a, labels)
        total += ig.sum(dim=0)
        gaps.append(gap.cpu().numpy())
    return IntegratedGradients(score=(total / len(samples)).cpu().numpy(), gap=np.concatenate(gaps))


def _from_zero(
    tail: Tail, points: int, h: torch.Tensor, a: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    shares = [t / points for t in range(1, points + 1)]
    return along_the_path(tail, shares, h + tail.b_aft, a, labels)


def along_the_path(
    tail: Tail, shares: list[float], start: torch.Tensor, step: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each sample's integrated gradients (b, m) and completeness gap (b,).

    start : (b, d), y where the path begins. step : (b, m), what the path adds to a.
    shares : the points of the path, from 0 to 1.
    """
    path = step @ tail.w_aft.T  # (b, d)
    grad_y = torch.zeros_like(path)
    for share in shares:
        grad_y += gradient_at_output(tail, start + share * path, labels, "probability")
    found = (grad_y @ tail.w_aft).mul_(step).div_(len(shares))
    ends = [
        tail.logits_of_output(y).softmax(dim=1).gather(1, labels[:, None])[:, 0]
        for y in (start, start + path)
    ]
    return found, (found.sum(dim=1) - (ends[1] - ends[0])).abs()


def score_ig(evidence: Evidence) -> Scores:
    result = integrated_gradients(
        evidence.tail, evidence.states, evidence.everyone, evidence.ig_points
    )
    gap = result.gap
    note = (
        f"ig completeness gap |sum_j ig_j - (P(a) - P(0))| over {len(gap):,} samples: "
        f"mean {gap.mean():.2e}, median {np.median(gap):.2e}, max {gap.max():.2e}"
    )
    return Scores(result.score, extras={"ig_completeness_gap": gap}, notes=(note,))


METHODS = (Method("neuron", "ig", 4, score_ig, per_setting=False, constants=("IG_POINTS",)),)
