"""Whether M1 fits what lies around it: the data, and other files about pictures."""

import logging
from pathlib import Path

import datasets
import numpy as np
from transformers import PreTrainedConfig

from utils.constants import Profile
from utils.data import doubts, folds, images, processors, schema, texts
from utils.data.processors import PROCESSOR_FILE
from utils.errors import UserError
from utils.model import configs, feeding
from utils.model.families import TEXT
from utils.model.inputs import Pair
from utils.run.hashing import HashCache
from utils.run.paths import FoldPaths
from utils.run.profiles import profile_of


def require_same_classes(checkpoint: Path, names: list[str], where: str) -> None:
    """Refuse a model whose classes have names, and not those of the data set in its order.

    names : of the data set's classes, which is `where`.
    """
    of_model = configs.class_names(configs.read_config(checkpoint))
    if of_model is None or of_model == names:
        return
    pairs = enumerate(zip(of_model, names, strict=False))
    first = next((f"class {i} is {a!a} and {b!a}" for i, (a, b) in pairs if a != b), None)
    order = ", but in another order" if sorted(of_model) == sorted(names) else ""
    raise UserError(
        f"the classes of {checkpoint} (id2label) are not those of {where}{order}: "
        f"{first or f'there are {len(of_model)} and {len(names)}'}; give the data set that the "
        "model was trained on"
    )


def require_same_order(checkpoint: Path, where: str) -> None:
    """Refuse labels that are plain integers beside a model that calls its classes otherwise."""
    names = configs.class_names(configs.read_config(checkpoint))
    if found := doubts.integers_out_of_order(names or []):
        raise UserError(
            f"{where} has integers as labels, and in {checkpoint} (id2label) {found}: numbers that "
            "were sorted as text; give the labels names (datasets.ClassLabel) in the order that "
            "the model was trained with"
        )


def require_splits_agree(paths: FoldPaths) -> None:
    """Refuse a fold whose splits name their classes differently or in another order."""
    profile, names = profile_of(paths.ds), {}
    for split, folder in folds.there(paths).items():
        features = folds.features(paths, split)
        try:
            label = schema.label_in(features, profile, str(folder))
        except UserError:  # for whoever needs the split to say
            continue
        if isinstance(features[label], datasets.ClassLabel):
            names[folder.name] = features[label].names
    if found := doubts.other_classes(names):
        raise UserError(
            f"{paths.dataset}: {found}; a label would mean another class in each: save the splits "
            "with the same classes in the same order"
        )


def say_shared_samples(log: logging.Logger, paths: FoldPaths, m1: Path, hashes: HashCache) -> None:
    """Log which splits of a fold share images or texts, by content; remembered while they stay."""
    splits, profile = folds.there(paths), profile_of(paths.ds)
    what = "text" if configs.feeds(m1) == TEXT else "image"

    def compute() -> str:
        found = {}
        for split, folder in splits.items():
            dataset = folds.load_split(paths, split)
            columns = feeding.columns_of_model(m1, dataset.features, profile, str(folder))[:-1]
            found[folder.name] = (
                texts.digests(dataset, columns)
                if what == "text"
                else images.digests(dataset, *columns)
            )
        return "; ".join(doubts.shared(found, what))

    files = [file for split in splits for file in folds.data_files(paths, split)]
    if found := hashes.get_together(files, f"shared {what}s", compute):
        log.warning("%s: %s; what they measure is not of unseen %ss", paths.name, found, what)


def say_chance(
    log: logging.Logger, checkpoint: Path, split: str, labels: np.ndarray, logits: np.ndarray
) -> None:
    """Log an accuracy that is not above chance. labels int64 (S,), logits (S, C)."""
    if found := doubts.at_chance(labels, logits.argmax(1)):
        log.warning(
            "%s is not above chance on the split %r (%s): are these the pictures, the labels and "
            "the preprocessing that it was trained with?", checkpoint.name, split, found,
        )  # fmt: skip


def say_preprocessing(
    log: logging.Logger, pair: Pair, config: PreTrainedConfig, profile: Profile | None = None
) -> None:
    """Log what is assumed of how M1's pictures or texts are made, and files that contradict."""
    if configs.feeds(pair.m1) == TEXT:
        _, note = feeding.find_tokenizer(pair.m1, profile)
        if note:
            log.warning("%s; if M1 was trained with another, put its files beside M1", note)
        return
    used, folders = images.load_processor(pair.m1, config), [pair.m2]
    if not (pair.m1 / PROCESSOR_FILE).is_file():
        _, height, width = images.input_shape(config)
        log.info(
            "%s has no %s: assumes pictures resized to %d x %d, mean and std 0.5",
            pair.m1.name, PROCESSOR_FILE, height, width,
        )  # fmt: skip
        base = configs.read_config(pair.m1).get("_name_or_path")
        folders += [pair.m1.parent, *([Path(base)] if isinstance(base, str) and base else [])]
    for path in (folder / PROCESSOR_FILE for folder in folders):
        found = contradiction(used, path) if path.is_file() else None
        if found:
            log.warning(
                "pictures for %s are not made as %s says (%s); if M1 was trained with that file, "
                "put it into M1's folder", pair.m1.name, path, found,
            )  # fmt: skip


def contradiction(used: processors.ViTImageProcessorPil, path: Path) -> str | None:
    """What a preprocessor_config.json says otherwise than the processor that is used."""
    try:
        return ", ".join(processors.differences(used, processors.read_processor(path))) or None
    except UserError as error:
        return str(error)
