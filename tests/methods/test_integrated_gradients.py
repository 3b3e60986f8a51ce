import numpy as np
import pytest
import references
import torch
import vit_tails
from captum.attr import IntegratedGradients

from utils import ranking
from utils.methods import METHODS, integrated_gradients

SHAPE = (13, 4, 16, 3)


def ig(toy, samples=None, points=20, **options):
    samples = toy.everyone if samples is None else samples
    return integrated_gradients.integrated_gradients(
        toy.tail, toy.states, samples, points, **options
    )


@pytest.mark.parametrize("points", [1, 2, 7, 20])
def test_agrees_with_autograd_at_every_point_of_the_path(toy, points):
    score, gap = references.integrated_gradients(toy.net, *toy.take(toy.everyone), points)
    found = ig(toy, points=points)
    assert found.score.dtype == np.float32
    assert references.relative_error(found.score, score) < 1e-5
    np.testing.assert_allclose(found.gap, gap, atol=2e-6)


def test_agrees_with_captum(toy):
    h, labels = toy.take(toy.everyone)
    a = toy.net.a(h)
    captum = IntegratedGradients(lambda a, h, labels: toy.net.probability(h, a, labels))
    attributions = captum.attribute(
        a, additional_forward_args=(h, labels), n_steps=20, method="riemann_right"
    )
    assert references.relative_error(ig(toy).score, attributions.mean(dim=0)) < 1e-5


@pytest.mark.parametrize("samples", [[4], [0, 7], [1, 2, 3, 11]], ids=len)
def test_averages_the_samples_asked_for(make_toy, samples):
    toy = make_toy(*SHAPE)
    expected, _ = references.integrated_gradients(toy.net, *toy.take(np.array(samples)), 5)
    found = ig(toy, np.array(samples), points=5)
    assert references.relative_error(found.score, expected) < 1e-5
    assert len(found.gap) == len(samples)


@pytest.mark.parametrize("n_samples", [1, 3, 4, 5])
@pytest.mark.parametrize("block", [1, 4])
def test_does_not_depend_on_the_block_size(make_toy, n_samples, block):
    toy = make_toy(*SHAPE)
    samples = np.arange(n_samples)
    whole, parts = ig(toy, samples), ig(toy, samples, block=block)
    assert references.relative_error(parts.score, whole.score) < 1e-6
    np.testing.assert_allclose(parts.gap, whole.gap, atol=1e-6)


def test_does_not_depend_on_how_often_the_batch_is_repeated(toy):
    once, thrice = ig(toy), ig(toy, np.repeat(toy.everyone, 3), block=4)
    assert references.relative_error(thrice.score, once.score) < 1e-6


def test_a_neuron_that_is_off_gets_nothing(make_toy):
    """The factor a_j; the gradient alone would not be 0."""

    def kill(weights):
        weights["b_bef"][[2, 5]] = -100

    toy = make_toy(*SHAPE, activation="relu", change=kill)
    score = ig(toy).score
    assert not score[[2, 5]].any()
    assert score.any()


def test_without_the_factor_a_other_neurons_would_come_first(make_toy):
    toy = make_toy(40, 8, 96, 5)
    h, labels = toy.take(toy.everyone)
    a = toy.net.a(h)
    gradient = torch.zeros_like(a)
    for t in range(1, 21):
        at = (t / 20 * a).requires_grad_(True)
        gradient += torch.autograd.grad(toy.net.probability(h, at, labels).sum(), at)[0] / 20
    without = set(references.top(gradient.mean(dim=0).tolist(), 12))
    right = set(references.top((a * gradient).mean(dim=0).tolist(), 12))
    assert len(without & right) < 8
    assert set(ranking.rank_by(ig(toy).score)[:12]) == right


def test_the_completeness_gap_shrinks_with_the_points_as_a_riemann_sum_does(make_toy):
    toy = make_toy(*SHAPE)
    coarse, fine = ig(toy, points=10).gap.mean(), ig(toy, points=320).gap.mean()
    assert coarse > 1e-3
    assert fine < coarse / 16


def test_the_method_runs_over_every_sample_and_keeps_the_gap(make_toy):
    toy = make_toy(*SHAPE)
    method = METHODS["neuron", "ig"]
    found = method.function(toy.evidence(np.array([0, 1]), np.array([2, 3]), points=6))
    score, gap = references.integrated_gradients(toy.net, *toy.take(toy.everyone), 6)
    assert references.relative_error(found.score, score) < 1e-5
    np.testing.assert_allclose(found.extras["ig_completeness_gap"], gap, atol=2e-6)
    assert not method.per_setting
    assert "IG_POINTS" in method.constants


def test_the_cached_tail_gives_what_the_whole_network_gives_when_run_again(make_vit):
    """One run of the whole ViT per integration point, with its own neurons scaled inside."""
    model = make_vit(num_labels=4).double()
    pixels = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.tensor([0, 3, 1])
    layer = model.vit.layers[-1]
    kept = {}

    def scale_class_token(_, inputs):
        at = kept["share"] * inputs[0][:, 0].detach()  # (S, m)
        kept["at"] = at.requires_grad_(True)
        return (torch.cat([kept["at"][:, None], inputs[0][:, 1:]], dim=1),)

    layer.mlp.fc2.register_forward_pre_hook(scale_class_token)
    layer.layernorm_after.register_forward_pre_hook(lambda _, x: kept.update(h=x[0][:, 0]))
    total = 0
    for t in range(1, 6):
        kept["share"] = t / 5
        probabilities = model(pixel_values=pixels).logits.softmax(dim=1)
        total += torch.autograd.grad(probabilities[range(3), labels].sum(), kept["at"])[0] / 5
    a = kept["at"].detach()
    expected = (a * total).mean(dim=0)

    layer.mlp.fc2._forward_pre_hooks.clear()
    tail, states = vit_tails.tail_and_states(model, pixels, labels)
    found = integrated_gradients.integrated_gradients(tail, states, np.arange(3), 5)
    assert references.relative_error(found.score, expected) < 1e-5
