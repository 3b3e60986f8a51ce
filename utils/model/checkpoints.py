"""A checkpoint's weights, without building a model.

Written by transformers 4.x or 5.x (of a ViT both save `vit.encoder.layer.<l>.*`), or
saved from a 5.x state dict as it is (`vit.layers.<l>.mlp.*`): both spellings
are read, from safetensors or `pytorch_model.bin`, whole or in shards, with or
without the prefixes of torch's wrappers.
"""

from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.model import configs, names
from utils.model.blank import blank_block
from utils.model.configs import MERGE, read_classifier_config
from utils.model.families import TEXT
from utils.model.names import REPAIR_SUFFIX
from utils.model.tensors import ITEM_SIZES, WEIGHT_DTYPES, Stored, open_tensors, weight_files
from utils.run import code, hashing

# How the names of parameters end.
PARAMETERS = ("weight", "bias", "cls_token", "position_embeddings")
MATRICES = ("w_bef", "w_aft")


def read_ffn(checkpoint: Path) -> tuple[np.ndarray, np.ndarray]:
    """W_bef (m, d) and W_aft (d, m) of the last layer, float32, and nothing else.

    Raises
    ------
    UserError : a tensor is missing, of the wrong shape, or has NaN or infinite values.
    """
    found = _read(checkpoint, MATRICES)
    return found["w_bef"], found["w_aft"]


def read_tail(checkpoint: Path) -> dict[str, np.ndarray]:
    """Every weight between `h` and the logits, float32, by `names.tail_names`."""
    return _read(checkpoint)


def ffn_shape(checkpoint: Path) -> tuple[int, int]:
    """d and m of the last layer, from the shape that W_bef is stored in."""
    config = read_classifier_config(checkpoint)
    spellings = _spellings(config)["w_bef"]
    with open_tensors(checkpoint) as tensors:
        m, d = _find(tensors, checkpoint, spellings)[1].shape
    return d, m


def _spellings(config: dict) -> dict[str, tuple[str, ...]]:
    family = configs.family_of(config)
    return names.tail_names(family, config[family.keys.layers] - 1)


def _read(checkpoint: Path, wanted: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """The tensors `wanted` of the tail, or all of them, after checking their shapes."""
    config = read_classifier_config(checkpoint)
    spellings = _spellings(config)
    with open_tensors(checkpoint) as tensors:
        _refuse_foreign(tensors, checkpoint, config)
        found = {key: _tensor(tensors, checkpoint, key, spellings[key])
                 for key in wanted or spellings}  # fmt: skip
    keys = configs.family_of(config).keys
    _require_shapes(found, config[keys.m], config[keys.d], checkpoint)
    return found


def _require_shapes(weights: dict[str, np.ndarray], m: int, d: int, checkpoint: Path) -> None:
    shapes = {
        "w_bef": (m, d), "b_bef": (m,), "w_aft": (d, m), "b_aft": (d,),
        "ln_weight": (d,), "ln_bias": (d,), "final_ln_weight": (d,), "final_ln_bias": (d,),
    }  # fmt: skip
    width = d
    for name in (*sorted(key for key in weights if key.startswith("inner")), "head_bias"):
        if name.endswith("bias") and name in weights:
            place, out = name.removesuffix("_bias"), len(weights[name])
            shapes |= {name: (out,), f"{place}_weight": (out, width)}
            width = out
    for key, values in weights.items():
        _require_shape(values, shapes[key], checkpoint, key)


def _find(
    tensors: dict[str, Stored], checkpoint: Path, spellings: tuple[str, ...]
) -> tuple[str, Stored]:
    for name in spellings:
        if name in tensors:
            return name, tensors[name]
    kind = configs.family_of(configs.read_config(checkpoint)).classifier
    raise UserError(f"{checkpoint} has no tensor {spellings[0]}; it is not a {kind} of this depth")


def _tensor(
    tensors: dict[str, Stored], checkpoint: Path, key: str, spellings: tuple[str, ...]
) -> np.ndarray:
    name, stored = _find(tensors, checkpoint, spellings)
    values = stored.read().float().numpy()
    if not np.isfinite(values).all():
        raise UserError(f"{checkpoint}: {name} has NaN or infinite values; train it again")
    if key in MATRICES and not values.any():
        raise UserError(
            f"{checkpoint}: the FFN matrix {spellings[0]} is all zeros: the file is broken, or "
            "nothing was trained; copy the checkpoint again"
        )
    return values


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
        family = configs.family_of(config)
        if found := names.why_not_of(family, tensors, config[family.keys.layers], config):
            raise UserError(
                f"{checkpoint} has the tensor {found}; {MERGE}, or give a checkpoint of a plain "
                f"{family.classifier} with its own config.json"
            )


def source_of(checkpoint: Path, classifier: bool = True, **config: Any) -> dict[str, Any]:
    """What `from_pretrained` is to load: the folder, or tensors: where wrappers had changed
    their names, and where the file system cannot map the file.

    classifier : whether all of its tensors have to be those of its family's classifier.
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
    import transformers

    kind = getattr(transformers, configs.family_of(configs.read_config(checkpoint)).config_class)
    return {
        "pretrained_model_name_or_path": None,
        "config": kind.from_pretrained(checkpoint, local_files_only=True, **config),
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
    config = read_classifier_config(checkpoint)
    family = configs.family_of(config)
    with open_tensors(checkpoint) as tensors, open_tensors(other) as others:
        _refuse_foreign(tensors, checkpoint, config)
        theirs = {names.canonical(family, name): stored for name, stored in others.items()}
        for name, stored in tensors.items():
            twin = theirs.get(names.canonical(family, name))
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
    """Content hash of a checkpoint: its weights, config, and how pictures or texts are made."""
    files = [
        *weight_files(checkpoint),
        checkpoint / "config.json",
        checkpoint / "preprocessor_config.json",
    ]
    if configs.feeds(checkpoint) == TEXT:
        files += [checkpoint / name for name in configs.TOKENIZER_FILES]
    return hashing.hash_bytes(
        *(f"{file.name}={hashes.get(file)};".encode() for file in files if file.is_file())
    )
