"""Planted faults: only the drawn weights move, as far as allowed, and are known by construction."""

from dataclasses import replace

import numpy as np
import pytest
import references
import torch

from utils import ranking
from utils.judge.planted import plant as planted
from utils.judge.planted.fault import judge_method
from utils.methods.evidence import Evidence
from utils.model.states import states_from_h

SHAPE = (120, 12, 48, 4)


@pytest.fixture(scope="module")
def toy(make_toy):
    """A toy that has three quarters of its samples right."""
    toy = make_toy(*SHAPE)
    labels = toy.states.logits.argmax(1)
    labels[::4] = (labels[::4] + 1) % SHAPE[3]
    return replace(toy, states=replace(toy.states, labels=labels))


@pytest.fixture(scope="module", params=planted.KINDS)
def planted_fault(request, toy):
    """The first fault of a kind that can be reached."""
    right = planted.class_counts(toy.states)
    for number in range(20):
        # 1% of so few weights is not enough
        plan = planted.draw(request.param, 10, 0, number, right, toy.tail.m, toy.tail.d)
        fault = planted.plant(toy.tail, plan, toy.states.h, toy.states.labels, 0)
        if fault.reached and fault.steps:
            return plan, fault
    raise RuntimeError("no fault was reached")


def flat(tail):
    return ranking.flatten(tail.w_bef.numpy(), tail.w_aft.numpy())


def test_nothing_else_changes_and_every_weight_stays_within_its_bound(toy, planted_fault):
    plan, fault = planted_fault
    before, after = flat(toy.tail), flat(fault.tail)
    moved = np.flatnonzero(before != after)
    assert len(moved) and set(moved) <= set(plan.weights.tolist())
    assert len(moved) > 0.8 * len(plan.weights)
    assert np.array_equal(after[plan.weights] - before[plan.weights], fault.delta)
    for name in ("b_bef", "b_aft", "ln_weight", "head_weight", "final_ln_bias"):
        assert torch.equal(getattr(fault.tail, name), getattr(toy.tail, name))
    half = toy.tail.m * toy.tail.d
    for part in (slice(None, half), slice(half, None)):
        limit = np.percentile(np.abs(before[part]), 99)
        chosen = plan.weights[(plan.weights >= half) == (part.start is not None)]
        assert np.abs(after[chosen]).max() <= np.float32(limit)


def test_it_stops_at_the_first_step_that_reaches_the_share(toy, planted_fault, monkeypatch):
    plan, fault = planted_fault
    own = toy.states.labels == plan.src
    taken = fault.tail.logits(torch.from_numpy(toy.states.h[own])).argmax(1).numpy() == plan.tgt
    assert fault.share == pytest.approx(taken.mean()) and taken.mean() >= 0.6
    monkeypatch.setattr(planted, "MOST_STEPS", fault.steps - 1)
    short = planted.plant(toy.tail, plan, toy.states.h, toy.states.labels, 0)
    assert not short.reached and short.steps == fault.steps - 1


def test_the_gradient_is_that_of_half_and_half(toy, planted_fault):
    plan, _ = planted_fault
    h, labels = toy.states.h, toy.states.labels
    batches = planted._batches(toy.tail, plan, h, labels, 0)
    found, _ = planted._gradient(toy.tail, batches, plan.tgt)
    own = labels == plan.src
    wide = torch.from_numpy(h).double()
    wanted = torch.full((own.sum(),), plan.tgt)
    expected = 0.5 * references.mean_loss_gradient(toy.net, wide[own], wanted)
    expected += 0.5 * references.mean_loss_gradient(
        toy.net, wide[~own], torch.from_numpy(labels[~own])
    )
    assert references.relative_error(found.numpy(), expected) < 2e-5


def test_of_very_many_other_samples_a_seeded_choice_is_trained_on(toy, planted_fault, monkeypatch):
    plan, _ = planted_fault
    h, labels = toy.states.h, toy.states.labels
    others = int((labels != plan.src).sum())
    _, (every, _) = planted._batches(toy.tail, plan, h, labels, 0)
    assert len(every) == others  # small models train on all of them
    monkeypatch.setattr(planted, "LEAST_OTHERS", 7)
    monkeypatch.setattr(planted, "MOST_PRODUCTS", 9 * 2 * toy.tail.m * toy.tail.d)
    (own, _), (some, wanted) = planted._batches(toy.tail, plan, h, labels, 0)
    assert len(own) == (labels == plan.src).sum() and len(some) == 9
    rows = [np.flatnonzero((h == x).all(axis=1))[0] for x in some.numpy()]
    assert rows == sorted(set(rows)) and (labels[rows] == wanted.numpy()).all()
    assert plan.src not in wanted
    monkeypatch.setattr(planted, "MOST_PRODUCTS", 1)
    assert len(planted._batches(toy.tail, plan, h, labels, 0)[1][0]) == 7


def test_planting_again_gives_the_same_bytes(toy, planted_fault):
    plan, fault = planted_fault
    again = planted.plant(toy.tail, plan, toy.states.h, toy.states.labels, 0)
    assert np.array_equal(again.delta, fault.delta) and again.steps == fault.steps


def test_draws(toy):
    m, d = toy.tail.m, toy.tail.d
    right = np.array([0, 7, 4, 5])
    for number in range(8):
        neurons, weights = (planted.draw(kind, 1, 3, number, right, m, d) for kind in planted.KINDS)
        assert (neurons.src, neurons.tgt) == (weights.src, weights.tgt)
        assert neurons.src in (1, 3) and neurons.tgt in set(range(4)) - {neurons.src}
        assert len(weights.weights) == ranking.share_of(1, 2 * m * d)
        mask = np.zeros(2 * m * d)
        mask[neurons.weights] = 1
        per_neuron = ranking.neuron_sums(mask, m, d)
        assert sorted(set(per_neuron)) == [0, 2 * d] and (per_neuron > 0).sum() == 1
        more = planted.draw("weights", 5, 3, number, right, m, d)
        assert (more.src, more.tgt) == (weights.src, weights.tgt)
        assert len(more.weights) == ranking.share_of(5, 2 * m * d)
    assert planted.draw("neurons", 1, 3, 0, np.array([4, 4]), m, d) is None


def test_samples_are_those_of_the_class_that_m1_has_right(toy, planted_fault):
    plan, fault = planted_fault
    after = planted.planted_states(fault, toy.states)
    assert np.array_equal(after.h, toy.states.h)
    a, y, logits = states_from_h(fault.tail, toy.states.h)
    assert np.array_equal(after.a, a) and np.array_equal(after.y, y)
    neg, pos = planted.samples_of(plan, toy.states, after)
    for i in range(SHAPE[0]):
        right = toy.states.labels[i] == plan.src == toy.states.logits[i].argmax()
        assert (i in neg) == (right and logits[i].argmax() == plan.tgt)
        assert (i in pos) == (right and logits[i].argmax() == plan.src)
    assert len(neg)


def test_its_own_mask_is_found_and_noise_is_chance():
    rng = np.random.default_rng(1)
    n, weights = 4000, np.sort(rng.choice(4000, 40, replace=False))
    truth = planted.planted_truth(weights, n)
    assert truth.n_positives == 40
    row = planted.score_row(truth.gain, ranking.rank_by(truth.gain), truth)
    assert row["precision@R"] == 1 and row["lift@R"] == 100 and row["auc"] == 1
    assert row["ap"] == pytest.approx(1)
    lifts, ratios = [], []
    for _ in range(300):
        noise = rng.random(n, dtype=np.float32)
        found = planted.score_row(noise, ranking.rank_by(noise), truth)
        lifts.append(found["lift@R"])
        ratios.append(found["ap/random"])
    assert np.mean(lifts) == pytest.approx(1, abs=0.3)
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)
    flat = np.zeros(n, dtype=np.float32)
    assert planted.score_row(flat, ranking.rank_by(flat), truth)["lift@R"] == pytest.approx(1)


def test_every_method_is_run_on_the_planted_model(toy, planted_fault):
    from utils.methods import METHODS

    plan, fault = planted_fault
    after = planted.planted_states(fault, toy.states)
    neg, pos = np.arange(3), np.arange(3, 9)
    evidence = Evidence(fault.tail, after, neg, pos, 0, 20, {})
    truth = planted.planted_truth(plan.weights, len(flat(fault.tail)))
    rows = [judge_method(method, evidence, truth) for method in METHODS.values()]
    assert [row["method"] for row in rows] == [name for _, name in METHODS]
    (size,) = [row for row in rows if row["method"] == "magnitude"]
    scores = np.abs(flat(fault.tail))
    expected = planted.score_row(scores, ranking.rank_by(scores), truth)
    assert {name: size[name] for name in expected} == expected
