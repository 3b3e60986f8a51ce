"""The caches of the first token's states on the disk (docs/definitions.md 4), and M1's tail."""

from pathlib import Path

import numpy as np

from utils.errors import UserError
from utils.model import checkpoints, configs
from utils.model.states import States
from utils.model.tail import Tail, activation_function, make_tail
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


def load_tail(checkpoint: Path) -> Tail:
    """The tail of the classifier in `checkpoint`, on the CPU."""
    config = configs.read_config(checkpoint)
    *inner, _ = configs.family_of(config).head
    tail = make_tail(
        checkpoints.read_tail(checkpoint),
        configs.tail_config(config),
        [each.activation for each in inner],
    )
    try:
        activation_function(tail.activation)
    except ValueError as error:
        key = configs.family_of(config).keys.activation
        raise UserError(
            f"{checkpoint}: {key} in config.json is no activation: {error}; copy the checkpoint "
            "again"
        ) from None
    return tail


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


def require_test_split(paths: FoldPaths, step: int) -> None:
    """Refuse a fold whose data set has no test split: no other step can make what `step` needs."""
    if paths.cache("labels", "test").is_file() or not paths.dataset.is_dir():
        return
    from utils.data import folds  # imports datasets, which steps 8 and 9 do without as a rule

    names = folds.names_of(paths)
    if "test" not in names:
        raise UserError(
            f"{paths.dataset} has the splits {', '.join(names)} and no 'test', on which step "
            f"{step} measures; add one to the data set, or leave step {step} out"
        )


def cache_inputs(paths: FoldPaths, split: str = "repair") -> list[tuple[Path, int]]:
    """The cache files of a split as inputs of a task."""
    return [(paths.cache(name, split), CACHE_STEP) for name in CACHES]
