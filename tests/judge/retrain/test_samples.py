"""Which samples are held out, and which are trained on."""

import numpy as np

from utils.judge.retrain import samples


def test_a_quarter_is_held_out_in_the_order_of_the_permutation():
    for n, seed in [(103, 0), (4, 7), (3, 1)]:
        order = np.random.default_rng([seed, 10]).permutation(n).tolist()
        held_out, rest = samples.split_samples(n, seed)
        assert held_out.tolist() == order[: n // 4] and rest.tolist() == order[n // 4 :]
        assert held_out.dtype == rest.dtype == np.int64


def test_fitted_are_the_first_thousand_of_the_rest_that_the_setting_has(monkeypatch):
    _, rest = samples.split_samples(200, 3)
    neg, pos = np.arange(0, 60, 3), np.arange(100, 170)
    members = [i for i in rest.tolist() if i in neg or i in pos]
    assert samples.fitted_samples(rest, neg, pos).tolist() == members
    assert samples.MOST_FITTED == 1000
    monkeypatch.setattr(samples, "MOST_FITTED", 7)
    assert samples.fitted_samples(rest, neg, pos).tolist() == members[:7]


def test_random_neurons_are_seeded_permutations():
    first, again = (list(samples.random_neurons(5, 3, 20)) for _ in range(2))
    assert all(
        np.array_equal(a, b) and a.dtype == np.int32 for a, b in zip(first, again, strict=True)
    )
    assert all(sorted(order.tolist()) == list(range(20)) for order in first)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], next(samples.random_neurons(6, 1, 20)))
