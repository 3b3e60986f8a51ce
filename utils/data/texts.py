"""Texts into the tokens a model takes: the same way when it is trained and when it is examined."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from utils.errors import UserError

# One of these has the vocabulary.
VOCABULARIES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model",
)  # fmt: skip
# Texts that become tokens at a time.
AT_ONCE = 1000
IDS, TYPES, MASK = "input_ids", "token_type_ids", "attention_mask"
Encoded = dict[str, np.ndarray]


def has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in VOCABULARIES)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer whose files lie in a folder; no code that the folder names is run.

    Raises
    ------
    UserError : transformers cannot read it.
    """
    try:
        return AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_fast=True
        )
    except Exception as error:  # on broken files transformers raises whatever it meets
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the tokenizer in {folder} cannot be read ({type(error).__name__}: {reason}); copy "
            "its files again"
        ) from None


@dataclass(frozen=True)
class Tokens:
    """How texts become tokens.

    most : tokens that the model has positions for. pad : the number of the padding token.
    types : whether the model tells two texts apart by token types.
    """

    tokenizer: PreTrainedTokenizerBase
    most: int
    pad: int
    types: bool

    def encode(self, first: Sequence[str], second: Sequence[str] | None) -> tuple[list, int]:
        """Numbers of the tokens by name, each int32 (tokens,), and how many texts were cut."""
        whole = self._call(first, second)
        long = [i for i, ids in enumerate(whole[IDS]) if len(ids) > self.most]
        if long:
            pairs = None if second is None else [second[i] for i in long]
            shorter = self._call([first[i] for i in long], pairs, truncation=True)
            for name, found in shorter.items():
                for i, values in zip(long, found, strict=True):
                    whole[name][i] = values
        names = [IDS, *([TYPES] if self.types and TYPES in whole else [])]
        rows = [
            {name: np.array(whole[name][i], dtype=np.int32) for name in names}
            for i in range(len(first))
        ]
        return rows, len(long)

    def _call(
        self, first: Sequence[str], second: Sequence[str] | None, truncation: bool = False
    ) -> dict[str, list]:
        limit = {"truncation": True, "max_length": self.most} if truncation else {}
        found = self.tokenizer(
            list(first), None if second is None else list(second),
            padding=False, return_attention_mask=False, verbose=False, **limit,
        )  # fmt: skip
        return {name: list(values) for name, values in found.items()}


def make_tokens(tokenizer: PreTrainedTokenizerBase, config: Any, most: int, where: Path) -> Tokens:
    """Fit a tokenizer to a model.

    config : the model's, of transformers. most : tokens that the model has positions for.
    where : the tokenizer's folder.

    Raises
    ------
    UserError : it gives tokens that the model does not have.
    """
    if len(tokenizer) > config.vocab_size:
        raise UserError(
            f"the tokenizer in {where} has {len(tokenizer):,} tokens, the model "
            f"{config.vocab_size:,}; give the tokenizer that the model was trained with"
        )
    own = tokenizer.model_max_length
    limit = min(most, own) if own and own > 0 else most
    types = getattr(config, "type_vocab_size", 0) > 1
    return Tokens(tokenizer, int(limit), config.pad_token_id or 0, types)


class TextRows(torch.utils.data.Dataset):
    """A split as a map-style data set of tokens; errors say which text they are about.

    cut : how many of the texts were longer than the model takes.
    """

    def __init__(
        self, dataset: datasets.Dataset, columns: Sequence[str], split: str, tokens: Tokens
    ) -> None:
        """columns : of the text, of a second one where there are pairs, and of the label."""
        *texts, label = columns
        self.columns, self.split, self.cut = tuple(columns), split, 0
        self.tokens = tokens
        self.rows: list[Encoded] = []
        self.labels: list[int] = []
        for batch in dataset.select_columns(list(columns)).iter(batch_size=AT_ONCE):
            given = [self._checked(batch[name], name) for name in texts]
            rows, cut = tokens.encode(given[0], given[1] if len(given) > 1 else None)
            self._require_tokens(rows)
            self.rows += rows
            self.cut += cut
            self.labels += [int(value) for value in batch[label]]

    def _checked(self, values: Sequence[str | None], column: str) -> Sequence[str]:
        for i, value in enumerate(values):
            if value is None:
                raise UserError(
                    f"text {len(self.rows) + i} of the split {self.split!r} is missing (column "
                    f"{column!r}); mend or remove it in the data set"
                )
        return values

    def _require_tokens(self, rows: list[Encoded]) -> None:
        for i, row in enumerate(rows):
            if not len(row[IDS]):
                raise UserError(
                    f"text {len(self.rows) + i} of the split {self.split!r} has no token, not even "
                    "one of the tokenizer's own; remove it from the data set"
                )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Encoded, int]:
        return self.rows[index], self.labels[index]


@dataclass(frozen=True)
class CollateTexts:
    """Rows of `TextRows` into a batch, padded on the right to the longest of them."""

    pad: int

    def __call__(self, rows: Sequence[tuple[Encoded, int]]) -> Mapping[str, torch.Tensor]:
        """Return input_ids and attention_mask, maybe token_type_ids, int64 (B, tokens), and
        labels int64 (B,).
        """
        encoded, labels = zip(*rows, strict=True)
        longest = max(len(row[IDS]) for row in encoded)
        batch = {}
        for name in encoded[0]:
            filled = np.full((len(encoded), longest), self.pad if name == IDS else 0, np.int64)
            for values, row in zip(filled, encoded, strict=True):
                values[: len(row[name])] = row[name]
            batch[name] = torch.from_numpy(filled)
        lengths = torch.tensor([len(row[IDS]) for row in encoded])
        batch[MASK] = (torch.arange(longest)[None] < lengths[:, None]).long()
        return batch | {"labels": torch.tensor(labels, dtype=torch.int64)}


def digests(dataset: datasets.Dataset, columns: Sequence[str]) -> list[bytes]:
    """16 bytes of each row's texts; rows with a missing one left out."""
    found = []
    for batch in dataset.select_columns(list(columns)).iter(batch_size=AT_ONCE):
        for texts in zip(*(batch[name] for name in columns), strict=True):
            if None not in texts:
                content = "\0".join(texts).encode("utf-8", "surrogatepass")
                found.append(hashlib.blake2b(content, digest_size=16).digest())
    return found
