"""Whether M1 fits what lies around it: the classes of the data, and other files about pictures."""

import logging
from pathlib import Path

from transformers import ViTConfig

from utils.data import images, processors
from utils.data.processors import PROCESSOR_FILE
from utils.errors import UserError
from utils.model import configs
from utils.model.pair import Pair


def require_same_classes(checkpoint: Path, names: list[str], where: str) -> None:
    """Refuse a model whose classes have names, and not those of the data set in its order.

    names : of the data set's classes, which is `where`.
    """
    of_model = configs.class_names(configs.read_config(checkpoint))
    if of_model is None or of_model == names:
        return
    pairs = enumerate(zip(of_model, names, strict=False))
    first = next((f"class {i} is {a!a} and {b!a}" for i, (a, b) in pairs if a != b), None)
    order = ", but in another order" if sorted(of_model) == sorted(names) else ""
    raise UserError(
        f"the classes of {checkpoint} (id2label) are not those of {where}{order}: "
        f"{first or f'there are {len(of_model)} and {len(names)}'}; give the data set that the "
        "model was trained on"
    )


def say_preprocessing(log: logging.Logger, pair: Pair, config: ViTConfig) -> None:
    """Log what is assumed where M1 has no preprocessor_config.json, and files that contradict."""
    used, folders = images.load_processor(pair.m1, config), [pair.m2]
    if not (pair.m1 / PROCESSOR_FILE).is_file():
        _, height, width = images.input_shape(config)
        log.info(
            "%s has no %s: assumes pictures resized to %d x %d, mean and std 0.5",
            pair.m1.name, PROCESSOR_FILE, height, width,
        )  # fmt: skip
        base = configs.read_config(pair.m1).get("_name_or_path")
        folders += [pair.m1.parent, *([Path(base)] if isinstance(base, str) and base else [])]
    for path in (folder / PROCESSOR_FILE for folder in folders):
        found = contradiction(used, path) if path.is_file() else None
        if found:
            log.warning(
                "pictures for %s are not made as %s says (%s); if M1 was trained with that file, "
                "put it into M1's folder", pair.m1.name, path, found,
            )  # fmt: skip


def contradiction(used: processors.ViTImageProcessorPil, path: Path) -> str | None:
    """What a preprocessor_config.json says otherwise than the processor that is used."""
    try:
        return ", ".join(processors.differences(used, processors.read_processor(path))) or None
    except UserError as error:
        return str(error)
