import numpy as np
import pytest
import references
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils import ranking
from utils.methods import METHODS, arachne
from utils.methods.arachne import forward_impact, pareto_front, sample_positives

SHAPE = (13, 4, 16, 3)
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])


def impact(toy, samples=None, **options):
    samples = toy.everyone if samples is None else samples
    return forward_impact(toy.tail, toy.states, samples, **options)


# Forward impact


def test_agrees_with_the_explicit_formula(toy):
    expected = references.forward_impact(toy.net, toy.take(toy.everyone)[0])
    found = impact(toy)
    assert found.dtype == np.float32
    assert references.relative_error(found, expected) < 1e-5
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("samples", [[5], [0, 12], [2, 3, 9, 10]], ids=len)
def test_takes_the_means_over_the_samples_asked_for(make_toy, samples):
    toy = make_toy(*SHAPE)
    expected = references.forward_impact(toy.net, toy.take(np.array(samples))[0])
    assert references.relative_error(impact(toy, np.array(samples)), expected) < 1e-5


@pytest.mark.parametrize("n_samples", [1, 3, 4, 5])
@pytest.mark.parametrize("block", [1, 4])
def test_does_not_depend_on_the_block_size(make_toy, n_samples, block):
    toy = make_toy(*SHAPE)
    samples = np.arange(n_samples)
    assert references.relative_error(impact(toy, samples, block=block), impact(toy, samples)) < 1e-6


def test_does_not_depend_on_how_often_the_batch_is_repeated(toy):
    """A gradient summed over the batch before it is normalised would double with it."""
    thrice = impact(toy, np.repeat(toy.everyone, 3), block=4)
    assert references.relative_error(thrice, impact(toy)) < 1e-6


def test_every_matrix_shares_out_exactly_one(make_toy):
    """Inputs' shares add up to 1 in each neuron, neurons' shares to 1: so do their products.

    A normalisation by a signed sum, which is almost 0 for some neuron, is far from that.
    """
    toy = make_toy(40, 8, 96, 5)
    found = impact(toy)
    bef, aft = ranking.unflatten(found, toy.tail.m, toy.tail.d)
    assert found.min() >= 0
    assert bef.sum(dtype=np.float64) == pytest.approx(1, rel=1e-5)
    assert aft.sum(dtype=np.float64) == pytest.approx(1, rel=1e-5)
    h, _ = toy.take(toy.everyone)
    products = toy.net.u(h)[:, None, :] * toy.net.weights["w_bef"]  # (S, m, d)
    signed = (products / products.sum(dim=2, keepdim=True)).abs()
    assert signed.max() > 100


def test_dead_neurons_have_no_impact_and_make_no_nan(make_toy):
    def kill(weights):
        weights["b_bef"][:] = -100  # every neuron is off: 0/0 in every row of W_aft
        weights["w_bef"][3] = 0  # no input reaches neuron 3: 0/0 in its row

    toy = make_toy(*SHAPE, activation="relu", change=kill)
    bef, aft = ranking.unflatten(impact(toy), toy.tail.m, toy.tail.d)
    assert np.isfinite(bef).all()
    assert not bef[3].any()
    assert bef[2].any()
    assert not aft.any()


def test_constant_logits_have_no_impact_and_make_no_nan(make_toy):
    toy = make_toy(*SHAPE, change=lambda weights: weights["head_weight"].fill(0))
    assert not impact(toy).any()


# The positive sample


def test_positive_sample_is_drawn_by_the_seed_alone():
    pos = np.arange(100, 200)
    drawn = sample_positives(pos, 30, seed=1)
    np.random.seed(5)  # noqa: NPY002 - the global generator must not matter
    torch.manual_seed(5)
    assert np.array_equal(sample_positives(pos, 30, seed=1), drawn)
    assert not np.array_equal(sample_positives(pos, 30, seed=2), drawn)


@given(st.sets(st.integers(0, 500), min_size=2), st.integers(2, 600), st.integers(0, 9))
def test_positive_sample_is_a_subset_of_the_size_of_neg_or_of_all(pos, n_neg, seed):
    pos = np.array(sorted(pos))
    drawn = sample_positives(pos, n_neg, seed)
    assert len(drawn) == min(n_neg, len(pos))
    assert np.isin(drawn, pos).all()
    assert (np.diff(drawn) > 0).all()
    assert drawn.dtype == np.int64


def test_every_positive_is_equally_likely():
    counts = np.zeros(10)
    for seed in range(3000):
        counts[sample_positives(np.arange(10), 3, seed)] += 1
    assert np.abs(counts - 900).max() < 5 * np.sqrt(3000 * 0.3 * 0.7)


# The Pareto front


values = st.integers(0, 6).map(float)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=40))
def test_front_is_what_no_point_dominates_with_ties_and_duplicates(points):
    first, second = np.array(points, dtype=np.float32).T
    found = pareto_front(first, second)
    assert found.dtype == np.int32
    assert found.tolist() == references.pareto_front(first.tolist(), second.tolist())


@pytest.mark.parametrize("seed", range(5))
def test_front_of_many_points(seed):
    rng = np.random.default_rng(seed)
    first = rng.random(600, dtype=np.float32)
    second = (rng.random(600, dtype=np.float32) * (1.2 - first)) ** 2
    assert pareto_front(first, second).tolist() == references.pareto_front(
        first.tolist(), second.tolist()
    )


@pytest.mark.parametrize("seed", range(5))
def test_front_along_an_anti_chain(seed):
    """Every point is on it: here the shortcuts must not drop any."""
    rng = np.random.default_rng(seed)
    first = np.sort(rng.random(200, dtype=np.float32))
    second = -np.sort(rng.random(200, dtype=np.float32))
    order = rng.permutation(200)
    assert len(pareto_front(first[order], second[order])) == 200


# The method


def bl(toy, neg=NEG, pos=POS, seed=7):
    return METHODS["weight", "bl"].function(toy.evidence(neg, pos, seed))


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_score_and_front_are_those_of_the_formula(make_toy, activation):
    toy = make_toy(13, 5, 9, 3, activation=activation)
    found = bl(toy)
    sample = found.extras["bl_pos_sample"]
    gl, fi, score = references.arachne(toy.net, toy.take(NEG), toy.take(sample))
    assert found.score.dtype == np.float32
    np.testing.assert_allclose(found.score, score, atol=1e-5)
    assert found.extras["weight_bl_pareto"].tolist() == references.pareto_front(
        gl.tolist(), fi.tolist()
    )


def test_the_sample_of_positives_comes_from_the_seed(make_toy):
    toy = make_toy(*SHAPE)
    sample = bl(toy).extras["bl_pos_sample"]
    assert np.array_equal(sample, sample_positives(POS, len(NEG), 7))
    assert len(bl(toy, POS, NEG).extras["bl_pos_sample"]) == len(NEG)
    others = [bl(toy, seed=seed).extras["bl_pos_sample"].tolist() for seed in range(5)]
    assert len({tuple(other) for other in others}) > 1
    assert "SEED" in METHODS["weight", "bl"].constants


def test_the_denominator_is_at_least_one_where_gradients_are_below_minus_one(make_toy):
    """1 + the signed gradient would be negative or close to 0."""

    def enlarge(weights):
        weights["head_weight"] *= 30

    toy = make_toy(*SHAPE, change=enlarge)
    found = bl(toy)
    pos = toy.take(found.extras["bl_pos_sample"])
    assert references.mean_loss_gradient(toy.net, *pos).min() < -1
    *_, score = references.arachne(toy.net, toy.take(NEG), pos)
    np.testing.assert_allclose(found.score, score, atol=1e-4)


def test_scaling_is_over_both_matrices_at_once(make_toy):
    def shrink(weights):
        weights["w_aft"] *= 0.05  # gradients of W_bef are small beside those of W_aft

    toy = make_toy(*SHAPE, change=shrink)
    found = bl(toy)
    pos = toy.take(found.extras["bl_pos_sample"])
    gl, _, score = references.arachne(toy.net, toy.take(NEG), pos)
    half = len(score) // 2
    per_matrix = np.concatenate([references.minmax(gl[:half]), references.minmax(gl[half:])])
    assert np.abs(per_matrix - references.minmax(gl)).max() > 0.3
    np.testing.assert_allclose(found.score, score, atol=1e-5)


def test_relative_and_combine_do_not_change_their_inputs():
    first, second = (np.random.default_rng(s).random(20, dtype=np.float32) for s in (0, 1))
    copies = first.copy(), second.copy()
    expected = 0.5 * references.minmax(first) + 0.5 * references.minmax(second)
    np.testing.assert_allclose(arachne.combine(first, second), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(arachne.relative(first, second), copies[0] / (1 + copies[1]))
    assert np.array_equal(first, copies[0])
    assert np.array_equal(second, copies[1])
