"""Folds: the split is that of docs/definitions.md 2, and bad folders are told from good ones."""

import dataclasses
import json
import shutil
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold

from utils.constants import PROFILES, SPLIT_SEED
from utils.data import folds, images, originals, schema
from utils.errors import UserError
from utils.run.hashing import HashCache
from utils.run.paths import FoldPaths

PROFILE = PROFILES["digits"]


@pytest.fixture(autouse=True)
def quiet_and_offline(tmp_path, monkeypatch):
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def source():
    """30 of the digits for training and 10 for testing."""
    whole = originals.digits(SPLIT_SEED)
    return datasets.DatasetDict(
        train=whole["train"].select(range(30)), test=whole["test"].select(range(10))
    )


@pytest.fixture
def paths(tmp_path, source):
    """A fold 0 on disk."""
    paths = FoldPaths(tmp_path, "digits", 0)
    folds.make_fold(paths, source, "test", 5, SPLIT_SEED)
    return paths


def pixels(dataset):
    return np.stack([np.asarray(image) for image in dataset["img"]])


def hash_of(paths, split="repair"):
    return folds.hash_split(paths, split, HashCache(paths.hash_cache))


def test_digits_are_scikit_learns():
    raw = load_digits()
    made = originals.digits(SPLIT_SEED)
    assert [len(made["train"]), len(made["test"])] == [1437, 360]
    found = np.concatenate([pixels(made["train"]), pixels(made["test"])]).reshape(1797, 64)
    labels = np.concatenate([made["train"]["label"], made["test"]["label"]])
    wanted = np.round(raw.data / 16 * 255)
    order = [
        np.lexsort(np.column_stack([x, y]).T) for x, y in ((found, labels), (wanted, raw.target))
    ]
    assert np.array_equal(found[order[0]], wanted[order[1]])
    assert np.array_equal(labels[order[0]], raw.target[order[1]])
    shares = np.bincount(made["test"]["label"]) / np.bincount(raw.target)
    assert np.all(np.abs(shares - 0.2) < 0.005)
    assert schema.class_names(made["train"], "label") == [str(n) for n in range(10)]


@pytest.mark.parametrize("fold", range(5))
def test_split_is_that_of_kfold(tmp_path, source, fold):
    paths = FoldPaths(tmp_path, "digits", fold)
    folds.make_fold(paths, source, "test", 5, 777)
    split = KFold(5, shuffle=True, random_state=777).split(range(30))
    train, repair = list(split)[fold]
    original = pixels(source["train"])
    made = {name: folds.load_split(paths, name) for name in folds.SPLITS}
    assert np.array_equal(pixels(made["train"]), original[train])
    assert np.array_equal(pixels(made["repair"]), original[repair])
    assert np.array_equal(pixels(made["test"]), pixels(source["test"]))
    assert made["repair"]["label"][:] == np.array(source["train"]["label"])[repair].tolist()
    assert [path.name for path in paths.dataset.parent.iterdir()] == [paths.name]


def test_failed_write_leaves_nothing(tmp_path, source, monkeypatch):
    paths = FoldPaths(tmp_path, "digits", 0)

    def fails(self, folder):
        (folder / "train").mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets.DatasetDict, "save_to_disk", fails)
    with pytest.raises(UserError, match="No space left on device"):
        folds.make_fold(paths, source, "test", 5, SPLIT_SEED)
    assert list(paths.dataset.parent.iterdir()) == []


@pytest.mark.parametrize("ds", ["digits", "a[b]"])
def test_leftover_of_a_killed_run_is_cleared_and_others_are_not(tmp_path, source, ds):
    paths = FoldPaths(tmp_path, ds, 0)
    for name in (f".tmp-{ds}_fold0-abc", f".tmp-{ds}_fold1-abc", ".tmp-ab_fold0-abc"):
        (tmp_path / "dataset" / name).mkdir(parents=True)
    folds.make_fold(paths, source, "test", 5, SPLIT_SEED)
    names = {path.name for path in paths.dataset.parent.iterdir()}
    assert names == {".tmp-ab_fold0-abc", f".tmp-{ds}_fold1-abc", f"{ds}_fold0"}


# -- reading --------------------------------------------------------------------------------


def test_folder_of_an_older_release_is_read(paths):
    """datasets 1 and 2 named the file otherwise and wrote keys that are gone now."""
    folder = paths.dataset / "repair"
    next(folder.glob("*.arrow")).rename(folder / "dataset.arrow")
    state = json.loads((folder / "state.json").read_text())
    state |= {
        "_data_files": [{"filename": "dataset.arrow"}],
        "_indices_data_files": None,
        "_format_type": "numpy",
    }
    (folder / "state.json").write_text(json.dumps(state))
    info = json.loads((folder / "dataset_info.json").read_text())
    info |= {"task_templates": None, "post_processed": None, "supervised_keys": None}
    info["features"]["label"] |= {"num_classes": 10, "id": None, "names_file": None}
    info["features"]["label"].pop("names_file")
    (folder / "dataset_info.json").write_text(json.dumps(info))
    repair = folds.load_split(paths, "repair")
    assert len(repair) == 6 and isinstance(repair[0]["img"], Image.Image)
    assert len(hash_of(paths)) == 64


def test_folder_that_is_no_fold_is_refused(paths, tmp_path):
    again = r"not whole as DatasetDict.save_to_disk writes it .*; copy it again, or move .* away"
    said = {"empty": again, "single split": "is a single split; put a folder", "truncated": again}
    for breakage in said:
        shutil.rmtree(paths.dataset)
        if breakage == "empty":
            paths.dataset.mkdir()
        elif breakage == "single split":
            datasets.Dataset.from_dict({"label": [1]}).save_to_disk(paths.dataset)
        else:
            folds.make_fold(paths, originals.digits(1), "test", 5, 1)
            file = next((paths.dataset / "repair").glob("*.arrow"))
            file.write_bytes(file.read_bytes()[:50])
        with pytest.raises(UserError, match=said[breakage]):
            folds.load_split(paths, "repair")


def test_missing_and_empty_splits_are_named(paths, source):
    (paths.dataset / "dataset_dict.json").write_text('{"splits": ["train", "repair"]}')
    with pytest.raises(UserError, match="the splits train, repair; expected 'test': add it to"):
        folds.load_split(paths, "test")
    shutil.rmtree(paths.dataset)
    datasets.DatasetDict(repair=source["train"].select([])).save_to_disk(paths.dataset)
    with pytest.raises(UserError, match="split 'repair' is empty"):
        folds.load_split(paths, "repair")


def test_columns_are_checked(source):
    train = source["train"]
    assert schema.columns_of(train, PROFILE, "here") == ("img", "label")
    text = train.cast_column("label", datasets.Value("string"))
    with pytest.raises(UserError, match="'label' holds string, expected class numbers"):
        schema.columns_of(text, PROFILE, "here")
    numbers = datasets.Dataset.from_dict({"img": [1], "label": [1]})
    with pytest.raises(UserError, match="'img' does not hold images"):
        schema.columns_of(numbers, PROFILE, "here")


CLASSES = datasets.ClassLabel(names=["a", "b"])
WHOLE, TEXT, BYTES = (datasets.Value(kind) for kind in ("int64", "string", "binary"))
PICTURE, UNDECODED = datasets.Image(), datasets.Image(decode=False)
AS_STRUCT = {"bytes": BYTES, "path": TEXT}


@pytest.mark.parametrize(
    ("columns", "ds", "found", "note"),
    [
        ({"image": PICTURE, "label": CLASSES}, "c100",
         ("image", "label"), "'image' for 'img', 'label' for 'fine_label'"),
        ({"img": PICTURE, "fine_label": CLASSES}, "tiny-imagenet",
         ("img", "fine_label"), "'img' for 'image', 'fine_label' for 'label'"),
        ({"img": PICTURE, "labels": CLASSES, "id": WHOLE}, "digits",
         ("img", "labels"), "'labels' for 'label'"),
        ({"picture": UNDECODED, "animal": CLASSES}, "digits", ("picture", "animal"), "animal"),
        ({"picture": AS_STRUCT, "file": TEXT, "labels": WHOLE}, "digits",
         ("picture", "labels"), "picture"),
        ({"img": PICTURE, "mask": PICTURE, "label": WHOLE, "tone": CLASSES}, "digits",
         ("img", "label"), ""),
        ({"img": BYTES, "label": CLASSES}, "digits", ("img", "label"), ""),
    ],
)  # fmt: skip
def test_the_only_column_of_its_kind_is_taken(columns, ds, found, note):
    dataset = datasets.Dataset.from_dict({c: [] for c in columns}, datasets.Features(columns))
    assert schema.columns_of(dataset, PROFILES[ds], "here") == found
    said = schema.taken_instead(found, PROFILES[ds])
    assert note in said and bool(said) == bool(note)


@pytest.mark.parametrize(
    ("columns", "ds", "said"),
    [
        ({"image": PICTURE, "mask": PICTURE, "label": CLASSES}, "digits",
         "image, mask, label; expected 'img', where image and mask could be meant; set image_col"),
        ({"img": PICTURE, "coarse": CLASSES, "fine": CLASSES}, "digits",
         "expected 'label', where coarse and fine could be meant; set label_column"),
        ({"img": PICTURE, "label": WHOLE, "labels": WHOLE}, "c100",
         "expected 'fine_label', where label and labels could be meant; set label_column"),
        ({"img": PICTURE, "id": WHOLE}, "digits", "expected 'label'; set label_column"),
        ({"file": BYTES, "label": CLASSES}, "digits", "expected 'img'; set image_column"),
        ({"img": PICTURE, "label": TEXT}, "digits", "class numbers .*; set label_column"),
        ({"img": TEXT, "photo": PICTURE, "label": CLASSES}, "digits", "hold images .* image_col"),
    ],
)  # fmt: skip
def test_where_several_columns_could_be_meant_the_constant_is_named(columns, ds, said):
    dataset = datasets.Dataset.from_dict({c: [] for c in columns}, datasets.Features(columns))
    with pytest.raises(UserError, match=said) as error:
        schema.columns_of(dataset, PROFILES[ds], "here")
    assert "of the profile in PROFILES of utils/constants.py" in str(error.value)


def test_labels_and_names(source):
    train = source["train"]
    labels = schema.read_labels(train, "label")
    assert labels.dtype == np.int64 and labels.tolist() == train["label"][:]
    plain = train.cast_column("label", datasets.Value("int32"))
    assert schema.read_labels(plain, "label").tolist() == labels.tolist()
    assert schema.class_names(plain, "label") == [str(n) for n in range(labels.max() + 1)]
    gap = datasets.Dataset.from_dict({"label": [0, None, 2]})
    with pytest.raises(UserError, match="1 labels in the column 'label' are missing"):
        schema.read_labels(gap, "label")


def test_labels_outside_the_classes_are_named():
    schema.require_labels(np.array([0, 1, 2]), 3, "here")
    for labels, named in (([0, 3, 1], "label 3 of row 1"), ([2, 1, -1], "label -1 of row 2")):
        with pytest.raises(UserError, match=f"here: {named} is outside the 3 classes 0 to 2"):
            schema.require_labels(np.array(labels), 3, "here")


def test_hash_is_of_the_content(paths, tmp_path, source):
    first = hash_of(paths)
    assert hash_of(paths, "train") != first
    elsewhere = FoldPaths(tmp_path / "elsewhere", "digits", 0)
    folds.make_fold(elsewhere, source, "test", 5, SPLIT_SEED)
    assert hash_of(elsewhere) == first
    state = paths.dataset / "repair" / "state.json"
    state.write_text(state.read_text().replace('"_fingerprint": "', '"_fingerprint": "0'))
    assert hash_of(paths) == first
    info = paths.dataset / "repair" / "dataset_info.json"
    known = info.read_text()
    info.write_text(known.replace('"0"', '"nought"'))
    assert hash_of(paths) != first
    info.write_text(known)

    def remade(change):
        shutil.rmtree(elsewhere.dataset)
        other = datasets.DatasetDict(train=change(source["train"]), test=source["test"])
        folds.make_fold(elsewhere, other, "test", 5, SPLIT_SEED)
        return hash_of(elsewhere)

    names = datasets.ClassLabel(names=[f"digit {n}" for n in range(10)])
    assert remade(lambda train: train.cast_column("label", names)) != first
    shifted = [(label + 1) % 10 for label in source["train"]["label"]]
    features = source["train"].features
    assert (
        remade(
            lambda train: train.remove_columns("label").add_column(
                "label", shifted, feature=features["label"]
            )
        )
        != first
    )


def test_hash_of_a_broken_folder_is_refused(paths):
    (paths.dataset / "repair" / "state.json").write_text("{}")
    with pytest.raises(UserError, match=r"copy it again, or move .* away and run exp-fl-5-0.py"):
        hash_of(paths)


# -- sources --------------------------------------------------------------------------------


def as_saved(folder, source):
    source.save_to_disk(folder)


def as_parquet(folder, source):
    for split, dataset in source.items():
        dataset.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")


def as_images(folder, source):
    for split, dataset in source.items():
        for i, row in enumerate(dataset):
            (folder / split / str(row["label"])).mkdir(parents=True, exist_ok=True)
            row["image"].save(folder / split / str(row["label"]) / f"{i:03}.png")


@pytest.mark.parametrize("write", [as_saved, as_parquet, as_images])
def test_data_on_disk(tmp_path, source, write):
    """tiny-imagenet's shape: columns image and label, the test set is called valid."""
    renamed = source.rename_column("img", "image")
    renamed["valid"] = renamed.pop("test")
    folder = tmp_path / "data set"
    write(folder, renamed)
    found = originals.load_source(PROFILES["tiny-imagenet"], folder, SPLIT_SEED)
    assert sorted(found) == ["train", "valid"]
    for split in found:
        assert sorted(found[split]["label"]) == sorted(renamed[split]["label"])
        sums = [
            sorted(int(np.asarray(i).sum()) for i in d[split]["image"]) for d in (found, renamed)
        ]
        assert sums[0] == sums[1]


@pytest.mark.parametrize(
    "name",
    ["a[b]", "[ ]", "c*d", "e?f", "{g,h}", "[!i]", "a::b", "zip:::b", "file:c", "~", "#1", "50%20d",
     "x;y&z", "s3:", "quo'te\"", "hf:~g@v1"],
)  # fmt: skip
@pytest.mark.parametrize("write", [as_saved, as_parquet, as_images])
def test_a_folder_of_any_name_is_taken_at_its_word(tmp_path, source, write, name):
    """Not as a pattern, which would find its neighbours or nothing."""
    small = datasets.DatasetDict({k: v.select(range(4)) for k, v in source.items()})
    small = small.rename_column("img", "image")
    profile = dataclasses.replace(PROFILES["tiny-imagenet"], test_split="test")
    for neighbour in ("b", "cXd", "eXf", "g", "i"):
        write(tmp_path / neighbour, small)
    write(tmp_path / "plain", small)
    (tmp_path / "plain").rename(tmp_path / name)  # what writes takes names for addresses as well
    found = originals.load_source(profile, tmp_path / name, SPLIT_SEED)
    assert {split: len(rows) for split, rows in found.items()} == {"train": 4, "test": 4}
    paths = FoldPaths(tmp_path / name, name, 0)
    folds.make_fold(paths, found, "test", 2, SPLIT_SEED)
    assert len(folds.load_split(paths, "repair")) == 2 and len(hash_of(paths)) == 64


@pytest.mark.parametrize("name", ["~", "file:x", "a::b", "memory:"])
def test_a_relative_root_is_a_path(tmp_path, source, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    paths = FoldPaths(Path(name), "digits", 0)
    folds.make_fold(paths, source, "test", 5, SPLIT_SEED)
    assert (tmp_path / name / "dataset" / "digits_fold0" / "repair").is_dir()
    assert len(folds.load_split(paths, "repair")) == 6 and len(hash_of(paths)) == 64


def test_a_folder_that_says_which_files_hold_what_is_believed(tmp_path, source):
    """The README of a repository on the hub may, and does for CIFAR-100."""
    folder = tmp_path / "a[b]"
    for split, name in (("train", "one"), ("test", "two")):
        source[split].to_parquet(folder / "parts" / f"{name}.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  data_files:\n"
        "  - split: train\n    path: parts/one*\n  - split: test\n    path: parts/two*\n---\n"
    )
    found = originals.load_source(PROFILE, folder, SPLIT_SEED)
    assert {split: len(rows) for split, rows in found.items()} == {"train": 30, "test": 10}


def undecoded(split):
    return split.cast_column("img", datasets.Image(decode=False))


def as_struct(split):
    """As pandas or polars write it: nothing says that these bytes are images."""
    rows = {"img": undecoded(split)["img"][:], "label": split["label"][:]}
    kinds = datasets.Features(img=AS_STRUCT, label=split.features["label"])
    return datasets.Dataset.from_dict(rows, kinds)


def as_bytes(split):
    rows = {"img": [row["bytes"] for row in undecoded(split)["img"]], "label": split["label"][:]}
    kinds = datasets.Features(img=BYTES, label=split.features["label"])
    return datasets.Dataset.from_dict(rows, kinds)


@pytest.mark.parametrize("encode", [undecoded, as_struct, as_bytes])
def test_images_that_are_not_decoded_are_read(tmp_path, source, encode):
    folder, paths = tmp_path / "data set", FoldPaths(tmp_path, "digits", 0)
    datasets.DatasetDict({k: encode(v) for k, v in source.items()}).save_to_disk(folder)
    found = originals.load_source(PROFILE, folder, SPLIT_SEED)
    folds.make_fold(paths, found, "test", 5, SPLIT_SEED)
    repair = folds.load_split(paths, "repair")
    rows = images.ImageRows(repair, *schema.columns_of(repair, PROFILE, "here"), "repair")
    other = FoldPaths(tmp_path / "other", "digits", 0)
    folds.make_fold(other, source, "test", 5, SPLIT_SEED)
    expected = folds.load_split(other, "repair")
    assert np.array_equal([np.asarray(rows[i][0]) for i in range(len(rows))], pixels(expected))
    assert [rows[i][1] for i in range(len(rows))] == expected["label"][:]


def test_files_that_undecoded_images_name_are_put_into_the_fold(tmp_path, source):
    names = []
    for i, row in enumerate(source["train"]):
        names.append(str(tmp_path / f"{i}.png"))
        row["img"].save(names[-1])
    train = datasets.Dataset.from_dict(
        {"img": [{"bytes": None, "path": n} for n in names], "label": source["train"]["label"][:]},
        datasets.Features(img=UNDECODED, label=source["train"].features["label"]),
    )
    paths = FoldPaths(tmp_path, "digits", 0)
    folds.make_fold(
        paths, datasets.DatasetDict(train=train, test=source["test"]), "test", 5, SPLIT_SEED
    )
    for name in names:
        Path(name).unlink()
    rows = images.ImageRows(folds.load_split(paths, "train"), "img", "label", "train")
    assert rows[0][0].size == (8, 8)


def test_saved_images_do_not_need_the_folder_they_came_from(tmp_path, source):
    folder = tmp_path / "data set"
    as_images(folder, source.rename_column("img", "image"))
    found = datasets.load_dataset(str(folder))
    paths = FoldPaths(tmp_path, "tiny-imagenet", 0)
    folds.make_fold(paths, found, "test", 5, SPLIT_SEED)
    shutil.rmtree(folder)
    assert folds.load_split(paths, "train")[0]["image"].size == (8, 8)


def test_data_on_disk_that_does_not_fit(tmp_path, source):
    folder = tmp_path / "saved"
    with pytest.raises(UserError, match="is not a folder; --data-dir"):
        originals.load_source(PROFILE, folder, SPLIT_SEED)
    source.save_to_disk(folder)
    with pytest.raises(UserError, match="splits train, test; expected 'valid'"):
        originals.load_source(PROFILES["tiny-imagenet"], folder, SPLIT_SEED)
    plain = source.cast_column("label", datasets.Value("int64")).rename_column("label", "number")
    plain.save_to_disk(tmp_path / "plain")
    with pytest.raises(UserError, match="split 'train' has the columns img, number; expected 'la"):
        originals.load_source(PROFILE, tmp_path / "plain", SPLIT_SEED)
    with pytest.raises(UserError, match="single split"):
        originals.load_source(PROFILE, folder / "train", SPLIT_SEED)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        originals.load_source(PROFILE, tmp_path / "empty", SPLIT_SEED)


def test_too_small_data_is_refused(tmp_path, source):
    few = datasets.DatasetDict(train=source["train"].select(range(4)), test=source["test"])
    with pytest.raises(UserError, match="4 training images cannot be split into 5 folds"):
        folds.make_fold(FoldPaths(tmp_path, "digits", 0), few, "test", 5, SPLIT_SEED)


def test_without_a_network_the_message_says_what_to_fetch(tmp_path):
    with pytest.raises(UserError) as caught:
        originals.load_source(PROFILES["c100"], None, SPLIT_SEED)
    assert "hf download uoft-cs/cifar100 --repo-type dataset" in str(caught.value)
    assert "--data-dir cifar100" in str(caught.value)
