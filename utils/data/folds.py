"""The folds of a data set: made once, read by every step (docs/definitions.md 2)."""

import glob
import json
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
from datasets.exceptions import DatasetsError

from utils.constants import Profile
from utils.data import idx
from utils.data.literal import literal
from utils.data.repeats import seed_of_split
from utils.errors import UserError
from utils.run import hashing
from utils.run.paths import TEMPORARY_PREFIX, FoldPaths

SPLITS = ("train", "repair", "test")
# The names under which `datasets` files a folder that is called otherwise.
SPLIT_ALIASES = {"valid": "validation", "validation": "valid"}
DIGITS_TEST_SHARE = 0.2
PROFILES_ARE_IN = "PROFILES of utils/constants.py"
# What a column of plain integers is called that holds classes.
LABEL_NAMES = ("label", "labels", "fine_label", "fine_labels", "class", "target")
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


def load_source(profile: Profile, data_dir: Path | None, split_seed: int) -> datasets.DatasetDict:
    """The original data set: from `data_dir`, scikit-learn, or the hub.

    Returns
    -------
    DatasetDict with `train` and `profile.test_split`, checked for the columns.
    """
    if data_dir is not None:
        found, where = _load_folder(data_dir, profile), str(data_dir)
    elif profile.source == "sklearn":
        found, where = digits(split_seed), "scikit-learn's digits"
    elif Path(profile.source).is_dir():
        found, where = _load_folder(Path(profile.source), profile), profile.source
    else:
        found, where = _load_hub(profile.source), profile.source
    names = {
        split: split if split in found else SPLIT_ALIASES.get(split)
        for split in ("train", profile.test_split)
    }
    for split, name in names.items():
        if name not in found:
            raise UserError(f"{where} has the splits {', '.join(found)}; expected {split!r}")
        if not len(found[name]):
            raise UserError(f"{where}: the split {name!r} is empty")
    for name in names.values():
        columns_of(found[name], profile, f"{where}, split {name!r}")
    return datasets.DatasetDict({split: found[name] for split, name in names.items()})


def _load_folder(folder: Path, profile: Profile) -> datasets.DatasetDict:
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder; --data-dir names the one that holds the data set"
        )
    try:
        if (folder / datasets.config.DATASETDICT_JSON_FILENAME).is_file():
            return datasets.load_from_disk(folder)
        if (folder / datasets.config.DATASET_STATE_JSON_FILENAME).is_file():
            raise UserError(f"{folder} is a single split; give the folder of the DatasetDict")
        if files := idx.find_files(folder):
            columns = profile.image_column, profile.label_column
            return idx.load_idx(files, profile.class_names, *columns)
        with literal(folder):
            return datasets.load_dataset(str(folder))
    except UserError:
        raise
    except (OSError, ValueError, LookupError, RuntimeError, DatasetsError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{folder} cannot be read ({reason}); give a folder of DatasetDict.save_to_disk, "
            "of parquet files, of IDX files, or of images by split and class"
        ) from None


def _load_hub(name: str) -> datasets.DatasetDict:
    huggingface_hub.logging.set_verbosity_error()  # it announces each of its attempts
    try:
        return datasets.load_dataset(name)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"data set {name} cannot be fetched ({reason}); where there is a network run "
            f"`hf download {name} --repo-type dataset --local-dir {Path(name).name}`, "
            f"copy that folder here and add --data-dir {Path(name).name}"
        ) from None


def digits(split_seed: int) -> datasets.DatasetDict:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, as a data set of grey images.

    It has no test set of its own: a stratified fifth is held out, by SPLIT_SEED itself and so
    the same one in every repeat.
    """
    from PIL import Image
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    raw = load_digits()
    pixels = np.round(raw.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), 0..16 to 0..255
    features = datasets.Features(
        img=datasets.Image(), label=datasets.ClassLabel(names=[str(n) for n in raw.target_names])
    )
    parts = train_test_split(
        np.arange(len(pixels)),
        test_size=DIGITS_TEST_SHARE,
        stratify=raw.target,
        random_state=split_seed,
    )
    return datasets.DatasetDict(
        {
            name: datasets.Dataset.from_dict(
                {
                    "img": [Image.fromarray(pixels[i]) for i in sorted(part)],
                    "label": raw.target[sorted(part)],
                },
                features,
            )
            for name, part in zip(("train", "test"), parts, strict=True)
        }
    )


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


def columns_of(dataset: datasets.Dataset, profile: Profile, where: str) -> tuple[str, str]:
    """Names of the image and the label column, after checking that they are what they say.

    They are the profile's. Where one is not there, the only column of its kind is taken.
    """
    features = dataset.features
    image = _find_column(features, "image_column", profile, where, is_image)
    if not is_image(features[image]) and not _is_bytes(features[image]):
        raise UserError(
            f"{where}: the column {image!r} does not hold images (datasets.Image); set "
            f"image_column of the profile in {PROFILES_ARE_IN}"
        )
    classes = any(isinstance(kind, datasets.ClassLabel) for kind in features.values())
    label = _find_column(
        features, "label_column", profile, where,
        lambda kind: isinstance(kind, datasets.ClassLabel) if classes else _is_whole(kind),
        None if classes else LABEL_NAMES,
    )  # fmt: skip
    kind = features[label]
    if not _is_whole(kind):
        raise UserError(
            f"{where}: the column {label!r} holds {getattr(kind, 'dtype', kind)}, expected class "
            "numbers (datasets.ClassLabel or integers); set label_column of the profile in "
            f"{PROFILES_ARE_IN}"
        )
    return image, label


def _find_column(
    features: datasets.Features,
    constant: str,
    profile: Profile,
    where: str,
    fits: Callable[[Any], bool],
    names: Collection[str] | None = None,
) -> str:
    """The column that `constant` of the profile names, else the only one that `fits`.

    names : what such a column is called; None where its kind alone tells it.
    """
    wanted = getattr(profile, constant)
    if wanted in features:
        return wanted
    found = [c for c, kind in features.items() if fits(kind) and (names is None or c in names)]
    if len(found) == 1:
        return found[0]
    several = f", where {' and '.join(found)} could be meant" if found else ""
    raise UserError(
        f"{where} has the columns {', '.join(features)}; expected {wanted!r}{several}; "
        f"set {constant} of the profile in {PROFILES_ARE_IN}"
    )


def is_image(kind: Any) -> bool:
    """Whether a feature holds pictures: Image, decoded or not, or what Image(decode=False) gives.

    A file that was written without `datasets` has the last, a struct of bytes and path.
    """
    if isinstance(kind, dict):
        return "bytes" in kind and set(kind) <= {"bytes", "path"} and _is_bytes(kind["bytes"])
    return isinstance(kind, datasets.Image)


def _is_bytes(kind: Any) -> bool:
    return isinstance(kind, datasets.Value) and kind.dtype in ("binary", "large_binary")


def _is_whole(kind: Any) -> bool:
    return isinstance(kind, datasets.ClassLabel) or "int" in str(getattr(kind, "dtype", ""))


def taken_instead(columns: tuple[str, str], profile: Profile) -> str:
    """What to tell the user where `columns_of` found other names than the profile's, else ""."""
    asked = profile.image_column, profile.label_column
    pairs = [f"{c!r} for {a!r}" for c, a in zip(columns, asked, strict=True) if c != a]
    return f"the only columns of their kind: {', '.join(pairs)}" if pairs else ""


def read_labels(dataset: datasets.Dataset, label_column: str) -> np.ndarray:
    """The labels, int64 (S,), without decoding an image."""
    column = dataset.select_columns([label_column]).with_format("arrow")[:][label_column]
    if column.null_count:
        raise UserError(f"{column.null_count} labels in the column {label_column!r} are missing")
    return column.to_numpy().astype(np.int64)


def class_names(dataset: datasets.Dataset, label_column: str) -> list[str]:
    """Names of the classes; without names, "0" up to the highest label."""
    feature = dataset.features[label_column]
    if isinstance(feature, datasets.ClassLabel):
        # A name may hold half a character, which no file can.
        return [name.encode("utf-8", "replace").decode() for name in feature.names]
    return [str(label) for label in range(int(read_labels(dataset, label_column).max()) + 1)]


def require_labels(labels: np.ndarray, classes: int, where: str) -> None:
    """Refuse labels outside 0..classes-1."""
    bad = (labels < 0) | (labels >= classes)
    if bad.any():
        raise UserError(
            f"{where}: label {labels[bad][0]} of row {int(bad.argmax())} is outside the "
            f"{classes} classes 0 to {classes - 1}"
        )


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
