"""What a model is fed: the rows of a split, and how they become a batch, for pictures and texts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import datasets
import torch

from utils.constants import Profile
from utils.data import images, schema, texts
from utils.errors import UserError
from utils.model import configs
from utils.model.families import FAMILIES, IMAGE, TEXT
from utils.run.hashing import HashCache, hash_bytes

Batch = Mapping[str, torch.Tensor]


class Feed(Protocol):
    """How the rows of a data set become what one model takes.

    noun : what a sample is called. saved : what lies beside the weights, for the Trainer.
    collate : makes a batch of rows, with `labels` in it.
    """

    noun: str
    saved: Any
    collate: Callable[[Sequence[Any]], Batch]

    def columns(
        self, features: datasets.Features, profile: Profile | None, where: str
    ) -> tuple[str, ...]:
        """Names of the columns that are fed, and of the label."""
        ...

    def rows(
        self, dataset: datasets.Dataset, columns: Sequence[str], split: str
    ) -> torch.utils.data.Dataset:
        """The split as a map-style data set that knows its `columns`."""
        ...

    def workers(self, asked: int, batch_size: int) -> int:
        """Worker processes that can be had, of those asked for."""
        ...


class Pictures:
    """Pictures as a model's preprocessor_config.json says."""

    noun = "images"

    def __init__(self, folder: Path | None, config: Any) -> None:
        """folder : None for a model that has no files yet."""
        self.shape = images.input_shape(config)
        self.saved = (
            images.load_processor(folder, config) if folder else images.default_processor(config)
        )
        self.collate = images.Collate(self.saved, self.shape)

    def columns(
        self, features: datasets.Features, profile: Profile | None, where: str
    ) -> tuple[str, ...]:
        return schema.columns_in(features, profile, where)

    def rows(
        self, dataset: datasets.Dataset, columns: Sequence[str], split: str
    ) -> images.ImageRows:
        return images.ImageRows(dataset, *columns, split)

    def workers(self, asked: int, batch_size: int) -> int:
        return images.workers_that_fit(asked, batch_size, self.shape)


class Texts:
    """Texts through the tokenizer beside a model, or that of the model it was made from.

    note : what to tell the user of where the tokenizer is from; "" if it lies beside the model.
    """

    noun = "texts"

    def __init__(self, folder: Path, config: Any, profile: Profile | None) -> None:
        where, self.note = find_tokenizer(folder, profile)
        self.saved = texts.load_tokenizer(where)
        most = FAMILIES[config.model_type].most_tokens(config)
        self.tokens = texts.make_tokens(self.saved, config, most, where)
        self.collate = texts.CollateTexts(self.tokens.pad)

    def columns(
        self, features: datasets.Features, profile: Profile | None, where: str
    ) -> tuple[str, ...]:
        return schema.texts_in(features, profile, where)

    def rows(self, dataset: datasets.Dataset, columns: Sequence[str], split: str) -> texts.TextRows:
        return texts.TextRows(dataset, columns, split, self.tokens)

    def workers(self, asked: int, batch_size: int) -> int:
        return 0  # the tokens are made: what is left is to put them beside each other


def load_feed(folder: Path, config: Any, profile: Profile | None) -> Feed:
    """How the model in `folder` is fed.

    config : the model's, of transformers.
    """
    if FAMILIES[config.model_type].feeds == IMAGE:
        return Pictures(folder, config)
    return Texts(folder, config, profile)


def column_constants(checkpoint: Path) -> list[str]:
    """The entries of a profile that say which columns a checkpoint's model is fed."""
    if configs.feeds(checkpoint) == TEXT:
        return [schema.TEXT_COLUMNS[0], schema.PAIR_COLUMN, schema.TEXT_COLUMNS[1]]
    return list(schema.IMAGE_COLUMNS)


def columns_of_model(
    checkpoint: Path, features: datasets.Features, profile: Profile | None, where: str
) -> tuple[str, ...]:
    """The columns that a checkpoint's model is fed, and the label."""
    find = schema.texts_in if configs.feeds(checkpoint) == TEXT else schema.columns_in
    return find(features, profile, where)


def noun_of(checkpoint: Path) -> str:
    """What a sample of a checkpoint's data is called, in the plural."""
    return Texts.noun if configs.feeds(checkpoint) == TEXT else Pictures.noun


def notes_on(rows: Any, profile: Profile | None) -> list[str]:
    """What to tell the user of rows of a split: columns that were found, texts that were cut."""
    of_texts = isinstance(rows, texts.TextRows)
    found = schema.taken_instead(rows.columns, profile, of_texts)
    notes = [f"takes {found}"] if found else []
    if of_texts and rows.cut:
        notes.append(
            f"{rows.cut:,} of {len(rows):,} texts of the split {rows.split!r} are longer than the "
            f"{rows.tokens.most} tokens that the model takes: cut"
        )
    return notes


# -- whose tokenizer ---------------------------------------------------------------------------


def find_tokenizer(checkpoint: Path, profile: Profile | None) -> tuple[Path, str]:
    """The folder of the tokenizer, and what to tell the user where it is not the checkpoint's own.

    Else it is that of the model that config.json or the profile names as the one begun with.

    Raises
    ------
    UserError : none is found.
    """
    if texts.has_tokenizer(checkpoint):
        return checkpoint, ""
    named = configs.read_config(checkpoint).get("_name_or_path")
    for name in (named, getattr(profile, "base_model", None)):
        folder = _tokenizer_of(name) if isinstance(name, str) and name else None
        if folder is not None:
            return folder, f"{checkpoint.name} has no tokenizer: takes that of {name}"
    raise UserError(
        f"{checkpoint} has no tokenizer ({', '.join(texts.VOCABULARIES)}), and no base model says "
        "which one it was trained with; put the files of that tokenizer beside the weights"
    )


def _tokenizer_of(name: str) -> Path | None:
    """The folder of a base model's tokenizer, on the disk or fetched from the hub."""
    if Path(name).is_dir():
        return Path(name) if texts.has_tokenizer(Path(name)) else None
    from huggingface_hub import snapshot_download

    try:
        wanted = ["config.json", *configs.TOKENIZER_FILES]
        folder = Path(snapshot_download(name, allow_patterns=wanted))
    except (OSError, ValueError, RuntimeError):  # no such model, or no network
        return None
    return folder if texts.has_tokenizer(folder) else None


def foreign_tokenizer(
    checkpoint: Path, profile: Profile | None, hashes: HashCache
) -> dict[str, str]:
    """Content hash of a tokenizer that does not lie beside the weights, by name; else nothing."""
    if configs.feeds(checkpoint) != TEXT or texts.has_tokenizer(checkpoint):
        return {}
    folder, _ = find_tokenizer(checkpoint, profile)
    files = [folder / name for name in configs.TOKENIZER_FILES]
    found = [f"{f.name}={hashes.get(f)};".encode() for f in files if f.is_file()]
    return {"tokenizer": hash_bytes(*found)}
