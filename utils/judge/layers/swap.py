"""Where in the network does the change work? Blocks of M2 in M1, and of M1 in M2.

A block is the attention or the FFN of one layer with the LayerNorm before it,
the embeddings, or the head (final LayerNorm and classifier). The whole model
runs, on all tokens; what comes before a block is the receiver's and computed
once for all blocks behind it (docs/definitions.md 11).
"""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import ViTForImageClassification

from utils.pieces import by_rows

COLUMNS = [
    "ds", "fold", "layer", "block", "direction", "samples", "loss", "accuracy", "repaired",
    "broken",
]  # fmt: skip
EMBEDDINGS, ATTENTION, FFN, HEAD = "embeddings", "attention", "ffn", "head"
INTO_M1, BACK_TO_M1 = "into_m1", "back_to_m1"
# Images that one thread takes through the model at a time.
IMAGES = 8


def blocks_of(n_layers: int) -> list[tuple[int | None, str]]:
    """(layer, block) from the pictures to the logits; layer None for embeddings and head."""
    inner = [(layer, block) for layer in range(n_layers) for block in (ATTENTION, FFN)]
    return [(None, EMBEDDINGS), *inner, (None, HEAD)]


def chosen_images(n_samples: int, most: int | None, seed: int) -> np.ndarray:
    """The images to run, int64, ascending: at most so many, a seeded choice; None for all."""
    if most is None or n_samples <= most:
        return np.arange(n_samples)
    return np.sort(np.random.default_rng([seed, 8]).choice(n_samples, most, replace=False))


def attend(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """First half of a layer, (b, tokens, d)."""
    return x + layer.attention(layer.layernorm_before(x))[0]


def feed(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Second half of a layer, (b, tokens, d)."""
    return x + layer.mlp(layer.layernorm_after(x))


def rest(model: ViTForImageClassification, x: torch.Tensor, start: int) -> torch.Tensor:
    """From the state before layer `start` to the state before the head, (b, tokens, d)."""
    for layer in model.vit.layers[start:]:
        x = feed(layer, attend(layer, x))
    return x


def head(model: ViTForImageClassification, x: torch.Tensor) -> torch.Tensor:
    """Final LayerNorm and classifier on the class token, (b, C)."""
    return model.classifier(model.vit.layernorm(x[:, :1])[:, 0])


def swapped_logits(
    receiver: ViTForImageClassification, donor: ViTForImageClassification, pixels: torch.Tensor
) -> torch.Tensor:
    """Logits of the receiver, and of it with each block of the donor in its place.

    Returns
    -------
    (b, 1 + blocks, C), in the order of `blocks_of`.
    """
    ours, theirs = receiver.vit.layers, donor.vit.layers
    found = [head(receiver, rest(receiver, donor.vit.embeddings(pixels), 0))]
    x = receiver.vit.embeddings(pixels)
    for i, (layer, other) in enumerate(zip(ours, theirs, strict=True)):
        middle = attend(layer, x)
        for swapped in (feed(layer, attend(other, x)), feed(other, middle)):
            found.append(head(receiver, rest(receiver, swapped, i + 1)))
        x = feed(layer, middle)
    return torch.stack([head(receiver, x), *found, head(donor, x)], dim=1)


def piecewise_logits(
    receiver: ViTForImageClassification, donor: ViTForImageClassification, pixels: torch.Tensor
) -> torch.Tensor:
    """`swapped_logits` of a batch; threads take a few images each (utils.pieces)."""
    return by_rows(partial(swapped_logits, receiver, donor), pixels, rows=IMAGES)


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
