"""utils.data.depth: the same picture in every depth comes out the same, or is refused by number."""

import io
import struct
import warnings
import zlib

import datasets
import numpy as np
import pytest
from PIL import Image
from transformers import ViTConfig

from utils.data import images
from utils.data.depth import eight_bits
from utils.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5), dtype=np.uint8)
PIXELS[0, :2] = 0, 255
COLOURS = np.random.default_rng(1).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def encoded(image, kind, **options):
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def png(values, colour_type):
    """A PNG of 16 bits a channel; Pillow writes none in colour."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(
            ">I", zlib.crc32(name + content)
        )  # fmt: skip

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_of_12_bits(values):
    """A grey TIFF whose values are packed into 12 bits, as cameras write them."""
    height, width = values.shape
    rows = b""
    for row in values:
        bits = "".join(f"{int(v):012b}" for v in row)
        bits += "0" * (-len(bits) % 8)
        rows += bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 0),
        (277, 3, 1), (278, 4, height), (279, 4, len(rows)),
    ]  # fmt: skip
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, kind, 1, start if tag == 273 else value)
        for tag, kind, value in tags
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + rows


def pgm(values, largest):
    head = b"P5 %d %d %d\n" % (values.shape[1], values.shape[0], largest)
    return head + values.astype(">u2").tobytes()


def array(values):
    """As `datasets` keeps an array."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it makes some narrower
        return datasets.Image().encode_example(values)["bytes"]


WIDE = PIXELS.astype(np.uint16)
SAME = {
    "png of 16 bits": encoded(Image.fromarray(WIDE * 257), "PNG"),
    "png of 16 bits, low byte 0": png(WIDE * 256, 0),
    "tiff of 16 bits": encoded(Image.fromarray(WIDE * 257), "TIFF"),
    "tiff of 12 bits": tiff_of_12_bits(WIDE * 16 + 7),
    "jpeg 2000 of 16 bits": encoded(Image.fromarray(WIDE * 257), "JPEG2000"),
    "pgm of 16 bits": pgm(WIDE * 257, 65535),
    "pgm of 12 bits": pgm(np.round(WIDE / 255 * 4095), 4095),
    "grey and alpha of 16 bits": png(np.stack([WIDE * 257, WIDE * 0 + 65535], axis=-1), 4),
    "colour of 16 bits": png(np.stack([WIDE * 257] * 3, axis=-1), 2),
    "array of 16 bits": array(WIDE * 257),
    "array of 16 bits, big-endian": array((WIDE * 257).astype(">u2")),
    "array of signed 16 bits": array(PIXELS.astype(np.int16)),
    "array of 32 bits": array(PIXELS.astype(np.uint32)),
    "array of signed 32 bits": array(PIXELS.astype(np.int32)),
    "array of 64 bits": array(PIXELS.astype(np.int64)),
    "array of floats": array(PIXELS.astype(np.float32)),
    "array of doubles": array(PIXELS.astype(np.float64)),
    "mode I": encoded(Image.fromarray(PIXELS).convert("I"), "TIFF"),
    "mode F": encoded(Image.fromarray(PIXELS).convert("F"), "TIFF"),
}
REFUSED = {
    "shares of white": (array(PIXELS / 255), "from .* to 1,"),
    "black and white as floats": (array((PIXELS > 99).astype(np.float32)), "from 0 to 1,"),
    "fractions": (array(PIXELS + np.float32(0.5)), "mode F"),
    "negative floats": (array(PIXELS - 9.0), "from -9 to"),
    "NaN": (array(np.where(PIXELS > 99, np.nan, PIXELS)), "mode F"),
    "floats of 16 bits": (array(PIXELS * 257.0), "mode F"),
    "32 bits": (array(PIXELS.astype(np.int32) * 257), "mode I"),
    "negative numbers": (array(PIXELS.astype(np.int16) - 9), "from -9 to"),
    "8 bits in 16": (array(WIDE), r"values end at \d+ of 65535"),
    "8 bits in a png of 16": (png(WIDE, 0), r"values end at \d+ of 65535"),
    "4 bits in 12": (tiff_of_12_bits(WIDE % 16), "values end at 15 of 4095"),
}


def column(*contents, feature=None):
    """A split of pictures, given as the bytes of their files."""
    return datasets.Dataset.from_dict(
        {"img": [{"bytes": b, "path": None} for b in contents], "label": [0] * len(contents)},
        datasets.Features(img=feature or datasets.Image(), label=datasets.Value("int64")),
    )


def pixel_values(rows, channels):
    config = ViTConfig(image_size=rows[0][0].size[::-1], num_channels=channels)
    shape = images.input_shape(config)
    processor = images.default_processor(config)
    return images.pixel_values([rows[i][0] for i in range(len(rows))], processor, shape)


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_picture_in_every_depth(name, channels):
    dataset = column(encoded(Image.fromarray(PIXELS), "PNG"), SAME[name])
    values = pixel_values(images.ImageRows(dataset, "img", "label", "repair"), channels).numpy()
    np.testing.assert_array_equal(values[1], values[0])
    np.testing.assert_allclose(values[0][0], (PIXELS / 255 - 0.5) / 0.5, atol=1e-6)


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_do_not_say_what_is_white_are_refused_by_number(name):
    content, said = REFUSED[name]
    rows = images.ImageRows(column(SAME["mode F"], content), "img", "label", "test")
    assert rows[0][0].mode == "L"
    with pytest.raises(UserError, match=f"image 1 of the split 'test' .*{said}.* 16 bits") as error:
        rows[1]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("depth", ["I;16", "I", "F"])
def test_a_black_picture_is_one_in_every_depth(depth):
    assert not np.asarray(eight_bits(Image.new(depth, (3, 2)))).any()


@pytest.mark.parametrize("mode", [None, "L", "RGB"])
def test_a_mode_that_the_column_asks_for_does_not_clip(mode):
    """datasets would convert by itself, and clip what is above 255."""
    dataset = column(SAME["png of 16 bits"], feature=datasets.Image(mode=mode))
    picture, _ = images.ImageRows(dataset, "img", "label", "repair")[0]
    assert picture.mode == (mode or "L")
    np.testing.assert_array_equal(np.asarray(picture.convert("L")), PIXELS)


def test_a_mode_that_the_column_asks_for_is_kept():
    dataset = column(encoded(Image.fromarray(COLOURS), "PNG"), feature=datasets.Image(mode="L"))
    values = pixel_values(images.ImageRows(dataset, "img", "label", "repair"), 3)
    grey = np.asarray(Image.fromarray(COLOURS).convert("L"))
    np.testing.assert_allclose(values[0, 2], (grey / 255 - 0.5) / 0.5, atol=1e-6)


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "PA", "LA", "La", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr",
             "LAB", "HSV"],
)  # fmt: skip
@pytest.mark.parametrize("target", ["L", "RGB"])
def test_every_mode_of_pillow_converts_without_a_warning(mode, target):
    source = Image.fromarray(COLOURS)
    if mode == "La":
        image, wanted = source.convert("LA").convert("La"), source.convert("L")
    elif mode == "LAB":
        image = Image.frombytes("LAB", (2, 1), bytes([0, 0, 0, 255, 0, 0]))
        wanted = Image.frombytes("L", (2, 1), bytes([0, 255]))
    else:
        image, wanted = source.convert(mode), None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = eight_bits(image).convert(target)
    wanted = (wanted or image).convert(target)
    np.testing.assert_allclose(np.asarray(found).astype(int), np.asarray(wanted), atol=3)


@pytest.mark.parametrize("transparency", [3, b"\x00\xff\x80"])
def test_transparency_is_left_out_in_silence(transparency):
    image = Image.fromarray(COLOURS).quantize(16)
    image.info["transparency"] = transparency
    content = encoded(image, "PNG")
    rows = images.ImageRows(column(content), "img", "label", "repair")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = pixel_values(rows, 3)
    palette = np.array(image.getpalette()).reshape(-1, 3)
    wanted = palette[np.asarray(image)] / 127.5 - 1
    np.testing.assert_allclose(values[0].permute(1, 2, 0), wanted, atol=1e-6)
