import numpy as np
import pytest
import references
import torch
from captum.attr import LayerGradientXActivation

from utils.methods import METHODS
from utils.methods.gradient_activation import gradient_times_activation

SHAPE = (13, 4, 16, 3)
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])


def test_agrees_with_autograd(toy):
    found = gradient_times_activation(toy.tail, toy.states, toy.everyone)
    assert found.dtype == np.float32
    expected = references.gradient_times_activation(toy.net, *toy.take(toy.everyone))
    assert references.relative_error(found, expected) < 1e-5


def test_looks_at_the_failures_of_the_setting(make_toy):
    toy = make_toy(*SHAPE)
    method = METHODS["neuron", "grad_act"]
    found = method.function(toy.evidence(NEG, POS)).score
    expected = references.gradient_times_activation(toy.net, *toy.take(NEG))
    assert references.relative_error(found, expected) < 1e-5
    assert method.per_setting


def test_agrees_with_captum(toy):
    h, labels = toy.take(toy.everyone)

    class Behind(torch.nn.Module):
        """The loss as a function of h, with the neurons as a layer."""

        def __init__(self):
            super().__init__()
            self.neurons = torch.nn.Identity()

        def forward(self, h):
            return references.cross_entropy(toy.net, h, self.neurons(toy.net.a(h)), labels)

    model = Behind()
    theirs = LayerGradientXActivation(model, model.neurons).attribute(h.requires_grad_(True))
    found = gradient_times_activation(toy.tail, toy.states, toy.everyone)
    assert references.relative_error(found, theirs.detach().mean(dim=0).abs()) < 1e-5


@pytest.mark.parametrize("block", [1, 3, 4])
def test_does_not_depend_on_the_block_size(make_toy, block):
    toy = make_toy(*SHAPE)
    whole, parts = (
        gradient_times_activation(toy.tail, toy.states, NEG, size) for size in (1024, block)
    )
    assert references.relative_error(parts, whole) < 1e-6


def test_is_the_first_order_of_silencing_a_neuron(make_toy):
    """Where a neuron's part in y is small, its gradient says what zero_out measures."""
    toy = make_toy(*SHAPE, change=lambda weights: weights["w_aft"].__imul__(1e-3))
    first_order = METHODS["neuron", "grad_act"].function(toy.evidence(NEG, POS)).score
    exact = METHODS["neuron", "zero_out"].function(toy.evidence(NEG, POS)).score
    assert references.relative_error(first_order, exact) < 1e-2
