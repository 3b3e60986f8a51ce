import itertools
import math

import numpy as np
import pytest
from scipy import stats

from utils import ranking
from utils.judge.details import permutation


def random_set(rng, m, d, k):
    return rng.choice(ranking.n_weights(m, d), size=k, replace=False)


def clustered_scores(rng, m, d, strength):
    """Noise per weight plus a level that all weights of a neuron share."""
    neurons = ranking.spread(rng.normal(size=m), d)
    return strength * neurons + rng.normal(size=ranking.n_weights(m, d))


def all_overlaps(method, truth):
    """Move the ground truth's neurons by every permutation, the slow way."""
    m = len(method)
    return np.array(
        [
            sum((method[a] * truth[pi[a]]).sum() for a in range(m))
            for pi in itertools.permutations(range(m))
        ]
    )


def test_neuron_rows_gather_a_row_of_w_bef_and_a_column_of_w_aft():
    m, d = 3, 2
    w_bef = np.arange(6).reshape(m, d)
    w_aft = 10 + np.arange(6).reshape(d, m)
    rows = permutation.neuron_rows(ranking.flatten(w_bef, w_aft), m, d)
    assert rows.tolist() == [[0, 1, 10, 13], [2, 3, 11, 14], [4, 5, 12, 15]]


def test_neuron_matrix_marks_the_weights_of_the_set():
    rng = np.random.default_rng(0)
    m, d = 7, 3
    top = random_set(rng, m, d, 11)
    matrix = permutation.neuron_matrix(top, m, d)
    assert matrix.shape == (m, 2 * d)
    assert matrix.dtype == np.float32
    chosen = {tuple(x) for x in zip(*ranking.locate(top, m, d), strict=True)}
    for neuron, column in itertools.product(range(m), range(2 * d)):
        where = (0, neuron, column) if column < d else (1, column - d, neuron)
        assert matrix[neuron, column] == (where in chosen)


@pytest.mark.parametrize("real", [False, True])
def test_null_is_that_of_every_relabelling_at_five_neurons(real):
    rng = np.random.default_rng(1)
    method, truth = rng.random((2, 5, 6)).astype(np.float32)
    if not real:
        method, truth = (method > 0.6).astype(np.float32), (truth > 0.6).astype(np.float32)
    slow = all_overlaps(method.astype(float), truth.astype(float))
    every = np.array(list(itertools.permutations(range(5)))).T  # (5, 120)
    result = permutation.neuron_overlap_test(method, truth, every)
    assert result.observed == pytest.approx((method * truth).sum())
    assert result.null_mean == pytest.approx(slow.mean())
    assert result.null_sd == pytest.approx(slow.std())
    assert result.z == pytest.approx((result.observed - slow.mean()) / slow.std(), rel=1e-4)
    null = permutation.relabelled_overlaps(method @ truth.T, every)
    np.testing.assert_allclose(null, slow, rtol=1e-6)
    assert result.p == pytest.approx((1 + (slow >= result.observed - 1e-5).sum()) / 121)
    assert result.draws == 120


def test_relabelling_moves_rows_and_columns_together():
    """The permuted overlap is that of a ground truth whose matrices are relabelled."""
    rng = np.random.default_rng(2)
    m, d = 6, 4
    truth = random_set(rng, m, d, 15)
    method = permutation.neuron_matrix(random_set(rng, m, d, 15), m, d)
    flat = np.zeros(2 * m * d, dtype=np.float32)
    flat[truth] = 1
    w_bef, w_aft = ranking.unflatten(flat, m, d)
    pi = rng.permutation(m)
    moved = permutation.neuron_rows(ranking.flatten(w_bef[pi], w_aft[:, pi]), m, d)
    overlaps = method @ permutation.neuron_matrix(truth, m, d).T
    null = permutation.relabelled_overlaps(overlaps, pi[:, None])
    assert null[0] == (method * moved).sum()


def test_relabellings_are_permutations_and_repeatable():
    drawn = permutation.draw_relabellings(300, 50, seed=3)
    assert drawn.shape == (300, 50)
    assert drawn.dtype == np.uint16
    assert (np.sort(drawn, axis=0) == np.arange(300)[:, None]).all()
    assert (drawn == permutation.draw_relabellings(300, 50, seed=3)).all()
    assert (drawn != permutation.draw_relabellings(300, 50, seed=4)).any()
    assert (drawn[:, 0] != drawn[:, 1]).any()
    assert len(np.unique(permutation.draw_relabellings(256, 1, seed=0))) == 256


def test_every_relabelling_is_equally_likely():
    drawn = permutation.draw_relabellings(4, 24_000, seed=5)
    _, counts = np.unique(drawn, axis=1, return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 0.001


def test_p_is_uniform_on_noise():
    """Memberships are real numbers here, so that no two overlaps are equal and p is
    uniform on 1/200 .. 200/200; steps that fine do not disturb the test."""
    rng = np.random.default_rng(6)
    values = []
    for run in range(500):
        method, truth = rng.random((2, 30, 12)).astype(np.float32)
        relabellings = permutation.draw_relabellings(30, 199, seed=run)
        values.append(permutation.neuron_overlap_test(method, truth, relabellings).p)
    assert stats.kstest(values, "uniform").pvalue > 0.01
    assert np.mean(np.array(values) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_p_is_uniform_on_clustered_noise_where_the_test_over_weights_is_not():
    """Both rankings cluster by neuron, independently of each other.

    Sets tie, so p has large steps; what is uniform is p lowered by a random share of
    the step it stands on. The hypergeometric test shuffles single weights.
    """
    rng = np.random.default_rng(7)
    m, d, k, draws = 40, 16, 128, 199
    smooth, over_weights = [], []
    for run in range(500):
        tops = [ranking.rank_by(clustered_scores(rng, m, d, 2))[:k] for _ in range(2)]
        method, truth = (permutation.neuron_matrix(top, m, d) for top in tops)
        relabellings = permutation.draw_relabellings(m, draws, seed=run)
        result = permutation.neuron_overlap_test(method, truth, relabellings)
        null = permutation.relabelled_overlaps(method @ truth.T, relabellings)
        ties = 1 + (null == result.observed).sum()
        smooth.append(result.p - rng.random() * ties / (draws + 1))
        over_weights.append(stats.hypergeom.sf(result.observed - 1, 2 * m * d, k, k))
    assert stats.kstest(smooth, "uniform").pvalue > 0.01
    assert np.mean(np.array(over_weights) < 0.05) > 0.15


def test_it_finds_a_method_that_knows_the_neurons():
    rng = np.random.default_rng(8)
    m, d, k = 40, 8, 64
    level = ranking.spread(rng.normal(size=m), d)
    tops = [ranking.rank_by(2 * level + rng.normal(size=2 * m * d))[:k] for _ in range(2)]
    result = permutation.neuron_permutation_test(*tops, m, d, draws=999, seed=0)
    assert result.p == 1 / 1000
    assert result.z > 4
    assert result.observed == len(set(tops[0]) & set(tops[1]))
    # One-sided: the opposite ranking is no discovery.
    worst = ranking.rank_by(-2 * level + rng.normal(size=2 * m * d))[:k]
    assert permutation.neuron_permutation_test(worst, tops[1], m, d, draws=999).p > 0.5


def test_a_preference_for_inputs_is_no_evidence():
    """Method and ground truth agree on which inputs matter, not on which neurons."""
    rng = np.random.default_rng(9)
    m, d, k = 60, 10, 100
    values, lifts = [], []
    for run in range(100):
        inputs = 4 * rng.normal(size=d)
        tops = []
        for _ in range(2):
            bef = inputs + rng.normal(size=(m, d))
            tops.append(ranking.rank_by(ranking.flatten(bef, rng.normal(size=(d, m))))[:k])
        result = permutation.neuron_permutation_test(*tops, m, d, draws=199, seed=run)
        values.append(result.p)
        lifts.append(result.observed / (k * k / (2 * m * d)))
    assert np.mean(lifts) > 3
    assert np.mean(np.array(values) <= 0.05) < 0.12


@pytest.mark.filterwarnings("error")
def test_where_every_relabelling_is_the_same_there_is_no_z():
    rng = np.random.default_rng(10)
    m, d = 50, 9
    constant = np.full((m, 2 * d), 0.1, dtype=np.float32)
    truth = permutation.neuron_matrix(random_set(rng, m, d, 70), m, d)
    result = permutation.neuron_overlap_test(
        constant, truth, permutation.draw_relabellings(m, 99, 0)
    )
    assert result.observed == pytest.approx(7)
    assert result.null_sd == 0
    assert math.isnan(result.z)
    assert result.p == 1
    nothing = permutation.neuron_matrix(np.array([], dtype=int), m, d)
    assert permutation.neuron_overlap_test(nothing, truth, np.arange(m)[:, None]).p == 1


def test_golden_case():
    """Two neurons, one weight each: only the identity overlaps, mean and sd are 1/2 each."""
    every = np.array([[0, 1], [1, 0]])
    method = np.array([[1, 0], [0, 0]], dtype=np.float32)
    result = permutation.neuron_overlap_test(method, method, every)
    assert (result.observed, result.null_mean, result.null_sd) == (1, 0.5, 0.5)
    assert (result.z, result.p, result.draws) == (1, 2 / 3, 2)


def test_membership_is_the_mean_over_random_orders_of_ties():
    rng = np.random.default_rng(11)
    scores = rng.integers(0, 4, 30).astype(np.float32)
    for k in (1, 5, 13, 29, 30):
        expected = np.zeros(30)
        for _ in range(4000):
            expected[np.lexsort((rng.random(30), -scores))[:k]] += 1 / 4000
        member = ranking.top_membership(scores, k)
        assert member.dtype == np.float32
        assert member.sum() == pytest.approx(k, rel=1e-6)
        np.testing.assert_allclose(member, expected, atol=0.05)


def test_membership_without_ties_is_the_set():
    rng = np.random.default_rng(12)
    m, d, k = 9, 4, 20
    scores = rng.normal(size=2 * m * d)
    by_score = permutation.neuron_rows(ranking.top_membership(scores, k), m, d)
    by_index = permutation.neuron_matrix(ranking.rank_by(scores)[:k], m, d)
    assert (by_score == by_index).all()


def test_overlap_of_a_lifted_neuron_method_is_its_expectation():
    rng = np.random.default_rng(13)
    m, d, k = 12, 5, 25
    lifted = ranking.spread(rng.normal(size=m), d)
    truth = random_set(rng, m, d, k)
    member = permutation.neuron_rows(ranking.top_membership(lifted, k), m, d)
    result = permutation.neuron_overlap_test(
        member, permutation.neuron_matrix(truth, m, d), permutation.draw_relabellings(m, 99, 0)
    )
    means = [
        len(set(np.lexsort((rng.random(2 * m * d), -lifted))[:k]) & set(truth)) for _ in range(4000)
    ]
    assert result.observed == pytest.approx(np.mean(means), abs=0.15)


def test_it_holds_at_the_size_of_vit_base():
    rng = np.random.default_rng(14)
    m, d, k = 3072, 768, 47_185
    tops = random_set(rng, m, d, k), random_set(rng, m, d, k)
    result = permutation.neuron_permutation_test(*tops, m, d)
    assert result.observed == len(np.intersect1d(*tops))
    assert result.null_mean == pytest.approx(k * k / (2 * m * d), rel=0.01)
    assert abs(result.z) < 5
