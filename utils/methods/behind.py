"""What stands between the last LayerNorm and the logits, as zero_out and care need it.

The first linear map there is closed in both norms (utils.methods.interventions): setting a_j
moves what it gives to an exact value. A head of one linear map ends with that. Behind any other
the rest of the head is evaluated, at each value of each neuron in each sample.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from utils.model.tail import Dense, Tail, activation_function


@dataclass(frozen=True)
class Behind:
    """The head, taken apart.

    first : (p, d), the first map's weights times those of the LayerNorm before it.
    bias : (p,), what it gives where the LayerNorm gives its own bias.
    activation : behind the first map; None where that map gives the logits.
    inner : further maps with activations. last : weights (C, q) of the map to the logits.
    """

    first: torch.Tensor
    bias: torch.Tensor
    activation: str | None
    inner: tuple[Dense, ...]
    last: torch.Tensor | None

    def hidden(self, given: torch.Tensor) -> torch.Tensor:
        """What the map to the logits is given, (..., q), of what the first gives, (..., p).

        given : may be written over.
        """
        z = (
            tanh_(given)
            if self.activation == "tanh"
            else activation_function(self.activation)(given)
        )
        for each in self.inner:
            z = activation_function(each.activation)(F.linear(z, each.weight, each.bias))
        return z


def tanh_(x: torch.Tensor) -> torch.Tensor:
    """2 σ(2x) - 1 in place: to 2e-7 what torch.tanh gives, in half of its time."""
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def behind(tail: Tail) -> Behind:
    first = tail.inner[0] if tail.inner else None
    weight, bias = (first.weight, first.bias) if first else (tail.head_weight, tail.head_bias)
    return Behind(
        weight * tail.final_ln_weight,
        F.linear(tail.final_ln_bias, weight, bias),
        first.activation if first else None,
        tail.inner[1:],
        tail.head_weight if first else None,
    )


def changes_of_logits(
    head: Behind,
    terms: torch.Tensor,
    before: torch.Tensor,
    ways: torch.Tensor,
    scale: torch.Tensor,
    move: torch.Tensor,
) -> torch.Tensor:
    """How each logit changes where one neuron is set, (b, C, neurons), behind an evaluated head.

    A difference is taken before the map to the logits, so that what moves nothing changes nothing.

    Parameters
    ----------
    terms : (b, p), of `Outputs`. before : (b, p), what the first map gives to the samples.
    ways : (p, neurons), what one unit of each neuron adds to it.
    scale, move : (b, neurons), what `terms` and `ways` are multiplied by.
    """
    given = ways.T * move[:, :, None]  # (b, neurons, p)
    given.baddbmm_(scale[:, :, None], terms[:, None])
    given += before[:, None]
    moved = head.hidden(given)
    moved -= head.hidden(before.clone())[:, None]
    return head.last @ moved.transpose(1, 2)  # several times as fast as the product turned round
