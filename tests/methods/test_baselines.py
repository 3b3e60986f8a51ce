"""The trivial baselines."""

import numpy as np
import pytest
import references

from utils.methods import METHODS, baselines

SHAPE = (13, 4, 16, 3)
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])


# Baselines


def test_magnitude_is_the_absolute_weight(toy):
    weights = toy.net.weights
    expected = np.abs(references.flat(weights["w_bef"], weights["w_aft"]))
    assert np.array_equal(baselines.weight_magnitude(toy.tail), expected)


def wanda(toy, samples):
    """|W_ji| times the norm of input i, weight by weight."""
    h, _ = toy.take(samples)
    u, a = toy.net.u(h), toy.net.a(h)
    w_bef, w_aft = toy.net.weights["w_bef"], toy.net.weights["w_aft"]
    m, d = w_bef.shape
    bef = [[abs(w_bef[j, i]) * sum(u[:, i] ** 2) ** 0.5 for i in range(d)] for j in range(m)]
    aft = [[abs(w_aft[i, j]) * sum(a[:, j] ** 2) ** 0.5 for j in range(m)] for i in range(d)]
    return references.flat(bef, aft)


@pytest.mark.parametrize("block", [1, 3, 1024])
def test_wanda_is_the_weight_times_the_norm_of_its_input(toy, block):
    found = baselines.wanda(toy.tail, toy.states, toy.everyone, block)
    assert found.dtype == np.float32
    assert references.relative_error(found, wanda(toy, toy.everyone)) < 1e-6


@pytest.mark.parametrize("block", [1, 3, 4, 5, 1024])
def test_activation_variance_is_numpys(block):
    rng = np.random.default_rng(0)
    rows = (100 + rng.normal(size=(12, 5)) * rng.exponential(size=5)).astype(np.float32)
    samples = np.array([0, 2, 5, 11])
    mean = rows[samples].mean(axis=0)
    found = baselines.activation_variance(rows, samples, mean, block)
    expected = rows[samples].astype(np.float64).var(axis=0, ddof=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def score(toy, level, name, neg=NEG, pos=POS):
    return METHODS[level, name].function(toy.evidence(neg, pos)).score


@pytest.mark.parametrize("shape", [SHAPE, (13, 5, 7, 3, "relu")], ids=str)
def test_the_registry_gives_each_baseline_its_own_samples(make_toy, shape):
    """Baselines of a setting look at neg, those of the whole fold at every sample."""
    toy = make_toy(*shape)
    a = toy.states.a[NEG].astype(np.float64)
    gradient = references.mean_loss_gradient(toy.net, *toy.take(NEG))
    expected = {
        ("weight", "grad_loss"): np.abs(gradient),
        ("weight", "forward_impact"): references.forward_impact(toy.net, toy.take(NEG)[0]),
        ("weight", "wanda"): wanda(toy, toy.everyone),
        ("neuron", "mean_act"): a.mean(axis=0),
        ("neuron", "act_variance"): a.var(axis=0, ddof=1),
    }
    for key, values in expected.items():
        assert references.relative_error(score(toy, *key), values) < 1e-5, key
