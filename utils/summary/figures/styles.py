"""One colour and one marker for each method, in every figure, of every truth, at every level.

Nobody tells 24 colours apart. The MOST methods that stand highest have one each,
the references are black, each with a marker and a dash pattern, and the others
are grey: their numbers are in the tables.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from utils.judge.names import (
    CEILING,
    CONTROL,
    CREDIT,
    LIFTED,
    NEURON,
    OPTIMIZER_STEP,
    ORACLE,
    RANDOM,
    RANDOM_EXPECTED,
)
from utils.methods import METHODS
from utils.truth import CHANGE

Key = tuple[str, str]  # level, method
Dash = str | tuple[int, tuple[float, ...]]

# Chosen among the palettes of Okabe and Ito and of Tol: apart from each other, from black and
# from GREY with every common colour blindness, and dark enough for a thin line on white.
COLOURS = (
    "#0072B2", "#D55E00", "#117733", "#E69F00", "#AA3377", "#33BBEE", "#7A3E00", "#CC6677",
)  # fmt: skip
MARKERS = "os^DvPX*"
MOST = len(COLOURS)
GREY, BLACK, DARK = "#B8B8B8", "#000000", "#666666"


@dataclass(frozen=True)
class Style:
    """How a method is drawn in every figure. Neuron-level methods are hollow.

    standing : "best", "reference" or "other".
    """

    color: str
    marker: str
    dash: Dash
    hollow: bool
    standing: str

    @property
    def named(self) -> bool:
        """Whether a legend names it."""
        return self.standing != "other"

    @property
    def face(self) -> str:
        return "none" if self.hollow else self.color


# They know the training, or M2, and are no methods; and what chance does.
REFERENCE_STYLES = {
    CEILING: ("x", "-"),
    ORACLE: ("+", (0, (6, 1.5, 1, 1.5))),
    OPTIMIZER_STEP: ("1", (0, (4, 1.5))),
    CONTROL: ("2", (0, (1, 1))),
    CHANGE: ("3", (0, (2.5, 1))),
    CREDIT: ("4", (0, (6, 1.5, 1, 1.5, 1, 1.5))),
}
CHANCE = (RANDOM, RANDOM_EXPECTED)


@dataclass(frozen=True)
class Styles:
    """The map of a whole summary, from (level, method) to its style.

    places : the place in COLOURS of each method that has one.
    """

    places: dict[Key, int]

    def of(self, level: str, method: str) -> Style:
        hollow = level in (NEURON, LIFTED)
        if method in REFERENCE_STYLES:
            marker, dash = REFERENCE_STYLES[method]
            return Style(BLACK, marker, dash, False, "reference")
        if method in CHANCE:
            return Style(DARK, "", (0, (4, 2)), False, "reference")
        place = self.places.get(own_level(level, method))
        if place is None:
            return Style(GREY, "h", "-", hollow, "other")
        return Style(COLOURS[place], MARKERS[place], "-", hollow, "best")

    def named(self, keys: Iterable[Key]) -> list[Key]:
        """Those of `keys` that have a colour of their own, methods before references."""
        found = [key for key in keys if self.of(*key).named]
        return sorted(found, key=lambda key: self.of(*key).standing != "best")


def own_level(level: str, method: str) -> Key:
    """The level that a method ranks at, also where its scores were given to weights."""
    return (NEURON if level == LIFTED else level), method


def assign(rankings: Sequence[Sequence[Key]]) -> Styles:
    """Colours for the methods that stand highest by any truth.

    rankings : by each truth its methods, best first. A colour goes with a method's
        place in METHODS as far as it is free, so that it is the same from one
        experiment to another where that is possible.
    """
    chosen = best_of(rankings)
    order = {key: i for i, key in enumerate(METHODS)}
    places: dict[Key, int] = {}
    free = set(range(MOST))
    for key in sorted(chosen, key=lambda key: order.get(key, len(order))):
        wanted = order.get(key, 0) % MOST
        place = min(free, key=lambda i: (i - wanted) % MOST)
        free.remove(place)
        places[key] = place
    return Styles(places)


def best_of(rankings: Sequence[Sequence[Key]]) -> list[Key]:
    """The MOST methods with the best place by any truth; of equal ones the better mean place."""
    found: dict[Key, list[int]] = {}
    for ranking in rankings:
        methods = [key for key in ranking if is_method(*key)]
        for place, (level, method) in enumerate(methods):
            found.setdefault(own_level(level, method), []).append(place)
    best = sorted(
        found, key=lambda key: (min(found[key]), sum(found[key]) / len(found[key]))
    )  # stable: then by the first truth
    return best[:MOST]


def is_method(level: str, method: str) -> bool:
    """Not a reference, not chance, and no second ranking of a method of ours for one budget."""
    base = own_level(level, method.partition(" (n=")[0])
    budget = " (n=" in method and base in METHODS
    chance = method in CHANCE or method.startswith("random (")
    return not (method in REFERENCE_STYLES or chance or budget)


def ranked_by(scores: pd.DataFrame, metric: str) -> list[Key]:
    """Rankings of weights, best first: settings averaged inside a fold, then folds.

    scores : columns fold, level, method and the metric, higher is better.
    """
    rows = scores[scores["level"] != NEURON]
    means = rows.groupby(["level", "method", "fold"], sort=False)[metric].mean()
    means = means.groupby(["level", "method"], sort=False).mean().dropna()
    return list(means.sort_values(ascending=False, kind="stable").index)
