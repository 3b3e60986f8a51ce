"""What a difference must be to mean something: against Nadeau and Bengio by hand."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from utils.summary.best import best_in_words
from utils.summary.statistics.resolution import not_told_apart, resolution

KEYS = [("weight", "a"), ("weight (from neuron)", "b"), ("weight", "c")]


def folds_of(seed=0, means=(9.0, 8.9, 1.0), spread=0.1, folds=5):
    rng = np.random.default_rng(seed)
    table = np.array(means) + spread * rng.normal(size=(folds, len(means)))
    return pd.DataFrame(table, columns=pd.MultiIndex.from_tuples(KEYS))


def half_width(differences, n_folds):
    """Half of the corrected 95% interval."""
    j = len(differences)
    error = np.sqrt(differences.var(ddof=1) * (1 / j + 1 / (n_folds - 1)))
    return stats.t.ppf(0.975, j - 1) * error


def test_against_the_formula():
    table = folds_of()
    values = table.to_numpy()
    found = resolution(table, 5)
    halves = [half_width(values[:, i] - values[:, j], 5) for i, j in combinations(range(3), 2)]
    assert found["telling_difference"] == pytest.approx(np.median(halves))
    assert found["sd_between_methods"] == pytest.approx(values.mean(axis=0).std(ddof=1))
    assert found["sd_of_folds"] == pytest.approx(values.std(axis=0, ddof=1).mean())
    assert (found["n_methods"], found["n_folds"], found["pairs"]) == (3, 5, 3)
    assert found["pairs_told_apart"] == 2  # a and b are not


def test_one_fold_tells_nothing_apart():
    found = resolution(folds_of(folds=1), 5)
    for name in ("sd_of_folds", "telling_difference", "pairs_told_apart"):
        assert np.isnan(found[name])
    assert found["sd_between_methods"] > 0
    assert not_told_apart(folds_of(folds=1), 5) is None


def test_best_never_stands_alone():
    close = folds_of()
    assert not_told_apart(close, 5) == [KEYS[1]]
    text = best_in_words(close, 5, "lift {:.1f}")
    assert text == f"Best: a, lift {close[KEYS[0]].mean():.1f}; not told apart: b *"
    clear = folds_of(means=(9.0, 5.0, 1.0))
    assert best_in_words(clear, 5, "{:.0f}").endswith("not told apart: none")
    loose = folds_of(spread=20)
    assert best_in_words(loose, 5, "{:.0f}").endswith("not told apart: any of the other 2")
    assert "one fold: no test" in best_in_words(folds_of(folds=1), 5, "{:.0f}")


def test_equal_and_constant_differences_are_not_told_apart():
    table = folds_of()
    table[KEYS[1]] = table[KEYS[0]]
    table[KEYS[2]] = table[KEYS[0]] - 1  # no variance, no test
    assert not_told_apart(table, 5) == [KEYS[1], KEYS[2]]
