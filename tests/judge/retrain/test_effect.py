"""What retraining gave, sample by sample in float64."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from utils.judge.retrain import effect
from utils.judge.retrain.train import Trained
from utils.judge.transplant.walk import make_receiver


@pytest.fixture(scope="module")
def toy(make_toy):
    toy = make_toy(90, 6, 20, 3)
    toy.states.labels[::2] = toy.states.logits.argmax(1)[::2]
    return toy


@pytest.fixture(scope="module")
def receiver(toy):
    junk = np.full((20, 6), np.nan, dtype=np.float32)
    return make_receiver(toy.tail, junk, junk.T.copy(), toy.states)  # of another M2 nothing is read


def trained(delta, steps):
    return Trained(delta, 0.1, steps, 0.5, 0.7, 0)


def test_counts_against_sample_by_sample(toy, receiver):
    rng = np.random.default_rng(4)
    chosen = rng.permutation(240)[:50].astype(np.int32)
    delta = rng.normal(0, 0.7, 50).astype(np.float32)
    target = np.flatnonzero(~receiver.right)[3:]
    before = [receiver.tail.w_bef.clone(), receiver.tail.w_aft.clone()]
    found = effect.effect(receiver, chosen, trained(delta, 5), target, effect.loss_of_m1(receiver))
    flat = torch.cat([toy.net.weights[k].ravel() for k in ("w_bef", "w_aft")]).clone()
    h, labels = toy.take(toy.everyone)
    losses, right = [], []
    for _ in range(2):  # M1, then the repaired one
        w_bef, w_aft = flat[:120].view(20, 6), flat[120:].view(6, 20)
        logits = toy.net.logits(h + toy.net.o(toy.net.a(h, w_bef), w_aft))
        losses.append(float(F.cross_entropy(logits, labels)))
        right.append([int(x) == int(y) for x, y in zip(logits.argmax(1), labels, strict=True)])
        for i, change in zip(chosen.tolist(), delta.tolist(), strict=True):
            flat[i] += change
    was, now = right
    assert found["loss"] == pytest.approx(losses[1], rel=1e-6)
    assert found["loss_mended"] == pytest.approx(losses[0] - losses[1], rel=1e-4)
    assert found["accuracy"] == pytest.approx(np.mean(now))
    assert found["repaired"] == sum(n and not w for w, n in zip(was, now, strict=True)) > 0
    assert found["broken"] == sum(w and not n for w, n in zip(was, now, strict=True)) > 0
    assert found["net"] == found["repaired"] - found["broken"]
    assert found["target_repaired"] == sum(now[i] for i in target)
    assert (found["r"], found["steps"]) == (0.1, 5)
    assert (found["loss_fit"], found["loss_held_out"]) == (0.5, 0.7)
    assert torch.equal(before[0], receiver.tail.w_bef) and torch.equal(
        before[1], receiver.tail.w_aft
    )


def test_no_step_is_m1_to_the_last_bit(receiver):
    nothing = Trained(np.zeros(9, dtype=np.float32), math.nan, 0, 0.5, 0.7, 0)
    target = np.flatnonzero(~receiver.right)
    chosen = np.arange(9, dtype=np.int32)
    found = effect.effect(receiver, chosen, nothing, target, effect.loss_of_m1(receiver))
    assert found["loss_mended"] == found["repaired"] == found["broken"] == found["net"] == 0
    assert found["target_repaired"] == 0 and found["accuracy"] == receiver.right.mean()


def test_the_mean_of_draws_has_a_speed_only_where_they_chose_the_same(receiver):
    rng = np.random.default_rng(5)
    target = np.arange(0)
    draws = [
        effect.effect(
            receiver,
            rng.permutation(240)[:9].astype(np.int32),
            Trained(rng.normal(size=9).astype(np.float32), 0.1, steps, steps, 1, 0),
            target,
            1.0,
        )
        for steps in (5, 10)
    ]
    mean = effect.mean_effect(draws)
    assert mean["r"] == 0.1 and math.isnan(mean["steps"]) and mean["loss_fit"] == 7.5
    for name in effect.COUNTS:
        assert mean[name] == pytest.approx((draws[0][name] + draws[1][name]) / 2)


def test_the_table_has_the_columns_of_the_specification():
    assert ",".join(effect.COLUMNS) == (
        "ds,fold,setting,level,method,optimizer,k_percent,k,r,steps,loss_fit,loss_held_out,samples,"
        "loss,accuracy,repaired,broken,net,target_samples,target_repaired,loss_mended"
    )
