"""preprocessor_config.json of any class: every step that it names is done, none is left out."""

import json

import numpy as np
import pytest
from PIL import Image
from transformers import ViTConfig

from utils.data import images, processors
from utils.errors import UserError

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
DEIT = {  # as transformers 4.x writes it
    "crop_size": {"height": 8, "width": 8},
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": MEAN,
    "image_processor_type": "DeiTImageProcessor",
    "image_std": STD,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"height": 13, "width": 13},
}
OLD_DEIT = {  # as transformers 4.10 wrote it
    "crop_size": 8,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "DeiTFeatureExtractor",
    "image_mean": MEAN,
    "image_std": STD,
    "resample": 3,
    "size": 13,
}


def picture(size=(10, 9), seed=0):
    """`size` is Pillow's (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def reference(image, resize=None, resample=None, crop=None, factor=1 / 255, mean=None, std=None):
    """Each step written out with Pillow and float64, (C, H, W); None leaves it out.

    resize : Pillow's (width, height), or the length of the shorter edge. crop : a side.
    """
    if isinstance(resize, int):
        short, long = sorted(image.size)
        other = int(resize * long / short)
        resize = (resize, other) if image.size[0] == short else (other, resize)
    if resize:
        image = image.resize(resize, resample)
    pixels = np.asarray(image, dtype=np.float64)
    if crop:
        top, left = ((n - crop) // 2 for n in pixels.shape[:2])
        pixels = pixels[top : top + crop, left : left + crop]
    if factor is not None:
        pixels = pixels * factor
    if mean is not None:
        pixels = (pixels - np.array(mean)) / np.array(std)
    return pixels.transpose(2, 0, 1)


FULL = {"resize": (13, 13), "resample": Image.BICUBIC, "crop": 8, "mean": MEAN, "std": STD}
PLAIN = {"resize": (8, 8), "resample": Image.BILINEAR, "mean": [0.5], "std": [0.5]}
OTHER = DEIT | {"image_processor_type": "TheirProcessor"}
CASES = {
    "DeiT": (DEIT, FULL),
    "DeiT, fast": (DEIT | {"image_processor_type": "DeiTImageProcessorFast"}, FULL),
    "DeiT of 4.10": (OLD_DEIT, FULL),
    "a class of their own": (OTHER, FULL),
    "no class": ({k: v for k, v in DEIT.items() if k != "image_processor_type"}, FULL),
    "bilinear": (DEIT | {"resample": 2}, FULL | {"resample": Image.BILINEAR}),
    "nearest": (DEIT | {"resample": 0}, FULL | {"resample": Image.NEAREST}),
    "no crop": (
        DEIT | {"do_center_crop": False, "size": {"height": 8, "width": 8}},
        FULL | {"resize": (8, 8), "crop": None},
    ),
    "no resize": (DEIT | {"do_resize": False}, FULL | {"resize": None}),
    "no rescale": (DEIT | {"do_rescale": False}, FULL | {"factor": None}),
    "another factor": (DEIT | {"rescale_factor": 1 / 127.5}, FULL | {"factor": 1 / 127.5}),
    "no normalisation": (DEIT | {"do_normalize": False}, FULL | {"mean": None}),
    "rescaled, no more": (
        {"image_processor_type": "ViTImageProcessor", "do_normalize": False,
         "size": {"height": 8, "width": 8}},
        PLAIN | {"mean": None},
    ),
    "ViT, the rest as in its class": (
        {"feature_extractor_type": "ViTFeatureExtractor", "size": 8}, PLAIN
    ),
    "CLIP: the shorter edge": (
        {"image_processor_type": "CLIPImageProcessor", "size": 12, "crop_size": 8,
         "image_mean": MEAN, "image_std": STD},
        FULL | {"resize": 12},
    ),
    "the shorter edge, by name": (
        DEIT | {"size": {"shortest_edge": 11}}, FULL | {"resize": 11}
    ),
    "what has no effect": (
        DEIT | {"do_convert_rgb": True, "processor_class": "X", "do_reduce_labels": False,
                "_valid_processor_keys": ["images"], "crop_pct": None},
        FULL,
    ),
}  # fmt: skip


def read(folder, content, **config):
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return images.load_processor(folder, ViTConfig(image_size=8, **config))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [(10, 9), (9, 31), (40, 24)])
def test_pictures_are_made_as_the_file_says(tmp_path, name, size):
    content, steps = CASES[name]
    found = images.pixel_values([picture(size)], read(tmp_path, content), (3, 8, 8))
    np.testing.assert_allclose(found[0], reference(picture(size), **steps), atol=2e-5)


REFUSED = {
    "another resize": ({"image_processor_type": "ConvNextImageProcessor"}, "whose resize is more"),
    "another key": (DEIT | {"crop_pct": 0.875}, "whose crop_pct is more than resizing"),
    "its own code": (OTHER | {"auto_map": {"AutoImageProcessor": "x.Y"}}, "auto_map"),
    "channels turned round": (DEIT | {"do_flip_channel_order": True}, "do_flip_channel_order"),
    "an unknown class that is silent": (
        {k: v for k, v in OTHER.items() if k != "resample"},
        "type TheirProcessor, unknown to transformers, and leaves out resample",
    ),
    "crops to another size": (
        DEIT | {"crop_size": {"height": 6, "width": 6}}, "3x6x6, the model takes 3x8x8",
    ),
    "crops to no size": (
        {"image_processor_type": "ViTImageProcessor", "do_center_crop": True, "size": 8},
        "preprocessor_config.json does not fit",
    ),
    "a class that is no name": ({"image_processor_type": 3}, "not a readable image processor"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_made_otherwise_is_refused_in_one_line(tmp_path, name):
    content, said = REFUSED[name]
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"image_mean": [0.1, 0.2, 0.3]}, ["image_mean is [0.4, 0.5, 0.6] and [0.1, 0.2, 0.3]"]),
        ({"resample": 2, "image_std": 0.5}, ["resample", "image_std is [0.2, 0.25, 0.3] and 0.5"]),
        ({"do_center_crop": False}, ["do_center_crop is True and False"]),
        ({"size": 13, "image_processor_type": "ViTImageProcessor"}, []),
        ({"size": {"shortest_edge": 13}}, ["size is"]),
    ],
)
def test_differences_are_those_that_change_pictures(tmp_path, change, said):
    one = read(tmp_path, DEIT)
    (tmp_path / "other.json").write_text(json.dumps(DEIT | change))
    found = processors.differences(one, processors.read_processor(tmp_path / "other.json"))
    assert len(found) == len(said)
    assert all(words in text for words, text in zip(said, found, strict=True))


def test_what_is_switched_off_makes_no_difference(tmp_path):
    off = DEIT | {"do_normalize": False}
    one = read(tmp_path, off)
    (tmp_path / "other.json").write_text(json.dumps(off | {"image_mean": [0, 0, 0]}))
    assert not processors.differences(one, processors.read_processor(tmp_path / "other.json"))


def test_three_equal_means_and_one_are_the_same(tmp_path):
    one = images.default_processor(ViTConfig(image_size=8, num_channels=1))
    content = {"size": 8, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    other = read(tmp_path, content)
    assert not processors.differences(one, other)
