"""The tensors of a checkpoint's weight files, by name: what they are, and how to read each.

Nothing is unpickled: `.bin` files go through torch's weights-only loading.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.errors import UserError
from utils.run.file_systems import NO_MAP, lacks, say_lacking

if TYPE_CHECKING:
    import torch

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
# What torch.compile, (Distributed)DataParallel, AveragedModel and FSDP put into every name.
WRAPPERS = re.compile(
    r"(?<![^.])(_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
# Number formats that hold a weight itself, as safetensors and as torch call them. Integers and
# 8-bit floats are codes: what they stand for is written elsewhere.
ITEM_SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2,
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2,
}  # fmt: skip
WEIGHT_DTYPES = set(ITEM_SIZES)


def weight_files(checkpoint: Path) -> list[Path]:
    """The file, or the shards, that hold the weights; safetensors before .bin."""
    for name in WEIGHT_FILES:
        if (checkpoint / name).is_file():
            return [checkpoint / name]
        index = checkpoint / f"{name}.index.json"
        if index.is_file():
            try:
                shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
                files = sorted(checkpoint / Path(shard).name for shard in shards)
                if {file.name for file in files} != shards:
                    raise ValueError("it names files outside the folder")
            except (ValueError, LookupError, AttributeError, TypeError) as error:
                raise UserError(
                    f"{index} is not readable ({error}); copy the checkpoint again"
                ) from None
            absent = [file for file in files if not file.is_file()]
            if absent or not files:
                raise UserError(
                    f"{index} names the shard {absent[0].name if absent else ''} "
                    f"that is not in {checkpoint}; copy the checkpoint again"
                )
            return files
    raise UserError(
        f"{checkpoint} has neither {' nor '.join(WEIGHT_FILES)}; it is not a whole checkpoint"
    )


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: what it is, and how to read it.

    wrapped : its name in the file has the prefix of a wrapper.
    mapped : it is read from a map of the file; False where the file system has none.
    """

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], "torch.Tensor"]
    wrapped: bool = False
    mapped: bool = True


@contextmanager
def open_tensors(checkpoint: Path) -> Iterator[dict[str, Stored]]:
    """Tensors of a checkpoint by name, without wrappers' prefixes; read when called for."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, Stored] = {}
    opened = []
    try:
        for file in weight_files(checkpoint):
            if file.suffix == ".safetensors":
                try:
                    handle = safe_open(str(file), framework="pt")
                except OSError as error:
                    if not lacks(error):
                        raise
                    stored = _load_whole(file, error)
                else:
                    opened.append(handle)
                    stored = {key: _in_safetensors(handle, key) for key in handle.keys()}  # noqa: SIM118
            else:
                stored = _in_bin(file)
            for key, one in stored.items():
                name = WRAPPERS.sub("", key)
                one = replace(one, wrapped=name != key)
                if name in found and (one.wrapped or found[name].wrapped):
                    raise UserError(f"{file} has {name} twice, under several prefixes; keep one")
                found[name] = one
        yield found
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{checkpoint} cannot be read ({error}); copy the checkpoint again"
        ) from None
    finally:
        opened.clear()


def _in_safetensors(handle: Any, key: str) -> Stored:
    part = handle.get_slice(key)
    return Stored(part.get_dtype(), tuple(part.get_shape()), lambda: handle.get_tensor(key))


def _load_whole(file: Path, error: OSError) -> dict[str, Stored]:
    """The tensors of a .safetensors file where the file system cannot map it."""
    from safetensors.torch import load

    say_lacking("mmap", NO_MAP, error)
    return {key: _in_memory(value, False) for key, value in load(file.read_bytes()).items()}


def _in_memory(values: "torch.Tensor", mapped: bool) -> Stored:
    dtype = str(values.dtype).removeprefix("torch.")
    return Stored(dtype, tuple(values.shape), lambda: values, mapped=mapped)


def load_pickled(file: Path) -> tuple[Any, bool]:
    """What torch.save wrote, through its weights-only loading, and whether it is mapped.

    It is not where the file system has no maps, nor in the format of torch before 1.6.
    """
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True), True
    except RuntimeError:
        return torch.load(file, map_location="cpu", weights_only=True), False


def _in_bin(file: Path) -> dict[str, Stored]:
    import torch

    try:
        state, mapped = load_pickled(file)
    except Exception as error:  # on broken files torch raises whatever it stumbles over
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise _refuse_bin(file, reason) from None
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise _refuse_bin(file, "not a dictionary of tensors")
    return {key: _in_memory(value, mapped) for key, value in state.items()}


def _refuse_bin(file: Path, reason: str) -> UserError:
    return UserError(f"{file} is not a plain file of weights ({reason}); it was not loaded")
