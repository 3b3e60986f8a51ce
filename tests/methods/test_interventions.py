"""zero_out and care: the loss where one neuron is set to a value."""

import numpy as np
import pytest
import references
import torch
import vit_tails
from captum.attr import FeatureAblation

from utils.methods import METHODS, interventions
from utils.methods.interventions import mean_loss_change

SHAPE = (13, 4, 16, 3)
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])
SHAPES = [SHAPE, (13, 5, 7, 4, "relu"), (9, 6, 3, 2)]


def score(toy, name, neg=NEG, pos=POS):
    return METHODS["neuron", name].function(toy.evidence(neg, pos)).score


def change(toy, values, samples=NEG, **options):
    values = np.asarray(values, dtype=np.float32)
    return mean_loss_change(toy.tail, toy.states, samples, values, **options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_zero_out_is_the_loss_without_the_neuron(make_toy, shape):
    toy = make_toy(*shape)
    neg = NEG[shape[0] > NEG]
    found = score(toy, "zero_out", neg)
    assert found.dtype == np.float32
    expected = references.zero_out(toy.net, *toy.take(neg))
    assert references.relative_error(found, expected) < 1e-5
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_care_is_the_spread_of_the_loss_over_a_neurons_values(make_toy, shape):
    toy = make_toy(*shape)
    neg = NEG[shape[0] > NEG]
    found = score(toy, "care", neg)
    assert found.dtype == np.float32
    expected = references.care(toy.net, *toy.take(neg), toy.take(toy.everyone)[0])
    assert references.relative_error(found, expected) < 1e-5


def test_the_range_of_care_is_that_of_every_sample(make_toy):
    """The failures alone have a narrower one."""
    toy = make_toy(*SHAPE)
    narrow = references.care(toy.net, *toy.take(NEG), toy.take(NEG)[0])
    assert references.relative_error(score(toy, "care"), narrow) > 0.01


def test_agrees_with_captum(toy):
    """Feature ablation of the neurons: a pass for each."""
    h, labels = toy.take(toy.everyone)
    captum = FeatureAblation(lambda a, h, labels: references.cross_entropy(toy.net, h, a, labels))
    lost = captum.attribute(toy.net.a(h), additional_forward_args=(h, labels)).mean(dim=0)
    found = change(toy, np.zeros((1, toy.tail.m)), toy.everyone)[0]
    assert references.relative_error(found, -lost) < 1e-5


def test_zero_out_is_what_the_whole_model_says_with_the_neuron_set_to_zero(make_vit):
    model = make_vit(num_labels=4)
    pixels = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 3, 1, 2, 2, 0])
    fc2 = model.vit.layers[-1].mlp.fc2

    def loss():
        with torch.no_grad():
            logits = model(pixel_values=pixels).logits.double()
        return float(torch.nn.functional.cross_entropy(logits, labels))

    def without(j):
        def silence(_, inputs):
            inputs[0][..., j] = 0

        handle = fc2.register_forward_pre_hook(silence)
        found = loss()
        handle.remove()
        return found

    expected = [without(j) - loss() for j in range(model.config.intermediate_size)]
    tail, states = vit_tails.tail_and_states(model, pixels, labels)
    found = mean_loss_change(tail, states, np.arange(6), np.zeros((1, tail.m), np.float32))[0]
    assert min(expected) < 0 < max(expected)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("scale", [3, 100, 1e4])
def test_values_far_from_any_that_occur_are_exact_too(make_toy, scale):
    """Logits beyond float32's exponentials, and an output that is one neuron's alone."""
    toy = make_toy(*SHAPE, change=lambda weights: weights["head_weight"].__imul__(30))
    h, labels = toy.take(NEG)
    values = scale * np.random.default_rng(0).normal(size=(3, 16))
    base = float(references.cross_entropy(toy.net, h, toy.net.a(h), labels).mean())
    expected = [
        [references.mean_loss_with(toy.net, h, labels, j, float(np.float32(v))) - base
         for j, v in enumerate(row)]
        for row in values
    ]  # fmt: skip
    assert references.relative_error(change(toy, values), expected) < 2e-5


def test_small_changes_keep_their_digits(make_toy):
    """Changes near 1e-7 beside a loss near 3: a difference of two float32 losses has no digit."""
    toy = make_toy(*SHAPE, change=lambda weights: weights["w_aft"].__imul__(1e-7))
    h, labels = toy.take(NEG)
    expected = references.zero_out(toy.net, h, labels)
    assert max(expected) < 1e-6
    assert references.relative_error(score(toy, "zero_out"), expected) < 1e-4


def test_a_neuron_that_is_set_to_what_it_is_changes_nothing(make_toy):
    toy = make_toy(*SHAPE)
    values = toy.states.a[[5]]
    assert np.abs(change(toy, values, np.array([5]))).max() < 1e-7


def test_neurons_that_are_off_or_unread_change_nothing_when_silenced(make_toy):
    def kill(weights):
        weights["b_bef"][2] = -100
        weights["w_aft"][:, 5] = 0

    toy = make_toy(*SHAPE, activation="relu", change=kill)
    found = score(toy, "zero_out")
    assert found[2] == found[5] == 0 < found.max()
    assert score(toy, "care")[5] == 0


@pytest.mark.parametrize("block", [1, 3, 4])
@pytest.mark.parametrize("logits", [1, 100])
def test_does_not_depend_on_how_the_work_is_cut(make_toy, monkeypatch, block, logits):
    toy = make_toy(13, 6, 40, 5)
    values = np.random.default_rng(0).normal(size=(4, 40))
    whole = change(toy, values)
    for name, size in (("NEURONS", 7), ("LOGITS", logits), ("ROWS", 2)):
        monkeypatch.setattr(interventions, name, size)
    parts = change(toy, values, block=block)
    assert references.relative_error(parts, whole) < 1e-6


def test_midpoints_worked_out_by_hand():
    found = interventions.midpoints(np.float32([0, -4]), np.float32([8, -4]))
    assert found.dtype == np.float32
    assert found.T.tolist() == [[0.5 + k for k in range(8)], [-4] * 8]
    assert interventions.spread_of_effects(np.array([[1, 5], [3, 5.0]])).tolist() == [1, 0]


@pytest.mark.parametrize("block", [1, 4, 100])
def test_the_range_does_not_depend_on_the_block_size(block):
    rows = np.random.default_rng(1).normal(size=(10, 6)).astype(np.float32)
    low, high = interventions.value_range(rows, block)
    assert np.array_equal(low, rows.min(axis=0)) and np.array_equal(high, rows.max(axis=0))
