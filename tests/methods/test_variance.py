import itertools

import numpy as np
import pytest
import references
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils import ranking
from utils.methods import METHODS, variance
from utils.methods.evidence import mean_activation
from utils.methods.variance import order_by_level, v_scores, weight_levels, weight_vdiff

CPU = torch.device("cpu")
SHAPE = (13, 4, 16, 3)
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])
# (m, d): m = 4d, other ratios, m not a multiple of d, m below d.
SIZES = [(16, 4), (12, 3), (15, 6), (7, 5), (10, 3), (3, 7), (1, 4), (5, 1), (1, 1)]


def mixed_rows(n_samples, m, seed=0):
    """Correlated neurons with different means and spreads."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_samples, m)) @ rng.normal(size=(m, m))
    return (rng.exponential(size=m) * rows + 5 * rng.normal(size=m)).astype(np.float32)


# V


@pytest.mark.parametrize("n_samples", [2, 3, 7, 20])
@pytest.mark.parametrize("m", [1, 2, 9])
def test_v_agrees_with_numpys_covariance(n_samples, m):
    rows = mixed_rows(30, m)
    samples = np.arange(0, 30)[-n_samples:]
    found = v_scores(rows, samples, CPU)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, references.v_scores(rows[samples]), rtol=1e-5)


@pytest.mark.parametrize("n_samples", [2, 3, 4, 5])
@pytest.mark.parametrize("block", [1, 4])
def test_v_does_not_depend_on_the_block_size(n_samples, block):
    rows, samples = mixed_rows(9, 6), np.arange(n_samples)
    whole, parts = (v_scores(rows, samples, CPU, b) for b in (1024, block))
    np.testing.assert_allclose(parts, whole, rtol=1e-6)


def test_v_keeps_its_digits_where_the_mean_is_far_from_zero():
    """E[x^2] - E[x]^2 in float32 would lose them all."""
    rows = (1000 + 0.01 * mixed_rows(50, 4)).astype(np.float32)
    samples = np.arange(50)
    np.testing.assert_allclose(v_scores(rows, samples, CPU), references.v_scores(rows), rtol=1e-4)


@pytest.mark.parametrize("samples", [[], [3]], ids=["none", "one"])
def test_a_covariance_of_fewer_than_two_samples_is_an_error_and_not_nan(samples):
    with pytest.raises(ValueError, match="at least 2 samples"):
        v_scores(mixed_rows(5, 3), np.array(samples, dtype=np.int64), CPU)


def test_two_neurons_worked_out_by_hand():
    """Variances 1 and 4, covariance -2: the sign of the covariance does not count."""
    rows = np.array([[0, 4], [1, 2], [2, 0]], dtype=np.float32)
    assert v_scores(rows, np.arange(3), CPU).tolist() == [3, 6]


def test_constant_neurons_have_no_variance():
    assert not v_scores(np.full((6, 4), 3.3, dtype=np.float32), np.arange(6), CPU).any()


# Neuron scores


def test_vdiff_is_the_distance_of_the_two_sets(make_toy):
    toy = make_toy(*SHAPE)
    found = METHODS["neuron", "vdiff"].function(toy.evidence(NEG, POS))
    v_pos, v_neg = (references.v_scores(toy.states.a[s]) for s in (POS, NEG))
    assert references.relative_error(found.score, np.abs(v_pos - v_neg)) < 1e-5
    np.testing.assert_allclose(found.extras["vscore_cor"], v_pos, rtol=1e-5)
    np.testing.assert_allclose(found.extras["vscore_mis"], v_neg, rtol=1e-5)
    swapped = METHODS["neuron", "vdiff"].function(toy.evidence(POS, NEG))
    assert np.array_equal(swapped.score, found.score)


def vdiff_mean_act(toy):
    """docs/definitions.md 5.4 in float64."""
    v_pos, v_neg = (references.v_scores(toy.states.a[s]) for s in (POS, NEG))
    mean = toy.states.a[NEG].astype(np.float64).mean(axis=0)
    return 0.5 * references.minmax(np.abs(v_pos - v_neg)) + 0.5 * references.minmax(mean)


def test_vdiff_and_mean_activation_count_half_each(make_toy):
    toy = make_toy(*SHAPE)
    found = METHODS["neuron", "vdiff+mean_act"].function(toy.evidence(NEG, POS))
    assert found.score.dtype == np.float32
    np.testing.assert_allclose(found.score, vdiff_mean_act(toy), atol=1e-5)
    mean = toy.states.a[NEG].mean(axis=0)
    np.testing.assert_allclose(found.extras["mean_act_mis"], mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("block", [1, 3, 4, 5, 1024])
def test_mean_activation_is_the_column_mean_at_every_block_size(block):
    rows, samples = mixed_rows(9, 5), np.array([0, 2, 3, 8])
    found = mean_activation(rows, samples, block)
    np.testing.assert_allclose(found, rows[samples].mean(axis=0, dtype=np.float64), rtol=1e-6)


def test_a_constant_half_counts_nothing():
    first = np.array([1, 3, 2], dtype=np.float32)
    assert variance.half_and_half(first, np.ones(3, np.float32)).tolist() == [0, 0.5, 0.25]
    assert variance.half_and_half(np.ones(3, np.float32), first).tolist() == [0, 0.5, 0.25]


# weight / vdiff


def random_vdiffs(m, d, seed=0, values=None):
    """before (d,), intermediate (m,), after (d,); with `values` many of them are equal."""
    rng = np.random.default_rng([seed, m, d])
    draw = rng.exponential if values is None else lambda size: rng.integers(0, values, size)
    return tuple(draw(size=size).astype(np.float32) for size in (d, m, d))


@pytest.mark.parametrize(("m", "d"), SIZES)
@pytest.mark.parametrize("values", [None, 3, 1])
def test_the_first_weights_are_the_selection_of_every_budget(m, d, values):
    before, middle, after = random_vdiffs(m, d, values=values)
    _, order = weight_vdiff(before, middle, after)
    assert sorted(order) == list(range(2 * m * d))
    for n in range(1, d + 1):
        selected = references.vdiff_selection(before, middle, after, n)
        assert len(selected) == 2 * n * (n * m // d)
        assert set(order[: len(selected)].tolist()) == selected


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_with_four_intermediate_neurons_per_hidden_one_the_selection_is_the_weight_budget(n):
    vdiffs = random_vdiffs(16, 4)
    _, order = weight_vdiff(*vdiffs)
    size = ranking.weight_budget(n, len(order))
    assert size == 8 * n * n
    assert set(order[:size].tolist()) == references.vdiff_selection(*vdiffs, n)


@pytest.mark.parametrize(("m", "d"), SIZES)
@pytest.mark.parametrize("values", [None, 3])
def test_a_weights_level_is_the_smallest_budget_that_selects_it(m, d, values):
    vdiffs = random_vdiffs(m, d, values=values)
    expected = [level for level, _ in references.vdiff_keys(*vdiffs)]
    assert weight_levels(*vdiffs).tolist() == expected


@pytest.mark.parametrize(("m", "d"), SIZES)
@pytest.mark.parametrize("values", [None, 3, 1])
def test_ranking_and_score_follow_level_then_sum_then_index(m, d, values):
    vdiffs = random_vdiffs(m, d, seed=1, values=values)
    score, order = weight_vdiff(*vdiffs)
    # Sums that differ by rounding alone are one value.
    keys = [(level, round(minus_sum, 12)) for level, minus_sum in references.vdiff_keys(*vdiffs)]
    assert order.tolist() == sorted(range(len(keys)), key=lambda w: (keys[w], w))
    assert (score.dtype, order.dtype) == (np.float32, np.int32)
    assert np.array_equal(ranking.rank_by(score), order)
    for v, w in itertools.pairwise(order):
        assert (score[v] == score[w]) == (keys[v] == keys[w])


CLOSE_SUMS = [0, 1, 1 + 2**-52, 1 - 2**-53, 1 + 2**-30, 0.1 + 0.2, 0.3, 2**-60, 2 - 2**-52, 2]


@given(
    rows=st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 3000, 2**30]), st.sampled_from(CLOSE_SUMS)),
        min_size=1,
        max_size=60,
    )
)
def test_sums_that_differ_in_their_last_bit_are_told_apart(rows):
    levels = np.array([level for level, _ in rows], dtype=np.int32)
    sums = np.array([value for _, value in rows], dtype=np.float64)
    order, new = order_by_level(levels, sums)
    assert order.tolist() == np.lexsort((-sums, levels)).tolist()
    ordered = [rows[i] for i in order]
    assert new.tolist() == [True] + [v != w for v, w in itertools.pairwise(ordered)]


def test_levels_beyond_two_thousand_still_come_in_order():
    d = 2500
    before, middle, after = random_vdiffs(2, d)
    levels = weight_levels(before, middle, after)
    _, order = weight_vdiff(before, middle, after)
    assert levels.max() == d
    assert (np.diff(levels[order]) >= 0).all()


@pytest.mark.parametrize("shape", [SHAPE, (13, 5, 7, 3, "relu"), (13, 6, 3, 2)], ids=str)
def test_weight_vdiff_compares_the_states_around_the_ffn(make_toy, shape):
    """before is u, the FFN's input after its LayerNorm; after is y, the layer's output."""
    toy = make_toy(*shape)
    found = METHODS["weight", "vdiff"].function(toy.evidence(NEG, POS))
    h, _ = toy.take(toy.everyone)
    a = toy.net.a(h)
    vdiffs = [
        np.abs(references.v_scores(rows[POS]) - references.v_scores(rows[NEG]))
        for rows in (toy.net.u(h), a, h + toy.net.o(a))
    ]
    keys = references.vdiff_keys(*vdiffs)
    for v, w in itertools.pairwise(found.ranking):
        (level_v, minus_v), (level_w, minus_w) = keys[v], keys[w]
        assert level_v < level_w or (level_v == level_w and minus_v < minus_w + 1e-4)
    assert np.array_equal(ranking.rank_by(found.score), found.ranking)


# weight / vdiff+mean_act+grad_loss


def gradient_and_neurons(toy, n=None):
    """docs/definitions.md 5.7 in float64, weight by weight."""
    m, d = toy.tail.m, toy.tail.d
    scaled = references.minmax(np.abs(references.mean_loss_gradient(toy.net, *toy.take(NEG))))
    neurons = vdiff_mean_act(toy)
    kept = neurons if n is None else np.zeros(m)
    if n is not None:
        best = references.top(neurons.tolist(), n)
        kept[best] = neurons[best]
    owner = [j for j in range(m) for _ in range(d)] + [j for _ in range(d) for j in range(m)]
    return np.array([0.5 * g + 0.5 * kept[j] for g, j in zip(scaled, owner, strict=True)])


@pytest.mark.parametrize("shape", [SHAPE, (13, 5, 7, 3, "relu")], ids=str)
def test_gradient_and_neuron_score_count_half_each(make_toy, shape):
    toy = make_toy(*shape)
    method = METHODS["weight", "vdiff+mean_act+grad_loss"]
    found = method.function(toy.evidence(NEG, POS))
    assert found.score.dtype == np.float32
    np.testing.assert_allclose(found.score, gradient_and_neurons(toy), atol=1e-5)
    grad_loss = found.extras["grad_loss"]
    expected = references.mean_loss_gradient(toy.net, *toy.take(NEG))
    assert references.relative_error(grad_loss, expected) < 1e-5
    assert grad_loss.min() < 0  # saved with its sign


@pytest.mark.parametrize("n", [1, 2, 5, 16])
def test_with_a_budget_only_the_top_neurons_keep_their_score(make_toy, n):
    toy = make_toy(*SHAPE)
    method = METHODS["weight", "vdiff+mean_act+grad_loss"]
    grad_loss = method.function(toy.evidence(NEG, POS)).extras["grad_loss"]
    neurons = METHODS["neuron", "vdiff+mean_act"].function(toy.evidence(NEG, POS)).score
    before = neurons.copy()
    found = method.with_budget(grad_loss, neurons, toy.tail.d, n)
    np.testing.assert_allclose(found, gradient_and_neurons(toy, n), atol=1e-5)
    assert np.array_equal(neurons, before)


@given(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3), st.integers(1, 3))
def test_a_budget_of_every_neuron_is_no_budget(neurons, d):
    neurons = np.array(neurons, dtype=np.float32)
    grad = np.random.default_rng(d).normal(size=6 * d).astype(np.float32)
    without = variance.neuron_and_gradient(grad, neurons, d)
    assert np.array_equal(variance.neuron_and_gradient(grad, neurons, d, 3), without)
