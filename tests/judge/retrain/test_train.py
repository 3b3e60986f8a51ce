"""Retraining against the whole model with autograd and torch.optim in float64."""

import copy
import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import retraining
import torch
import vit_tails

from utils import pieces, ranking
from utils.judge.retrain import effect, train
from utils.judge.transplant.walk import make_receiver, neuron_weights
from utils.model import class_token

# S, d, m, C, activation
SHAPES = [(60, 6, 24, 3, "gelu"), (41, 5, 7, 4, "relu"), (33, 7, 15, 2, "gelu")]


def damaged(make_toy, S, d, m, C, activation="gelu", share=0.3, scale=1, seed=0):
    """A toy that was right until some neurons were spoilt: M1, and the spoilt neurons."""
    whole = make_toy(S, d, m, C, activation, seed)
    rng = np.random.default_rng(seed)
    spoilt = rng.permutation(m)[: max(1, int(share * m))]

    def spoil(weights):
        for name, neurons in (("w_bef", (spoilt,)), ("w_aft", (slice(None), spoilt))):
            noise = rng.normal(0, scale, weights[name][neurons].shape)
            weights[name][neurons] += noise.astype(np.float32)

    toy = make_toy(S, d, m, C, activation, seed, change=spoil)
    labels = whole.states.logits.argmax(1)
    return replace(toy, states=replace(toy.states, labels=labels)), spoilt


def rankings(m, d, spoilt, seed=1):
    """By name the first weights of rankings of different kinds."""
    rng = np.random.default_rng(seed)
    size = ranking.n_weights(m, d)
    every = rng.permutation(size).astype(np.int32)
    bef, aft = every[every < m * d], every[every >= m * d]
    neurons = neuron_weights(rng.permutation(m).astype(np.int32), m, d)
    return {
        "scattered": every[: size // 8],
        "half of all": every[: size // 2],
        "whole neurons": neurons[: 2 * 2 * d],
        "into a neuron": neurons[: 2 * d + d + 2],
        "spoilt neurons": neuron_weights(spoilt.astype(np.int32), m, d),
        "only W_bef": bef[: len(bef) // 3],
        "only W_aft": aft[: len(aft) // 6],
        "one weight": every[:1],
        "all weights": every,
    }


def halves(S):
    order = np.random.default_rng(3).permutation(S)
    return order[S // 4 :], order[: S // 4]


def agree(found, expected, chosen, loose=1):
    """One optimiser's result with the reference's: the choice, its losses and where it went."""
    assert (found.steps, found.passed_over) == (expected.steps, 0)
    assert found.r == expected.r or (expected.r == 0 and math.isnan(found.r))
    least = expected.losses[expected.r, expected.steps]
    assert found.loss_held_out == pytest.approx(least, rel=loose * 1e-7)
    assert found.loss_fit == pytest.approx(expected.loss_fit, rel=loose * 1e-6)
    assert found.delta.dtype == np.float32 and found.delta.shape == chosen.shape
    near = {"rtol": loose * 1e-6, "atol": loose * 1e-7}
    np.testing.assert_allclose(found.delta, expected.delta, **near)


def trainer_of(toy, *samples, dtype=torch.float64):
    return train.make_trainer(toy.tail.to(dtype), toy.states, *samples)


@pytest.mark.parametrize("number", range(len(SHAPES)), ids=lambda i: str(SHAPES[i]))
def test_in_float64_it_is_autograd_and_torchs_optimizers(make_toy, number, monkeypatch):
    """All rows: what was chosen, the losses there and each weight's change."""
    toy, spoilt = damaged(make_toy, *SHAPES[number])
    fitted, held_out = halves(SHAPES[number][0])
    logits = retraining.of_net(toy.net, toy.states.h)
    matrices, labels = (toy.tail.w_bef, toy.tail.w_aft), toy.states.labels
    trainer, stepped = trainer_of(toy, fitted, held_out), 0
    every = list(rankings(toy.tail.m, toy.tail.d, spoilt).values())
    for i, chosen in enumerate(every if number == 0 else every[number::2]):
        # speed by speed, or all speeds at once
        monkeypatch.setattr(train, "MOST_VALUES", math.inf if i % 2 else 0)
        expected = retraining.retrain(logits, matrices, chosen, labels, fitted, held_out)
        found = train.retrain(trainer, chosen)
        assert set(found) == set(expected) == {"adam", "sgd"}
        for optimizer in found:
            agree(found[optimizer], expected[optimizer], chosen)
            stepped += found[optimizer].steps > 0
    assert stepped > 4


def test_it_is_the_whole_vit_with_autograd_and_torchs_optimizers(make_vit):
    model = make_vit(seed=4)
    pixels = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(6))
    tail, states = vit_tails.tail_and_states(model, pixels, torch.zeros(40, dtype=torch.int64))
    wide = pixels.double()
    h, logits = class_token.forward_states(copy.deepcopy(model).double(), {"pixel_values": wide})
    labels = logits.argmax(1).numpy()
    labels[::3] = (labels[::3] + 1) % 3
    fitted, held_out = halves(40)
    states = replace(states, h=h.numpy(), labels=labels)
    trainer = train.make_trainer(tail.to(torch.float64), states, fitted, held_out)
    logits, matrices = retraining.of_vit(model, pixels), (tail.w_bef, tail.w_aft)
    chosen = rankings(tail.m, tail.d, np.arange(3))["scattered"]
    expected = retraining.retrain(logits, matrices, chosen, labels, fitted, held_out)
    for optimizer, found in train.retrain(trainer, chosen).items():
        agree(found, expected[optimizer], chosen, loose=1000)  # the cached h is float32


def test_float32_gets_as_far_as_float64(make_toy):
    toy, spoilt = damaged(make_toy, *SHAPES[0])
    samples = halves(SHAPES[0][0])
    wide, narrow = (trainer_of(toy, *samples, dtype=t) for t in (torch.float64, torch.float32))
    for chosen in list(rankings(toy.tail.m, toy.tail.d, spoilt).values())[::3]:
        expected = train.retrain(wide, chosen)
        for optimizer, found in train.retrain(narrow, chosen).items():
            least = expected[optimizer].loss_held_out
            assert found.loss_held_out == pytest.approx(least, rel=5e-3)


@pytest.fixture(scope="module")
def quick(make_toy):
    """A damaged toy, its spoilt neurons and its trainer."""
    toy, spoilt = damaged(make_toy, *SHAPES[0])
    return toy, spoilt, trainer_of(toy, *halves(SHAPES[0][0]))


def test_the_order_inside_the_first_k_only_sorts_the_delta(quick, monkeypatch):
    monkeypatch.setattr(train, "SPEEDS", (0.1,))
    toy, spoilt, trainer = quick
    chosen = rankings(toy.tail.m, toy.tail.d, spoilt)["scattered"]
    shuffle = np.random.default_rng(8).permutation(len(chosen))
    first, second = (train.retrain(trainer, w) for w in (chosen, chosen[shuffle]))
    for optimizer in first:
        assert np.array_equal(first[optimizer].delta[shuffle], second[optimizer].delta)
        assert first[optimizer].loss_fit == second[optimizer].loss_fit


def test_the_order_of_the_samples_does_not_matter(quick, monkeypatch):
    monkeypatch.setattr(train, "SPEEDS", (0.1,))
    toy, spoilt, trainer = quick
    other = trainer_of(toy, *(part[::-1].copy() for part in halves(SHAPES[0][0])))
    chosen = rankings(toy.tail.m, toy.tail.d, spoilt)["spoilt neurons"]
    first, second = (train.retrain(t, chosen) for t in (trainer, other))
    for optimizer in first:
        assert first[optimizer].steps == second[optimizer].steps
        np.testing.assert_allclose(first[optimizer].delta, second[optimizer].delta, rtol=1e-5)


@pytest.mark.parametrize("most", [0, math.inf], ids=["speed by speed", "speeds together"])
def test_a_speed_that_ends_in_nan_is_passed_over_and_counted(quick, monkeypatch, most):
    toy, spoilt, trainer = quick
    chosen = rankings(toy.tail.m, toy.tail.d, spoilt)["scattered"]
    monkeypatch.setattr(train, "MOST_VALUES", most)
    monkeypatch.setattr(train, "SPEEDS", (0.03,))
    alone = train.retrain(trainer, chosen)
    for speeds in [(0.03, 1e200), (1e200, 0.03)]:
        monkeypatch.setattr(train, "SPEEDS", speeds)
        for optimizer, found in train.retrain(trainer, chosen).items():
            assert (found.passed_over, alone[optimizer].passed_over) == (8, 0)
            assert (found.r, found.steps) == (0.03, alone[optimizer].steps)
            np.testing.assert_allclose(found.delta, alone[optimizer].delta, rtol=1e-5)
    monkeypatch.setattr(train, "SPEEDS", (1e200,))
    for found in train.retrain(trainer, chosen).values():
        assert (found.passed_over, found.steps, found.delta.any()) == (8, 0, False)


def test_a_held_out_loss_that_is_not_finite_is_passed_over(quick, monkeypatch):
    _, spoilt, trainer = quick
    for name, value in (("STEPS", 1), ("EVERY", 1), ("SPEEDS", (0.03, 1e307))):
        monkeypatch.setattr(train, name, value)
    for found in train.retrain(trainer, rankings(24, 6, spoilt)["scattered"]).values():
        assert found.passed_over == 1 and found.r != 1e307 and found.delta.max() < 1


def test_where_nothing_moves_no_step_is_kept(make_toy):
    """A neuron that no sample switches on has no gradient; nor has a ranking of nothing."""

    def switch_off(weights):
        weights["b_bef"][2] = -1e3

    toy = make_toy(20, 4, 6, 3, "relu", change=switch_off)
    trainer = trainer_of(toy, *halves(20), dtype=torch.float32)
    off = neuron_weights(np.array([2], dtype=np.int32), 6, 4)
    for chosen in (off, off[:0]):
        for found in train.retrain(trainer, chosen).values():
            assert math.isnan(found.r) and found.steps == 0 and found.passed_over == 0
            assert found.loss_held_out == trainer.loss_held_out
            assert found.delta.shape == chosen.shape and not found.delta.any()


def test_equal_losses_go_to_fewer_steps_and_then_to_the_slower_speed():
    choices = [
        train._Choice(loss, steps, r, torch.zeros(1))
        for loss, steps, r in [(1, 10, 0.01), (1, 5, 0.3), (1, 5, 0.1), (2, 0, 0), (1.5, 5, 0.003)]
    ]
    best = min(choices, key=train._Choice.key)
    assert (best.steps, best.r) == (5, 0.1)


def test_all_of_it_is_what_the_specification_says():
    assert train.SPEEDS == (0.003, 0.01, 0.03, 0.1, 0.3)
    assert (train.STEPS, train.EVERY, train.OPTIMIZERS) == (40, 5, ("adam", "sgd"))


@pytest.mark.parametrize("seed", [5, 7])
def test_a_ranking_of_the_spoilt_neuron_mends_more_than_random_weights(make_toy, seed):
    toy, spoilt = damaged(make_toy, 400, 8, 40, 4, share=0.03, scale=3, seed=seed)
    repair, test = (
        replace(toy.states, h=toy.states.h[rows], labels=toy.states.labels[rows])
        for rows in (slice(300), slice(300, None))
    )
    trainer = train.make_trainer(toy.tail, repair, *halves(300))
    receiver = make_receiver(toy.tail, toy.tail.w_bef.numpy(), toy.tail.w_aft.numpy(), test)
    loss_m1, target = effect.loss_of_m1(receiver), np.flatnonzero(~receiver.right)

    def mended(chosen):
        found = train.retrain(trainer, chosen)
        judged = [effect.effect(receiver, chosen, x, target, loss_m1) for x in found.values()]
        return np.array([[row["loss_mended"], row["net"]] for row in judged])

    own = mended(neuron_weights(spoilt.astype(np.int32), 40, 8))
    every = np.random.default_rng(9).permuted(
        np.tile(np.arange(640, dtype=np.int32), (3, 1)), axis=1
    )
    drawn = np.mean([mended(order[: 16 * len(spoilt)]) for order in every], axis=0)
    assert (own > 1.5 * drawn.clip(0)).all() and (own > 0).all()


def test_the_same_bytes_whatever_the_number_of_threads(make_toy, monkeypatch):
    toy, spoilt = damaged(make_toy, 700, 20, 820, 3)  # 32,800 weights: torch would share them out
    monkeypatch.setattr(train, "SPEEDS", (0.01, 0.1))
    monkeypatch.setattr(train, "STEPS", 10)
    every = rankings(820, 20, spoilt)
    before, digests = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        monkeypatch.setattr(pieces, "cores", lambda count=threads: count)
        torch.set_num_threads(threads)
        trainer = trainer_of(toy, *halves(700), dtype=torch.float32)
        digest = hashlib.sha256()
        for name in ("scattered", "whole neurons", "all weights"):
            for found in train.retrain(trainer, every[name]).values():
                digest.update(found.delta.tobytes())
                digest.update(repr((found.r, found.steps, found.loss_fit)).encode())
                digest.update(repr(found.loss_held_out).encode())
        digests.append(digest.hexdigest())
    torch.set_num_threads(before)
    assert len(set(digests)) == 1


def test_bad_samples_and_bad_rankings_are_refused(quick):
    toy, _, trainer = quick
    for samples in [(np.arange(3), np.arange(0)), (np.arange(0), np.arange(3))]:
        with pytest.raises(ValueError, match="no sample"):
            train.make_trainer(toy.tail, toy.states, *samples)
    for chosen in ([3, 4, 3], [-1], [trainer.tail.m * trainer.tail.d * 2]):
        with pytest.raises(ValueError, match="a ranking has"):
            train.retrain(trainer, np.array(chosen, dtype=np.int32))
    broken = replace(toy.states, h=np.full_like(toy.states.h, np.nan))
    with pytest.raises(ValueError, match="not finite"):
        train.make_trainer(toy.tail, broken, np.arange(3), np.arange(3, 6))
