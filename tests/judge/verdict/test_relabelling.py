"""One fold's lift under relabelled neurons, against the metrics and against enumeration."""

import itertools

import numpy as np
import pytest

from utils import ranking
from utils.judge.details.permutation import draw_relabellings
from utils.judge.names import NEURON, WEIGHT
from utils.judge.scores import gains, metrics, ties
from utils.judge.verdict.relabelling import (
    membership,
    neuron_membership,
    overlap_matrix,
    positive_rows,
    relabel,
)

M, D = 6, 3
N = 2 * M * D


def scores_of(seed, level, ties):
    rng = np.random.default_rng(seed)
    size = M if level == NEURON else N
    return rng.integers(0, 3, size).astype(np.float32) if ties else rng.random(size)


def lift_at(scores, level, positives, k):
    """By the metrics of step 7."""
    at_weights = ranking.spread(scores, D) if level == NEURON else scores
    truth = gains.make_gains(positives.astype(np.float32), int(positives.sum()))
    order = ranking.rank_by(at_weights.astype(np.float32))
    groups = ties.group_items(at_weights.astype(np.float32), order, truth, [k])
    return metrics.at_k(groups, truth, k, metrics.discounts(k))["lift"]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("level", [WEIGHT, NEURON])
@pytest.mark.parametrize("k", [1, 4, 6, 7, 20, N])
def test_the_trace_is_the_mean_lift(level, ties, k):
    pairs, lifts = [], []
    for seed in range(4):
        rng = np.random.default_rng([seed, 9])
        positives = rng.random(N) < 0.2 + 0.1 * seed
        scores = scores_of(seed, level, ties)
        pairs.append((membership(scores, level, M, D, k), positive_rows(positives, M, D)))
        lifts.append(lift_at(scores, level, positives, k))
    overlaps = overlap_matrix(pairs, N, k)
    assert np.trace(overlaps) == pytest.approx(np.mean(lifts), rel=1e-6)


@pytest.mark.parametrize("k", range(1, N + 1))
def test_a_neurons_membership_is_that_of_its_weights(k):
    scores = scores_of(0, NEURON, ties=True)
    expected = ranking.top_membership(ranking.spread(scores, D), k)
    assert ranking.spread(neuron_membership(scores, D, k), D) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("level", [WEIGHT, NEURON])
def test_moments_and_draws_are_those_of_all_relabellings(level):
    """Every relabelling written out: the truth's rows trade places, the method's stay."""
    rng = np.random.default_rng(1)
    positives = rng.random(N) < 0.3
    scores, k = scores_of(3, level, ties=True), 10
    rows = positive_rows(positives, M, D).rows.toarray()
    top = ranking.top_membership(ranking.spread(scores, D) if level == NEURON else scores, k)
    bef, aft = ranking.unflatten(top, M, D)
    mine = np.concatenate([bef, aft.T], axis=1)  # (m, 2d)
    scale = N / (k * positives.sum())
    orders = list(itertools.permutations(range(M)))
    lifts = [scale * np.sum(mine * rows[list(order)]) for order in orders]

    overlaps = overlap_matrix(
        [(membership(scores, level, M, D, k), positive_rows(positives, M, D))], N, k
    )
    found = relabel(overlaps, np.array(orders).T)
    assert found.null == pytest.approx(lifts)
    assert found.null_mean == pytest.approx(np.mean(lifts))
    assert found.null_sd == pytest.approx(np.std(lifts))
    assert found.lift == pytest.approx(lifts[0])


def test_a_setting_that_ranks_nothing_has_the_lift_of_chance():
    positives = np.arange(N) % 5 == 0
    overlaps = overlap_matrix(
        [(membership(np.zeros(N), WEIGHT, M, D, 7), positive_rows(positives, M, D))], N, 7
    )
    found = relabel(overlaps, draw_relabellings(M, 20, 0))
    assert found.lift == pytest.approx(1)
    assert found.null == pytest.approx(np.ones(20))
    assert found.null_sd == 0
