"""A checkpoint's config.json: its family, and that it is of the classifier read from it."""

import json
from pathlib import Path

from utils.errors import UserError
from utils.model.families import FAMILIES, REFUSED, REFUSED_CLASSES, Family

PROBLEM_TYPE = "single_label_classification"
# What decides how texts become tokens, besides the config.
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt",
    "sentencepiece.bpe.model", "spiece.model", "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
MERGE = "merge adapters into the weights and save the model again"


def read_config(checkpoint: Path) -> dict:
    """`config.json` of a checkpoint of one of the families."""
    path = checkpoint / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {checkpoint} is not a whole checkpoint") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not readable ({error}); copy the checkpoint again") from None
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in FAMILIES:
        why = f": {REFUSED[kind]}" if kind in REFUSED else ", which is unknown here"
        raise UserError(
            f"{path} is of a {kind!r} model{why}; give a classifier of one of the types "
            f"{', '.join(FAMILIES)}"
        )
    _require_sizes(FAMILIES[kind], config, path)
    if config.get("quantization_config") is not None:
        raise UserError(
            f"{path} has a quantization_config: its weights are codes and no numbers to compare; "
            "give the checkpoint from before the quantization"
        )
    names = config.get("id2label")
    counted = isinstance(names, dict) and names.keys() == {str(i) for i in range(len(names))}
    if names is not None and not counted:
        raise UserError(f"{path}: id2label does not count from 0; copy the checkpoint again")
    return config


def _require_sizes(family: Family, config: dict, path: Path) -> None:
    keys = family.keys
    for name in (keys.d, keys.m, keys.layers):
        value = config.get(name)
        if type(value) is not int or value < 1:
            raise UserError(f"{path}: {name} is {value!r}; copy the checkpoint again")
    heads = config.get(keys.heads, 1)
    if type(heads) is not int or heads < 1 or config[keys.d] % heads:
        raise UserError(f"{path}: {keys.heads} is {heads!r}; copy the checkpoint again")
    eps = config.get(keys.eps, 1e-12)
    if type(eps) not in (int, float) or not 0 <= eps < 1:
        raise UserError(f"{path}: {keys.eps} is {eps!r}; copy the checkpoint again")
    for name, value in family.must_be.items():
        if config.get(name, value) != value:
            raise UserError(
                f"{path}: {name} is {config[name]!r}, so its first token does not see the others; "
                "give a classifier that was trained as an encoder"
            )


def family_of(config: dict) -> Family:
    """The family of a config that `read_config` gave."""
    return FAMILIES[config["model_type"]]


def feeds(checkpoint: Path) -> str:
    """IMAGE or TEXT: what the model of a checkpoint is fed."""
    return family_of(read_config(checkpoint)).feeds


def tail_config(config: dict) -> dict:
    """`hidden_act` and `layer_norm_eps` of a config, whatever its family calls them."""
    family = family_of(config)
    return {
        "hidden_act": family.size(config, "activation"),
        "layer_norm_eps": family.size(config, "eps"),
    }


def read_classifier_config(checkpoint: Path) -> dict:
    """`read_config` of a checkpoint that has to be its family's classifier."""
    config = read_config(checkpoint)
    refuse_other_model(config, checkpoint)
    return config


def refuse_other_model(config: dict, checkpoint: Path) -> None:
    """Refuse a class of the user's, a loss that is not cross-entropy, and adapters beside.

    Raises
    ------
    UserError : the model that transformers would build of the folder is not the trained one.
    """
    path, known = checkpoint / "config.json", family_of(config).classifier
    for name in ("architectures", "auto_map"):
        value = config.get(name)
        if value and value != ([known] if name == "architectures" else None):
            why = REFUSED_CLASSES.get(value[0]) if isinstance(value, list) else None
            raise UserError(
                f"{path}: {name} is {value!a}{f' ({why})' if why else ''}; the weights would be "
                f"read as {known}, which computes something else; give a checkpoint of {known}"
            )
    problem = config.get("problem_type")
    if problem not in (None, PROBLEM_TYPE) or count_classes(config) == 1:
        what = f"problem_type {problem!r}" if problem else "num_labels 1, which means a regression"
        raise UserError(
            f"{path} has the {what}: the model was not trained with the cross-entropy of one class "
            f"per sample, on which everything here rests; give a model of {PROBLEM_TYPE}"
        )
    beside = sorted(file.name for file in checkpoint.glob("adapter_*"))
    if beside:
        raise UserError(
            f"{checkpoint} has {beside[0]}: an adapter that is not merged into the weights; "
            f"{MERGE} (merge_and_unload of peft)"
        )


def count_classes(config: dict) -> int:
    """num_labels, which transformers takes from the names."""
    names = config.get("id2label")
    return config.get("num_labels", 2) if names is None else len(names)


def class_names(config: dict) -> list[str] | None:
    """Names of a model's classes; None where it has no others than LABEL_<i>.

    Half a character, which no file can hold, is a question mark, as in `schema.class_names`.
    """
    given = config.get("id2label") or {}
    names = [str(given[str(i)]).encode("utf-8", "replace").decode() for i in range(len(given))]
    return None if names == [f"LABEL_{i}" for i in range(len(names))] else names
