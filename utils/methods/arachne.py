"""weight / bl: gradient loss and forward impact (docs/definitions.md 5.5).

Arachne: Sohn, Kang, Yoo, "Arachne: Search-Based Repair of Deep Neural
Networks", TOSEM 2023, Algorithm 1.
"""

from functools import partial

import numpy as np
import torch

from utils import ranking
from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores
from utils.model import gradients
from utils.model.gradients import sample_blocks
from utils.model.states import BLOCK, States
from utils.model.tail import Tail, gradient_at_output
from utils.pieces import add_product, by_rows


@torch.no_grad()
def forward_impact(
    tail: Tail, states: States, samples: np.ndarray, block: int = BLOCK
) -> np.ndarray:
    """Forward impact FI_w over `samples`, float32 (N,) in canonical order, >= 0.

    For w from input x_i to neuron j: mean(|x_i w| / sum_i' |x_i' W[j, i']|)
    times mean(|dO/dout_j| / sum_j' |dO/dout_j'|), O the sum of the logits. The
    first mean is |w| times a product of |x| with the inverse sums, so that no
    samples x out x in tensor is ever made. 0/0 counts as 0; a sum below
    float32's smallest normal number counts as 0 too.

    Higher means more impact, hence more suspicious.
    """
    abs_bef, abs_aft = tail.w_bef.abs(), tail.w_aft.abs()
    in_bef, in_aft = torch.zeros_like(abs_bef), torch.zeros_like(abs_aft)
    out_a = torch.zeros(tail.m, dtype=torch.float64, device=_wide(tail.device))
    out_o = torch.zeros(tail.d, dtype=torch.float64, device=_wide(tail.device))
    for h, a, y in sample_blocks(states, samples, "hay", tail.device, block):
        _add_input_share(in_bef, by_rows(tail.ffn_input, h).abs(), abs_bef)
        _add_input_share(in_aft, a.abs(), abs_aft)
        share_a, share_o = by_rows(partial(_output_shares, tail), y)  # (b, m), (b, d)
        out_a += share_a.sum(dim=0).to(out_a.device).double()
        out_o += share_o.sum(dim=0).to(out_o.device).double()
    n = len(samples)
    mean_a = (out_a / n).to(tail.w_bef)
    mean_o = (out_o / n).to(tail.w_aft)
    impact_bef = in_bef.div_(n).mul_(abs_bef).mul_(mean_a[:, None])  # (m, d)
    impact_aft = in_aft.div_(n).mul_(abs_aft).mul_(mean_o[:, None])  # (d, m)
    return ranking.flatten(impact_bef.cpu().numpy(), impact_aft.cpu().numpy())


def _wide(device: torch.device) -> torch.device:
    """mps has no float64: its few sums go to the CPU."""
    return torch.device("cpu") if device.type == "mps" else device


def _safe_inverse(sums: torch.Tensor) -> torch.Tensor:
    smallest = torch.finfo(sums.dtype).tiny
    return sums.reciprocal().masked_fill_(sums < smallest, 0)


def _add_input_share(total: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> None:
    """Add sum_x |x_i| / s_xj to `total` (out, in), with s = |x| |W|^T of shape (b, out)."""
    add_product(total, by_rows(lambda rows: _safe_inverse(rows @ weight.T), x), x)


def _output_shares(tail: Tail, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """|dO/dout_j| / sum_j' |dO/dout_j'| of each sample, at a (b, m) and at o (b, d)."""
    grad_o = gradient_at_output(tail, y, torch.empty(0), "logit_sum")
    return _share_of_row(grad_o @ tail.w_aft), _share_of_row(grad_o)


def _share_of_row(gradient: torch.Tensor) -> torch.Tensor:
    """|g_j| / sum_j' |g_j'|, (b, out)."""
    size = gradient.abs()
    return size.mul_(_safe_inverse(size.sum(dim=1, keepdim=True)))


def sample_positives(pos: np.ndarray, n_neg: int, seed: int) -> np.ndarray:
    """pos': min(|neg|, |pos|) samples of pos without replacement, ascending int64."""
    size = min(n_neg, len(pos))
    return np.sort(np.random.default_rng(seed).choice(pos, size=size, replace=False))


def relative(neg: np.ndarray, pos: np.ndarray) -> np.ndarray:
    """neg / (1 + pos) for non-negative scores of the two sets, (N,)."""
    return neg / (1 + pos)


def combine(gradient_loss: np.ndarray, impact: np.ndarray) -> np.ndarray:
    """0.5 minmax(GL) + 0.5 minmax(FI) over all N weights at once, float32 (N,)."""
    score = ranking.minmax(gradient_loss)
    score += ranking.minmax(impact)
    score *= 0.5
    return score


def pareto_front(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Indices of the points that no other point dominates, both objectives maximised.

    A point dominates another if it is at least as high in both and higher in
    one; equal points do not dominate each other. Ascending int32.
    """
    best_first = first == first.max()
    best_second = second == second.max()
    # No point below either corner of the front can be on it, nor any that the
    # knee (the highest sum of scaled objectives) dominates.
    knee = np.argmax(ranking.minmax(first) + ranking.minmax(second))
    candidates = np.flatnonzero(
        (first >= first[best_second].max())
        & (second >= second[best_first].max())
        & ((first >= first[knee]) | (second >= second[knee]))
    )
    order = candidates[np.lexsort((-second[candidates], -first[candidates]))]
    f, s = first[order], second[order]
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(s)[:-1]])
    equal_first = np.concatenate([[False], (f[1:] == f[:-1]) & (s[1:] == s[:-1])])
    keep = s > best_before
    for i in np.flatnonzero(equal_first):  # equal points share the fate of the first of them
        keep[i] = keep[i - 1]
    return np.sort(order[keep]).astype(np.int32)


def impact_of_failures(evidence: Evidence) -> np.ndarray:
    """Forward impact over neg, (N,)."""
    return evidence.once(
        "arachne.impact", lambda: forward_impact(evidence.tail, evidence.states, evidence.neg)
    )


def score_bl(evidence: Evidence) -> Scores:
    sample = sample_positives(evidence.pos, len(evidence.neg), evidence.seed)
    grad_pos = gradients.mean_loss_gradient(evidence.tail, evidence.states, sample)
    impact_pos = forward_impact(evidence.tail, evidence.states, sample)
    loss = relative(np.abs(evidence.grad_loss), np.abs(grad_pos))
    impact = relative(impact_of_failures(evidence), impact_pos)
    front = pareto_front(loss, impact)
    return Scores(
        combine(loss, impact),
        extras={"weight_bl_pareto": front, "bl_pos_sample": sample},
        notes=(f"bl: {len(front):,} weights on the Pareto front, |pos'| = {len(sample):,}",),
    )


def score_grad_loss(evidence: Evidence) -> Scores:
    return Scores(np.abs(evidence.grad_loss))


def score_forward_impact(evidence: Evidence) -> Scores:
    return Scores(impact_of_failures(evidence))


METHODS = (
    Method("weight", "bl", 5, score_bl, constants=("SEED",)),
    Method("weight", "grad_loss", 5, score_grad_loss),
    Method("weight", "forward_impact", 5, score_forward_impact),
)
