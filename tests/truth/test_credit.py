"""Repair credit against float64 autograd, the whole model, and changes known by hand."""

from dataclasses import replace

import numpy as np
import pytest
import references
import torch

from utils import ranking
from utils.judge.references.scores import other_gradient
from utils.model import class_token
from utils.model.caches import load_tail
from utils.model.states import States, states_from_h
from utils.truth.repair.credit import mean_loss, path_points, repair_credit, repair_row


def change_of(toy, seed=1, scale=0.3):
    """Matrices of an M2 near the toy's, float32."""
    rng = np.random.default_rng(seed)
    return [
        w.numpy() + (scale * rng.normal(size=w.shape) * w.std().item()).astype(np.float32)
        for w in (toy.tail.w_bef, toy.tail.w_aft)
    ]


def reference_credit(net, w_bef, w_aft, h, labels):
    """-dW times the gradient at the eight nodes, weight by weight in float64."""
    first = [net.weights[k] for k in ("w_bef", "w_aft")]
    last = [torch.from_numpy(w).double() for w in (w_bef, w_aft)]
    nodes, weights = np.polynomial.legendre.leggauss(8)
    total = 0
    for x, omega in zip(nodes, weights, strict=True):
        t = (1 + x) / 2
        there = {
            key: a + t * (b - a) for key, a, b in zip(("w_bef", "w_aft"), first, last, strict=True)
        }
        moved = replace(net, weights=net.weights | there)
        total = total + omega / 2 * references.mean_loss_gradient(moved, h, labels)
    delta = references.flat(*(b - a for a, b in zip(first, last, strict=True)))
    return -delta * total


def test_against_autograd_in_float64(toy):
    w_bef, w_aft = change_of(toy)
    samples = toy.everyone[::2]
    found = repair_credit(toy.tail, w_bef, w_aft, toy.states, samples, block=2)
    expected = reference_credit(toy.net, w_bef, w_aft, *toy.take(samples))
    assert found.credit.dtype == np.float32
    assert references.relative_error(found.credit, expected) < 2e-5


def test_credits_add_up_to_the_loss_that_the_change_mends(toy):
    w_bef, w_aft = change_of(toy, scale=0.1)
    found = repair_credit(toy.tail, w_bef, w_aft, toy.states, toy.everyone)
    transplanted = replace(toy.tail, w_bef=torch.from_numpy(w_bef), w_aft=torch.from_numpy(w_aft))
    assert found.loss_m1 == mean_loss(toy.tail, toy.states, toy.everyone)
    assert found.loss_transplanted == mean_loss(transplanted, toy.states, toy.everyone)
    assert found.loss_m1 != pytest.approx(found.loss_transplanted, rel=1e-3)
    if toy.tail.activation == "gelu":  # a relu bends the path: eight points miss the corners
        assert abs(found.gap) < 1e-5
    assert abs(found.gap) < 0.05 * abs(found.loss_m1 - found.loss_transplanted) + 1e-3


@pytest.mark.parametrize("matrix", [0, 1])
def test_one_changed_weight_owns_all_of_it(make_toy, matrix):
    toy = make_toy(13, 4, 16, 3)
    matrices = [toy.tail.w_bef.numpy().copy(), toy.tail.w_aft.numpy().copy()]
    matrices[matrix][1, 2] += 0.25
    found = repair_credit(toy.tail, *matrices, toy.states, toy.everyone)
    m, d = toy.tail.m, toy.tail.d
    place = 1 * d + 2 if matrix == 0 else m * d + 1 * m + 2
    assert np.flatnonzero(found.credit).tolist() == [place]
    assert found.credit[place] == pytest.approx(found.loss_m1 - found.loss_transplanted, abs=1e-6)


def test_opposite_moves_of_equal_neurons_cancel(make_toy):
    """Two neurons alike, one turned up and one down: by hand, equal credits of opposite sign
    where the loss is linear in their sum, and none for a neuron that stays."""

    def twins(weights):
        weights["w_bef"][1] = weights["w_bef"][0]
        weights["b_bef"][1] = weights["b_bef"][0]
        weights["w_aft"][:, 1] = weights["w_aft"][:, 0]

    toy = make_toy(13, 4, 16, 3, change=twins)
    w_aft = toy.tail.w_aft.numpy().copy()
    w_aft[:, 0] += 0.1
    w_aft[:, 1] -= 0.1
    found = repair_credit(toy.tail, toy.tail.w_bef.numpy(), w_aft, toy.states, toy.everyone)
    _, credit = ranking.unflatten(found.credit, toy.tail.m, toy.tail.d)
    assert credit[:, 0] == pytest.approx(-credit[:, 1], abs=1e-7)
    assert np.abs(credit[:, 0]).max() > 1e-4
    assert not credit[:, 2:].any()
    assert found.loss_m1 == pytest.approx(found.loss_transplanted, abs=1e-6)


def test_samples_are_the_ones_named_and_blocks_do_not_matter(make_toy):
    toy = make_toy(13, 4, 16, 3)
    w_bef, w_aft = change_of(toy)
    samples = np.array([1, 4, 5, 9])
    whole = repair_credit(toy.tail, w_bef, w_aft, toy.states, samples)
    parts = [repair_credit(toy.tail, w_bef, w_aft, toy.states, samples[[i]]) for i in range(4)]
    assert whole.credit == pytest.approx(np.mean([p.credit for p in parts], axis=0), abs=1e-6)
    assert repair_credit(
        toy.tail, w_bef, w_aft, toy.states, samples, block=3
    ).credit == pytest.approx(whole.credit, abs=1e-7)


def test_path_points_integrate_polynomials_of_degree_15():
    t, weights = path_points()
    for degree in range(16):
        assert np.sum(weights * t**degree) == pytest.approx(1 / (degree + 1), rel=1e-12)


def test_row_says_what_the_credit_holds(make_toy):
    toy = make_toy(13, 4, 16, 3)
    found = repair_credit(toy.tail, *change_of(toy), toy.states, toy.everyone)
    row = repair_row("all", found, 13, n_top=5)
    ordered = np.sort(found.credit.astype(np.float64))[::-1]
    assert row["credit"] == pytest.approx(ordered.sum())
    assert row["credit_in_top1%"] == pytest.approx(ordered[:5].sum())
    assert row["share_helping"] == np.mean(ordered > 0)
    assert row["gap"] == pytest.approx(row["credit"] - (row["loss_m1"] - row["loss_transplanted"]))


@pytest.fixture(scope="module")
def whole_models(make_vit, tmp_path_factory):
    """M1 and M2 as transformers models in float64, and M1's checkpoint."""
    first, second = make_vit(seed=3), make_vit(seed=3)
    layer = second.vit.layers[-1]
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for w in second.parameters():  # M2 differs everywhere; only two matrices may count
            w.add_(0.05 * torch.randn(w.shape, generator=generator))
    folder = tmp_path_factory.mktemp("m1")
    first.save_pretrained(folder)
    pixels = torch.randn(11, 1, 4, 4, generator=generator)
    labels = torch.randint(0, 3, (11,), generator=generator)
    return first, layer, folder, pixels, labels


def test_against_autograd_through_the_whole_model(whole_models):
    first, layer2, folder, pixels, labels = whole_models
    h, _ = class_token.forward_states(first, {"pixel_values": pixels})
    tail = load_tail(folder)
    a, y, logits = states_from_h(tail, h.numpy())
    states = States(h.numpy(), a, y, logits, labels.numpy())
    w2 = [layer2.mlp.fc1.weight.detach(), layer2.mlp.fc2.weight.detach()]
    found = repair_credit(tail, *(w.numpy() for w in w2), states, np.arange(11))

    wide = first.double()
    ours = [wide.vit.layers[-1].mlp.fc1.weight, wide.vit.layers[-1].mlp.fc2.weight]
    start = [w.detach().clone() for w in ours]
    delta = [b.double() - a for a, b in zip(start, w2, strict=True)]

    def loss_at(t):
        with torch.no_grad():
            for w, a, b in zip(ours, start, delta, strict=True):
                w.copy_(a + t * b)
        logits = wide(pixel_values=pixels.double()).logits
        return torch.nn.functional.cross_entropy(logits, labels)

    total = [torch.zeros_like(a) for a in start]
    for t, weight in zip(*path_points(), strict=True):
        for part, g in zip(total, torch.autograd.grad(loss_at(t), ours), strict=True):
            part += weight * g
    expected = references.flat(*(-b * g for b, g in zip(delta, total, strict=True)))
    assert references.relative_error(found.credit, expected) < 2e-5
    assert found.loss_m1 == pytest.approx(loss_at(0.0).item(), rel=1e-5)
    assert found.loss_transplanted == pytest.approx(loss_at(1.0).item(), rel=1e-5)
    assert found.credit.sum() == pytest.approx((loss_at(0.0) - loss_at(1.0)).item(), abs=1e-5)


def test_the_control_keeps_the_change_and_shuffles_the_gradient():
    m, d = 5, 3
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=2 * m * d).astype(np.float32)
    found = other_gradient(np.ones(2 * m * d, np.float32), gradient, m, d, seed=4)
    half = m * d
    for part in (slice(None, half), slice(half, None)):
        assert np.array_equal(np.sort(found[part]), np.sort(np.abs(gradient[part])))
        assert not np.array_equal(found[part], np.abs(gradient[part]))
    change = rng.random(2 * m * d).astype(np.float32)
    again = other_gradient(change, gradient, m, d, seed=4)
    assert again == pytest.approx(change * found)
    assert not np.array_equal(other_gradient(change, gradient, m, d, seed=5), again)
