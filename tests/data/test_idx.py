"""IDX files as MNIST and its relatives are distributed: read as they are, refused where broken."""

import dataclasses
import gzip

import datasets
import numpy as np
import pytest
from idx_files import images_file, labels_file, pictures, write_split

from utils.constants import PROFILES
from utils.data import idx, originals
from utils.errors import UserError

FASHION = PROFILES["fashion"]


def load(folder, profile=FASHION) -> datasets.DatasetDict:
    return originals.load_source(profile, folder, 777)


@pytest.fixture
def folder(tmp_path):
    """A folder with both splits, unpacked."""
    for begin, n, seed in [("train", 30, 0), ("t10k", 7, 1)]:
        write_split(tmp_path / "idx", begin, *pictures(n, seed))
    return tmp_path / "idx"


def require_what_was_written(found: datasets.DatasetDict, size: int = 28) -> None:
    for split, n, seed in [("train", 30, 0), ("test", 7, 1)]:
        images, labels = pictures(n, seed, size)
        assert np.array_equal(np.stack([np.array(one) for one in found[split]["image"]]), images)
        assert found[split]["label"] == labels.tolist()


def test_files_are_read_as_they_are(folder):
    found = load(folder)
    require_what_was_written(found)
    assert found["train"].features["label"].names == list(FASHION.class_names)
    assert found["train"][0]["image"].mode == "L"


@pytest.mark.parametrize(
    ("begin", "other", "packed"),
    [
        ("train", "t10k", True),
        ("emnist-letters-train", "emnist-letters-test", True),
        ("emnist-balanced-train", "emnist-balanced-test", False),
    ],
)
def test_packed_files_and_emnists_names(tmp_path, begin, other, packed):
    for name, n, seed in [(begin, 30, 0), (other, 7, 1)]:
        write_split(tmp_path, name, *pictures(n, seed), packed=packed)
    require_what_was_written(load(tmp_path))


def test_pictures_of_another_size_and_columns_of_another_name(tmp_path):
    for begin, n, seed in [("train", 30, 0), ("t10k", 7, 1)]:
        write_split(tmp_path, begin, *pictures(n, seed, size=40))
    require_what_was_written(load(tmp_path), size=40)
    c100 = dataclasses.replace(PROFILES["c100"], class_names=())
    assert load(tmp_path, c100)["train"].column_names == ["img", "fine_label"]


def test_without_class_names_labels_are_their_own(folder):
    bare = dataclasses.replace(FASHION, class_names=())
    assert load(folder, bare)["test"].features["label"].names == [str(n) for n in range(10)]


def test_of_a_packed_and_an_unpacked_file_the_unpacked_is_taken(folder):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    require_what_was_written(load(folder))


def test_other_folders_have_no_idx_files(tmp_path):
    (tmp_path / "train-images.parquet").write_bytes(b"x")
    assert idx.find_files(tmp_path) == {}


def packed_with_a_wrong_checksum(content: bytes) -> bytes:
    packed = bytearray(gzip.compress(content))
    packed[-8] ^= 1  # CRC-32 and length end the file
    return bytes(packed)


IMAGES = images_file(pictures(30, 0)[0])
LABELS = labels_file(pictures(30, 0)[1])
BROKEN = {
    "cut short": ("train-images-idx3-ubyte", IMAGES[:-1], "cut short.*asks for 23536 bytes"),
    "too long": ("train-images-idx3-ubyte", IMAGES + b"x", "too long.*has 23537"),
    "header": ("train-images-idx3-ubyte", IMAGES[:9], "ends within its header, after 9"),
    "empty": ("train-images-idx3-ubyte", b"", "begins with the number 0x00000000"),
    "magic": ("train-images-idx3-ubyte", LABELS, "begins with the number 0x00000801, and IDX"),
    "labels' magic": ("train-labels-idx1-ubyte", IMAGES, "0x00000803, and IDX files of labels"),
    "labels cut": ("train-labels-idx1-ubyte", LABELS[:-5], "cut short"),
    "counts": (
        "train-labels-idx1-ubyte", labels_file(pictures(29, 0)[1]), "30 images .* 29 labels",
    ),
    "names": (
        "train-labels-idx1-ubyte", labels_file(np.full(30, 10, np.uint8)),
        "label 10 of row 0 is beyond the 10 class_names",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load(folder)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(IMAGES)[:-9], "cannot be read"),
        (packed_with_a_wrong_checksum(IMAGES), "CRC"),
        (b"\x1f\x8b" + b"nonsense" * 4, "cannot be read"),
        (IMAGES, "[Nn]ot a gzipped file"),
    ],
    ids=["cut short", "checksum", "nonsense", "not packed"],
)
def test_a_broken_packed_file_is_named(folder, content, message):
    (folder / "train-images-idx3-ubyte").unlink()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load(folder)
    assert "train-images-idx3-ubyte.gz" in str(caught.value)


def test_half_a_split_and_no_test_split_are_refused(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="no file with the labels of the split 'test'"):
        load(folder)
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(UserError, match="has the splits train; expected 'test'"):
        load(folder)


def test_several_data_sets_in_one_folder_are_refused(folder):
    write_split(folder, "emnist-letters-train", *pictures(5, 0))
    with pytest.raises(UserError, match=r"several data sets \(train-\.\.\., emnist-letters-\.\.\."):
        load(folder)


def test_empty_splits_are_refused(folder):
    write_split(folder, "t10k", *pictures(0, 0))
    with pytest.raises(UserError, match="the split 'test' is empty"):
        load(folder)
