"""neuron / mean_act and act_variance, and the loss's two weight-level relatives."""

import numpy as np
import pytest
import references

from utils.methods import METHODS
from utils.methods.activation import activation_variance

SHAPE = (13, 4, 16, 3)
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])


@pytest.mark.parametrize("block", [1, 3, 4, 5, 1024])
def test_activation_variance_is_numpys(block):
    rng = np.random.default_rng(0)
    rows = (100 + rng.normal(size=(12, 5)) * rng.exponential(size=5)).astype(np.float32)
    samples = np.array([0, 2, 5, 11])
    mean = rows[samples].mean(axis=0)
    found = activation_variance(rows, samples, mean, block)
    expected = rows[samples].astype(np.float64).var(axis=0, ddof=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def score(toy, level, name, neg=NEG, pos=POS):
    return METHODS[level, name].function(toy.evidence(neg, pos)).score


@pytest.mark.parametrize("shape", [SHAPE, (13, 5, 7, 3, "relu")], ids=str)
def test_the_registry_gives_each_the_failures(make_toy, shape):
    toy = make_toy(*shape)
    a = toy.states.a[NEG].astype(np.float64)
    gradient = references.mean_loss_gradient(toy.net, *toy.take(NEG))
    expected = {
        ("weight", "grad_loss"): np.abs(gradient),
        ("weight", "forward_impact"): references.forward_impact(toy.net, toy.take(NEG)[0]),
        ("neuron", "mean_act"): a.mean(axis=0),
        ("neuron", "act_variance"): a.var(axis=0, ddof=1),
    }
    for key, values in expected.items():
        assert references.relative_error(score(toy, *key), values) < 1e-5, key
