"""The tail of a model: everything between the first token's state `h` and the logits.

Only the first token reaches the logits from the last FFN, so these few
products give the model's own numbers from a cached `h` of shape (S, d).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

# What transformers builds for the usual names, without the seconds of its import.
KNOWN_ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "tanh": torch.tanh}


@cache
def activation_function(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The activation that transformers builds for a config's `hidden_act`.

    Raises
    ------
    ValueError : transformers does not know it.
    """
    if name in KNOWN_ACTIVATIONS:
        return KNOWN_ACTIVATIONS[name]
    from transformers.activations import ACT2FN

    try:
        return ACT2FN[name]
    except (KeyError, TypeError):
        raise ValueError(f"{name!r} is unknown to transformers") from None


@dataclass(frozen=True)
class Dense:
    """A linear map before the classifier, and the activation behind it."""

    weight: torch.Tensor  # (out, in)
    bias: torch.Tensor  # (out,)
    activation: str

    def to(self, target: torch.device | torch.dtype) -> "Dense":
        return Dense(self.weight.to(target), self.bias.to(target), self.activation)


@dataclass(frozen=True)
class Tail:
    """Weights from the last layer's FFN to the classifier, as torch stores them.

    `ln_weight` and `ln_bias` are the norm before the FFN, None where there is none (post-LN).
    `final_ln_weight` and `final_ln_bias` are the norm that is given y. `inner` are the maps
    between it and the classifier. `activation` is the FFN's, `eps` that of both norms.
    """

    w_bef: torch.Tensor  # (m, d)
    b_bef: torch.Tensor  # (m,)
    w_aft: torch.Tensor  # (d, m)
    b_aft: torch.Tensor  # (d,)
    ln_weight: torch.Tensor | None  # (d,)
    ln_bias: torch.Tensor | None  # (d,)
    final_ln_weight: torch.Tensor  # (d,)
    final_ln_bias: torch.Tensor  # (d,)
    head_weight: torch.Tensor  # (C, d), or as wide as the last inner map
    head_bias: torch.Tensor  # (C,)
    activation: str
    eps: float
    inner: tuple[Dense, ...] = ()

    @property
    def d(self) -> int:
        return self.w_bef.shape[1]

    @property
    def m(self) -> int:
        return self.w_bef.shape[0]

    @property
    def n_classes(self) -> int:
        return self.head_weight.shape[0]

    @property
    def device(self) -> torch.device:
        return self.w_bef.device

    def to(self, target: torch.device | torch.dtype) -> "Tail":
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {k: v.to(target) if torch.is_tensor(v) else v for k, v in values.items()}
        return Tail(**moved | {"inner": tuple(each.to(target) for each in self.inner)})

    def ffn_input(self, h: torch.Tensor) -> torch.Tensor:
        """u: LayerNorm of h, or h itself where the norm comes behind, (S, d)."""
        if self.ln_weight is None:
            return h
        return F.layer_norm(h, (self.d,), self.ln_weight, self.ln_bias, self.eps)

    def pre_activation(self, u: torch.Tensor) -> torch.Tensor:
        """W_bef u + b_bef, (S, m)."""
        return F.linear(u, self.w_bef, self.b_bef)

    def activate(self, pre: torch.Tensor) -> torch.Tensor:
        """a: the intermediate neurons, (S, m)."""
        return activation_function(self.activation)(pre)

    def output(self, h: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        """y = h + W_aft a + b_aft, (S, d)."""
        return h + F.linear(a, self.w_aft, self.b_aft)

    def logits_of_output(self, y: torch.Tensor) -> torch.Tensor:
        """Last LayerNorm and head: (S, d) to (S, C)."""
        z = F.layer_norm(y, (self.d,), self.final_ln_weight, self.final_ln_bias, self.eps)
        for each in self.inner:
            z = activation_function(each.activation)(F.linear(z, each.weight, each.bias))
        return F.linear(z, self.head_weight, self.head_bias)

    def logits(self, h: torch.Tensor) -> torch.Tensor:
        """(S, d) to (S, C): the whole tail."""
        return self.logits_of_output(
            self.output(h, self.activate(self.pre_activation(self.ffn_input(h))))
        )


def make_tail(
    weights: Mapping[str, np.ndarray], config: Mapping[str, Any], inner: Sequence[str] = ()
) -> Tail:
    """A Tail from its weights, float32.

    weights : by the fields of a Tail; `inner0_weight`, `inner0_bias` and so on are the inner maps.
    config : `hidden_act` and `layer_norm_eps`. inner : the activations behind the inner maps.
    """
    tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
    maps = tuple(
        Dense(tensors.pop(f"inner{i}_weight"), tensors.pop(f"inner{i}_bias"), activation)
        for i, activation in enumerate(inner)
    )
    return Tail(
        **{"ln_weight": None, "ln_bias": None} | tensors,
        activation=config.get("hidden_act", "gelu"),
        eps=float(config.get("layer_norm_eps", 1e-12)),
        inner=maps,
    )


def blocks(n: int, size: int) -> list[slice]:
    """Slices of at most `size` that cover range(n)."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def gradient_at_output(
    tail: Tail, y: torch.Tensor, labels: torch.Tensor, target: str
) -> torch.Tensor:
    """Gradient of a scalar per sample with respect to y (equally to o), (S, d).

    Parameters
    ----------
    y : (S, d)
    labels : int64 (S,), the true class of each sample
    target : "loss" (cross-entropy with the true label), "probability" (softmax
        probability of the true class) or "logit_sum" (O, the sum of the logits).
    """
    with torch.enable_grad():
        y = y.detach().requires_grad_(True)
        logits = tail.logits_of_output(y)
        if target == "loss":
            scalar = F.cross_entropy(logits, labels, reduction="sum")
        elif target == "probability":
            scalar = logits.softmax(dim=1).gather(1, labels[:, None]).sum()
        elif target == "logit_sum":
            scalar = logits.sum()
        else:
            raise ValueError(f"unknown target {target!r}")
        return torch.autograd.grad(scalar, y)[0]


def activation_slope(tail: Tail, pre: torch.Tensor) -> torch.Tensor:
    """Derivative of the activation at each pre-activation, (S, m)."""
    with torch.enable_grad():
        pre = pre.detach().requires_grad_(True)
        return torch.autograd.grad(tail.activate(pre).sum(), pre)[0]
