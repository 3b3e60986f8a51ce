"""The pooled truth and the agreement of truths, against brute force."""

import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr

from utils.truth.pooled.mean import agreement_table, mean_change


def test_mean_of_the_changes():
    changes = [np.float32([0, 1, 2]), np.float32([3, 1, 0]), np.float32([0, 1, 7])]
    found = mean_change(changes)
    assert found.dtype == np.float32
    assert found.tolist() == [1, 1, 3]


def expected_overlap(a, b, k):
    """Mean overlap of the first k over every order within ties, of both sides."""

    def tops(values):
        n = len(values)
        orders = itertools.permutations(range(n))
        kept = [o for o in orders if all(values[o[i]] >= values[o[i + 1]] for i in range(n - 1))]
        return [set(o[:k]) for o in kept]

    shared = [len(x & y) for x in tops(a) for y in tops(b)]
    return np.mean(shared) / k


@pytest.mark.parametrize("seed", range(6))
def test_agreement_is_the_expectation_over_ties(seed):
    rng = np.random.default_rng(seed)
    changes = {name: rng.integers(0, 4, 6).astype(np.float32) for name in "0123"[: 2 + seed % 2]}
    table = agreement_table(changes, percent=50)
    assert list(table.columns) == ["truth_a", "truth_b", "overlap@1%", "spearman"]
    pairs = list(itertools.combinations(changes, 2))
    assert list(zip(table["truth_a"], table["truth_b"], strict=True)) == pairs
    for (a, b), overlap, rho in zip(pairs, table["overlap@1%"], table["spearman"], strict=True):
        assert overlap == pytest.approx(expected_overlap(changes[a], changes[b], 3))
        assert rho == pytest.approx(spearmanr(changes[a], changes[b]).statistic, nan_ok=True)


def test_a_truth_agrees_with_itself_and_noise_does_not():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 20_000)).astype(np.float32)
    table = agreement_table({"0": one, "1": one.copy(), "2": other}, percent=1)
    assert table["overlap@1%"].tolist()[0] == pytest.approx(1)
    assert table["spearman"].tolist()[0] == pytest.approx(1)
    assert max(table["overlap@1%"].tolist()[1:]) < 0.05
    assert max(np.abs(table["spearman"].tolist()[1:])) < 0.03
