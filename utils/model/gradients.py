"""Mean gradient of the loss with respect to every ranked weight."""

from collections.abc import Iterator

import numpy as np
import torch

from utils import ranking
from utils.model.states import BLOCK, States
from utils.model.tail import Tail, activation_slope, blocks, gradient_at_output


def sample_blocks(
    states: States, samples: np.ndarray, names: str, device: torch.device, block: int = BLOCK
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Read the caches `names` (letters of States: "h", "a", "y", or "l" for labels) block by block.

    samples : int64 (I,), ascending indices into the repair split. Memory does
    not grow with I: the caches are memory-mapped and copied a block at a time.
    """
    sources = {"h": states.h, "a": states.a, "y": states.y, "l": states.labels}
    for part in blocks(len(samples), block):
        rows = samples[part]
        yield tuple(
            torch.from_numpy(np.take(sources[name], rows, axis=0)).to(device) for name in names
        )


@torch.no_grad()
def mean_loss_gradient(
    tail: Tail, states: States, samples: np.ndarray, block: int = BLOCK
) -> np.ndarray:
    """Mean over `samples` of the gradient of the cross-entropy with the true label.

    Returns
    -------
    float32 (N,) in canonical order, signed; its absolute value is Arachne's
    gradient loss (Sohn et al. 2023), where higher is more suspicious.
    """
    sum_bef, sum_aft = torch.zeros_like(tail.w_bef), torch.zeros_like(tail.w_aft)
    for h, a, y, labels in sample_blocks(states, samples, "hayl", tail.device, block):
        u = tail.ffn_input(h)  # (b, d)
        add_loss_gradient((sum_bef, sum_aft), tail, u, tail.pre_activation(u), a, y, labels)
    mean = [total.div_(len(samples)).cpu().numpy() for total in (sum_bef, sum_aft)]
    return ranking.flatten(*mean)


def add_loss_gradient(
    totals: tuple[torch.Tensor, torch.Tensor],
    tail: Tail,
    u: torch.Tensor,
    pre: torch.Tensor,
    a: torch.Tensor,
    y: torch.Tensor,
    labels: torch.Tensor,
    weight: float = 1,
) -> None:
    """Add `weight` times the gradient of the summed cross-entropy to `totals`.

    totals : (m, d) and (d, m), for W_bef and W_aft.
    u (b, d), pre (b, m), a (b, m), y (b, d), labels (b,) : states of a block of samples.
    """
    grad_o = gradient_at_output(tail, y, labels, "loss")  # (b, d)
    grad_pre = grad_o @ tail.w_aft  # (b, m)
    grad_pre *= activation_slope(tail, pre)
    totals[1].addmm_(grad_o.T, a, alpha=weight)  # (d, m)
    totals[0].addmm_(grad_pre.T, u, alpha=weight)  # (m, d)
