"""A checkpoint's config.json: that it is of a ViT, and of the classifier that is read from it."""

import json
from pathlib import Path

from utils.errors import UserError

MODEL_CLASS, PROBLEM_TYPE = "ViTForImageClassification", "single_label_classification"
MERGE = "merge adapters into the weights and save the model again"


def read_config(checkpoint: Path) -> dict:
    """`config.json` of a ViT checkpoint."""
    path = checkpoint / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {checkpoint} is not a whole checkpoint") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not readable ({error}); copy the checkpoint again") from None
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "vit":
        raise UserError(f"{path} is of a {kind!r} model, expected 'vit'")
    for name in ("hidden_size", "intermediate_size", "num_hidden_layers"):
        value = config.get(name)
        if type(value) is not int or value < 1:
            raise UserError(f"{path}: {name} is {value!r}; copy the checkpoint again")
    heads = config.get("num_attention_heads", 1)
    if type(heads) is not int or heads < 1 or config["hidden_size"] % heads:
        raise UserError(f"{path}: num_attention_heads is {heads!r}; copy the checkpoint again")
    eps = config.get("layer_norm_eps", 1e-12)
    if type(eps) not in (int, float) or not 0 <= eps < 1:
        raise UserError(f"{path}: layer_norm_eps is {eps!r}; copy the checkpoint again")
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


def read_classifier_config(checkpoint: Path) -> dict:
    """`read_config` of a checkpoint that has to be a plain ViTForImageClassification."""
    config = read_config(checkpoint)
    refuse_other_model(config, checkpoint)
    return config


def refuse_other_model(config: dict, checkpoint: Path) -> None:
    """Refuse a class of the user's, a loss that is not cross-entropy, and adapters beside.

    Raises
    ------
    UserError : the model that transformers would build of the folder is not the trained one.
    """
    path = checkpoint / "config.json"
    for name in ("architectures", "auto_map"):
        value = config.get(name)
        if value and value != ([MODEL_CLASS] if name == "architectures" else None):
            raise UserError(
                f"{path}: {name} is {value!a}; the weights would be read as {MODEL_CLASS}, which "
                f"computes something else; give a checkpoint of {MODEL_CLASS}"
            )
    problem = config.get("problem_type")
    if problem not in (None, PROBLEM_TYPE) or count_classes(config) == 1:
        what = f"problem_type {problem!r}" if problem else "num_labels 1, which means a regression"
        raise UserError(
            f"{path} has the {what}: the model was not trained with the cross-entropy of one class "
            f"per image, on which everything here rests; give a model of {PROBLEM_TYPE}"
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
