"""Forty images and a tiny ViT with dropout, to be trained in a test."""

import dataclasses
from pathlib import Path

import datasets

from utils.constants import PROFILES, SPLIT_SEED
from utils.data import folds, originals
from utils.model import training
from utils.run.paths import FoldPaths

SHAPE = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
    "num_channels": 1,
    # dropout draws random numbers in every step, which a resumed run has to repeat
    "hidden_dropout_prob": 0.1,
}
PROFILE = dataclasses.replace(
    PROFILES["digits"], vit_config=SHAPE, learning_rate=5e-3, repeats_per_epoch=2
)
CONSTANTS = {"SEED": 777, "SPLIT_SEED": SPLIT_SEED, "N_FOLDS": 5}
RECORD = training.make_record(CONSTANTS, PROFILE, None, {"train": "a", "repair": "b"})


def make_source() -> datasets.DatasetDict:
    whole = originals.digits(SPLIT_SEED)
    return datasets.DatasetDict(
        train=whole["train"].select(range(50)), test=whole["test"].select(range(10))
    )


def make_fold(root: Path, source: datasets.DatasetDict) -> FoldPaths:
    """Fold 0 below a new root, with the record of a training."""
    paths = FoldPaths(root, "digits", 0)
    folds.make_fold(paths, source, "test", 5, SPLIT_SEED)
    training.save_record(paths, RECORD)
    return paths
