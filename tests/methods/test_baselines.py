"""The trivial baselines, and what holds for every method in the registry."""

import numpy as np
import pytest
import references
import torch

from utils import ranking
from utils.methods import METHODS, baselines

SHAPE = (13, 4, 16, 3)
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])


# Baselines


def test_magnitude_is_the_absolute_weight(toy):
    weights = toy.net.weights
    expected = np.abs(references.flat(weights["w_bef"], weights["w_aft"]))
    assert np.array_equal(baselines.weight_magnitude(toy.tail), expected)


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
    found = baselines.wanda(toy.tail, toy.states, toy.everyone, block)
    assert found.dtype == np.float32
    assert references.relative_error(found, wanda(toy, toy.everyone)) < 1e-6


@pytest.mark.parametrize("block", [1, 3, 4, 5, 1024])
def test_activation_variance_is_numpys(block):
    rng = np.random.default_rng(0)
    rows = (100 + rng.normal(size=(12, 5)) * rng.exponential(size=5)).astype(np.float32)
    samples = np.array([0, 2, 5, 11])
    mean = rows[samples].mean(axis=0)
    found = baselines.activation_variance(rows, samples, mean, block)
    expected = rows[samples].astype(np.float64).var(axis=0, ddof=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def score(toy, level, name, neg=NEG, pos=POS):
    return METHODS[level, name].function(toy.evidence(neg, pos)).score


@pytest.mark.parametrize("shape", [SHAPE, (13, 5, 7, 3, "relu")], ids=str)
def test_the_registry_gives_each_baseline_its_own_samples(make_toy, shape):
    """Baselines of a setting look at neg, those of the whole fold at every sample."""
    toy = make_toy(*shape)
    a = toy.states.a[NEG].astype(np.float64)
    gradient = references.mean_loss_gradient(toy.net, *toy.take(NEG))
    expected = {
        ("weight", "grad_loss"): np.abs(gradient),
        ("weight", "forward_impact"): references.forward_impact(toy.net, toy.take(NEG)[0]),
        ("weight", "wanda"): wanda(toy, toy.everyone),
        ("neuron", "mean_act"): a.mean(axis=0),
        ("neuron", "act_variance"): a.var(axis=0, ddof=1),
    }
    for key, values in expected.items():
        assert references.relative_error(score(toy, *key), values) < 1e-5, key


# Every method


@pytest.fixture(params=METHODS, ids="/".join)
def key(request):
    return request.param


def test_every_method_of_the_specification_is_there():
    assert {
        ("neuron", "ig"), ("neuron", "vdiff"), ("neuron", "vdiff+mean_act"), ("weight", "bl"),
        ("weight", "vdiff"), ("weight", "vdiff+mean_act+grad_loss"),
    } <= METHODS.keys()  # fmt: skip


def test_every_method_gives_finite_float32_scores_of_its_level(make_toy, key):
    toy = make_toy(13, 5, 7, 3, "relu")
    found = METHODS[key].function(toy.evidence(NEG, POS))
    m, d = toy.tail.m, toy.tail.d
    assert key[0] == METHODS[key].level
    assert found.score.shape == ((m,) if key[0] == "neuron" else (2 * m * d,))
    assert found.score.dtype == np.float32
    assert np.isfinite(found.score).all()
    if found.ranking is not None:
        assert np.array_equal(found.ranking, ranking.rank_by(found.score))


def test_every_method_survives_dead_neurons_and_constant_states(make_toy, key):
    def kill(weights):
        weights["b_bef"][:6] = -100
        weights["w_bef"][2] = 0
        weights["w_aft"][:, 8] = 0
        weights["ln_weight"][1] = weights["ln_bias"][1] = 0  # an input that is always 0

    toy = make_toy(*SHAPE, activation="relu", change=kill)
    assert np.isfinite(score(toy, *key)).all()


def test_every_method_depends_on_the_samples_exactly_where_it_says_so(make_toy, key):
    toy = make_toy(*SHAPE)
    same = np.array_equal(score(toy, *key), score(toy, *key, neg=POS[:5], pos=NEG))
    assert same == (not METHODS[key].per_setting)


def test_every_method_gives_the_same_again(make_toy, key):
    toy = make_toy(*SHAPE)
    assert np.array_equal(score(toy, *key), score(toy, *key))


def test_sharing_evidence_changes_no_score(make_toy):
    """Whatever ran before on the same evidence: nothing that is shared is written to."""
    toy = make_toy(*SHAPE)
    alone = {key: score(toy, *key) for key in METHODS}
    for order in (list(METHODS), list(METHODS)[::-1]):
        evidence = toy.evidence(NEG, POS)
        together = {key: METHODS[key].function(evidence).score for key in order}
        again = {key: METHODS[key].function(evidence).score for key in order}
        for key in METHODS:
            assert np.array_equal(together[key], alone[key]), key
            assert np.array_equal(again[key], alone[key]), key


def test_settings_of_a_fold_share_no_more_than_their_positives(make_toy):
    toy = make_toy(*SHAPE)
    shared = {}
    for neg, pos in ((NEG, POS), (NEG[:2], POS), (POS[:4], NEG)):
        alone, evidence = toy.evidence(neg, pos), toy.evidence(neg, pos)
        evidence.fold_memo = shared
        for key, method in METHODS.items():
            assert np.array_equal(method.function(evidence).score, method.function(alone).score), (
                key
            )


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(
    "key",
    [
        ("neuron", "vdiff"),
        ("neuron", "vdiff+mean_act"),
        ("neuron", "act_variance"),
        ("weight", "vdiff"),
        ("weight", "vdiff+mean_act+grad_loss"),
    ],
    ids="/".join,
)
def test_one_sample_has_no_variance_and_gets_no_ranking(make_toy, key):
    toy = make_toy(*SHAPE)
    with pytest.raises(ValueError, match=r"at least 2 samples|NaN"):
        ranking.rank_by(score(toy, *key, neg=np.array([4])))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("key", sorted(METHODS.keys() - {("weight", "vdiff")}), ids="/".join)
def test_every_method_gives_the_same_on_a_gpu(make_toy, key):
    """Without weight / vdiff, whose scores are ranks: they jump where two vdiffs trade places."""
    toy = make_toy(64, 16, 64, 5)
    neg, pos = np.arange(0, 64, 2), np.arange(1, 64, 2)
    evidence = toy.evidence(neg, pos)
    evidence.tail = toy.tail.to(torch.device("cuda"))
    on_gpu = METHODS[key].function(evidence).score
    assert references.relative_error(on_gpu, score(toy, *key, neg, pos)) < 1e-4
