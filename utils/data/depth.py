"""Pictures of every depth into 8 bits a channel: Pillow's own conversion clips deeper ones."""

import numpy as np
from PIL import Image

# Tag of a TIFF that says how many bits a value has; Pillow reads 12 of them into 16.
BITS_PER_SAMPLE = 258
ADVICE = "save it with 8 or with 16 bits a channel"


def eight_bits(image: Image.Image) -> Image.Image:
    """The picture in a mode of 8 bits a channel that converts to grey and to RGB.

    16 bits keep their high byte, as Pillow does for colours of 16 bits. Whole
    numbers of 32 bits and floating-point numbers have no largest value that
    would be white: they are taken where they can only be the values of 8 bits.
    Transparency is left out: the colour under it is what counts.

    Raises
    ------
    ValueError : the values do not say what black and white are.
    """
    if image.mode.startswith("I;16"):
        return _high_byte(np.asarray(image), _bits(image))
    if image.mode == "I" and image.format == "PPM":  # scaled to 16 bits by Pillow
        return _high_byte(np.asarray(image), 16)
    if image.mode in ("I", "F"):
        return _whole_bytes(np.asarray(image), image.mode)
    if image.mode in ("La", "LAB"):
        return image.convert({"La": "LA", "LAB": "RGB"}[image.mode])
    if "transparency" in image.info:
        image = image.copy()
        del image.info["transparency"]  # Pillow would warn that it is lost
    return image


def _bits(image: Image.Image) -> int:
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(BITS_PER_SAMPLE, (16,))[0])


def _high_byte(values: np.ndarray, bits: int) -> Image.Image:
    """values : whole numbers (H, W) from 0 to 2**bits - 1."""
    largest = int(values.max(initial=0))
    if 0 < largest < 2 ** (bits - 8):
        raise ValueError(
            f"its values end at {largest} of {2**bits - 1}, so it would be black; {ADVICE}"
        )
    return Image.fromarray((values >> (bits - 8)).astype(np.uint8))


def _whole_bytes(values: np.ndarray, mode: str) -> Image.Image:
    """values : int32 or float32 (H, W)."""
    with np.errstate(invalid="ignore"):
        small = values.astype(np.uint8)
    # Nothing but 0 and 1 may be 8 bits, or be shares of white.
    shares = mode == "F" and values.max(initial=0) == 1
    if shares or not np.array_equal(small, values):
        raise ValueError(
            f"its values of mode {mode} go from {values.min():g} to {values.max():g}, which does "
            f"not say what is white; {ADVICE}"
        )
    return Image.fromarray(small)
