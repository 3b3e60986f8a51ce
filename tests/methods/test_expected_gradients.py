import numpy as np
import pytest
import references
import torch
from captum.attr import IntegratedGradients

from utils.methods import METHODS
from utils.methods.expected_gradients import draw_baselines, expected_gradients

SHAPE = (13, 4, 16, 3)
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])


def attributions(toy, samples, baselines, points):
    """Of every path in float64, (I, K, m), by the slow reference."""
    a = toy.net.a(toy.take(toy.everyone)[0])
    paths = [
        references.expected_gradients(toy.net, *toy.take(samples), a[chosen], points)
        for chosen in baselines.T
    ]
    return np.stack(paths, axis=1)


def drawn(toy, samples, seed=3):
    return draw_baselines(toy.everyone, len(samples), seed)


@pytest.mark.parametrize("points", [1, 2, 20])
def test_agrees_with_autograd_at_every_point_of_every_path(toy, points):
    samples = toy.everyone
    baselines = drawn(toy, samples)
    found = expected_gradients(toy.tail, toy.states, samples, baselines, points)
    expected = attributions(toy, samples, baselines, points)
    assert found.mean.dtype == np.float32
    assert references.relative_error(found.mean, expected.mean(axis=(0, 1))) < 1e-5


def test_agrees_with_captum(toy):
    baselines = drawn(toy, toy.everyone)
    h, labels = toy.take(toy.everyone)
    a = toy.net.a(h)
    captum = IntegratedGradients(lambda a, h, labels: toy.net.probability(h, a, labels))
    theirs = [
        captum.attribute(
            a, a[chosen], additional_forward_args=(h, labels), n_steps=20, method="riemann_middle"
        )
        for chosen in baselines.T
    ]
    found = expected_gradients(toy.tail, toy.states, toy.everyone, baselines, 20)
    assert references.relative_error(found.mean, torch.stack(theirs).mean(dim=(0, 1))) < 1e-5


def test_attributions_of_a_path_add_up_to_the_change_of_the_probability(make_toy):
    toy = make_toy(*SHAPE)
    baselines = drawn(toy, NEG)
    h, labels = toy.take(NEG)
    a = toy.net.a(toy.take(toy.everyone)[0])
    for points, most in ((20, 0.02), (500, 1e-4)):
        sums = attributions(toy, NEG, baselines, points).sum(axis=2)
        for k, chosen in enumerate(baselines.T):
            ends = [toy.net.probability(h, at, labels) for at in (a[chosen], a[NEG])]
            left = np.abs(sums[:, k] - (ends[1] - ends[0]).numpy())
            found = expected_gradients(toy.tail, toy.states, NEG, baselines, points).gap[:, k]
            np.testing.assert_allclose(found, left, atol=2e-6)
            assert left.max() < most


def test_the_mean_attribution_is_complete_as_well(make_toy):
    toy = make_toy(*SHAPE)
    baselines = drawn(toy, NEG)
    found = expected_gradients(toy.tail, toy.states, NEG, baselines, 300)
    h, labels = toy.take(NEG)
    a = toy.net.a(toy.take(toy.everyone)[0])
    change = [
        toy.net.probability(h, a[NEG], labels) - toy.net.probability(h, a[chosen], labels)
        for chosen in baselines.T
    ]
    assert found.mean.sum() == pytest.approx(float(torch.stack(change).mean()), abs=1e-4)


@pytest.mark.parametrize("block", [1, 3, 4])
def test_does_not_depend_on_the_block_size(make_toy, block):
    toy = make_toy(*SHAPE)
    baselines = drawn(toy, NEG)
    whole, parts = (
        expected_gradients(toy.tail, toy.states, NEG, baselines, 5, size) for size in (1024, block)
    )
    assert references.relative_error(parts.mean, whole.mean) < 1e-6
    np.testing.assert_allclose(parts.gap, whole.gap, atol=1e-6)


def test_a_path_that_begins_where_it_ends_attributes_nothing(make_toy):
    toy = make_toy(*SHAPE)
    found = expected_gradients(toy.tail, toy.states, NEG, np.repeat(NEG[:, None], 4, axis=1), 20)
    assert not found.mean.any() and found.gap.max() < 1e-6


def test_the_method_goes_from_its_positives_to_its_failures_and_keeps_the_sample(make_toy):
    toy = make_toy(*SHAPE)
    method = METHODS["neuron", "expected_gradients"]
    found = method.function(toy.evidence(NEG, POS, seed=5, points=7))
    baselines = found.extras["eg_pos_sample"]
    assert baselines.shape == (4, 4) and baselines.dtype == np.int64
    assert np.isin(baselines, POS).all()
    expected = np.abs(attributions(toy, NEG, baselines, 7).mean(axis=(0, 1)))
    assert references.relative_error(found.score, expected) < 1e-5
    assert method.per_setting and set(method.constants) == {"IG_POINTS", "SEED"}


def test_baselines_are_drawn_by_the_seed_alone_and_each_by_itself():
    pos = np.arange(100, 105)
    first = draw_baselines(pos, 2000, seed=1)
    np.random.seed(5)  # noqa: NPY002 - the global generator must not matter
    assert np.array_equal(draw_baselines(pos, 2000, seed=1), first)
    assert not np.array_equal(draw_baselines(pos, 2000, seed=2), first)
    counts = np.bincount(first.ravel() - 100, minlength=5)
    assert np.abs(counts - 1600).max() < 5 * np.sqrt(8000 * 0.2 * 0.8)
    assert draw_baselines(pos[:2], 3, seed=0).shape == (3, 4)  # fewer than 4 to draw from
