"""utils.data.images: pictures of every kind come out as the model was trained to see them."""

import json
import pickle

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from transformers import ViTConfig

from utils.data import images
from utils.errors import UserError

OLD_CONFIG = {  # as transformers 4.2 wrote it
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "ViTFeatureExtractor",
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.25, 0.3],
    "resample": 2,
    "size": 12,
}


def picture(mode="RGB", size=(8, 8), seed=0):
    """`size` is Pillow's (width, height)."""
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def reference(image, shape, mean, std):
    """Resize with Pillow, then (x / 255 - mean) / std in float64, (C, H, W)."""
    channels, height, width = shape
    resized = image.convert("L" if channels == 1 else "RGB").resize((width, height), Image.BILINEAR)
    pixels = np.asarray(resized, dtype=np.float64).reshape(height, width, channels) / 255
    return ((pixels - np.array(mean)) / np.array(std)).transpose(2, 0, 1)


def save_processor(folder, content):
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(8, 8), (3, 3), (1, 3), (3, 8), (40, 30)])
def test_any_picture_fits_any_model(tmp_path, channels, mode, size):
    config = ViTConfig(image_size=8, num_channels=channels)
    processor = images.load_processor(tmp_path, config)
    shape = images.input_shape(config)
    batch = [picture(mode, size, seed) for seed in range(3)]
    values = images.pixel_values(batch, processor, shape)
    assert values.dtype == torch.float32 and values.shape == (3, channels, 8, 8)
    for image, found in zip(batch, values, strict=True):
        np.testing.assert_allclose(found, reference(image, shape, [0.5], [0.5]), atol=1e-6)


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK", "1", "LA"])
def test_other_modes_are_converted(tmp_path, mode):
    config = ViTConfig(image_size=8)
    image = picture().convert(mode)
    values = images.pixel_values([image], images.load_processor(tmp_path, config), (3, 8, 8))
    np.testing.assert_allclose(values[0], reference(image, (3, 8, 8), [0.5], [0.5]), atol=1e-6)


def test_model_that_is_not_square(tmp_path):
    config = ViTConfig(image_size=(6, 10))
    shape = images.input_shape(config)
    assert shape == (3, 6, 10)
    values = images.pixel_values([picture()], images.load_processor(tmp_path, config), shape)
    np.testing.assert_allclose(values[0], reference(picture(), shape, [0.5], [0.5]), atol=1e-6)


def test_processor_of_transformers_4(tmp_path):
    config = ViTConfig(image_size=12)
    processor = images.load_processor(save_processor(tmp_path, OLD_CONFIG), config)
    shape = images.input_shape(config)
    values = images.pixel_values([picture()], processor, shape)
    wanted = reference(picture(), shape, OLD_CONFIG["image_mean"], OLD_CONFIG["image_std"])
    np.testing.assert_allclose(values[0], wanted, atol=1e-6)


def test_processor_that_was_saved_is_read_again(tmp_path):
    config = ViTConfig(image_size=12)
    first = images.load_processor(save_processor(tmp_path, OLD_CONFIG), config)
    again = tmp_path / "again"
    first.save_pretrained(again)
    second = images.load_processor(again, config)
    values = [images.pixel_values([picture()], each, (3, 12, 12)) for each in (first, second)]
    assert torch.equal(*values)


@pytest.mark.parametrize("extra", [{}, {"do_convert_rgb": True}])
def test_three_equal_means_serve_a_grey_model(tmp_path, extra):
    config = ViTConfig(image_size=12, num_channels=1)
    content = OLD_CONFIG | {"image_mean": [0.3] * 3, "image_std": [0.2] * 3} | extra
    processor = images.load_processor(save_processor(tmp_path, content), config)
    values = images.pixel_values([picture("L")], processor, (1, 12, 12))
    np.testing.assert_allclose(
        values[0], reference(picture("L"), (1, 12, 12), [0.3], [0.2]), atol=1e-6
    )


@pytest.mark.parametrize(
    ("content", "config", "message"),
    [
        (OLD_CONFIG, {"image_size": 12, "num_channels": 1}, "3 different values in image_mean"),
        (OLD_CONFIG, {"image_size": 16}, "3x12x12, the model takes 3x16x16"),
        (OLD_CONFIG, {"image_size": 12, "num_channels": 4}, "4 channels"),
        (OLD_CONFIG | {"size": {"height": 12, "width": 8}}, {"image_size": 12}, "3x12x8"),
        (
            {"image_processor_type": "ConvNextImageProcessor"},
            {"image_size": 12},
            "type ConvNextImageProcessor, whose resize is more than",
        ),
        ([], {"image_size": 12}, "not a readable image processor"),
        ({"size": "big"}, {"image_size": 12}, "not a readable image processor"),
    ],
)
def test_processor_that_does_not_fit_is_refused(tmp_path, content, config, message):
    with pytest.raises(UserError, match=message):
        images.load_processor(save_processor(tmp_path, content), ViTConfig(**config))


def test_picture_of_the_wrong_size_is_refused_where_nothing_resizes(tmp_path):
    content = OLD_CONFIG | {"do_resize": False}
    processor = images.load_processor(save_processor(tmp_path, content), ViTConfig(image_size=12))
    with pytest.raises(UserError, match="3x8x8"):
        images.pixel_values([picture(size=(12, 12)), picture()], processor, (3, 12, 12))


@pytest.fixture
def broken_split():
    """Five images, of which number 3 is cut short."""
    whole = datasets.Dataset.from_dict(
        {"img": [picture(seed=i) for i in range(5)], "label": list(range(5))},
        datasets.Features(img=datasets.Image(), label=datasets.Value("int64")),
    )
    rows = whole.cast_column("img", datasets.Image(decode=False)).to_list()
    rows[3]["img"]["bytes"] = rows[3]["img"]["bytes"][:60]
    rows[4]["img"] = None
    return datasets.Dataset.from_list(rows, features=whole.features)


@pytest.mark.parametrize("workers", [0, 1])
def test_image_that_cannot_be_read_is_named_in_one_line(broken_split, workers):
    config = ViTConfig(image_size=8)
    collate = images.Collate(images.default_processor(config), images.input_shape(config))
    rows = images.ImageRows(broken_split, "img", "label", "repair")
    loader = DataLoader(rows, batch_size=2, collate_fn=collate, num_workers=workers)
    batches = iter(loader)
    first = next(batches)
    assert first["labels"].tolist() == [0, 1] and first["labels"].dtype == torch.int64
    assert first["pixel_values"].shape == (2, 3, 8, 8)
    with pytest.raises(UserError) as caught:
        next(batches)
    assert str(caught.value).startswith("image 3 of the split 'repair' cannot be read (")
    assert "\n" not in str(caught.value)


def test_missing_image_is_named(broken_split):
    with pytest.raises(UserError, match="image 4 of the split 'repair' is missing"):
        images.ImageRows(broken_split, "img", "label", "repair")[4]


def test_collate_survives_pickling():
    config = ViTConfig(image_size=8)
    collate = images.Collate(images.default_processor(config), images.input_shape(config))
    rows = [(picture(seed=1), 7), (picture(seed=2), 1)]
    again = pickle.loads(pickle.dumps(collate))
    assert torch.equal(collate(rows)["pixel_values"], again(rows)["pixel_values"])


@pytest.mark.parametrize(
    ("cores", "asked", "processes", "workers"),
    [
        (1, None, 1, 0),
        (2, None, 1, 1),
        (64, None, 1, 8),
        (64, None, 8, 7),
        (64, 3, 1, 3),
        (4, 0, 1, 0),
        (2, None, 2, 0),  # two folds on two cores: each prepares its own
    ],
)
def test_workers_leave_a_core_to_the_model(monkeypatch, cores, asked, processes, workers):
    monkeypatch.setattr(images.os, "sched_getaffinity", lambda _: range(cores), raising=False)
    assert images.preprocessing_workers(asked, processes) == workers
