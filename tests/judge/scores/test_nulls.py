"""Closed forms of a random ranking against every permutation, and against Monte Carlo."""

import itertools
import math

import numpy as np
import pytest
import references
from scipy import stats

from utils import ranking
from utils.judge.scores import gains, metrics, nulls, ties

GAIN = [0.5, 3, 0.1, 2, 4, 0.2]
TIED = [0, 3, 0, 2, 4, 2]
STRATUM = [0, 0, 1, 1, 1, 0]
SHUFFLED = ("precision", "recall", "f1", "overlap", "lift", "ndcg", "mass")


def make(gain, n_positives, stratum=None):
    strata = None if stratum is None else np.array(stratum, dtype=np.int8)
    return gains.make_gains(np.array(gain, dtype=float), n_positives, strata)


def groups_of(scores, truth, ks):
    scores = np.asarray(scores, dtype=np.float64)
    return ties.group_items(scores, ranking.rank_by(scores), truth, ks)


@pytest.mark.parametrize(
    ("gain", "wanted"), [(GAIN, 1), (GAIN, 2), (GAIN, 5), (GAIN, 6), (TIED, 3), (TIED, 5)]
)
def test_random_expectation_is_the_mean_over_all_permutations(gain, wanted):
    truth = make(gain, wanted)
    every = list(itertools.permutations(range(6)))
    discount = metrics.discounts(6)
    for k in range(1, 7):
        found = nulls.random_at_k(truth, k, discount)
        expected = references.mean_of(references.at_k(o, gain, wanted, k) for o in every)
        assert {name: found[name] for name in expected} == pytest.approx(expected)
    found = nulls.random_whole(truth)
    expected = references.mean_of(references.whole(o, gain, wanted) for o in every)
    if truth.n_positives == 6:
        del expected["auc"]
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    mean_rho = np.mean([stats.spearmanr(o, gain).statistic for o in every[::7]])
    mean_tau = np.mean([stats.kendalltau(o, gain).statistic for o in every[::7]])
    assert (mean_rho, mean_tau) == pytest.approx((found["spearman"], found["kendall"]), abs=0.05)


@pytest.mark.parametrize("n_positives", [1, 7, 40])
@pytest.mark.parametrize("tied", [False, True])
def test_a_constant_score_is_exactly_the_random_expectation(n_positives, tied):
    rng = np.random.default_rng(n_positives)
    gain = rng.exponential(size=40)
    truth = make(np.floor(gain) if tied else gain, n_positives, np.repeat([0, 1], [15, 25]))
    ks = [1, 4, 25, 40]
    groups = groups_of(np.full(40, 0.3), truth, ks)
    discount = metrics.discounts(40)
    for k in ks:
        assert metrics.at_k(groups, truth, k, discount) == pytest.approx(
            nulls.random_at_k(truth, k, discount)
        )
    found, expected = metrics.whole_ranking(groups, truth), nulls.random_whole(truth)
    for name in expected.keys() & found.keys() - {"spearman"} - (
        {"auc"} if n_positives == 40 else set()
    ):
        assert found[name] == pytest.approx(expected[name]), name


def test_random_expectation_agrees_with_monte_carlo():
    rng = np.random.default_rng(0)
    truth = make(rng.exponential(size=300), 12)
    ks, discount = [3, 30], metrics.discounts(30)
    runs = []
    for _ in range(1500):
        groups = groups_of(rng.random(300), truth, ks)
        at = {
            f"{n}@{k}": v for k in ks for n, v in metrics.at_k(groups, truth, k, discount).items()
        }
        runs.append(at | metrics.whole_ranking(groups, truth))
    expected = {
        f"{name}@{k}": value
        for k in ks
        for name, value in nulls.random_at_k(truth, k, discount).items()
        if name in SHUFFLED
    }
    expected |= {k: v for k, v in nulls.random_whole(truth).items() if k in
                 ("ap", "auc", "spearman", "first_hit", "exam")}  # fmt: skip
    for name, value in expected.items():
        sample = np.array([run[name] for run in runs])
        assert abs(sample.mean() - value) < 4 * sample.std(ddof=1) / math.sqrt(len(sample)), name


@pytest.mark.parametrize("scores", [[3, 3, 2, 2, 2, 1], [6, 5, 4, 3, 2, 1], [2, 1, 1, 1, 1, 0]])
@pytest.mark.parametrize("gain", [GAIN, TIED])
def test_stratified_expectation_is_the_mean_with_each_matrix_shuffled(scores, gain):
    truth = make(gain, 2, STRATUM)
    ks, discount = range(1, 7), metrics.discounts(6)
    groups = groups_of(scores, truth, ks)
    shuffled = [
        inner
        for order in references.orders(scores)
        for inner in references.shuffled_inside(order, STRATUM)
    ]
    for k in ks:
        found = nulls.stratified_at_k(groups, truth, k, discount)
        expected = references.mean_of(references.at_k(o, gain, 2, k) for o in shuffled)
        assert {name: found[name] for name in expected} == pytest.approx(expected)
        assert found["lift_stratified"] == 1


def test_stratified_expectation_agrees_with_monte_carlo():
    rng = np.random.default_rng(1)
    stratum = np.repeat([0, 1], 200)
    truth = make(rng.exponential(size=400) * np.where(stratum == 0, 3, 1), 20, stratum)
    order = ranking.rank_by(rng.random(400) + 0.3 * (stratum == 0))
    ks, discount = [8, 40], metrics.discounts(40)
    groups = groups_of(-ranking.inverse(order), truth, ks)
    runs = []
    for _ in range(1500):
        scores = np.empty(400)
        for matrix in (0, 1):
            places = np.flatnonzero(stratum[order] == matrix)
            scores[rng.permutation(np.flatnonzero(stratum == matrix))] = -places
        shuffled = groups_of(scores, truth, ks)
        runs.append({k: metrics.at_k(shuffled, truth, k, discount) for k in ks})
    for k in ks:
        expected = nulls.stratified_at_k(groups, truth, k, discount)
        for name in SHUFFLED:
            sample = np.array([run[k][name] for run in runs])
            assert abs(sample.mean() - expected[name]) < 4 * sample.std() / math.sqrt(1500), name


def test_a_method_that_only_prefers_one_matrix_beats_random_and_not_the_stratified_null():
    rng = np.random.default_rng(2)
    stratum = np.repeat([0, 1], 20_000)
    truth = make(rng.exponential(size=40_000) * np.where(stratum == 0, 2, 1), 400, stratum)
    ks, discount = [2000, 20_000], metrics.discounts(20_000)
    groups = groups_of(rng.random(40_000) + 10 * (stratum == 0), truth, ks)
    for k in ks:
        found = metrics.at_k(groups, truth, k, discount)
        assert found["lift"] > 1.5
        assert found["mass"] > 1.2 * nulls.random_at_k(truth, k, discount)["mass"]
        assert found["lift_stratified"] == pytest.approx(1, abs=4 / math.sqrt(0.02 * k))
    # With nothing but the matrix in its scores, it is the stratified null exactly.
    only = groups_of(1.0 * (stratum == 0), truth, ks)
    for k in ks:
        assert metrics.at_k(only, truth, k, discount) == pytest.approx(
            nulls.stratified_at_k(only, truth, k, discount)
        )
