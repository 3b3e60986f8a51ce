import numpy as np
import pytest
import references
import torch

from utils.methods import METHODS, mask
from utils.methods.arachne import sample_positives

SHAPE = (13, 4, 16, 3)
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])


def learned(toy, neg=NEG, pos=POS, steps=mask.STEPS):
    return mask.learn_mask(toy.tail, toy.states, neg, pos, steps)


@pytest.mark.parametrize("steps", [1, 3, 50, 200])
@pytest.mark.parametrize("shape", [SHAPE, (13, 5, 7, 4, "relu")], ids=str)
def test_agrees_with_torchs_adam_and_autograd(make_toy, shape, steps):
    toy = make_toy(*shape)
    found = learned(toy, steps=steps)
    expected = references.learn_mask(toy.net, toy.take(NEG), toy.take(POS), steps)
    assert found.dtype == np.float32
    assert references.relative_error(found - 1, expected - 1) < 1e-3


def test_takes_200_steps():
    assert mask.STEPS == 200 and mask.LEARNING_RATE == 0.01


def objective(toy, s, neg=NEG, pos=POS):
    s = torch.from_numpy(np.asarray(s, dtype=np.float64))
    total = float((s - 1).abs().mean())
    for h, labels in (toy.take(neg), toy.take(pos)):
        total += float(references.cross_entropy(toy.net, h, toy.net.a(h) * s, labels).mean())
    return total


def test_the_mask_lowers_what_it_should(make_toy):
    toy = make_toy(40, 8, 32, 4)
    neg, pos = np.arange(0, 40, 4), np.arange(1, 40, 2)
    s = learned(toy, neg, pos)
    assert objective(toy, s, neg, pos) < 0.7 * objective(toy, np.ones(32), neg, pos)


def test_both_sets_weigh_the_same_whatever_their_sizes(make_toy):
    toy = make_toy(*SHAPE)
    once, often = learned(toy), learned(toy, neg=np.repeat(NEG, 3))
    assert references.relative_error(often - 1, once - 1) < 1e-3


def test_a_neuron_that_nothing_reads_stays_as_it_is(make_toy):
    toy = make_toy(*SHAPE, change=lambda weights: weights["w_aft"][:, 5].fill(0))
    s = learned(toy)
    assert s[5] == 1
    assert np.abs(np.delete(s, 5) - 1).min() > 0


def test_the_method_draws_as_many_positives_as_there_are_failures(make_toy):
    toy = make_toy(*SHAPE)
    method = METHODS["neuron", "mask"]
    found = method.function(toy.evidence(NEG, POS, seed=3)).score
    sample = sample_positives(POS, len(NEG), 3)
    expected = references.learn_mask(toy.net, toy.take(NEG), toy.take(sample), 200)
    assert references.relative_error(found, np.abs(expected - 1)) < 1e-3
    others = [method.function(toy.evidence(NEG, POS, seed=seed)).score for seed in (4, 5)]
    assert not np.array_equal(*others)
    assert "SEED" in method.constants
