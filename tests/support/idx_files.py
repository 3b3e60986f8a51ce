"""IDX files written from the format's description, by hand."""

import gzip
import struct
from pathlib import Path

import numpy as np

NAMES = {"train": "train", "test": "t10k"}


def images_file(images: np.ndarray) -> bytes:
    """Pictures uint8 (S, height, width) as an IDX file."""
    return struct.pack(">IIII", 2051, *images.shape) + images.tobytes()


def labels_file(labels: np.ndarray) -> bytes:
    """Labels uint8 (S,) as an IDX file."""
    return struct.pack(">II", 2049, len(labels)) + labels.tobytes()


def write_split(
    folder: Path, begin: str, images: np.ndarray, labels: np.ndarray, packed: bool = False
) -> None:
    """The two files of a split, called `begin`-images-idx3-ubyte and so on."""
    folder.mkdir(exist_ok=True)
    contents = {"images-idx3": images_file(images), "labels-idx1": labels_file(labels)}
    for kind, content in contents.items():
        name = f"{begin}-{kind}-ubyte" + ".gz" * packed
        (folder / name).write_bytes(gzip.compress(content) if packed else content)


def pictures(n: int, seed: int, size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright bar whose length is the label (0..9) and that lies at the top."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n).astype(np.uint8)
    images = rng.integers(0, 60, (n, size, size)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2:8, : 2 + 2 * int(label)] += 180
    return images, labels
