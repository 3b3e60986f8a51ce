"""A DatasetDict of `save_to_disk`, read as a folder of this machine whatever its name.

`datasets.load_from_disk` takes a path for an address, in which `::`, `file:` or `~` mean something.
"""

import json
from pathlib import Path
from typing import Any

import datasets

# What reading raises where a folder is not one of `save_to_disk`.
BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError)


def split_names(folder: Path) -> list[str]:
    """The splits of a DatasetDict, in its order."""
    index = folder / datasets.config.DATASETDICT_JSON_FILENAME
    names = json.loads(index.read_text(encoding="utf-8"))["splits"]
    if any(Path(name).name != name for name in names):
        raise ValueError(f"{index.name} names a folder elsewhere")
    return list(names)


def read_split(folder: Path) -> datasets.Dataset:
    """A split, memory-mapped, its rows as Python values whatever format it was saved with."""
    info = datasets.DatasetInfo.from_dict(_read(folder, datasets.config.DATASET_INFO_FILENAME))
    files = data_files(folder)
    if not files:
        return datasets.Dataset.from_dict({name: [] for name in info.features}, info.features)
    parts = [_read_rows(file, info) for file in files]
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)


def _read_rows(file: Path, info: datasets.DatasetInfo) -> datasets.Dataset:
    try:
        return datasets.Dataset.from_file(str(file), info=info)
    except OSError:  # a file system without mmap; what cannot be read at all raises again
        return datasets.Dataset.from_file(str(file), info=info, in_memory=True)


def data_files(folder: Path) -> list[Path]:
    """The files that hold a split's rows."""
    state = _read(folder, datasets.config.DATASET_STATE_JSON_FILENAME)
    return [folder / Path(entry["filename"]).name for entry in state["_data_files"]]


def features_as_written(folder: Path) -> dict[str, Any]:
    return _read(folder, datasets.config.DATASET_INFO_FILENAME)["features"]


def read_features(folder: Path) -> datasets.Features:
    return datasets.Features.from_dict(features_as_written(folder))


def _read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text(encoding="utf-8"))
