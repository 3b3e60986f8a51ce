"""The states of the class token around the last FFN, and what they are computed with."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from utils.model.tail import Tail, blocks
from utils.pieces import by_rows

# Samples that are read and worked on at a time: enough pieces (utils.pieces) for many
# cores, and a block of activations (48 MiB for ViT-Base) does not count beside the caches.
BLOCK = 4096


@dataclass(frozen=True)
class States:
    """What S samples become: h (S, d), a (S, m), y (S, d), logits (S, C), float32; labels (S,).

    Those of a fold are memory-mapped caches (`utils.model.caches`).
    """

    h: np.ndarray
    a: np.ndarray
    y: np.ndarray
    logits: np.ndarray
    labels: np.ndarray

    @property
    def n_samples(self) -> int:
        return len(self.labels)


def states_from_h(
    tail: Tail, h: np.ndarray, block: int = BLOCK
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a (S, m), y (S, d) and logits (S, C), float32, from h (S, d) through the tail."""
    a = np.empty((len(h), tail.m), dtype=np.float32)
    y = np.empty((len(h), tail.d), dtype=np.float32)
    logits = np.empty((len(h), tail.n_classes), dtype=np.float32)
    for part in blocks(len(h), block):
        states = torch.from_numpy(np.array(h[part])).to(tail.device)  # (b, d)
        found = by_rows(partial(_states, tail), states)
        a[part], y[part], logits[part] = (values.cpu().numpy() for values in found)
    return a, y, logits


def _states(tail: Tail, h: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """a (b, m), y (b, d) and logits (b, C)."""
    a = tail.activate(tail.pre_activation(tail.ffn_input(h)))
    y = tail.output(h, a)
    return a, y, tail.logits_of_output(y)
