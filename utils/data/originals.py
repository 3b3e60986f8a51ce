"""The original data set that folds are made of: a folder, the hub's, or scikit-learn's digits."""

from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
from datasets.exceptions import DatasetsError

from utils.constants import Profile
from utils.data import idx, saved, schema
from utils.data.plain_names import mirrored
from utils.errors import UserError

# The names under which `datasets` files a folder that is called otherwise.
SPLIT_ALIASES = {"valid": "validation", "validation": "valid"}
DIGITS_TEST_SHARE = 0.2


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
        schema.columns_by_kind(found[name].features, profile, f"{where}, split {name!r}")
    return datasets.DatasetDict({split: found[name] for split, name in names.items()})


def _load_folder(folder: Path, profile: Profile) -> datasets.DatasetDict:
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder; --data-dir names the one that holds the data set"
        )
    try:
        if (folder / datasets.config.DATASETDICT_JSON_FILENAME).is_file():
            return datasets.DatasetDict(
                {name: saved.read_split(folder / name) for name in saved.split_names(folder)}
            )
        if (folder / datasets.config.DATASET_STATE_JSON_FILENAME).is_file():
            raise UserError(f"{folder} is a single split; give the folder of the DatasetDict")
        if files := idx.find_files(folder):
            columns = profile.image_column, profile.label_column
            return idx.load_idx(files, profile.class_names, *columns)
        return datasets.load_dataset(str(mirrored(folder)))
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
