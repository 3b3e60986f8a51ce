"""The table that a step ends with: sorted, and no digit more than it takes."""

import numpy as np
import pandas as pd
import pytest

from utils.run import shown


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([1.0, 2.0, 30.0], 0),
        ([0.01381, 0.004993, 0.003058, 0.002317, 0.002267], 5),
        ([21.75, 0.13, 1.02, 1.17], 1),
        ([5.0, 5.0], 0),
        ([np.nan, np.nan], 0),
        ([0.0, 0.0], 0),
        ([1.0, 1.0 + 1e-12], 0),
        ([-0.5, 0.5], 0),
    ],
)
def test_decimals_are_those_that_differ(values, decimals):
    assert shown.decimals_of(pd.Series(values)) == decimals


def test_numbers_that_differ_look_different():
    rng = np.random.default_rng(0)
    for scale in (1e-5, 1.0, 1e4):
        values = pd.Series(scale * rng.lognormal(size=24))
        decimals = shown.decimals_of(values)
        texts = [f"{value:.{decimals}f}" for value in values]
        least = shown.TOLD_APART * values.median()
        for i in range(24):
            for j in range(i):
                assert texts[i] != texts[j] or abs(values[i] - values[j]) <= least


def test_the_highest_stands_first():
    table = pd.DataFrame({
        "method": list("abc"), "n": [1, 3, 2], "loss": [0.25, np.nan, 0.254], "net": [-0.001, 4, 2],
    })  # fmt: skip
    assert shown.as_text(table).splitlines() == [
        "method  n  loss net", "     c  2 0.254   2", "     a  1 0.250   0", "     b  3     -   4",
    ]  # fmt: skip
