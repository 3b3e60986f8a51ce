"""weight / magnitude and wanda."""

import numpy as np
import pytest
import references

from utils.methods import METHODS, magnitude

NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])


def test_magnitude_is_the_absolute_weight(toy):
    weights = toy.net.weights
    expected = np.abs(references.flat(weights["w_bef"], weights["w_aft"]))
    assert np.array_equal(magnitude.weight_magnitude(toy.tail), expected)


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
    found = magnitude.wanda(toy.tail, toy.states, toy.everyone, block)
    assert found.dtype == np.float32
    assert references.relative_error(found, wanda(toy, toy.everyone)) < 1e-6


def test_the_registry_asks_them_over_every_sample(toy):
    evidence = toy.evidence(NEG, POS)
    found = {
        name: METHODS["weight", name].function(evidence).score for name in ("magnitude", "wanda")
    }
    assert np.array_equal(found["magnitude"], magnitude.weight_magnitude(toy.tail))
    assert references.relative_error(found["wanda"], wanda(toy, toy.everyone)) < 1e-5
