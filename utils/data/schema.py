"""What a split holds: its images or texts, its labels and the names of its classes."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import datasets
import numpy as np

from utils.constants import Profile
from utils.errors import UserError

PROFILES_ARE_IN = "PROFILES of utils/constants.py"
# What a column of plain integers is called that holds classes.
LABEL_NAMES = ("label", "labels", "fine_label", "fine_labels", "class", "target")
# What a column of texts is called, where there are several.
TEXT_NAMES = ("text", "sentence", "code", "func")
IMAGE_COLUMNS, TEXT_COLUMNS = ("image_column", "label_column"), ("text_column", "label_column")
PAIR_COLUMN = "text_pair_column"


def columns_of(dataset: datasets.Dataset, profile: Profile | None, where: str) -> tuple[str, str]:
    """`columns_in` of a data set's features."""
    return columns_in(dataset.features, profile, where)


def columns_in(features: datasets.Features, profile: Profile | None, where: str) -> tuple[str, str]:
    """Names of the image and the label column, after checking that they are what they say.

    They are the profile's. Where one is not there, or there is no profile, the only column of
    its kind is taken.
    """
    image = _find_column(features, "image_column", profile, where, is_image)
    if not is_image(features[image]) and not _is_bytes(features[image]):
        raise UserError(
            f"{where}: the column {image!r} does not hold images (datasets.Image); "
            f"{set_in('image_column', profile)}"
        )
    return image, label_in(features, profile, where)


def label_in(features: datasets.Features, profile: Profile | None, where: str) -> str:
    """Name of the label column, found as `columns_in` says."""
    classes = any(isinstance(kind, datasets.ClassLabel) for kind in features.values())
    label = _find_column(
        features, "label_column", profile, where,
        lambda kind: isinstance(kind, datasets.ClassLabel) if classes else _is_whole(kind),
        None if classes else LABEL_NAMES,
    )  # fmt: skip
    kind = features[label]
    if not _is_whole(kind):
        raise UserError(
            f"{where}: the column {label!r} holds {getattr(kind, 'dtype', kind)}, expected class "
            f"numbers (datasets.ClassLabel or integers); {set_in('label_column', profile)}"
        )
    return label


def texts_in(features: datasets.Features, profile: Profile | None, where: str) -> tuple[str, ...]:
    """Names of the text column, of the second one where texts come in pairs, and of the label.

    They are the profile's. Without one the text is in the only column of strings, or in the only
    one called as TEXT_NAMES says.
    """
    strings = [name for name, kind in features.items() if is_text(kind)]
    called = [name for name in strings if name in TEXT_NAMES]
    names = called if len(called) == 1 else None
    text = _find_column(features, "text_column", profile, where, is_text, names)
    pair = getattr(profile, PAIR_COLUMN, None)
    if pair is not None:
        _find_column(features, PAIR_COLUMN, profile, where, lambda _: False)
    texts = (text,) if pair is None else (text, pair)
    for name, constant in zip(texts, ("text_column", PAIR_COLUMN), strict=False):
        if not is_text(features[name]):
            raise UserError(
                f"{where}: the column {name!r} does not hold texts (strings); "
                f"{set_in(constant, profile)}"
            )
    return (*texts, label_in(features, profile, where))


def holds_texts(features: datasets.Features, profile: Profile | None) -> bool:
    """Whether a data set of which no model is known yet is one of texts."""
    if getattr(profile, "text_column", None):
        return True
    pictures = any(is_image(kind) or _is_bytes(kind) for kind in features.values())
    named = getattr(profile, "image_column", None) in features
    return not pictures and not named and any(is_text(kind) for kind in features.values())


def columns_by_kind(
    features: datasets.Features, profile: Profile | None, where: str
) -> tuple[str, ...]:
    """`texts_in` or `columns_in`, as the data set and the profile say."""
    find = texts_in if holds_texts(features, profile) else columns_in
    return find(features, profile, where)


def _find_column(
    features: datasets.Features,
    constant: str,
    profile: Profile | None,
    where: str,
    fits: Callable[[Any], bool],
    names: Collection[str] | None = None,
) -> str:
    """The column that `constant` of the profile names, else the only one that `fits`.

    names : what such a column is called; None where its kind alone tells it.
    """
    wanted = getattr(profile, constant, None)
    if wanted in features:
        return wanted
    found = [c for c, kind in features.items() if fits(kind) and (names is None or c in names)]
    if len(found) == 1:
        return found[0]
    several = f", where {' and '.join(found)} could be meant" if found else ""
    expected = repr(wanted) if wanted else f"one {constant.replace('_', ' ')}"
    raise UserError(
        f"{where} has the columns {', '.join(features)}; expected {expected}{several}; "
        f"{set_in(constant, profile)}"
    )


def set_in(constant: str, profile: Profile | None) -> str:
    """How to say which column is meant."""
    if profile is None:
        return f"name it as {constant} in a profile of the data set in {PROFILES_ARE_IN}"
    return f"set {constant} of the profile in {PROFILES_ARE_IN}"


def is_image(kind: Any) -> bool:
    """Whether a feature holds pictures: Image, decoded or not, or what Image(decode=False) gives.

    A file that was written without `datasets` has the last, a struct of bytes and path.
    """
    if isinstance(kind, dict):
        return "bytes" in kind and set(kind) <= {"bytes", "path"} and _is_bytes(kind["bytes"])
    return isinstance(kind, datasets.Image)


def _is_bytes(kind: Any) -> bool:
    return isinstance(kind, datasets.Value) and kind.dtype in ("binary", "large_binary")


def is_text(kind: Any) -> bool:
    return isinstance(kind, datasets.Value) and kind.dtype in ("string", "large_string")


def _is_whole(kind: Any) -> bool:
    """Whole numbers, or True and False, which are 1 and 0."""
    dtype = str(getattr(kind, "dtype", ""))
    return isinstance(kind, datasets.ClassLabel) or "int" in dtype or dtype == "bool"


def constants_of(columns: Sequence[str], texts: bool) -> tuple[str, ...]:
    """What a profile calls each of the columns that were found."""
    if not texts:
        return IMAGE_COLUMNS
    return TEXT_COLUMNS if len(columns) == 2 else (TEXT_COLUMNS[0], PAIR_COLUMN, TEXT_COLUMNS[1])


def taken_instead(columns: Sequence[str], profile: Profile | None, texts: bool = False) -> str:
    """What to tell the user where other columns were found than the profile's, else "".

    columns : of `columns_in`, or of `texts_in` where `texts`.
    """
    if profile is None:
        return f"the columns {columns[0]!r} and {columns[-1]!r}: there is no profile to name others"
    asked = [getattr(profile, name) for name in constants_of(columns, texts)]
    pairs = [f"{c!r} for {a!r}" for c, a in zip(columns, asked, strict=True) if a and c != a]
    return f"the only columns of their kind: {', '.join(pairs)}" if pairs else ""


def read_labels(dataset: datasets.Dataset, label_column: str) -> np.ndarray:
    """The labels, int64 (S,), without decoding an image; True is 1."""
    column = dataset.select_columns([label_column]).with_format("arrow")[:][label_column]
    if column.null_count:
        raise UserError(f"{column.null_count} labels in the column {label_column!r} are missing")
    return column.to_numpy().astype(np.int64)


def class_names(dataset: datasets.Dataset, label_column: str) -> list[str]:
    """Names of the classes; without names, "0" up to the highest label."""
    feature = dataset.features[label_column]
    if isinstance(feature, datasets.ClassLabel):
        # A name may hold half a character, which no file can.
        return [name.encode("utf-8", "replace").decode() for name in feature.names]
    return [str(label) for label in range(int(read_labels(dataset, label_column).max()) + 1)]


def require_labels(labels: np.ndarray, classes: int, where: str) -> None:
    """Refuse labels outside 0..classes-1."""
    bad = (labels < 0) | (labels >= classes)
    if bad.any():
        raise UserError(
            f"{where}: label {labels[bad][0]} of row {int(bad.argmax())} is outside the "
            f"{classes} classes 0 to {classes - 1}"
        )
