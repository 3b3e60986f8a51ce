"""The best method in words, never without those that are not told apart from it."""

import pandas as pd

from utils.summary.rankings import shown
from utils.summary.statistics.resolution import by_mean, not_told_apart


def best_in_words(values: pd.DataFrame, n_folds: int, shape: str) -> str:
    """The highest mean and which methods are not told apart from it: it never stands alone.

    values : (folds, methods), columns (level, method). shape : the value in words, such as
        "lift {:.2f}".
    """
    best = by_mean(values)[0]
    text = f"Best: {shown(*best)}, {shape.format(values[best].mean())}"
    rest = not_told_apart(values, n_folds)
    if rest is None:
        return f"{text} (one fold: no test tells it apart from any other)"
    if len(rest) == values.shape[1] - 1:
        return f"{text}; not told apart: any of the other {len(rest)}"
    names = ", ".join(shown(*key) for key in rest)
    return f"{text}; not told apart: {names or 'none'}"
