"""neuron / expected_gradients: from correct samples to failures (docs/definitions.md 13.5)."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from utils.methods.evidence import Evidence
from utils.methods.integrated_gradients import along_the_path
from utils.methods.method import Method, Scores
from utils.model.gradients import sample_blocks
from utils.model.states import BLOCK, States
from utils.model.tail import Tail, blocks
from utils.pieces import by_rows

# Baselines drawn for each failure.
BASELINES = 4


@dataclass(frozen=True)
class ExpectedGradients:
    """mean: float32 (m,), signed; gap: float32 (I, K), completeness gap of each path."""

    mean: np.ndarray
    gap: np.ndarray


def draw_baselines(
    pos: np.ndarray, n_neg: int, seed: int, per_sample: int = BASELINES
) -> np.ndarray:
    """int64 (n_neg, per_sample) of pos, each drawn by itself, with replacement."""
    return np.random.default_rng([seed, 13]).choice(pos, size=(n_neg, per_sample))


@torch.no_grad()
def expected_gradients(
    tail: Tail,
    states: States,
    samples: np.ndarray,
    baselines: np.ndarray,
    points: int,
    block: int = BLOCK,
) -> ExpectedGradients:
    """Integrated gradients whose paths begin at the neurons of other samples.

    mean over x and b of (a_j(x) - a_j(b)) (1/T) Σ_{t=1..T} ∂P_true/∂a_j, taken at
    a_b + ((t - ½)/T)(a_x - a_b), with h and the label of x (Erion, Janizek,
    Sturmfels, Lundberg, Lee, "Improving Performance of Deep Learning Models with
    Axiomatic Attribution Priors and Expected Gradients", Nature Machine
    Intelligence 3, 2021). Deviations: the midpoints of T equal parts stand for a
    random point of each path; the baselines are correct samples.

    Parameters
    ----------
    samples : int64 (I,), the x
    baselines : int64 (I, K), the b of each x
    points : T

    Returns
    -------
    The mean, and of each path |Σ_j attribution_j - (P(a_x) - P(a_b))|.
    """
    total = torch.zeros(tail.m, dtype=tail.w_aft.dtype, device=tail.device)
    gap = np.empty(baselines.shape, dtype=np.float32)
    for k, chosen in enumerate(baselines.T):
        parts = blocks(len(samples), block)
        ends = sample_blocks(states, samples, "hal", tail.device, block)
        starts = sample_blocks(states, chosen, "a", tail.device, block)
        for part, (h, a, labels), (base,) in zip(parts, ends, starts, strict=True):
            found, left = by_rows(partial(_from_baseline, tail, points), h, a, labels, base)
            total += found.sum(dim=0)
            gap[part, k] = left.cpu().numpy()
    return ExpectedGradients((total / baselines.size).cpu().numpy(), gap)


def _from_baseline(
    tail: Tail,
    points: int,
    h: torch.Tensor,
    a: torch.Tensor,
    labels: torch.Tensor,
    base: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    shares = [(t - 0.5) / points for t in range(1, points + 1)]
    return along_the_path(tail, shares, tail.output(h, base), a - base, labels)


def score_expected_gradients(evidence: Evidence) -> Scores:
    """The absolute mean; higher is more suspicious."""
    baselines = draw_baselines(evidence.pos, len(evidence.neg), evidence.seed)
    found = expected_gradients(
        evidence.tail, evidence.states, evidence.neg, baselines, evidence.ig_points
    )
    note = (
        f"expected_gradients completeness gap over {found.gap.size:,} paths: "
        f"mean {found.gap.mean():.2e}, max {found.gap.max():.2e}"
    )
    return Scores(np.abs(found.mean), extras={"eg_pos_sample": baselines}, notes=(note,))


METHODS = (
    Method(
        "neuron",
        "expected_gradients",
        4,
        score_expected_gradients,
        constants=("IG_POINTS", "SEED"),
    ),
)
