"""The decorator that makes a user's function an FL method."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from utils.methods.evidence import Evidence

MARK = "fl_method"

Function = Callable[[Evidence], np.ndarray]


class Mark(NamedTuple):
    """What the decorator says of a function."""

    level: str
    name: str
    per_setting: bool


def fl_method(level: str, name: str, per_setting: bool = True) -> Callable[[Function], Function]:
    """Mark a function as an FL method of `exp-fl-5-5.py --methods FILE` and step 9.

    The function takes an Evidence (M1's tail, the cached states, the setting's
    misclassified samples `neg` and correct samples `pos`, the fold's seed) and
    returns suspiciousness scores, higher is more suspicious: (m,) at level
    "neuron", (N,) in canonical order at level "weight".

    per_setting : False if the setting's samples do not matter; it then stands
        under `all` alone.
    """

    def mark(function: Function) -> Function:
        setattr(function, MARK, Mark(level, name, per_setting))
        return function

    return mark
