"""Texts, a tokenizer and data sets that the tiny models of family_nets can be trained on."""

from pathlib import Path

import family_nets
import numpy as np
from family_nets import SPECIAL, WORDS

CLASSES = ("calm", "=angry", "glad")


def make_tokenizer():
    """Words by number; [CLS] words [SEP], of a pair [CLS] words [SEP] words [SEP]."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    numbers = {word: i for i, word in enumerate((*SPECIAL, *WORDS))}
    made = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", family_nets.CLS), ("[SEP]", family_nets.SEP)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", padding_side="left",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def save_model(folder: Path, name: str, seed: int = 0, tokenizer: bool = True, **config) -> None:
    """A tiny model of a family, with the tokenizer beside it where it reads texts."""
    model = family_nets.build(name, seed, len(CLASSES), size=0.2, **config)
    model.config.id2label = dict(enumerate(CLASSES))
    model.config.label2id = {each: i for i, each in enumerate(CLASSES)}
    model.save_pretrained(folder)
    if tokenizer and name in family_nets.TEXTS:
        make_tokenizer().save_pretrained(folder)


def make_texts(n: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts of 1 to 14 words, and their classes: most often that of the first word."""
    rng = np.random.default_rng(seed)
    words = [rng.integers(0, len(WORDS), rng.integers(1, 15)) for _ in range(n)]
    labels = np.array([each[0] % len(CLASSES) for each in words])
    noise = rng.random(n) < 0.2
    labels[noise] = rng.integers(0, len(CLASSES), noise.sum())
    return [" ".join(WORDS[i] for i in each) for each in words], labels


def texts_source(folder: Path, columns: tuple[str, str] = ("text", "label"), n: int = 150) -> None:
    """A data set of texts with train and test, as a folder of save_to_disk."""
    import datasets

    features = datasets.Features(
        {columns[0]: datasets.Value("string"), columns[1]: datasets.ClassLabel(names=list(CLASSES))}
    )

    def split(n: int, seed: int):
        texts, labels = make_texts(n, seed)
        return datasets.Dataset.from_dict({columns[0]: texts, columns[1]: labels}, features)

    datasets.DatasetDict(train=split(n, 0), test=split(n // 3, 1)).save_to_disk(folder)


def pictures_source(folder: Path, n: int = 150) -> None:
    """A data set of 4 x 4 pictures whose brighter corner is the class, as make_texts."""
    import datasets
    from PIL import Image

    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=list(CLASSES))
    )

    def split(n: int, seed: int):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, len(CLASSES), n)
        pixels = rng.integers(0, 160, (n, 4, 4))
        for i, label in enumerate(labels):
            pixels[i, 2 * (label // 2) : 2 * (label // 2) + 2, 2 * (label % 2) :][:, :2] += 60
        shown = [Image.fromarray(each.astype(np.uint8)) for each in pixels]
        noise = rng.random(n) < 0.2
        labels[noise] = rng.integers(0, len(CLASSES), noise.sum())
        return datasets.Dataset.from_dict({"image": shown, "label": labels}, features)

    datasets.DatasetDict(train=split(n, 0), test=split(n // 3, 1)).save_to_disk(folder)
