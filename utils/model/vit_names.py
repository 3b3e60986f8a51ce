"""The names of a ViT classifier's tensors, in the spelling of either release of transformers."""

import re
from collections.abc import Iterable

# A part of a layer as 4.x spells it (and both releases save it), and as 5.x builds it.
PARTS = {
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "layernorm_before": "layernorm_before",
    "layernorm_after": "layernorm_after",
}
QKV = tuple(list(PARTS.values())[:3])
OUTSIDE = {
    "vit.embeddings.cls_token",
    "vit.embeddings.position_embeddings",
    *(
        f"{part}.{kind}"
        for part in ("vit.embeddings.patch_embeddings.projection", "vit.layernorm", "classifier")
        for kind in ("weight", "bias")
    ),
}
LAYER = re.compile(r"vit\.(?:encoder\.layer|layers)\.(\d+)\.(.+)\.(weight|bias)")
# RepTran's matrix between the two of an FFN.
REPAIR_SUFFIX = "intermediate.repair.weight"
REPAIR = re.compile(rf"vit\.(?:encoder\.layer|layers)\.(\d+)\.{re.escape(REPAIR_SUFFIX)}")
# What a model carries along and does not learn; releases have added and dropped such tensors.
BUFFERS = {
    "position_ids", "token_type_ids", "num_batches_tracked", "inv_freq",
    "relative_position_index", "n_averaged",
}  # fmt: skip


def is_buffer(name: str) -> bool:
    return name.rpartition(".")[2] in BUFFERS


def is_passed_over(name: str) -> bool:
    """Whether a tensor changes nothing: a buffer, or RepTran's matrix, which is an identity."""
    return is_buffer(name) or name.endswith(REPAIR_SUFFIX)


def canonical(name: str) -> str | None:
    """A tensor's name as 5.x builds the model; None for one that a ViT classifier does not have."""
    if name in OUTSIDE:
        return name
    found = LAYER.fullmatch(name)
    part = found and PARTS.get(found[2], found[2] if found[2] in PARTS.values() else None)
    return f"vit.layers.{int(found[1])}.{part}.{found[3]}" if part else None


def layer_of(name: str) -> int | None:
    """The number of the layer that a tensor belongs to."""
    found = LAYER.fullmatch(name) or REPAIR.fullmatch(name)
    return int(found[1]) if found else None


def why_not_of(names: Iterable[str], layers: int, qkv_bias: bool = True) -> str | None:
    """Which of a file's tensors a ViT classifier of `layers` layers does not have, in words.

    Buffers and RepTran's matrices are passed over. None where the model has all of them.
    """
    seen: dict[str, str] = {}
    strange, beyond = [], []
    for name in sorted(names):
        number, known = layer_of(name), canonical(name)
        if number is not None and number >= layers:
            beyond.append(name)
        elif is_passed_over(name):
            continue
        elif known is None or (not qkv_bias and _is_qkv_bias(known)):
            strange.append(name)
        elif known in seen:
            return f"{seen[known]} and {name}, which are one tensor under two names"
        else:
            seen[known] = name
    if strange:
        return f"{strange[0]}{_more(strange)}, which the model does not have"
    if beyond:
        return f"{beyond[0]}{_more(beyond)}, but config.json says num_hidden_layers {layers}"
    return None


def _is_qkv_bias(name: str) -> bool:
    return name.endswith("bias") and any(f".{part}." in name for part in QKV)


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
