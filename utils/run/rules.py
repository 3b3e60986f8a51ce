"""Tests of a single value, each with the words for what it has to be."""

import math
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

Rule = tuple[Callable[[Any], bool], str]


def whole(least: int) -> Rule:
    return (
        lambda value: type(value) is int and value >= least,
        f"a whole number of at least {least}",
    )


def or_none(rule: Rule) -> Rule:
    return lambda value: value is None or rule[0](value), f"{rule[1]}, or None"


def number(fits: Callable[[float], bool], wanted: str) -> Rule:
    return lambda value: is_number(value) and fits(value), wanted


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def is_list_of(value: Any, fits: Callable[[Any], bool]) -> bool:
    """Whether it is a tuple or list of at least one value, all of which fit and differ."""
    if not isinstance(value, tuple | list) or not value or not all(fits(v) for v in value):
        return False
    return len({f"{v:g}" if isinstance(v, int | float) else v for v in value}) == len(value)


def pair_or_one(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether it is a value that fits, or two of them."""
    return lambda value: (
        fits(value)
        or (isinstance(value, tuple | list) and len(value) == 2 and all(fits(v) for v in value))
    )


def meant(name: str, known: Iterable[str], alike: float = 0.6) -> str:
    """`; is 'x' meant?` with the known name that is spelled most like `name`, or nothing.

    alike : from 0 to 1, how like it has to be.
    """
    close = get_close_matches(name, list(known), n=1, cutoff=alike)
    return f"; is {close[0]!r} meant?" if close else ""
