"""The verdict: p is uniform on noise, families keep their level, and the ends are found."""

from itertools import permutations

import numpy as np
import pytest

from utils.judge.details.permutation import draw_relabellings
from utils.judge.names import NEURON, WEIGHT
from utils.judge.verdict.relabelling import (
    Relabelled,
    membership,
    overlap_matrix,
    positive_rows,
    relabel,
)
from utils.summary.scores.verdict import (
    adjusted,
    p_value,
    share_of_best,
    standing_of,
    verdict_table,
)

M, D, K = 15, 3, 18
N = 2 * M * D


def clustered_truth(rng):
    """A fifth of the weights, most of them in few neurons: bool (N,)."""
    by_neuron = rng.gamma(0.5, size=M)
    rows = by_neuron[:, None] * rng.gamma(1.0, size=(M, 2 * D))
    positive = rows >= np.sort(rows.ravel())[-N // 5]
    return np.concatenate([positive[:, :D].ravel(), positive[:, D:].T.ravel()])


def noise(rng):
    """Concentrated and spread-out rankings that know nothing."""
    return {
        ("weight (from neuron)", "a"): (rng.random(M), NEURON),
        ("weight (from neuron)", "b"): (np.round(3 * rng.random(M)), NEURON),
        ("weight", "c"): (rng.random(N), WEIGHT),
        ("weight", "d"): (np.round(5 * rng.random(N)), WEIGHT),
    }


def one_fold(rng, methods, truth, relabellings):
    rows = positive_rows(truth, M, D)
    return {
        key: relabel(
            overlap_matrix([(membership(scores, level, M, D, K), rows)], N, K), relabellings
        )
        for key, (scores, level) in methods.items()
    }


def shared_noise(rng):
    """Rankings of a fold, and its truth, that follow neurons which all folds have in common."""
    common = np.random.default_rng(rng.integers(1 << 30))

    def fold():
        heavy = by_truth * common.gamma(4.0, size=M)
        rows = heavy[:, None] * common.gamma(1.0, size=(M, 2 * D))
        positive = rows >= np.sort(rows.ravel())[-N // 5]
        truth = np.concatenate([positive[:, :D].ravel(), positive[:, D:].T.ravel()])
        high = by_method * common.gamma(4.0, size=M)
        return {("weight (from neuron)", "a"): (high, NEURON)}, truth

    by_truth, by_method = common.gamma(0.5, size=M), common.gamma(0.5, size=M)
    return fold


def families(count, folds=2, draws=99, shared=False):
    """For each simulated family: p of its methods, and adjusted p.

    shared : whether the folds have their neurons in common, as those of one base model.
    """
    found = []
    for i in range(count):
        rng = np.random.default_rng([i, 3])
        make = shared_noise(rng) if shared else lambda rng=rng: (noise(rng), clustered_truth(rng))
        relabellings = draw_relabellings(M, draws, i)
        per_fold = [one_fold(rng, *make(), relabellings) for _ in range(folds)]
        standings = [standing_of([fold[key] for fold in per_fold]) for key in per_fold[0]]
        found.append(([p_value(s.z, s.z_null) for s in standings], adjusted(standings)))
    return np.array([p for p, _ in found]), np.array([q for _, q in found])


def test_folds_that_share_neurons_hold_the_level():
    p, _ = families(1000, folds=5, shared=True)
    assert 0.03 < np.mean(p <= 0.05) < 0.065


def test_against_every_relabelling():
    """Two folds of four neurons, and all 24 permutations: moments, z and p by hand."""
    m, d, k = 4, 2, 5
    rng = np.random.default_rng(8)
    every = np.array(list(permutations(range(m)))).T  # (m, 24)
    folds, lifts = [], []
    for _ in range(2):
        member, truth = rng.random((m, 2 * d)), rng.random((m, 2 * d)) < 0.4
        scores = np.concatenate([member[:, :d].ravel(), member[:, d:].T.ravel()])
        positive = np.concatenate([truth[:, :d].ravel(), truth[:, d:].T.ravel()])
        pairs = [(membership(scores, WEIGHT, m, d, k), positive_rows(positive, m, d))]
        folds.append(relabel(overlap_matrix(pairs, 2 * m * d, k), every))
        top = member >= np.sort(member.ravel())[-k]
        scale = 2 * m * d / (k * truth.sum())
        lifts.append([(top * truth[list(p)]).sum() * scale for p in permutations(range(m))])
    mean = np.mean(lifts, axis=0)  # (24,): the same permutation in both folds
    found = standing_of(folds)
    assert found.null_mean == pytest.approx(mean.mean())
    assert found.null_sd == pytest.approx(mean.std())
    assert found.z == pytest.approx((mean[0] - mean.mean()) / mean.std())
    apart = np.abs(mean - mean.mean()) >= abs(mean[0] - mean.mean()) - 1e-9
    assert p_value(found.z, found.z_null) == pytest.approx((1 + apart.sum()) / 25)


@pytest.fixture(scope="module")
def simulated():
    return families(1000)


def test_p_is_uniform_on_noise(simulated):
    """Never too small; too large only by what ties among so few whole overlaps make of it."""
    p, _ = simulated
    for level in (0.02, 0.05, 0.1, 0.3, 0.5, 0.8):
        rejected = np.mean(p <= level, axis=0)
        allowed = 4 * np.sqrt(level * (1 - level) / len(p))
        assert np.all(rejected <= level + allowed)
        assert np.all(rejected >= 0.85 * level - allowed)


def test_family_wise_error_stays_at_five_percent(simulated):
    _, p_adjusted = simulated
    wrong = np.mean(p_adjusted.min(axis=1) <= 0.05)
    assert 0.03 < wrong < 0.065


def test_adjusted_p_is_never_below_p(simulated):
    p, p_adjusted = simulated
    assert np.all(p_adjusted >= p - 1e-12)
    assert np.mean(p_adjusted > p) > 0.5


def score_of(truth):
    return truth.astype(np.float64)


def test_the_truth_the_truth_reversed_and_noise():
    rng = np.random.default_rng(0)
    found = {key: [] for key in ("truth", "reversed", "noise")}
    relabellings = draw_relabellings(M, 999, 0)
    for _ in range(3):
        truth = clustered_truth(rng)
        methods = {
            "truth": (score_of(truth), WEIGHT),
            "reversed": (-score_of(truth), WEIGHT),
            "noise": (rng.random(N), WEIGHT),
        }
        for key, value in one_fold(rng, methods, truth, relabellings).items():
            found[key].append(value)
    named = {("weight", key): folds for key, folds in found.items()}
    table = verdict_table("change", named, K, ceiling=3.0, oracle=float("nan"))
    rows = table.set_index("method")
    assert list(table["method"]) == ["truth", "noise", "reversed"]
    assert rows.loc["truth", "p"] == rows.loc["reversed", "p"] == 1 / 1000
    assert rows.loc["truth", "p_adjusted"] == 1 / 1000
    assert rows.loc["truth", "lift"] == pytest.approx(N / K, rel=1e-6)
    assert rows.loc["truth", "z"] > 3 > 0 > -3 > rows.loc["reversed", "z"]
    assert rows.loc["reversed", "lift"] < 0.05
    assert rows.loc["noise", "p"] > 0.05
    assert rows.loc["truth", "share_of_ceiling"] == pytest.approx((N / K - 1) / 2)
    assert rows.loc["reversed", "share_of_ceiling"] < 0
    assert rows["share_of_neuron_oracle"].isna().all()


def test_the_mean_over_folds_has_the_spread_of_its_own_draws():
    rng = np.random.default_rng(5)
    folds = [Relabelled(rng.random(), rng.random(), 1 + i, rng.random(9)) for i in range(3)]
    found = standing_of(folds)
    mean = np.mean([f.null_mean for f in folds])
    null = np.mean([f.null for f in folds], axis=0)
    sd = np.sqrt(np.mean((null - mean) ** 2))
    assert found.n_folds == 3 and found.null_sd == pytest.approx(sd)
    assert found.z == pytest.approx((np.mean([f.lift for f in folds]) - mean) / sd)
    assert found.z_null == pytest.approx((null - mean) / sd)
    assert standing_of(folds[:1]).null_sd == folds[0].null_sd  # exact
    assert standing_of([folds[0], folds[0]]).z_null == pytest.approx(
        (folds[0].null - folds[0].null_mean)
        / np.sqrt(np.mean((folds[0].null - folds[0].null_mean) ** 2))
    )


def test_p_by_hand():
    assert p_value(-2.0, np.array([0.1, 2.0, -3.0, 1.9])) == pytest.approx(3 / 5)
    assert np.isnan(p_value(float("nan"), np.zeros(3)))


def test_adjustment_by_hand_and_a_method_without_spread():
    def standing(z, null):
        fold = Relabelled(z, 0.0, 1.0, np.array(null, dtype=float))
        return standing_of([fold])

    flat = standing_of([Relabelled(1.0, 1.0, 0.0, np.ones(4))])
    family = [standing(2.5, [1, 2, 0, 0]), standing(1.5, [0, 3, -4, 1]), flat]
    # max |z_b| over the two: 1, 3, 4, 1
    assert adjusted(family)[:2] == pytest.approx([3 / 5, 3 / 5])
    assert np.isnan(adjusted(family)[2])


def test_share_of_the_best():
    assert share_of_best(3, 5) == pytest.approx(0.5)
    assert share_of_best(0.5, 5) < 0
    assert np.isnan(share_of_best(2, 1.0))
    assert np.isnan(share_of_best(2, float("nan")))
