"""A checkpoint's config and weights, without building a model.

Written by transformers 4.x or 5.x (both save `vit.encoder.layer.<l>.*`), or
saved from a 5.x state dict as it is (`vit.layers.<l>.mlp.*`): both spellings
are read, from safetensors or `pytorch_model.bin`, whole or in shards, with or
without the prefixes of torch's wrappers.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.model.tensors import WEIGHT_DTYPES, Stored, open_tensors, weight_files
from utils.run import hashing

LAYER_NAMES = {
    "w_bef": ("intermediate.dense.weight", "mlp.fc1.weight"),
    "b_bef": ("intermediate.dense.bias", "mlp.fc1.bias"),
    "w_aft": ("output.dense.weight", "mlp.fc2.weight"),
    "b_aft": ("output.dense.bias", "mlp.fc2.bias"),
    "ln_weight": ("layernorm_after.weight",),
    "ln_bias": ("layernorm_after.bias",),
}
HEAD_NAMES = {
    "final_ln_weight": "vit.layernorm.weight",
    "final_ln_bias": "vit.layernorm.bias",
    "head_weight": "classifier.weight",
    "head_bias": "classifier.bias",
}
REPAIR_SUFFIX = "intermediate.repair.weight"
# How the names of a ViT's parameters end.
PARAMETERS = ("weight", "bias", "cls_token", "position_embeddings")


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


def read_ffn(checkpoint: Path) -> tuple[np.ndarray, np.ndarray]:
    """W_bef (m, d) and W_aft (d, m) of the last layer, float32, and nothing else.

    Raises
    ------
    UserError : a tensor is missing, of the wrong shape, or has NaN or infinite values.
    """
    config = read_config(checkpoint)
    with open_tensors(checkpoint) as tensors:
        _refuse_foreign(tensors, checkpoint)
        w_bef = _layer_tensor(tensors, checkpoint, config, "w_bef")
        w_aft = _layer_tensor(tensors, checkpoint, config, "w_aft")
    _require_shape(w_bef, (config["intermediate_size"], config["hidden_size"]), checkpoint, "W_bef")
    _require_shape(w_aft, (config["hidden_size"], config["intermediate_size"]), checkpoint, "W_aft")
    return w_bef, w_aft


def read_tail(checkpoint: Path) -> dict[str, np.ndarray]:
    """Every weight between `h` and the logits, float32, by LAYER_NAMES and HEAD_NAMES."""
    config = read_config(checkpoint)
    with open_tensors(checkpoint) as tensors:
        _refuse_foreign(tensors, checkpoint)
        weights = {key: _layer_tensor(tensors, checkpoint, config, key) for key in LAYER_NAMES}
        for key, name in HEAD_NAMES.items():
            weights[key] = _tensor(tensors, checkpoint, (name,))
    m, d, classes = config["intermediate_size"], config["hidden_size"], len(weights["head_bias"])
    shapes = {
        "w_bef": (m, d), "b_bef": (m,), "w_aft": (d, m), "b_aft": (d,),
        "ln_weight": (d,), "ln_bias": (d,), "final_ln_weight": (d,), "final_ln_bias": (d,),
        "head_weight": (classes, d), "head_bias": (classes,),
    }  # fmt: skip
    for key, shape in shapes.items():
        _require_shape(weights[key], shape, checkpoint, key)
    return weights


def _layer_tensor(tensors: dict, checkpoint: Path, config: dict, key: str) -> np.ndarray:
    last = config["num_hidden_layers"] - 1
    old, new = f"vit.encoder.layer.{last}.", f"vit.layers.{last}."
    names = LAYER_NAMES[key]
    return _tensor(tensors, checkpoint, (old + names[0], new + names[-1]))


def _tensor(tensors: dict, checkpoint: Path, names: tuple[str, ...]) -> np.ndarray:
    for name in names:
        if name in tensors:
            values = tensors[name].read().float().numpy()
            if not np.isfinite(values).all():
                raise UserError(f"{checkpoint}: {name} has NaN or infinite values; train it again")
            return values
    raise UserError(
        f"{checkpoint} has no tensor {names[0]}; it is not a ViT classifier of this depth"
    )


def _require_shape(values: np.ndarray, shape: tuple[int, ...], checkpoint: Path, name: str) -> None:
    if values.shape != shape:
        raise UserError(
            f"{checkpoint}: {name} has shape {values.shape}, its config.json says {shape}"
        )


def _refuse_foreign(tensors: dict[str, Stored], checkpoint: Path) -> None:
    """Codes instead of weights, and a repaired model.

    RepTran's extra matrices change nothing where they are the identity, and only there.
    """
    for name, stored in tensors.items():
        if name.endswith(PARAMETERS) and stored.dtype not in WEIGHT_DTYPES:
            raise UserError(
                f"{checkpoint}: {name} holds {stored.dtype}, no floating point weights; "
                "give the checkpoint from before the quantization"
            )
        if name.endswith(REPAIR_SUFFIX):
            matrix = stored.read().float().numpy()
            square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
            if not square or not np.array_equal(matrix, np.eye(len(matrix), dtype=np.float32)):
                raise UserError(
                    f"{checkpoint}: {name} is not the identity, so this is a repaired model; "
                    "give the checkpoint from before the repair"
                )


def source_of(checkpoint: Path, **config: Any) -> dict[str, Any]:
    """What `from_pretrained` is to load: the folder, or tensors whose names wrappers had changed.

    config : entries that are to be otherwise than in config.json.

    Raises
    ------
    UserError : the weights are no floats, or those of a repaired model.
    """
    with open_tensors(checkpoint) as tensors:
        _refuse_foreign(tensors, checkpoint)
        if not any(stored.wrapped for stored in tensors.values()):
            return {"pretrained_model_name_or_path": checkpoint, **config}
        state = {name: stored.read() for name, stored in tensors.items()}
    from transformers import ViTConfig

    return {
        "pretrained_model_name_or_path": None,
        "config": ViTConfig.from_pretrained(checkpoint, local_files_only=True, **config),
        "state_dict": state,
    }


def require_same_shapes(m1: Path, m2: Path) -> None:
    """Refuse two checkpoints with a tensor of one name and two shapes."""
    with open_tensors(m1) as first, open_tensors(m2) as second:
        for name in first.keys() & second.keys():
            if first[name].shape != second[name].shape:
                raise UserError(
                    f"{m1} and {m2.name} differ in the shape of {name} ({first[name].shape} and "
                    f"{second[name].shape}); both must come from one training run"
                )


def hash_ffn(checkpoint: Path, hashes: hashing.HashCache) -> str:
    """Content hash of the two FFN matrices, remembered while the weight files stay the same."""

    def compute() -> str:
        w_bef, w_aft = read_ffn(checkpoint)
        return hashing.hash_bytes(w_bef.tobytes(), w_aft.tobytes())

    # Another way of reading them would find another FFN in the same files.
    kind = f"ffn read by {hashing.hash_source(Path(__file__))[:16]}"
    files = [*weight_files(checkpoint), checkpoint / "config.json"]
    return hashes.get_together([file for file in files if file.exists()], kind, compute)


def hash_checkpoint(checkpoint: Path, hashes: hashing.HashCache) -> str:
    """Content hash of the weights, the config and the image preprocessing of a checkpoint."""
    files = [
        *weight_files(checkpoint),
        checkpoint / "config.json",
        checkpoint / "preprocessor_config.json",
    ]
    return hashing.hash_bytes(
        *(f"{file.name}={hashes.get(file)};".encode() for file in files if file.is_file())
    )
