"""A checkpoint's weights, without building a model.

Written by transformers 4.x or 5.x (both save `vit.encoder.layer.<l>.*`), or
saved from a 5.x state dict as it is (`vit.layers.<l>.mlp.*`): both spellings
are read, from safetensors or `pytorch_model.bin`, whole or in shards, with or
without the prefixes of torch's wrappers.
"""

from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.model import vit_names
from utils.model.blank import blank_block
from utils.model.configs import MERGE, MODEL_CLASS, read_classifier_config
from utils.model.tensors import ITEM_SIZES, WEIGHT_DTYPES, Stored, open_tensors, weight_files
from utils.model.vit_names import REPAIR_SUFFIX
from utils.run import code, hashing

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
# How the names of a ViT's parameters end.
PARAMETERS = ("weight", "bias", "cls_token", "position_embeddings")


def read_ffn(checkpoint: Path) -> tuple[np.ndarray, np.ndarray]:
    """W_bef (m, d) and W_aft (d, m) of the last layer, float32, and nothing else.

    Raises
    ------
    UserError : a tensor is missing, of the wrong shape, or has NaN or infinite values.
    """
    config = read_classifier_config(checkpoint)
    with open_tensors(checkpoint) as tensors:
        _refuse_foreign(tensors, checkpoint, config)
        w_bef = _layer_tensor(tensors, checkpoint, config, "w_bef")
        w_aft = _layer_tensor(tensors, checkpoint, config, "w_aft")
    _require_shape(w_bef, (config["intermediate_size"], config["hidden_size"]), checkpoint, "W_bef")
    _require_shape(w_aft, (config["hidden_size"], config["intermediate_size"]), checkpoint, "W_aft")
    return w_bef, w_aft


def read_tail(checkpoint: Path) -> dict[str, np.ndarray]:
    """Every weight between `h` and the logits, float32, by LAYER_NAMES and HEAD_NAMES."""
    config = read_classifier_config(checkpoint)
    with open_tensors(checkpoint) as tensors:
        _refuse_foreign(tensors, checkpoint, config)
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
    values = _tensor(tensors, checkpoint, (old + names[0], new + names[-1]))
    if key in ("w_bef", "w_aft") and not values.any():
        raise UserError(
            f"{checkpoint}: the FFN matrix {old + names[0]} is all zeros: the file is broken, or "
            "nothing was trained; copy the checkpoint again"
        )
    return values


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


def _refuse_foreign(
    tensors: dict[str, Stored], checkpoint: Path, config: dict | None = None
) -> None:
    """Codes instead of weights, a repaired model, and tensors that the model does not have.

    RepTran's extra matrices change nothing where they are the identity, and only there.
    config : of a classifier; None for a base model, whose head is left behind.
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
    if config is not None:
        layers, qkv_bias = config["num_hidden_layers"], bool(config.get("qkv_bias", True))
        if found := vit_names.why_not_of(tensors, layers, qkv_bias):
            raise UserError(
                f"{checkpoint} has the tensor {found}; {MERGE}, or give a checkpoint of a plain "
                f"{MODEL_CLASS} with its own config.json"
            )


def source_of(checkpoint: Path, classifier: bool = True, **config: Any) -> dict[str, Any]:
    """What `from_pretrained` is to load: the folder, or tensors: where wrappers had changed
    their names, and where the file system cannot map the file.

    classifier : whether all of its tensors have to be a ViTForImageClassification's.
    config : entries that are to be otherwise than in config.json.

    Raises
    ------
    UserError : the weights are no floats, or those of a repaired or of another model.
    """
    own = read_classifier_config(checkpoint) if classifier else None
    with open_tensors(checkpoint) as tensors:
        _refuse_foreign(tensors, checkpoint, own)
        if not any(stored.wrapped or not stored.mapped for stored in tensors.values()):
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


def require_whole(m1: Path, m2: Path, hashes: hashing.HashCache) -> None:
    """Refuse tensors that a model does not have, and zeros where the other checkpoint has weights.

    Remembered in `hashes` while both stay as they are.
    """

    def compute() -> str:
        for one, other in ((m1, m2), (m2, m1)):
            _refuse_blank(one, other)
        return "whole"

    files = [file for each in (m1, m2) for file in (*weight_files(each), each / "config.json")]
    hashes.get_together(files, "whole", compute)


def _refuse_blank(checkpoint: Path, other: Path) -> None:
    with open_tensors(checkpoint) as tensors, open_tensors(other) as others:
        _refuse_foreign(tensors, checkpoint, read_classifier_config(checkpoint))
        theirs = {vit_names.canonical(name): stored for name, stored in others.items()}
        for name, stored in tensors.items():
            twin = theirs.get(vit_names.canonical(name))
            if twin is None or len(stored.shape) < 2 or stored.shape != twin.shape:
                continue
            item = ITEM_SIZES.get(stored.dtype, 4)
            values, mates = (each.read().float().numpy() for each in (stored, twin))
            if found := blank_block(values, mates, item):
                row = found[0] // int(np.prod(stored.shape[1:]))
                raise UserError(
                    f"{checkpoint}: {name} has {(found[1] - found[0]) * item:,} bytes of zeros "
                    f"from row {row} on, where {other.name} has weights: the file is broken; copy "
                    "the checkpoint again"
                )


def hash_ffn(checkpoint: Path, hashes: hashing.HashCache) -> str:
    """Content hash of the two FFN matrices, remembered while the weight files stay the same."""

    def compute() -> str:
        w_bef, w_aft = read_ffn(checkpoint)
        return hashing.hash_bytes(w_bef.tobytes(), w_aft.tobytes())

    # Another way of reading them would find another FFN in the same files.
    kind = f"ffn read by {code.digest_of(code.Source(hashes).closure(__name__))[:16]}"
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
