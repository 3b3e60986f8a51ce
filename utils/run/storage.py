"""Files that appear complete or not at all, and arrays that are checked as they are read."""

import codecs
import io
import json
import math
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from utils.errors import CannotWrite, UserError
from utils.run.file_systems import (
    NO_FLUSH,
    NO_MAP,
    NO_MODE,
    if_it_can,
    lacks,
    say_lacking,
)
from utils.run.paths import TEMPORARY_PREFIX


def write_atomic(path: Path, write: Callable[[BinaryIO], None], size: int) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path`.

    `size` is the number of bytes about to be written, for the message when the
    disk cannot take them. Whatever goes wrong, an older `path` stays as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY_PREFIX)
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            flush_to_disk = partial(os.fsync, file.fileno())
            if_it_can("fsync", NO_FLUSH, flush_to_disk)
        set_mode = partial(Path(temporary).chmod, 0o666 & ~_umask())
        if_it_can("chmod", NO_MODE, set_mode)
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise CannotWrite(
            f"cannot write {path} ({size:,} bytes): {error.strerror or error}; "
            "make room or set the permissions, then run the step again"
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def remove_temporaries(folder: Path) -> None:
    """Delete what killed runs left behind below `folder`."""
    for leftover in folder.rglob(f"{TEMPORARY_PREFIX}*"):
        if leftover.is_file():
            leftover.unlink()


def save_bytes(path: Path, content: bytes) -> None:
    write_atomic(path, lambda file: file.write(content), len(content))


def save_array(path: Path, array: np.ndarray) -> None:
    """Save as .npy in C order, without pickles."""
    array = np.ascontiguousarray(array)

    def write(file: BinaryIO) -> None:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data)  # np.save would not say why a write failed

    write_atomic(path, write, array.nbytes)


class Texts:
    """JSON of values that never change once they are there: each is encoded once.

    of : the entries of a dictionary whose own entries are such values.
    """

    def __init__(self, of: tuple[str, ...] = ()) -> None:
        self.of = of
        self.known: dict[int, tuple[Any, str]] = {}

    def get(self, value: Any) -> str:
        seen = self.known.get(id(value))
        if seen is None:  # the value is kept, so that its id stays its own
            seen = self.known[id(value)] = (value, _encoded(value))
        return seen[1]


def save_json(path: Path, value: dict[str, Any], texts: Texts | None = None) -> None:
    """Save a dictionary as JSON, an entry of it or of its dictionaries per line.

    (json's own indentation takes seconds for the thousands of entries of a fold.)
    texts : of the calls before, where the same dictionary is saved again and again.
    """
    texts = texts or Texts()
    entries = {
        key: _entry(entry, texts.get if key in texts.of else _encoded)
        for key, entry in value.items()
    }
    save_bytes(path, (_braced(entries, "\n ") + "\n").encode())


def _encoded(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _entry(entry: Any, text: Callable[[Any], str]) -> str:
    if not isinstance(entry, dict) or not entry:
        return _encoded(entry)
    return _braced({k: text(v) for k, v in entry.items()}, "\n  ")


def _braced(encoded: dict[str, str], newline: str) -> str:
    lines = (f"{newline}{json.dumps(key)}: {text}" for key, text in encoded.items())
    return "{" + ",".join(lines) + newline[:-1] + "}"


def save_table(path: Path, table: pd.DataFrame) -> None:
    """Save as CSV: UTF-8, comma separated, header, missing values as empty cells.

    Only where a cell is not ASCII a byte order mark comes first: without it a
    spreadsheet on Windows takes the file for one in the local encoding.
    Text that a spreadsheet would run as a formula is prefixed with an
    apostrophe (OWASP, "CSV injection").
    """
    columns = []
    for _, values in table.items():
        if values.dtype == object:  # text among values of other types
            text = [None if pd.isna(v) else _defused(v) for v in values]
            columns.append(pa.array(text, pa.string()))
        elif pd.api.types.is_string_dtype(values):
            codes, different = pd.factorize(values)  # -1 where missing
            text = pa.array([*(_defused(v) for v in different), None], pa.string())
            columns.append(text.take(pa.array(codes % len(text))))
        else:
            columns.append(pa.Array.from_pandas(values))
    sink = io.BytesIO()
    pa.csv.write_csv(
        pa.table(columns, names=[_defused(name) for name in table.columns]),
        sink,
        pa.csv.WriteOptions(quoting_style="needed", quoting_header="needed"),
    )
    content = sink.getvalue()
    save_bytes(path, content if content.isascii() else codecs.BOM_UTF8 + content)


def _defused(value: Any) -> str:
    text = str(value)
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def undefused(text: str) -> str:
    """A name that `save_table` protected from spreadsheets, as it was."""
    return text[1:] if text[:1] == "'" and text[1:2] in ("=", "+", "-", "@") else text


def read_table(path: Path, columns: list[str], made_by: int) -> pd.DataFrame:
    """Read a CSV of ours; `columns` have to be there, `made_by` is the step that writes it."""
    try:
        table = pd.read_csv(
            path, encoding="utf-8-sig", keep_default_na=False, na_values=[""], dtype=TEXT
        )
    except FileNotFoundError:
        raise missing(path, made_by) from None
    except (ValueError, OSError) as error:  # pandas' and the decoder's are ValueErrors
        raise UserError(f"{path} is not a readable CSV ({error}); {run_again(made_by)}") from None
    absent = [name for name in columns if name not in table.columns]
    if absent:
        raise UserError(f"{path} has no column {', '.join(absent)}; {run_again(made_by)}")
    return table


# Columns of ours that hold text, also where every name in them could be read as a number.
TEXT = dict.fromkeys(
    ("ds", "setting", "level", "method", "reference", "name", "true_name", "pred_name", "tgt_name",
     "truth_setting", "kind", "note", "reason"), str,
)  # fmt: skip


def run_again(step: int) -> str:
    return f"run exp-fl-5-{step}.py again"


def missing(path: Path, made_by: int) -> UserError:
    return UserError(f"{path} does not exist; run exp-fl-5-{made_by}.py first")


def load_array(
    path: Path,
    dtypes: tuple[type, ...],
    shape: tuple[int | None, ...],
    remedy: str,
) -> np.ndarray:
    """Memory-map an .npy file after checking what it is.

    Parameters
    ----------
    dtypes : the dtypes that are accepted.
    shape : the shape it must have; None stands for any length.
    remedy : what the user does when it is wrong, the end of the message.

    Raises
    ------
    UserError : the file is missing, not a .npy, of another dtype or shape, in
        Fortran order, or not as long as its header says.
    """
    try:
        found, in_fortran_order, dtype, offset, size = _npy_header(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {remedy}") from None
    except Exception as error:  # numpy's parser of headers raises whatever it stumbles over
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not a .npy array ({reason}); {remedy}") from None
    if dtype not in [np.dtype(t) for t in dtypes]:
        wanted = " or ".join(np.dtype(t).name for t in dtypes)
        raise UserError(f"{path} has dtype {dtype}, expected {wanted}; {remedy}")
    fits = len(found) == len(shape) and all(
        want is None or have == want for have, want in zip(found, shape, strict=True)
    )
    if not fits:
        wanted = tuple("any" if want is None else want for want in shape)
        raise UserError(f"{path} has shape {found}, expected {wanted}; {remedy}")
    if in_fortran_order and len(found) > 1:
        raise UserError(f"{path} is in Fortran order, expected C order; {remedy}")
    n_bytes = math.prod(found) * dtype.itemsize
    if min(found, default=0) < 0 or size != n_bytes:
        raise UserError(
            f"{path} is not whole: its header says {n_bytes:,} bytes of values, it has {size:,}; "
            f"{remedy}"
        )
    if n_bytes == 0:
        return np.empty(found, dtype)
    try:
        return np.memmap(path, dtype, "r", offset, found)
    except OSError as error:
        if not lacks(error):
            raise
        say_lacking("mmap", NO_MAP, error)
        return np.fromfile(path, dtype, math.prod(found), offset=offset).reshape(found)


def open_array(path: Path) -> np.ndarray:
    """Memory-map an .npy file of ours that was checked before."""
    try:
        return np.load(path, mmap_mode="r")
    except OSError as error:
        if not lacks(error):
            raise
        say_lacking("mmap", NO_MAP, error)
        return np.load(path)


def _npy_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int, int]:
    """Shape, Fortran order, dtype, where the values begin, and how many bytes they have.

    Read before anything is mapped: numpy divides by the size of an item, and a
    header with items of no size ends the whole process.
    """
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"version {version[0]}.{version[1]}")
        header = readers[version](file)
        offset = file.tell()
        return *header, offset, file.seek(0, os.SEEK_END) - offset


def require_finite(array: np.ndarray, path: Path, remedy: str) -> np.ndarray:
    """Return `array`, or say how many of its values are NaN or infinite."""
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise UserError(f"{path} has {bad:,} values that are NaN or infinite; {remedy}")
    return array
