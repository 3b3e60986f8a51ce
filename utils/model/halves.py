"""The halves of a layer as transformers builds it, for the families that share them.

A layer is its attention and then its FFN, each with the norm that goes with it. `mask` is None
where no token is padding, else bool (b, 1, 1, tokens), True for what is no padding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Inputs = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Halves:
    """embed : (body of the model, what it is fed) to the state before layer 0, (b, tokens, d).

    attend : (layer, state, mask) to the state between the halves, each (b, tokens, d).
    feed : (layer, that state) to the layer's output.
    """

    embed: Callable[[Any, Inputs], torch.Tensor]
    attend: Callable[[Any, torch.Tensor, torch.Tensor | None], torch.Tensor]
    feed: Callable[[Any, torch.Tensor], torch.Tensor]


def _embed_pictures(body: nn.Module, inputs: Inputs) -> torch.Tensor:
    return body.embeddings(inputs["pixel_values"])


def _attend_after_norm(
    layer: nn.Module, x: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    return x + layer.attention(layer.layernorm_before(x))[0]


def _feed_after_norm(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return x + layer.mlp(layer.layernorm_after(x))


def _embed_tokens(body: nn.Module, inputs: Inputs) -> torch.Tensor:
    taken = {name: values for name, values in inputs.items() if name != "attention_mask"}
    x = body.embeddings(**taken)
    project = getattr(body, "embeddings_project", None)  # where they are narrower than a layer
    return x if project is None else project(x)


def _attend_of_bert(layer: nn.Module, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return layer.attention(x, mask)[0]


def _feed_of_bert(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return layer.output(layer.intermediate(x), x)


def _attend_of_distilbert(
    layer: nn.Module, x: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    return layer.sa_layer_norm(layer.attention(x, attention_mask=mask)[0] + x)


def _feed_of_distilbert(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return layer.output_layer_norm(layer.ffn(x) + x)


LIKE_VIT = Halves(_embed_pictures, _attend_after_norm, _feed_after_norm)
LIKE_BERT = Halves(_embed_tokens, _attend_of_bert, _feed_of_bert)
LIKE_DISTILBERT = Halves(_embed_tokens, _attend_of_distilbert, _feed_of_distilbert)
