"""The caches of the class token's states: what they are, and reading them (definitions 4)."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from utils.errors import UserError
from utils.model import checkpoints
from utils.model.tail import Tail, blocks, make_tail
from utils.pieces import by_rows
from utils.run import storage
from utils.run.paths import FoldPaths

# name of the cache -> (dtype, shape after S) with d, m, C as letters
CACHES = {
    "hidden_before_layernorm": (np.float32, ("d",)),
    "intermediate": (np.float32, ("m",)),
    "output": (np.float32, ("d",)),
    "logits": (np.float32, ("C",)),
    "labels": (np.int64, ()),
}
CACHE_STEP = 3
# Samples that are read and worked on at a time: enough pieces (utils.pieces) for many
# cores, and a block of activations (48 MiB for ViT-Base) does not count beside the caches.
BLOCK = 4096


@dataclass(frozen=True)
class States:
    """The caches of one fold, memory-mapped: h (S, d), a (S, m), y (S, d), logits (S, C)."""

    h: np.ndarray
    a: np.ndarray
    y: np.ndarray
    logits: np.ndarray
    labels: np.ndarray

    @property
    def n_samples(self) -> int:
        return len(self.labels)


def load_tail(checkpoint: Path) -> Tail:
    """The tail of the classifier in `checkpoint`, on the CPU."""
    return make_tail(checkpoints.read_tail(checkpoint), checkpoints.read_config(checkpoint))


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


def load_states(paths: FoldPaths, tail: Tail, split: str = "repair") -> States:
    """Memory-map the caches of a split after checking length, dtype and finiteness."""
    sizes = {"d": tail.d, "m": tail.m, "C": tail.n_classes}
    remedy = storage.run_again(CACHE_STEP)
    labels = storage.load_array(paths.cache("labels", split), (np.int64,), (None,), remedy)
    arrays = {}
    for name, (dtype, letters) in CACHES.items():
        shape = (len(labels), *(sizes[letter] for letter in letters))
        path = paths.cache(name, split)
        arrays[name] = storage.load_array(path, (dtype,), shape, remedy)
        storage.require_finite(arrays[name], path, remedy)
    if labels.min() < 0 or labels.max() >= tail.n_classes:
        raise UserError(
            f"{paths.cache('labels', split)} has labels outside the model's classes; {remedy}"
        )
    return States(
        h=arrays["hidden_before_layernorm"],
        a=arrays["intermediate"],
        y=arrays["output"],
        logits=arrays["logits"],
        labels=arrays["labels"],
    )


def cache_inputs(paths: FoldPaths, split: str = "repair") -> list[tuple[Path, int]]:
    """The cache files of a split as inputs of a task."""
    return [(paths.cache(name, split), CACHE_STEP) for name in CACHES]
