"""The folds of a data set: made once, read by every step (docs/definitions.md 2)."""

import glob
import json
import shutil
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import datasets
import numpy as np

from utils.data import saved
from utils.data.plain_names import linked
from utils.data.repeats import seed_of_split
from utils.errors import UserError
from utils.run import hashing
from utils.run.file_systems import NO_MODE, if_it_can
from utils.run.paths import TEMPORARY_PREFIX, FoldPaths
from utils.run.profiles import step_0_or

SPLITS = ("train", "repair", "test")
# What a split is called, in small letters, that is taken as `repair` where none has that name.
REPAIR_NAMES = ("validation", "valid", "val", "dev", "eval")


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
        set_mode = partial(temporary.chmod, folder.parent.stat().st_mode & 0o777)
        if_it_can("chmod", NO_MODE, set_mode)
        fold.save_to_disk(linked(temporary))
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


def names_of(paths: FoldPaths) -> list[str]:
    """The splits that a fold's folder has.

    Raises
    ------
    UserError : it is not a saved DatasetDict.
    """
    try:
        return saved.split_names(paths.dataset)
    except saved.BROKEN as error:
        raise not_a_fold(paths, paths.dataset, error) from None


def split_name(paths: FoldPaths, split: str) -> str:
    """What the fold calls one of SPLITS: `repair` may have another name.

    It is `paths.repair_split` where that is given, else `repair`, else the only split that is
    called as REPAIR_NAMES says.

    Raises
    ------
    UserError : there is none, or several could be meant.
    """
    names = names_of(paths)
    asked = paths.repair_split if split == "repair" else None
    wanted = asked or split
    if wanted in names:
        return wanted
    found = [name for name in names if name.lower() in REPAIR_NAMES]
    if split == "repair" and asked is None and len(found) == 1:
        return found[0]
    listed = f"{paths.dataset} has the splits {', '.join(names)}"
    if split != "repair":
        raise UserError(f"{listed}; expected {split!r}: add it to the data set")
    several = f", where {' and '.join(found)} could be meant" if found and asked is None else ""
    raise UserError(
        f"{listed}; expected {wanted!r}{several}: name the one that M1's failures are to be taken "
        "from with --repair-split"
    )


def taken_as_repair(paths: FoldPaths) -> str:
    """What to tell the user where another split is taken as `repair`, else ""."""
    name = split_name(paths, "repair")
    return "" if name == "repair" else f"takes the split {name!r} as 'repair'"


def load_split(paths: FoldPaths, split: str) -> datasets.Dataset:
    """One of SPLITS, rows as Python values whatever format it was saved with.

    Raises
    ------
    UserError : the folder is not a saved DatasetDict, or the split is missing or empty.
    """
    name = split_name(paths, split)
    try:
        found = saved.read_split(paths.dataset / name)
    except saved.BROKEN as error:
        raise not_a_fold(paths, paths.dataset, error) from None
    if not len(found):
        raise UserError(f"{paths.dataset}: the split {name!r} is empty")
    return found


def there(paths: FoldPaths) -> dict[str, Path]:
    """The folder of each of SPLITS that the fold has."""
    found = {}
    for split in SPLITS:
        with suppress(UserError):
            found[split] = paths.dataset / split_name(paths, split)
    return found


def sizes(paths: FoldPaths) -> dict[str, int | None]:
    """Rows of each of SPLITS; None where the fold does not have it."""
    has = there(paths)
    return {split: len(load_split(paths, split)) if split in has else None for split in SPLITS}


def data_files(paths: FoldPaths, split: str) -> list[Path]:
    """The files that hold the rows of one of SPLITS."""
    folder = paths.dataset / split_name(paths, split)
    try:
        return saved.data_files(folder)
    except saved.BROKEN as error:
        raise not_a_fold(paths, folder, error) from None


def features(paths: FoldPaths, split: str) -> datasets.Features:
    """The columns of one of SPLITS, without its rows."""
    folder = paths.dataset / split_name(paths, split)
    try:
        return saved.read_features(folder)
    except saved.BROKEN as error:
        raise not_a_fold(paths, folder, error) from None


def hash_split(paths: FoldPaths, split: str, hashes: hashing.HashCache) -> str:
    """Content hash of a split: its rows and its features, no times and no fingerprints."""
    folder = paths.dataset / split_name(paths, split)
    try:
        written = json.dumps(saved.features_as_written(folder), sort_keys=True)
        files = saved.data_files(folder)
    except saved.BROKEN as error:
        raise not_a_fold(paths, folder, error) from None
    return hashing.hash_bytes(written.encode(), *(hashes.get(file).encode() for file in files))


def not_a_fold(paths: FoldPaths, folder: Path, error: Exception) -> UserError:
    if (paths.dataset / datasets.config.DATASET_STATE_JSON_FILENAME).is_file():
        return UserError(
            f"{paths.dataset} is a single split; put a folder of DatasetDict.save_to_disk there, "
            "with the splits repair and test"
        )
    reason = " ".join(str(error).split())[:200]
    return UserError(
        f"{folder} is not whole as DatasetDict.save_to_disk writes it ({reason}); copy it again"
        + step_0_or(paths, f", or move {paths.dataset} away and run exp-fl-5-0.py to make it again")
    )
