"""preprocessor_config.json: how pictures are resized, cropped and normalised for a checkpoint."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import SizeDict
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from utils.errors import UserError

PROCESSOR_FILE = "preprocessor_config.json"
# What decides the pixels, in the order in which it is done.
STEPS = {
    "do_resize": ("size", "resample", "default_to_square"),
    "do_center_crop": ("crop_size",),
    "do_rescale": ("rescale_factor",),
    "do_normalize": ("image_mean", "image_std"),
    "do_pad": ("pad_size",),
}
DECIDES = [name for switch, values in STEPS.items() for name in (switch, *values)]
# What a class of a name that transformers does not know has to spell out.
NEEDED = ("do_resize", "size", "resample", "do_normalize", "image_mean", "image_std")
# What makes no difference here: pictures get the model's channels before they come to it.
WITHOUT_EFFECT = (
    "image_processor_type", "feature_extractor_type", "processor_class", "do_convert_rgb",
    "data_format", "input_data_format", "device", "disable_grouping", "return_tensors",
    "model_input_names", "image_seq_length",
)  # fmt: skip
OPERATIONS = ("resize", "center_crop", "rescale", "normalize", "process_image")


def read_processor(path: Path) -> ViTImageProcessorPil:
    """The processor that a preprocessor_config.json describes, whatever its class is called.

    What the file leaves out is as in the class of that name in transformers. Always the PIL
    backend, so that the numbers do not depend on what is installed.

    Raises
    ------
    UserError : the file is not readable, or asks for more than resizing, cropping, rescaling,
        normalising and padding.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind = content.get("image_processor_type") or content.get("feature_extractor_type")
        known = known_class(kind or "ViTImageProcessor")
        refuse_others(content, kind, known, path)
        values = {name: content.get(name) for name in DECIDES}
        for name, value in values.items():
            if value is None:
                values[name] = getattr(known or ViTImageProcessorPil, name, None)
        return ViTImageProcessorPil.from_dict(values)
    except UserError:
        raise
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not a readable image processor ({error}); copy it again or remove it"
        ) from None


def known_class(kind: str) -> type[PilBackend] | None:
    """The class of transformers that an entry names, under the names it had in 4.x as well."""
    name = kind.removesuffix("Pil").removesuffix("Fast")
    name = name.replace("FeatureExtractor", "ImageProcessor")
    found = getattr(transformers, f"{name}Pil", None)
    return found if isinstance(found, type) and issubclass(found, PilBackend) else None


def refuse_others(
    content: dict[str, Any], kind: str | None, known: type[PilBackend] | None, path: Path
) -> None:
    """Refuse a processor that does something else than STEPS, or does not say what."""
    other = [
        name
        for name, value in content.items()
        if value and name not in (*DECIDES, *WITHOUT_EFFECT) and not name.startswith("_")
    ]
    own = [
        name
        for name in OPERATIONS
        if known and getattr(known, name) is not getattr(PilBackend, name)
    ]
    if other or own:
        raise UserError(
            f"{path} is of the type {kind}, whose {(other or own)[0]} is more than resizing, "
            "cropping, rescaling and normalising; write one of the type ViTImageProcessor that "
            "gives the same pictures"
        )
    missing = [name for name in NEEDED if known is None and content.get(name) is None]
    if missing:
        raise UserError(
            f"{path} is of the type {kind}, unknown to transformers, and leaves out {missing[0]}; "
            "write down what it is"
        )


def differences(one: ViTImageProcessorPil, other: ViTImageProcessorPil) -> list[str]:
    """What two processors do otherwise, in words: the names of its parts and both values."""
    found = []
    for switch, names in STEPS.items():
        if bool(getattr(one, switch)) != bool(getattr(other, switch)):
            found.append(f"{switch} is {getattr(one, switch)} and {getattr(other, switch)}")
        elif getattr(one, switch):
            for name in names:
                values = [_plain(getattr(each, name)) for each in (one, other)]
                if values[0] != values[1]:
                    found.append(f"{name} is {values[0]} and {values[1]}")
    return found


def _plain(value: Any) -> Any:
    """A value in one spelling: one mean for all channels, sizes without what is unset."""
    if isinstance(value, Sequence):
        return value[0] if len(set(value)) == 1 else list(value)
    return dict(value) if isinstance(value, SizeDict) else value
