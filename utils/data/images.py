"""Images into the tensor a ViT takes: the same way when it is trained and when it is examined."""

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from PIL import Image
from transformers import ViTConfig
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from utils.data.depth import eight_bits
from utils.data.processors import PROCESSOR_FILE, read_processor
from utils.errors import UserError
from utils.run.file_systems import SHARED_MEMORY, say_once, shared_memory_left

MODES = {1: "L", 3: "RGB"}
# Modes that a column of images may ask for and that keep what a picture of 8 bits holds.
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV")
MOST_WORKERS = 8
# Batches that each worker prepares before they are asked for: the DataLoader's default.
AHEAD = 2


class ImageError(UserError):
    """An image of the data set that cannot be read.

    A DataLoader worker hands its whole traceback over as the message; the last
    line of it is what was raised.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rstrip().splitlines()[-1].split("ImageError: ")[-1])


def input_shape(config: ViTConfig) -> tuple[int, int, int]:
    """Channels, height and width of the images a model takes."""
    if config.num_channels not in MODES:
        raise UserError(
            f"the model takes images of {config.num_channels} channels; "
            "only 1 (grey) and 3 (RGB) can be made from a picture"
        )
    size = config.image_size
    height, width = size if isinstance(size, Sequence) else (size, size)
    return config.num_channels, height, width


def load_processor(checkpoint: Path, config: ViTConfig) -> ViTImageProcessorPil:
    """The image preprocessing of a checkpoint (docs/definitions.md 2).

    From `preprocessor_config.json` in the folder, of transformers 4.x or 5.x;
    where there is none, resizing to the model's size, mean and std 0.5.

    Raises
    ------
    UserError : the file is not readable, of another kind of processor, or makes
        images of another size or number of channels than the model takes.
    """
    shape = input_shape(config)
    path = checkpoint / PROCESSOR_FILE
    if not path.is_file():
        return default_processor(config)
    processor = read_processor(path)
    for name in ("image_mean", "image_std"):
        setattr(processor, name, _per_channel(getattr(processor, name), shape[0], name, path))
    try:
        pixel_values([Image.new("L", (shape[2], shape[1]))], processor, shape)
    except (UserError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not fit the model beside it: {reason}") from None
    return processor


def default_processor(config: ViTConfig) -> ViTImageProcessorPil:
    """Resizing to the model's size, pixels scaled to [-1, 1]."""
    channels, height, width = input_shape(config)
    return ViTImageProcessorPil(
        size={"height": height, "width": width},
        image_mean=[0.5] * channels,
        image_std=[0.5] * channels,
    )


def _per_channel(values: float | list[float], channels: int, name: str, path: Path) -> list[float]:
    """One value per channel; three equal ones serve a grey model as well."""
    values = list(values) if isinstance(values, Sequence) else [values]
    if len(values) != channels:
        if len(set(values)) != 1:
            raise UserError(
                f"{path} has {len(values)} different values in {name}, the model {channels} "
                f"channel{'s' * (channels > 1)}; give one value per channel"
            )
        values = values[:1] * channels
    return values


def pixel_values(
    images: Sequence[Image.Image], processor: ViTImageProcessorPil, shape: tuple[int, int, int]
) -> torch.Tensor:
    """Preprocess pictures of any mode and size.

    Parameters
    ----------
    images : deeper ones than 8 bits a channel are brought to 8 bits by `depth.eight_bits`.
    shape : what the model takes, from `input_shape`; its channels decide the
        mode the pictures are converted to first (1: grey, 3: RGB).

    Returns
    -------
    float32 (B, C, H, W)
    """
    converted = [eight_bits(image).convert(MODES[shape[0]]) for image in images]
    arrays = processor(converted, do_convert_rgb=False)["pixel_values"]
    for array in arrays:
        if array.shape != shape:
            made, wanted = ("x".join(map(str, size)) for size in (array.shape, shape))
            raise UserError(
                f"the image processor makes images of {made}, the model takes {wanted} "
                f"(channels x height x width); correct its size"
            )
    return torch.from_numpy(np.stack(arrays).astype(np.float32, copy=False))


class ImageRows(torch.utils.data.Dataset):
    """A split as a map-style data set whose errors say which image they are about.

    Rows are a picture of 8 bits a channel and a label, whether the column holds
    images, encoded images in bytes, or `Image(decode=False)`. A mode that the
    column asks for is applied last: `datasets` would clip deeper pictures.
    """

    def __init__(
        self, dataset: datasets.Dataset, image_column: str, label_column: str, split: str
    ) -> None:
        asked = getattr(dataset.features[image_column], "mode", None)
        self.mode = asked if asked in EIGHT_BIT_MODES else None
        self.dataset = dataset
        if dataset.features[image_column] != datasets.Image():
            self.dataset = dataset.cast_column(image_column, datasets.Image())
        self.image_column, self.label_column, self.split = image_column, label_column, split
        self.columns = image_column, label_column

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        try:
            row = self.dataset[index]
            picture = row[self.image_column]
            if picture is not None:
                picture = eight_bits(picture)
                picture = picture.convert(self.mode) if self.mode else picture
        except Exception as error:  # Pillow's decoders raise whatever they stumble over
            reason = " ".join(str(error).split())[:200]
            raise ImageError(
                f"image {index} of the split {self.split!r} cannot be read ({reason}); "
                "mend or remove it in the data set"
            ) from None
        if picture is None:
            raise ImageError(
                f"image {index} of the split {self.split!r} is missing; "
                "mend or remove it in the data set"
            )
        return picture, row[self.label_column]


def digests(dataset: datasets.Dataset, image_column: str) -> list[bytes]:
    """16 bytes of each image's content as it is stored, without decoding; missing ones left out."""
    found = []
    rows = dataset.select_columns([image_column]).with_format("arrow")
    for batch in rows.iter(batch_size=1000):
        for image in batch[image_column].to_pylist():
            content = _content(image)
            if content is not None:
                found.append(hashlib.blake2b(content, digest_size=16).digest())
    return found


def _content(image: dict[str, Any] | bytes | None) -> bytes | None:
    """The bytes of an encoded image, which may lie in a file beside the data set."""
    if not isinstance(image, dict):
        return image
    content, path = image.get("bytes"), image.get("path")
    if content is None and path and Path(path).is_file():
        return Path(path).read_bytes()
    return content


@dataclass(frozen=True)
class Collate:
    """Rows of `ImageRows` into a batch; can be pickled, for the workers of a DataLoader."""

    processor: ViTImageProcessorPil
    shape: tuple[int, int, int]

    def __call__(self, rows: Sequence[tuple[Image.Image, int]]) -> Mapping[str, Any]:
        """Return pixel_values float32 (B, C, H, W) and labels int64 (B,)."""
        images, labels = zip(*rows, strict=True)
        return {
            "pixel_values": pixel_values(images, self.processor, self.shape),
            "labels": torch.tensor(labels, dtype=torch.int64),
        }


def preprocessing_workers(asked: int | None, processes: int = 1) -> int:
    """DataLoader workers per process; None: one per core beyond the first, at most 8."""
    if asked is not None:
        return asked
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min((cores - 1) // processes, MOST_WORKERS)


def workers_that_fit(workers: int, batch_size: int, shape: tuple[int, int, int]) -> int:
    """`workers`, or none, after a line, where /dev/shm has no room for their batches.

    Workers that cannot share what they made end the process, or it waits for them.

    shape : (C, H, W) of an image, float32.
    """
    left = shared_memory_left()
    wanted = workers * AHEAD * batch_size * math.prod(shape) * 4
    if workers == 0 or left is None or wanted <= left:
        return workers
    say_once(
        f"{SHARED_MEMORY} has {left:,} bytes left, {workers} worker processes share up to "
        f"{wanted:,}: images are prepared without them, which is slower (PREPROCESSING_WORKERS)"
    )
    return 0
