"""Slow references for retraining: the whole model, autograd and torch.optim, in float64."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

SPEEDS = (0.003, 0.01, 0.03, 0.1, 0.3)
Logits = Callable[[torch.Tensor, torch.Tensor, np.ndarray], torch.Tensor]


@dataclass(frozen=True)
class Kept:
    """What a reference keeps; `losses` by (r, steps), with no step as (0, 0)."""

    r: float
    steps: int
    delta: np.ndarray
    loss_fit: float
    losses: dict[tuple[float, int], float]


def of_net(net, h: np.ndarray) -> Logits:
    """Logits of some samples with other matrices, from the float64 tail."""
    wide = torch.from_numpy(h).double()

    def logits(w_bef, w_aft, samples):
        some = wide[samples]
        return net.logits(some + net.o(net.a(some, w_bef), w_aft))

    return logits


def of_vit(model, pixels: torch.Tensor) -> Logits:
    """The same from a whole transformers model, picture to class."""
    model = copy.deepcopy(model).double().eval()
    last = len(model.vit.layers) - 1
    names = [f"vit.layers.{last}.mlp.{fc}.weight" for fc in ("fc1", "fc2")]

    def logits(w_bef, w_aft, samples):
        inputs = {"pixel_values": pixels[samples].double()}
        weights = dict(zip(names, (w_bef, w_aft), strict=True))
        return torch.func.functional_call(model, weights, kwargs=inputs).logits

    return logits


def retrain(
    logits: Logits, matrices, chosen: np.ndarray, labels: np.ndarray, fitted, held_out
) -> dict[str, Kept]:
    """docs/definitions.md 15 step by step; chosen: canonical indices, in a ranking's order."""
    start = [torch.as_tensor(w).double() for w in matrices]
    size = start[0].numel()
    places = [chosen[chosen < size], chosen[chosen >= size] - size]
    free = [w.clone().requires_grad_(True) for w in start]
    masks = [torch.zeros_like(w) for w in start]
    for mask, at in zip(masks, places, strict=True):
        mask.view(-1)[torch.from_numpy(at.astype(np.int64))] = 1

    def loss(w_bef, w_aft, samples):
        return F.cross_entropy(logits(w_bef, w_aft, samples), torch.from_numpy(labels[samples]))

    def masked_gradients(weights):
        grads = torch.autograd.grad(loss(*weights, fitted), weights)
        return [g * mask for g, mask in zip(grads, masks, strict=True)]

    numbers = torch.cat([w.ravel() for w in start])
    rms = math.sqrt(float((numbers**2).mean()))
    lengths = [
        math.sqrt(sum(float((x * mask).square().sum()) for x, mask in zip(xs, masks, strict=True)))
        for xs in (start, masked_gradients(free))
    ]
    rates = {"adam": rms, "sgd": lengths[0] / lengths[1] if lengths[1] else 0}
    kept = {}
    for name, rate in rates.items():
        losses, states = {(0, 0): loss(*start, held_out).item()}, {(0, 0): start}
        for r in SPEEDS:
            weights = [w.clone().requires_grad_(True) for w in start]
            kind = torch.optim.Adam if name == "adam" else torch.optim.SGD
            optimizer = kind(weights, lr=r * rate)
            for step in range(1, 41):
                for w, gradient in zip(weights, masked_gradients(weights), strict=True):
                    w.grad = gradient
                optimizer.step()
                if step % 5 == 0:
                    losses[r, step] = loss(*weights, held_out).item()
                    states[r, step] = [w.detach().clone() for w in weights]
        finite = {key: value for key, value in losses.items() if math.isfinite(value)}
        r, steps = min(finite, key=lambda key: (finite[key], key[1], key[0]))
        moved = torch.cat([w.ravel() for w in states[r, steps]]) - numbers
        delta = moved[torch.from_numpy(chosen.astype(np.int64))].numpy()
        fit = loss(*states[r, steps], fitted).item()
        kept[name] = Kept(r, steps, delta, fit, losses)
    return kept
