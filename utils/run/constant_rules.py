"""What a constant of utils/constants.py has to be, and which values are in force."""

import argparse
import math
from collections.abc import Callable
from typing import Any

from utils import constants as user_constants
from utils.errors import UserError


def _whole(least: int) -> tuple[Callable[[Any], bool], str]:
    return (
        lambda value: type(value) is int and value >= least,
        f"a whole number of at least {least}",
    )


def _or_none(rule: tuple[Callable[[Any], bool], str]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value is None or rule[0](value), f"{rule[1]}, or None"


def _is_percent(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= 100


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _distinct(value: Any) -> bool:
    return len({f"{v:g}" if isinstance(v, int | float) else v for v in value}) == len(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_list_of(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, tuple | list) and len(value) > 0 and all(fits(v) for v in value)


TRUTH_NAMES = ("change", "pooled", "repair")
SEED_RULE = (
    lambda value: type(value) is int and 0 <= value < 2**31,
    "a whole number from 0 to below 2**31",
)
# What a constant has to be: a test and the words for it.
RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "FOLDS": (lambda value: _is_list_of(value, _whole(0)[0]), "fold numbers, like (0, 1)"),
    "N_FOLDS": _whole(2),
    "SPLIT_SEED": SEED_RULE,
    "SEED": SEED_RULE,
    "NEURON_BUDGET": _or_none(_whole(1)),
    "IG_POINTS": _whole(1),
    "MIN_SAMPLES": _whole(2),
    "TOP_RANKS": _whole(0),
    "TRUTHS": (
        lambda value: _is_list_of(value, lambda name: name in TRUTH_NAMES) and _distinct(value),
        f"different ones of {', '.join(TRUTH_NAMES)}, like ('change', 'repair')",
    ),
    "POSITIVE_PERCENT": (_is_percent, "a percentage above 0"),
    "K_PERCENTS": (
        lambda value: _is_list_of(value, _is_percent) and _distinct(value),
        "different percentages, like (1, 10)",
    ),
    "WITH_KENDALL": (lambda value: type(value) is bool, "True or False"),
    "REFERENCES": (
        lambda value: value in ((), []) or (_is_list_of(value, _is_text) and _distinct(value)),
        'names of different methods, like ("random", "bl")',
    ),
    "COMPARED_METRICS": (
        lambda value: _is_list_of(value, _is_text) and _distinct(value),
        'names of different columns, like ("lift@1%",)',
    ),
    "PERMUTATION_DRAWS": _whole(1),
    "BOOTSTRAP_DRAWS": _whole(1),
    "INFERENCE_BATCH_SIZE": _or_none(_whole(1)),
    "INFERENCE_PRECISION": (lambda value: value in ("fp32", "bf16"), '"fp32" or "bf16"'),
    "PREPROCESSING_WORKERS": _or_none(_whole(0)),
}
PROFILE_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "batch_size": _whole(1),
    "learning_rate": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "weight_decay": (lambda value: _is_number(value) and value >= 0, "a number of at least 0"),
    "epochs": _whole(2),
    "repeats_per_epoch": _whole(1),
    "cpu_threads": _or_none(_whole(1)),
    "replays": _whole(0),
}


def check_constants() -> None:
    """Refuse a value in utils/constants.py that cannot be meant."""
    for name, (fits, wanted) in RULES.items():
        value = getattr(user_constants, name, None)
        if not fits(value):
            raise UserError(f"{name} in utils/constants.py is {value!r}; expected {wanted}")
    for ds, profile in user_constants.PROFILES.items():
        for name, (fits, wanted) in PROFILE_RULES.items():
            value = getattr(profile, name)
            if not fits(value):
                raise UserError(
                    f"{name} of the profile {ds} in utils/constants.py is {value!r}; "
                    f"expected {wanted}"
                )


def constants_in_force(args: argparse.Namespace) -> dict[str, Any]:
    """The user's constants, with what the command line overrides."""
    values = {
        name: getattr(user_constants, name)
        for name in dir(user_constants)
        if name.isupper() and name not in ("PROFILES", "DEFAULT_DS", "FOLDS")
    }
    for name, value in vars(args).items():
        if name.upper() in values and value is not None:
            values[name.upper()] = value
    return values
