"""Mean gradient of the loss with respect to every ranked weight."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from utils import ranking
from utils.model.states import BLOCK, States
from utils.model.tail import Tail, activation_slope, blocks, gradient_at_output
from utils.pieces import add_product, by_rows


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
        u, grad_o, grad_pre = by_rows(partial(input_and_gradients, tail), h, y, labels)
        add_gradient((sum_bef, sum_aft), u, a, grad_o, grad_pre)
    mean = [total.div_(len(samples)).cpu().numpy() for total in (sum_bef, sum_aft)]
    return ranking.flatten(*mean)


def input_and_gradients(
    tail: Tail, h: torch.Tensor, y: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """u (b, d), and `loss_gradients` of the samples, from h (b, d)."""
    u = tail.ffn_input(h)
    return u, *loss_gradients(tail, tail.pre_activation(u), y, labels)


def loss_gradients(
    tail: Tail, pre: torch.Tensor, y: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient of each sample's cross-entropy at o (b, d) and at the pre-activation (b, m).

    pre (b, m), y (b, d), labels (b,) : states of some samples.
    """
    grad_o = gradient_at_output(tail, y, labels, "loss")
    grad_pre = grad_o @ tail.w_aft
    grad_pre *= activation_slope(tail, pre)
    return grad_o, grad_pre


def add_gradient(
    totals: tuple[torch.Tensor, torch.Tensor],
    u: torch.Tensor,
    a: torch.Tensor,
    grad_o: torch.Tensor,
    grad_pre: torch.Tensor,
    weight: float = 1,
) -> None:
    """Add `weight` times the gradient of a summed loss to `totals`.

    totals : (m, d) and (d, m), for W_bef and W_aft.
    u (b, d), a (b, m) : inputs of the two matrices; grad_o, grad_pre : as of `loss_gradients`.
    """
    add_product(totals[1], grad_o, a, weight)
    add_product(totals[0], grad_pre, u, weight)
