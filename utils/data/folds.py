"""The folds of a data set: made once, read by every step (docs/definitions.md 2)."""

import glob
import json
import shutil
import tempfile
from pathlib import Path

import datasets
import numpy as np

from utils.data.repeats import seed_of_split
from utils.errors import UserError
from utils.run import hashing
from utils.run.paths import TEMPORARY_PREFIX, FoldPaths

SPLITS = ("train", "repair", "test")
NOT_A_FOLD = "is not a folder of DatasetDict.save_to_disk; move it away and run exp-fl-5-0.py again"


# -- making ---------------------------------------------------------------------------------


def make_fold(
    paths: FoldPaths, source: datasets.DatasetDict, test_split: str, n_folds: int, split_seed: int
) -> None:
    """Split the original training set and save train, repair and test.

    KFold(shuffle=True), seeded for the fold's repeat: the fold's held-out part is `repair`,
    the original test set stays `test`. The folder appears complete or not at all.

    n_folds : of one repeat. split_seed : of repeat 0.
    """
    from sklearn.model_selection import KFold

    original = source["train"]
    if len(original) < n_folds:
        raise UserError(f"{len(original)} training images cannot be split into {n_folds} folds")
    seed = seed_of_split(split_seed, paths.fold, n_folds)
    parts = list(KFold(n_folds, shuffle=True, random_state=seed).split(np.arange(len(original))))
    train, repair = parts[paths.fold % n_folds]
    fold = datasets.DatasetDict(
        train=original.select(train), repair=original.select(repair), test=source[test_split]
    )
    folder = paths.dataset
    remove_leftovers(paths)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(
            tempfile.mkdtemp(dir=folder.parent, prefix=f"{TEMPORARY_PREFIX}{folder.name}-")
        )
        # mkdtemp makes it readable for the owner alone
        temporary.chmod(folder.parent.stat().st_mode & 0o777)
        fold.save_to_disk(temporary)
        temporary.rename(folder)
    except OSError as error:
        raise UserError(
            f"cannot write {folder} ({error.strerror or error}); "
            "make room or set the permissions, then run the step again"
        ) from None
    finally:
        remove_leftovers(paths)


def remove_leftovers(paths: FoldPaths) -> None:
    """Delete what a killed run left of this fold."""
    for leftover in paths.dataset.parent.glob(
        f"{TEMPORARY_PREFIX}{glob.escape(paths.dataset.name)}-*"
    ):
        shutil.rmtree(leftover, ignore_errors=True)


# -- reading --------------------------------------------------------------------------------


def load_split(paths: FoldPaths, split: str) -> datasets.Dataset:
    """One split of a fold, rows as Python values whatever format it was saved with.

    Raises
    ------
    UserError : the folder is not a saved DatasetDict, or the split is missing or empty.
    """
    folder = paths.dataset
    try:
        index = folder / datasets.config.DATASETDICT_JSON_FILENAME
        names = list(json.loads(index.read_text(encoding="utf-8"))["splits"])
        found = datasets.load_from_disk(folder / split) if split in names else None
    except IndexError:  # what datasets raises on a file without a single batch of rows
        found = ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} {NOT_A_FOLD} ({reason})") from None
    if found is None:
        raise UserError(f"{folder} has the splits {', '.join(names)}; expected {split!r}")
    if not len(found):
        raise UserError(f"{folder}: the split {split!r} is empty")
    return found.with_format(None)


def hash_split(paths: FoldPaths, split: str, hashes: hashing.HashCache) -> str:
    """Content hash of a split: its rows and its features, no times and no fingerprints."""
    folder = paths.dataset / split
    try:
        state = json.loads((folder / datasets.config.DATASET_STATE_JSON_FILENAME).read_text())
        info = json.loads((folder / datasets.config.DATASET_INFO_FILENAME).read_text())
        files = [folder / Path(entry["filename"]).name for entry in state["_data_files"]]
        features = json.dumps(info["features"], sort_keys=True)
        return hashing.hash_bytes(features.encode(), *(hashes.get(file).encode() for file in files))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} {NOT_A_FOLD} ({error})") from None
