"""The splits that a training reads, and what the model is fed of them."""

import datasets
import torch

from utils.constants import Profile
from utils.data import folds, schema
from utils.errors import UserError
from utils.model import agreement, feeding
from utils.run.paths import FoldPaths


def read_splits(
    paths: FoldPaths, profile: Profile
) -> tuple[dict[str, datasets.Dataset], list[str]]:
    """The splits train and repair, and the names of the classes, after checking the labels."""
    splits: dict[str, datasets.Dataset] = {}
    names: list[str] = []
    agreement.require_splits_agree(paths)
    for split in ("train", "repair"):
        dataset = folds.load_split(paths, split)
        where = where_is(paths, split)
        label = schema.columns_by_kind(dataset.features, profile, where)[-1]
        names = names or schema.class_names(dataset, label)
        schema.require_labels(schema.read_labels(dataset, label), len(names), where)
        splits[split] = dataset
    if len(names) < 2:
        raise UserError(f"{where} has one class; a classifier is trained on two or more")
    return splits, names


def make_rows(
    splits: dict[str, datasets.Dataset], feed: feeding.Feed, paths: FoldPaths, profile: Profile
) -> dict[str, torch.utils.data.Dataset]:
    """What the model is fed of each split."""
    return {
        split: feed.rows(
            dataset, feed.columns(dataset.features, profile, where_is(paths, split)), split
        )
        for split, dataset in splits.items()
    }


def where_is(paths: FoldPaths, split: str) -> str:
    return f"{paths.dataset}, split {split!r}"
