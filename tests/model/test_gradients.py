import numpy as np
import pytest
import references
import torch

from utils import ranking
from utils.methods.variance import neuron_and_gradient
from utils.model import gradients
from utils.model.gradients import mean_loss_gradient

SHAPE = (13, 4, 16, 3)


def test_agrees_with_autograd_through_the_whole_tail(toy):
    expected = references.mean_loss_gradient(toy.net, *toy.take(toy.everyone))
    found = mean_loss_gradient(toy.tail, toy.states, toy.everyone)
    assert found.dtype == np.float32
    assert found.shape == (2 * toy.tail.m * toy.tail.d,)
    assert references.relative_error(found, expected) < 1e-5


@pytest.mark.parametrize("samples", [[0], [3, 8], [0, 1, 5, 6, 12]], ids=len)
def test_takes_the_mean_over_the_samples_asked_for(make_toy, samples):
    toy = make_toy(*SHAPE, activation="relu")
    samples = np.array(samples)
    expected = references.mean_loss_gradient(toy.net, *toy.take(samples))
    found = mean_loss_gradient(toy.tail, toy.states, samples)
    assert references.relative_error(found, expected) < 1e-5


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("block", [1, 2, 4])
def test_does_not_depend_on_the_block_size(make_toy, n_samples, block):
    toy = make_toy(*SHAPE)
    samples = np.arange(n_samples)
    whole = mean_loss_gradient(toy.tail, toy.states, samples)
    parts = mean_loss_gradient(toy.tail, toy.states, samples, block)
    assert references.relative_error(parts, whole) < 1e-6


def test_does_not_depend_on_how_often_the_batch_is_repeated(toy):
    once = mean_loss_gradient(toy.tail, toy.states, toy.everyone)
    thrice = mean_loss_gradient(toy.tail, toy.states, np.repeat(toy.everyone, 3), block=4)
    assert references.relative_error(thrice, once) < 1e-6


def test_keeps_the_sign(make_toy):
    toy = make_toy(*SHAPE)
    found = mean_loss_gradient(toy.tail, toy.states, toy.everyone)
    expected = references.mean_loss_gradient(toy.net, *toy.take(toy.everyone))
    assert found.min() < 0 < found.max()
    clear = np.abs(expected) > 1e-4 * np.abs(expected).max()
    assert np.array_equal(np.sign(found[clear]), np.sign(expected[clear]))


def test_a_small_step_along_the_gradient_lowers_the_loss_as_much_as_it_says(make_toy):
    """A central difference of the loss: no autograd on either side."""
    toy = make_toy(*SHAPE)
    gradient = mean_loss_gradient(toy.tail, toy.states, toy.everyone).astype(np.float64)
    m, d = toy.tail.m, toy.tail.d
    h, labels = toy.take(toy.everyone)
    step = 1e-5 / np.linalg.norm(gradient)

    def loss(sign):
        bef, aft = (torch.from_numpy(p) for p in ranking.unflatten(sign * step * gradient, m, d))
        w_bef, w_aft = toy.net.weights["w_bef"] + bef, toy.net.weights["w_aft"] + aft
        logits = toy.net.logits(h + toy.net.o(toy.net.a(h, w_bef), w_aft))
        return float(torch.nn.functional.cross_entropy(logits, labels))

    slope = (loss(1) - loss(-1)) / (2 * step)
    assert slope == pytest.approx(np.dot(gradient, gradient), rel=1e-4)


def test_the_strongest_gradients_rank_first_whatever_their_sign(make_toy):
    """Min-max scaling signed gradients would put the strongest negative one last."""
    toy = make_toy(*SHAPE)
    gradient = mean_loss_gradient(toy.tail, toy.states, toy.everyone)
    score = neuron_and_gradient(gradient, np.zeros(toy.tail.m, np.float32), toy.tail.d)
    expected = np.argsort(-np.abs(gradient), kind="stable")
    assert (gradient[expected[:10]] < 0).any()
    assert np.array_equal(ranking.rank_by(score)[:10], expected[:10])


def test_a_dead_neuron_has_gradient_zero(make_toy):
    def kill(weights):
        weights["b_bef"][:5] = -100

    toy = make_toy(*SHAPE, activation="relu", change=kill)
    found = mean_loss_gradient(toy.tail, toy.states, toy.everyone)
    bef, aft = ranking.unflatten(found, toy.tail.m, toy.tail.d)
    assert not bef[:5].any()
    assert not aft[:, :5].any()
    assert np.isfinite(found).all()


def test_blocks_read_the_samples_in_order_and_leave_the_caches_alone(make_toy):
    toy = make_toy(*SHAPE)
    samples = np.array([1, 2, 5, 9, 12])
    before = toy.states.h.copy()
    parts = list(gradients.sample_blocks(toy.states, samples, "lha", torch.device("cpu"), 2))
    assert [len(part[0]) for part in parts] == [2, 2, 1]
    labels, h, a = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
    assert np.array_equal(labels, toy.states.labels[samples])
    assert np.array_equal(h, toy.states.h[samples])
    assert np.array_equal(a, toy.states.a[samples])
    parts[0][1].zero_()
    assert np.array_equal(toy.states.h, before)
