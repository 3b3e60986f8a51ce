"""IDX files, as MNIST, Fashion-MNIST, KMNIST and EMNIST are distributed.

Two files a split, packed with gzip or not: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
and `t10k-...` for the test split; EMNIST's begin with `emnist-<split>-` and say `test`. A file is
a magic number, the size of each axis (big-endian, 4 bytes each) and one byte a value (LeCun,
Cortes, Burges, "The MNIST database"). Pictures stay as the file has them: EMNIST's lie on their
side. The files hold no names of classes: the profile's `class_names` has them.
"""

import gzip
import math
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np

from utils.errors import UserError

NAME = re.compile(
    r"(?P<set>emnist-[a-z]+-)?(?P<split>train|t10k|test)-"
    r"(?P<kind>images[-.]idx3|labels[-.]idx1)-ubyte(\.gz)?"
)
PACKED = ".gz"
# Unsigned bytes (8), then the number of axes.
MAGIC = {"images": 0x0803, "labels": 0x0801}
AXES = {"images": 3, "labels": 1}
AGAIN = "fetch the file again"


def find_files(folder: Path) -> dict[str, dict[str, Path]]:
    """The IDX files of a folder: split (train, test) to kind (images, labels) to file.

    A file that is there packed and unpacked is taken unpacked. Empty where there are none.

    Raises
    ------
    UserError : several data sets lie there, or half of a split.
    """
    found: dict[str, dict[str, Path]] = {}
    sets = set()
    for path in sorted(folder.iterdir()):  # NAME sorts before NAME.gz
        match = NAME.fullmatch(path.name)
        if match is None or not path.is_file():
            continue
        sets.add(match["set"] or "")
        split = "train" if match["split"] == "train" else "test"
        found.setdefault(split, {}).setdefault(match["kind"][:6], path)
    if len(sets) > 1:
        names = ", ".join(f"{name}..." if name else "train-..." for name in sorted(sets))
        raise UserError(f"{folder} holds several data sets ({names}); give a folder with one")
    for split, files in found.items():
        for kind in MAGIC.keys() - files.keys():
            raise UserError(f"{folder} has no file with the {kind} of the split {split!r}; add it")
    return found


def load_idx(
    files: dict[str, dict[str, Path]],
    class_names: Sequence[str],
    image_column: str,
    label_column: str,
) -> datasets.DatasetDict:
    """Splits of grey pictures and labels.

    Parameters
    ----------
    files : from `find_files`.
    class_names : label i is class_names[i]; where there are none, labels are their own names.
    image_column, label_column : what the columns are to be called.

    Raises
    ------
    UserError : a file is broken, or the two of a split do not belong together.
    """
    arrays = {split: read_split(pair) for split, pair in files.items()}
    highest = max((int(labels.max()) for _, labels in arrays.values() if len(labels)), default=-1)
    names = list(class_names) or [str(label) for label in range(highest + 1)]
    for split, (_, labels) in arrays.items():
        require_named(labels, names, files[split]["labels"])
    return datasets.DatasetDict(
        {
            split: as_dataset(images, labels, names, image_column, label_column)
            for split, (images, labels) in arrays.items()
        }
    )


def read_split(files: dict[str, Path]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 (S, height, width) and labels uint8 (S,) of a split."""
    images, labels = (read_file(files[kind], kind) for kind in ("images", "labels"))
    if len(images) != len(labels):
        raise UserError(
            f"{files['images']} holds {len(images)} images and {files['labels'].name} "
            f"{len(labels)} labels; they are not of one split"
        )
    if images.size == 0 and len(images):
        raise UserError(f"{files['images']} holds images without a pixel; {AGAIN}")
    return images, labels


def read_file(path: Path, kind: str) -> np.ndarray:
    """The values of one IDX file, uint8, in the shape that its header gives.

    kind : "images" (three axes) or "labels" (one).

    Raises
    ------
    UserError : it cannot be unpacked, or its header or its length is not what it has to be.
    """
    content = unpacked(path)
    header = 4 + 4 * AXES[kind]
    magic = int.from_bytes(content[:4], "big")
    if len(content) < 4 or magic != MAGIC[kind]:
        raise UserError(
            f"{path} begins with the number {magic:#010x}, and IDX files of {kind} with "
            f"{MAGIC[kind]:#010x}; {AGAIN}"
        )
    if len(content) < header:
        raise UserError(f"{path} ends within its header, after {len(content)} bytes; {AGAIN}")
    shape = struct.unpack(f">{AXES[kind]}I", content[4:header])
    wanted = header + math.prod(shape)
    if len(content) != wanted:
        size = " x ".join(map(str, shape))
        raise UserError(
            f"{path} is {'cut short' if len(content) < wanted else 'too long'}: its header asks "
            f"for {wanted} bytes ({size} values), it has {len(content)}; {AGAIN}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def unpacked(path: Path) -> bytes:
    """All bytes of a file; of one that ends in .gz, what is packed in it, its checksum tested."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == PACKED else content
    except (EOFError, zlib.error, OSError) as error:  # BadGzipFile is an OSError
        raise UserError(f"{path} cannot be read ({error}); {AGAIN}") from None


def require_named(labels: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Refuse a label that no class has."""
    beyond = labels >= len(names)
    if beyond.any():
        raise UserError(
            f"{path}: label {labels[beyond][0]} of row {int(beyond.argmax())} is beyond the "
            f"{len(names)} class_names of the profile in utils/constants.py; correct one of them"
        )


def as_dataset(
    images: np.ndarray, labels: np.ndarray, names: list[str], image_column: str, label_column: str
) -> datasets.Dataset:
    """Grey pictures, encoded without loss, and their labels."""
    from PIL import Image

    features = datasets.Features(
        {image_column: datasets.Image(), label_column: datasets.ClassLabel(names=names)}
    )
    rows = {image_column: list(map(Image.fromarray, images)), label_column: labels.tolist()}
    return datasets.Dataset.from_dict(rows, features)
