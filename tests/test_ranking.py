import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from utils import ranking

SIZES = [(1, 1), (3, 2), (2, 5), (7, 3)]
FEW_VALUES = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, -1e-45, 3e38, -3e38, np.inf, -np.inf]


def lexsorted(scores):
    """Highest first, then lowest index."""
    return np.lexsort((np.arange(len(scores)), -scores))


# Canonical order


@pytest.mark.parametrize(("m", "d"), SIZES)
def test_canonical_order_is_bef_then_aft_row_by_row(m, d):
    w_bef = np.arange(m * d).reshape(m, d)
    w_aft = 1000 + np.arange(m * d).reshape(d, m)
    flat = ranking.flatten(w_bef, w_aft)
    assert len(flat) == ranking.n_weights(m, d)
    for j in range(m):
        for i in range(d):
            assert flat[j * d + i] == w_bef[j, i]
            assert flat[m * d + i * m + j] == w_aft[i, j]


@pytest.mark.parametrize(("m", "d"), SIZES)
def test_unflatten_undoes_flatten_without_copying(m, d):
    values = np.random.default_rng(0).normal(size=2 * m * d)
    w_bef, w_aft = ranking.unflatten(values, m, d)
    assert (w_bef.shape, w_aft.shape) == ((m, d), (d, m))
    assert np.array_equal(ranking.flatten(w_bef, w_aft), values)
    assert np.shares_memory(w_bef, values)
    assert np.shares_memory(w_aft, values)


@pytest.mark.parametrize(("m", "d"), SIZES)
def test_locate_names_the_place_of_every_weight(m, d):
    places = [(0, j, i) for j in range(m) for i in range(d)]
    places += [(1, i, j) for i in range(d) for j in range(m)]
    found = ranking.locate(np.arange(2 * m * d, dtype=np.int32), m, d)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == places


def test_locate_does_not_overflow_int32():
    """A product of int32 indices and sizes would."""
    m = d = 40_000
    last = np.array([2 * m * d - 1])
    assert [int(part[0]) for part in ranking.locate(last, m, d)] == [1, d - 1, m - 1]


@pytest.mark.parametrize(("m", "d"), SIZES)
def test_a_neuron_owns_its_row_of_bef_and_its_column_of_aft(m, d):
    values = np.random.default_rng(1).random(2 * m * d, dtype=np.float32)
    neuron_scores = np.arange(m, dtype=np.float32)
    matrix, row, col = ranking.locate(np.arange(2 * m * d), m, d)
    owner = np.where(matrix == 0, row, col)
    expected = [values[owner == j].astype(np.float64).sum() for j in range(m)]
    np.testing.assert_allclose(ranking.neuron_sums(values, m, d), expected, rtol=1e-12)
    lifted = ranking.spread(neuron_scores, d)
    assert lifted.dtype == np.float32
    assert np.array_equal(lifted, owner)


def test_neuron_sums_are_added_in_float64():
    values = np.array([1e8, 1, 1, 1, 1, 1, 1, 1], dtype=np.float32)  # float32 steps by 8 at 1e8
    assert ranking.neuron_sums(values, 1, 4)[0] == 1e8 + 7


# Rankings


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(indices=st.lists(st.integers(0, len(FEW_VALUES) - 1), min_size=1, max_size=40))
@example(indices=[0, 1, 0, 1])
@example(indices=[9, 10, 9, 10])
def test_ties_and_odd_values_rank_as_lexsort_does(dtype, indices):
    scores = np.array(FEW_VALUES)[indices].astype(dtype)
    assert np.array_equal(ranking.rank_by(scores), lexsorted(scores))


@given(arrays(np.float32, st.integers(1, 60), elements=st.floats(width=32, allow_nan=False)))
def test_any_float32_scores_rank_as_lexsort_does(scores):
    assert np.array_equal(ranking.rank_by(scores), lexsorted(scores))


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e30, 1e30)))
def test_any_float64_scores_rank_as_lexsort_does(scores):
    assert np.array_equal(ranking.rank_by(scores), lexsorted(scores))


def test_differences_that_float32_cannot_hold_count():
    scores = 1 + np.array([1, 3, 2, 2, 0]) * 1e-12
    assert ranking.rank_by(scores).tolist() == [1, 2, 3, 0, 4]


def test_scores_beyond_float32_rank_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ranking.rank_by(np.array([1e300, -1e300, 2e300, 0.0])).tolist() == [2, 0, 3, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_has_no_rank(dtype):
    with pytest.raises(ValueError, match="NaN"):
        ranking.rank_by(np.array([1, np.nan, 0], dtype=dtype))


def test_ranking_is_int32_and_leaves_memory_mapped_scores_alone(tmp_path):
    scores = np.random.default_rng(2).normal(size=100).astype(np.float32)
    np.save(tmp_path / "scores.npy", scores)
    order = ranking.rank_by(np.load(tmp_path / "scores.npy", mmap_mode="r"))
    assert order.dtype == np.int32
    assert np.array_equal(order, lexsorted(scores))
    ranking.rank_by(before := scores.copy())
    assert np.array_equal(before, scores)


@given(st.permutations(list(range(12))))
def test_inverse_gives_each_items_position(order):
    position = ranking.inverse(np.array(order, dtype=np.int32))
    assert position.dtype == np.int32
    assert position.tolist() == [order.index(item) for item in range(12)]


# Shares and budgets


@given(st.integers(1, 1000), st.integers(1, 10**7))
@example(1, 1000)  # 0.1% of 1000 is 1
@example(323, 1000)  # 32.3 * 1000 / 100 is 322.99999999999994 in floating point
def test_share_is_the_exact_floor_and_at_least_one(tenths, n_items):
    assert ranking.share_of(tenths / 10, n_items) == max(1, tenths * n_items // 1000)


@given(st.decimals("0.0001", "100", places=4), st.integers(1, 10**6))
def test_share_agrees_with_fractions(percent, n_items):
    expected = Fraction(percent) / 100 * n_items
    assert ranking.share_of(float(percent), n_items) == max(
        1, expected.numerator // expected.denominator
    )


def test_shares_of_vit_base():
    assert ranking.n_weights(3072, 768) == 4_718_592
    assert ranking.share_of(1, 4_718_592) == 47_185
    assert ranking.share_of(1, 3072) == 30


def test_budgets():
    assert ranking.default_budget(768) == 96
    assert ranking.default_budget(5) == 1
    assert ranking.weight_budget(96, 4_718_592) == 73_728 == 96 * 768
    assert ranking.weight_budget(3, 50) == 50


@pytest.mark.parametrize("n", [0, -1, 5])
def test_a_budget_outside_the_layer_is_refused(n):
    with pytest.raises(ValueError, match=rf"n={n} is not between 1 and 4$"):
        ranking.check_budget(n, 4, 9)
    assert ranking.check_budget(4, 4, 9) == 4


@given(arrays(np.float32, st.integers(1, 30), elements=st.floats(-1e6, 1e6, width=32)))
@example(np.zeros(3, dtype=np.float32))
def test_minmax_maps_to_0_and_1_and_a_constant_to_0(values):
    scaled = ranking.minmax(values)
    assert scaled.dtype == np.float32
    if values.min() == values.max():
        assert not scaled.any()
    else:
        assert (scaled.min(), scaled.max()) == (0, 1)
        width = np.float64(values.max()) - values.min()
        expected = (values.astype(np.float64) - values.min()) / width
        np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-37)
