"""What people read about levels: the same words in figures, tables, LaTeX and notes.

A level is called as in the CSV files: weight, neuron, weight (from neuron). Where
there is room for a sign alone, * stands for the last.
"""

from utils.judge.names import LIFTED, NEURON, WEIGHT

STAR = f"* {LIFTED}: a neuron's score given to its 2d weights"
AMONG_WEIGHTS = (WEIGHT, LIFTED)


def in_words(neurons: bool) -> str:
    """The levels that one table holds."""
    return f"level {NEURON}" if neurons else f"levels {WEIGHT} and {LIFTED}"
