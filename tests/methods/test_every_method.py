"""What holds for every method in the registry, whatever it computes."""

import inspect
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import references
import torch

from utils import pieces, ranking
from utils.methods import METHODS, expected_gradients, interventions
from utils.run.code import Source, module_of
from utils.run.hashing import HashCache

SHAPE = (13, 4, 16, 3)
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])
# Learning 200 steps magnifies the last bits.
LOOSE = {("neuron", "mask"): 1e-3}


def score(toy, level, name, neg=NEG, pos=POS):
    return METHODS[level, name].function(toy.evidence(neg, pos)).score


def assert_same(key, found, expected):
    assert references.relative_error(found, expected) < LOOSE.get(key, 1e-5), key


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
    error = references.relative_error(on_gpu, score(toy, *key, neg, pos))
    assert error < max(1e-4, LOOSE.get(key, 0))


# Changes that must not matter


@pytest.fixture
def larger(make_toy):
    """As many failing as passing samples, so that every one is in pos'."""
    return make_toy(24, 4, 16, 3)


FAILING, PASSING = np.arange(0, 24, 3), np.arange(1, 24, 3)


@pytest.fixture
def no_draws(monkeypatch):
    """Each failure goes with every passing sample instead of four that are drawn by position."""
    monkeypatch.setattr(
        expected_gradients, "draw_baselines", lambda pos, n, seed: np.tile(pos, (n, 1))
    )


def rows_of(states, rows):
    """The states of a split that holds the samples `rows` of this one, in that order."""
    return type(states)(*(getattr(states, each.name)[rows] for each in fields(states)))


def test_the_order_of_the_samples_does_not_matter(larger, key, no_draws):
    order = np.random.default_rng(0).permutation(24)
    place = np.argsort(order)
    shuffled = replace(larger, states=rows_of(larger.states, order))
    found = score(shuffled, *key, np.sort(place[FAILING]), np.sort(place[PASSING]))
    assert_same(key, found, score(larger, *key, FAILING, PASSING))


def test_samples_that_are_there_twice_change_at_most_the_scale(larger, key, no_draws):
    n = len(FAILING)
    unbiased = (2 * n - 2) / (2 * n - 1)  # the divisor of a variance
    scale = {
        ("neuron", "act_variance"): unbiased,
        ("neuron", "vdiff"): unbiased,
        ("neuron", "dstar"): 4,  # a cube over a count
        ("weight", "wanda"): 2**0.5,  # a norm
    }.get(key, 1)
    twice = replace(larger, states=rows_of(larger.states, np.repeat(np.arange(24), 2)))
    neg, pos = (np.sort(np.concatenate([2 * s, 2 * s + 1])) for s in (FAILING, PASSING))
    expected = scale * score(larger, *key, FAILING, PASSING)
    assert_same(key, score(twice, *key, neg, pos), expected)


def test_the_size_of_a_block_and_of_a_piece_does_not_matter(larger, key, monkeypatch):
    expected = score(larger, *key, FAILING, PASSING)
    cut_small(monkeypatch)
    assert_same(key, score(larger, *key, FAILING, PASSING), expected)


def modules_behind_methods():
    source = Source(HashCache(Path()))
    names = {n for m in METHODS.values() for n in source.closure(module_of(m.function))}
    return [sys.modules[name] for name in sorted(names)]


def cut_small(monkeypatch):
    """Blocks of 3 samples, pieces of 2 and tiles of 5 in every function behind a method."""
    found = set()
    for module in modules_behind_methods():
        for _, function in inspect.getmembers(module, inspect.isfunction):
            function = inspect.unwrap(function)
            parameters = inspect.signature(function).parameters
            sizes = {"block": 3, "rows": 2}
            given = {name: sizes[name] for name in sizes if name in parameters}
            given = {k: v for k, v in given.items() if isinstance(parameters[k].default, int)}
            if not given:
                continue
            found.add(function.__name__)
            if function.__kwdefaults__:
                monkeypatch.setattr(function, "__kwdefaults__", function.__kwdefaults__ | given)
            else:
                named = [p for p in parameters.values() if p.default is not inspect.Parameter.empty]
                defaults = tuple(given.get(p.name, p.default) for p in named)
                monkeypatch.setattr(function, "__defaults__", defaults)
    assert {"by_rows", "sample_blocks", "fisher", "mean_loss_change", "v_scores"} <= found
    monkeypatch.setattr(pieces, "TILE", 5)
    for name, size in {"ROWS": 2, "NEURONS": 5, "LOGITS": 20}.items():
        monkeypatch.setattr(interventions, name, size)


def test_the_names_of_the_neurons_do_not_matter(larger, key, no_draws):
    order = np.random.default_rng(1).permutation(16)
    tail = larger.tail
    changed = replace(
        tail, w_bef=tail.w_bef[order], b_bef=tail.b_bef[order], w_aft=tail.w_aft[:, order]
    )
    renamed = replace(
        larger, tail=changed, states=replace(larger.states, a=larger.states.a[:, order])
    )
    expected = score(larger, *key, FAILING, PASSING)
    if key[0] == "neuron":
        expected = expected[order]
    else:
        bef, aft = ranking.unflatten(expected, 16, 4)
        expected = ranking.flatten(bef[order], aft[:, order])
    assert_same(key, score(renamed, *key, FAILING, PASSING), expected)


def test_the_names_of_the_classes_do_not_matter(larger, key):
    order = np.array([2, 0, 1])
    tail, states = larger.tail, larger.states
    changed = replace(tail, head_weight=tail.head_weight[order], head_bias=tail.head_bias[order])
    labels, logits = np.argsort(order)[states.labels], states.logits[:, order]
    renamed = replace(larger, tail=changed, states=replace(states, labels=labels, logits=logits))
    expected = score(larger, *key, FAILING, PASSING)
    assert_same(key, score(renamed, *key, FAILING, PASSING), expected)
