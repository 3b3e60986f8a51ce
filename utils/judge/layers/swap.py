"""Where in the network does the change work? Blocks of M2 in M1, and of M1 in M2.

A block is the attention or the FFN of one layer with the LayerNorm that goes with
it (before it in a ViT, behind it in a BERT), the embeddings, or the head (what comes
behind the last layer). The whole model runs, on all tokens; what comes before a
block is the receiver's and computed once for all blocks behind it (docs/definitions.md 11).
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from utils.model.class_token import MASK, family_of, in_pieces
from utils.model.tail import activation_function

if TYPE_CHECKING:  # the import takes seconds, and who summarises needs only names
    from transformers import PreTrainedModel

COLUMNS = [
    "ds", "fold", "layer", "block", "direction", "samples", "loss", "accuracy", "repaired",
    "broken",
]  # fmt: skip
EMBEDDINGS, ATTENTION, FFN, HEAD = "embeddings", "attention", "ffn", "head"
INTO_M1, BACK_TO_M1 = "into_m1", "back_to_m1"


def blocks_of(n_layers: int) -> list[tuple[int | None, str]]:
    """(layer, block) from the pictures to the logits; layer None for embeddings and head."""
    inner = [(layer, block) for layer in range(n_layers) for block in (ATTENTION, FFN)]
    return [(None, EMBEDDINGS), *inner, (None, HEAD)]


def chosen_images(n_samples: int, most: int | None, seed: int) -> np.ndarray:
    """The images to run, int64, ascending: at most so many, a seeded choice; None for all."""
    if most is None or n_samples <= most:
        return np.arange(n_samples)
    return np.sort(np.random.default_rng([seed, 8]).choice(n_samples, most, replace=False))


def rest(
    model: "PreTrainedModel", x: torch.Tensor, mask: torch.Tensor | None, start: int
) -> torch.Tensor:
    """From the state before layer `start` to the state before the head, (b, tokens, d)."""
    halves = family_of(model).halves
    for layer in layers_of(model)[start:]:
        x = halves.feed(layer, halves.attend(layer, x, mask))
    return x


def layers_of(model: "PreTrainedModel") -> nn.ModuleList:
    return model.get_submodule(family_of(model).layer[-1].removesuffix(".{}"))


def head(model: "PreTrainedModel", x: torch.Tensor) -> torch.Tensor:
    """Final LayerNorm where there is one, and the head's maps, on the first token, (b, C)."""
    family = family_of(model)
    x = x[:, :1]
    if family.final_norm:
        x = model.get_submodule(family.final_norm)(x)
    x = x[:, 0]
    for each in family.head:
        x = model.get_submodule(each.name)(x)
        x = activation_function(each.activation)(x) if each.activation else x
    return x


def swapped_logits(
    receiver: "PreTrainedModel", donor: "PreTrainedModel", inputs: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Logits of the receiver, and of it with each block of the donor in its place.

    inputs : what both are fed, by name.

    Returns
    -------
    (b, 1 + blocks, C), in the order of `blocks_of`.
    """
    family = family_of(receiver)
    halves, mask = family.halves, inputs.get(MASK)
    mask = None if mask is None else mask[:, None, None].bool()
    theirs = halves.embed(donor.get_submodule(family.body), inputs)
    found = [head(receiver, rest(receiver, theirs, mask, 0))]
    x = halves.embed(receiver.get_submodule(family.body), inputs)
    pairs = zip(layers_of(receiver), layers_of(donor), strict=True)
    for i, (layer, other) in enumerate(pairs):
        middle = halves.attend(layer, x, mask)
        attended = halves.feed(layer, halves.attend(other, x, mask))
        for swapped in (attended, halves.feed(other, middle)):
            found.append(head(receiver, rest(receiver, swapped, mask, i + 1)))
        x = halves.feed(layer, middle)
    return torch.stack([head(receiver, x), *found, head(donor, x)], dim=1)


def piecewise_logits(
    receiver: "PreTrainedModel", donor: "PreTrainedModel", inputs: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """`swapped_logits` of a batch; threads take a few samples each (utils.pieces)."""
    return in_pieces(partial(swapped_logits, receiver, donor), inputs)


def rows_of(logits: np.ndarray, labels: np.ndarray, n_layers: int) -> list[dict]:
    """One row per block; repaired and broken count against the model that receives.

    logits : float32 (S, 1 + blocks, C), of `swapped_logits`. labels : int64 (S,).
    """
    right = logits.argmax(2) == labels[:, None]  # (S, 1 + blocks)
    before = right[:, 0]
    rows = []
    for place, (layer, block) in enumerate(blocks_of(n_layers), 1):
        now = right[:, place]
        losses = F.cross_entropy(
            torch.from_numpy(np.array(logits[:, place])).double(),
            torch.from_numpy(labels),
            reduction="none",
        )
        rows.append({
            "layer": layer,
            "block": block,
            "samples": len(labels),
            "loss": float(losses.numpy().mean()),
            "accuracy": float(now.mean()),
            "repaired": int(np.count_nonzero(now & ~before)),
            "broken": int(np.count_nonzero(before & ~now)),
        })  # fmt: skip
    return rows
