"""What people read about rankings: the same words in figures, tables, LaTeX and notes.

A level is called as in the CSV files: weight, neuron, weight (from neuron). Where
there is room for a sign alone, * stands for the last.
"""

from utils.judge.names import (
    LIFTED,
    NEURON,
    ORACLE,
    RANDOM_EXPECTED,
    RANDOM_SAMPLED,
    REFERENCES,
    WEIGHT,
)

Key = tuple[str, str]  # level, method
STAR = f"* {LIFTED}: a neuron's score given to its 2d weights"
AMONG_WEIGHTS = (WEIGHT, LIFTED)


def shown(level: str, method: str) -> str:
    """One text for a ranking among weights; * is STAR.

    The neuron oracle says by its name what it is.
    """
    return f"{method} *" if level == LIFTED and method != ORACLE else method


def levels_in_words(neurons: bool) -> str:
    """The levels that one table holds."""
    return f"level {NEURON}" if neurons else f"levels {WEIGHT} and {LIFTED}"


def own_level(level: str, method: str) -> Key:
    """The level that a method ranks at, also where its scores were given to weights."""
    return (NEURON if level == LIFTED else level), method


def is_reference_only(method: str) -> bool:
    """Whether a row is there to be compared with: random, or one that knows the training."""
    return method in (RANDOM_EXPECTED, RANDOM_SAMPLED, *REFERENCES)
