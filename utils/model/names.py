"""The names of a classifier's tensors, in the spelling of either release of transformers."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from utils.model.families import Family

# RepTran's matrix between the two of an FFN.
REPAIR_SUFFIX = "intermediate.repair.weight"
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


def spellings(family: Family, layer: int, part: str, kind: str) -> tuple[str, ...]:
    """The names of a tensor of any layer: as files have it, and as 5.x builds it.

    part : in the first spelling. kind : "weight" or "bias".
    """
    *saved, built = (place.format(layer) for place in family.layer)
    named = [f"{place}.{part}.{kind}" for place in saved]
    return (*named, f"{built}.{family.parts[part]}.{kind}")


def ffn_names(family: Family, layer: int) -> dict[str, tuple[str, ...]]:
    """The spellings of the matrices, biases and norm of any layer's FFN, by fields of a Tail.

    A norm that follows the FFN is none of its own: it stands in `tail_names`.
    """
    parts = {"w_bef": (family.bef, "weight"), "b_bef": (family.bef, "bias"),
             "w_aft": (family.aft, "weight"), "b_aft": (family.aft, "bias")}  # fmt: skip
    if family.norm_first:
        parts |= {"ln_weight": (family.norm, "weight"), "ln_bias": (family.norm, "bias")}
    return {key: spellings(family, layer, *part) for key, part in parts.items()}


def tail_names(family: Family, last: int) -> dict[str, tuple[str, ...]]:
    """The spellings of every tensor between the last layer's h and the logits.

    By fields of a Tail; the maps before the classifier are inner0, inner1 and so on.
    """
    found = ffn_names(family, last)
    for kind in ("weight", "bias"):
        if family.final_norm:
            found[f"final_ln_{kind}"] = (f"{family.final_norm}.{kind}",)
        else:
            found[f"final_ln_{kind}"] = spellings(family, last, family.norm, kind)
    *inner, head = family.head
    places = {f"inner{i}": each.name for i, each in enumerate(inner)} | {"head": head.name}
    for place, name in places.items():
        found |= {f"{place}_{kind}": (f"{name}.{kind}",) for kind in ("weight", "bias")}
    return found


@cache
def _outside(family: Family) -> frozenset[str]:
    whole = [family.final_norm] if family.final_norm else []
    whole += [each.name for each in family.head]
    named = (f"{name}.{kind}" for name in whole for kind in ("weight", "bias"))
    return frozenset((*family.outside, *named))


@cache
def _in_layer(family: Family) -> re.Pattern[str]:
    places = "|".join(re.escape(place.removesuffix(".{}")) for place in family.layer)
    return re.compile(rf"(?:{places})\.(\d+)\.(.+)\.(weight|bias)")


def canonical(family: Family, name: str) -> str | None:
    """A tensor's name as 5.x builds the model; None for one that the classifier does not have."""
    if name in _outside(family):
        return name
    found = _in_layer(family).fullmatch(name)
    if not found:
        return None
    part = family.parts.get(found[2], found[2] if found[2] in family.parts.values() else None)
    return f"{family.layer_module(int(found[1]))}.{part}.{found[3]}" if part else None


def layer_of(family: Family, name: str) -> int | None:
    """The number of the layer that a tensor belongs to."""
    found = _in_layer(family).fullmatch(name)
    return int(found[1]) if found else None


def why_not_of(
    family: Family, names: Iterable[str], layers: int, config: Mapping[str, Any] | None = None
) -> str | None:
    """Which of a file's tensors a classifier of `layers` layers does not have, in words.

    Buffers and RepTran's matrices are passed over. None where the model has all of them.

    config : of config.json, whose entries switch off biases.
    """
    seen: dict[str, str] = {}
    strange, beyond = [], []
    for name in sorted(names):
        number, known = layer_of(family, name), canonical(family, name)
        if number is not None and number >= layers:
            beyond.append(name)
        elif is_passed_over(name):
            continue
        elif known is None or _is_switched_off(family, known, config or {}):
            strange.append(name)
        elif known in seen:
            return f"{seen[known]} and {name}, which are one tensor under two names"
        else:
            seen[known] = name
    if strange:
        return f"{strange[0]}{_more(strange)}, which the model does not have"
    if beyond:
        said = f"config.json says {family.keys.layers} {layers}"
        return f"{beyond[0]}{_more(beyond)}, but {said}"
    return None


def _is_switched_off(family: Family, name: str, config: Mapping[str, Any]) -> bool:
    if family.biases_if is None or not name.endswith("bias"):
        return False
    entry, parts = family.biases_if
    return not config.get(entry, True) and any(f".{part}." in name for part in parts)


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
