"""Transplants against the whole transformers model with the same weights patched in."""

import numpy as np
import pandas as pd
import pytest
import references
import torch

from utils import ranking
from utils.judge.transplant import walk as transplant
from utils.model import class_token
from utils.model.caches import load_tail
from utils.model.states import States, states_from_h

SAMPLES = 23


@pytest.fixture(scope="module")
def pair(make_vit, tmp_path_factory):
    """M1 and M2 as transformers models, pictures, and the receiver made from M1's states."""
    first, second = make_vit(seed=3), make_vit(seed=3)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for w in second.parameters():  # M2 differs everywhere; only the two matrices may count
            w.add_(0.5 * torch.randn(w.shape, generator=generator))
    folder = tmp_path_factory.mktemp("m1")
    first.save_pretrained(folder)
    pixels = torch.randn(SAMPLES, 1, 4, 4, generator=generator)
    h, logits = class_token.forward_states(first, {"pixel_values": pixels})
    tail = load_tail(folder)
    labels = logits.argmax(1).numpy()
    labels[::3] = (labels[::3] + 1) % 3
    states = States(h.numpy(), *states_from_h(tail, h.numpy()), labels)
    m2 = [w.detach().numpy() for w in ffn(second)]
    return first, pixels, transplant.make_receiver(tail, *m2, states)


def ffn(model):
    mlp = model.vit.layers[-1].mlp
    return mlp.fc1.weight, mlp.fc2.weight


def patched_logits(pair, indices):
    """Logits of the whole model with M2's values at canonical `indices`, one by one."""
    model, pixels, receiver = pair
    before = [w.detach().clone() for w in ffn(model)]
    m, d = receiver.tail.m, receiver.tail.d
    with torch.no_grad():
        for i in indices:
            matrix, rest = (0, i) if i < m * d else (1, i - m * d)
            row, column = divmod(int(rest), (d, m)[matrix])
            source = (receiver.w_bef, receiver.w_aft)[matrix]
            ffn(model)[matrix][row, column] = source[row, column]
        logits = model(pixel_values=pixels).logits
        for w, old in zip(ffn(model), before, strict=True):
            w.copy_(old)
    return logits.numpy()


def orders(m, d):
    rng = np.random.default_rng(2)
    neurons = rng.permutation(m).astype(np.int32)
    size = ranking.n_weights(m, d)
    return {
        "scattered": rng.permutation(size).astype(np.int32),
        "by neuron": transplant.neuron_weights(neurons, m, d),
        "W_aft first": np.arange(size, dtype=np.int32)[::-1].copy(),
    }


@pytest.mark.parametrize("name", ["scattered", "by neuron", "W_aft first"])
def test_equals_the_whole_model_with_the_weights_patched_in(pair, name):
    receiver = pair[2]
    order = orders(receiver.tail.m, receiver.tail.d)[name]
    ks = [0, 1, 2, 3, 10, 10, 17, 40, 90, 96, 150, receiver.n_weights]
    found = [logits.numpy() for logits in transplant.walk(receiver, order, ks)]
    start = patched_logits(pair, [])
    for k, logits in zip(ks, found, strict=True):
        assert references.relative_error(logits, patched_logits(pair, order[:k])) < 2e-6
    assert references.relative_error(found[3], start) > 1e-3  # the patches matter
    assert references.relative_error(found[-1], start) > 0.1


def test_the_whole_of_it_is_m1_with_both_matrices_of_m2(pair):
    receiver = pair[2]
    whole = [
        next(iter(transplant.walk(receiver, order, [receiver.n_weights])))
        for order in orders(receiver.tail.m, receiver.tail.d).values()
    ]
    assert all(torch.equal(whole[0], other) for other in whole)
    expected = patched_logits(pair, range(receiver.n_weights))
    assert references.relative_error(whole[0].numpy(), expected) < 2e-6


def test_m1_and_its_states_stay_as_they_are(pair):
    receiver = pair[2]
    order = orders(receiver.tail.m, receiver.tail.d)["scattered"]
    before = [t.clone() for t in (receiver.a, receiver.y, receiver.tail.w_bef, receiver.tail.w_aft)]
    first = [x.clone() for x in transplant.walk(receiver, order, [5, 60])]
    after = (receiver.a, receiver.y, receiver.tail.w_bef, receiver.tail.w_aft)
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))
    again = transplant.walk(receiver, order, [5, 60])
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))


def test_a_neuron_gives_its_row_and_its_column_in_canonical_order():
    m, d = 5, 3
    order = transplant.neuron_weights(np.array([4, 0, 1, 2, 3], dtype=np.int32), m, d)
    assert order.dtype == np.int32
    assert order[: 2 * d].tolist() == [12, 13, 14, 15 + 4, 15 + 9, 15 + 14]
    assert sorted(order.tolist()) == list(range(2 * m * d))
    lifted = ranking.spread(np.arange(m, dtype=np.float32), d)
    assert lifted[order[: 2 * d]].tolist() == [4] * 2 * d


def test_counts_against_sample_by_sample(pair):
    receiver = pair[2]
    order = orders(receiver.tail.m, receiver.tail.d)["scattered"]
    target = np.flatnonzero(~receiver.right)[1:]
    ks = {1.0: 2, 50.0: 96, 20.0: 40}
    found = transplant.effects(receiver, order, ks, {"all": (target, set(ks)), "b": (target, {20})})
    assert list(zip(found["setting"], found["k_percent"], strict=True)) == [
        ("all", 1.0), ("all", 20.0), ("b", 20.0), ("all", 50.0),
    ]  # fmt: skip
    for row in found.itertuples():
        logits = patched_logits(pair, order[: row.k]).astype(np.float64)
        predicted = logits.argmax(1)
        now = predicted == receiver.labels
        assert row.repaired == sum(n and not b for n, b in zip(now, receiver.right, strict=True))
        assert row.broken == sum(b and not n for n, b in zip(now, receiver.right, strict=True))
        assert row.target_samples == len(target)
        assert row.target_repaired == sum(now[i] for i in target)
        assert row.accuracy == pytest.approx(np.mean(now))
        chosen = logits[range(SAMPLES), receiver.labels]
        loss = np.mean(np.log(np.exp(logits).sum(1)) - chosen)
        assert row.loss == pytest.approx(loss, rel=1e-5)
    assert found["repaired"].max() > 0 and found["broken"].max() > 0


def test_random_draws_are_seeded_and_their_mean_is_taken(pair):
    receiver = pair[2]
    first, again = (list(transplant.random_orders(7, 3, receiver.n_weights)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], next(transplant.random_orders(8, 1, receiver.n_weights)))
    targets = {"all": (np.array([0, 3]), {10.0})}
    draws = [transplant.effects(receiver, order, {10.0: 19}, targets) for order in first]
    mean = transplant.mean_effects(draws)
    for name in transplant.COUNTS:
        assert mean[name][0] == pytest.approx(np.mean([draw[name][0] for draw in draws]))
    assert mean["k"][0] == 19


def test_k_by_percent_and_budget():
    ks = transplant.percents_of([0.01, 1, 10], [2, 3], 512)
    assert ks == {0.01: 1, 1: 5, 10: 51, 6.25: 32, 14.0625: 72}
    assert transplant.percents_of([6.25], [2], 512) == {6.25: 32}


def test_no_share_where_the_whole_does_not_lower_the_loss():
    rows = pd.DataFrame(
        {name: [0.0] for name in transplant.COLUMNS if name not in ("ds", "fold", "samples")}
    ).assign(loss=1.5)
    good = transplant.finish(rows, "digits", 0, 9, 2.0, 1.0)
    assert good["loss_recovered"][0] == 0.5 and good["share_recovered"][0] == 0.5
    for whole in (2.0, 2.5):
        none = transplant.finish(rows, "digits", 0, 9, 2.0, whole)
        assert none["share_recovered"].isna().all() and none["loss_recovered"][0] == 0.5
    lost = transplant.finish(rows, "digits", 0, 9, 1.0, 2.0, back=True)
    assert lost["loss_recovered"][0] == 0.5 and lost["share_recovered"][0] == 0.5
    for whole in (1.0, 0.5):
        none = transplant.finish(rows, "digits", 0, 9, 1.0, whole, back=True)
        assert none["share_recovered"].isna().all() and none["loss_recovered"][0] == 0.5
    assert list(good.columns) == list(lost.columns) == transplant.COLUMNS
