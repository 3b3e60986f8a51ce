"""SNIP, Fisher information and optimal brain damage, over the failures."""

import numpy as np
import pytest
import references

from utils.methods import METHODS, pruning

SHAPE = (13, 4, 16, 3)
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])


def score(toy, name):
    return METHODS["weight", name].function(toy.evidence(NEG, POS)).score


def fisher(toy, samples=None, **options):
    samples = toy.everyone if samples is None else samples
    return pruning.fisher(toy.tail, toy.states, samples, **options)


def weights_of(toy):
    return references.flat(toy.net.weights["w_bef"], toy.net.weights["w_aft"])


def test_fisher_is_the_mean_of_squared_gradients_of_each_sample(toy):
    expected = references.fisher(toy.net, *toy.take(toy.everyone))
    found = fisher(toy)
    assert found.dtype == np.float32
    assert references.relative_error(found, expected) < 1e-5
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-9 * expected.max())


def test_fisher_is_not_the_square_of_the_mean_gradient(make_toy):
    toy = make_toy(*SHAPE)
    squared = references.mean_loss_gradient(toy.net, *toy.take(toy.everyone)) ** 2
    assert (fisher(toy) > 1.5 * squared).mean() > 0.9


@pytest.mark.parametrize("block", [1, 3, 4])
def test_fisher_does_not_depend_on_the_block_size(make_toy, block):
    toy = make_toy(*SHAPE)
    assert references.relative_error(fisher(toy, block=block), fisher(toy)) < 1e-6


def test_fisher_leaves_the_caches_alone(make_toy):
    toy = make_toy(*SHAPE)
    before = toy.states.a.copy()
    fisher(toy)
    assert np.array_equal(toy.states.a, before)


@pytest.mark.parametrize("shape", [SHAPE, (13, 5, 7, 3, "relu")], ids=str)
def test_each_criterion_takes_the_failures_of_the_setting(make_toy, shape):
    toy = make_toy(*shape)
    neg, weights = toy.take(NEG), weights_of(toy)
    gradient, squares = (
        references.mean_loss_gradient(toy.net, *neg),
        references.fisher(toy.net, *neg),
    )
    expected = {
        "snip": [abs(w) * abs(g) for w, g in zip(weights, gradient, strict=True)],
        "fisher": squares,
        "obd": [f * w**2 / 2 for f, w in zip(squares, weights, strict=True)],
    }
    for name, values in expected.items():
        assert score(toy, name).dtype == np.float32
        assert references.relative_error(score(toy, name), values) < 1e-5, name


def test_snip_is_the_derivative_with_respect_to_a_switch_of_the_weight(make_toy):
    """A central difference: the weight times 1 + h and 1 - h."""
    toy = make_toy(*SHAPE)
    h, labels = toy.take(NEG)
    found = score(toy, "snip")

    def loss(j, i, factor):
        w_bef = toy.net.weights["w_bef"].clone()
        w_bef[j, i] *= factor
        logits = toy.net.logits(h + toy.net.o(toy.net.a(h, w_bef)))
        return float((logits.logsumexp(1) - logits[range(len(labels)), labels]).mean())

    for j, i in [(0, 0), (3, 2), (15, 3)]:
        slope = (loss(j, i, 1 + 1e-5) - loss(j, i, 1 - 1e-5)) / 2e-5
        assert found[j * 4 + i] == pytest.approx(abs(slope), rel=1e-4, abs=1e-7)
