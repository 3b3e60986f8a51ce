"""Every metric against brute force over all orders within ties, and against other libraries."""

import itertools
import math

import numpy as np
import pytest
import references
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from utils import ranking
from utils.judge.scores import gains, metrics, ties

AT_K = ("precision", "recall", "f1", "overlap", "lift", "lift_stratified", "ndcg", "mass")
WHOLE = ("ap", "auc", "spearman", "first_hit", "first_hit_best", "first_hit_worst", "exam")


def evaluate(scores, gain, wanted, ks, stratum=None):
    """Every metric of scores given item by item: `name@K` and the whole-ranking ones."""
    truth = gains.make_gains(gain, wanted, stratum)
    groups = ties.group_items(scores, ranking.rank_by(scores), truth, ks)
    return evaluate_groups(groups, truth, ks)


def evaluate_groups(groups, truth, ks):
    discount = metrics.discounts(max(ks))
    values = {
        f"{name}@{k}": value
        for k in ks
        for name, value in metrics.at_k(groups, truth, k, discount).items()
    }
    return values | metrics.whole_ranking(groups, truth)


def assert_same(found, expected, rel=1e-9):
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == pytest.approx(expected[name], rel=rel, abs=1e-12, nan_ok=True), name


def random_case(seed, n=60, levels=None, tied=False):
    """Scores that know something of the gains; `levels` different scores only, if given.

    tied : gains are whole numbers, many of them 0.
    """
    rng = np.random.default_rng(seed)
    gain = rng.exponential(size=n)
    scores = gain + rng.exponential(size=n)
    if levels is not None:
        scores = np.floor(levels * scores / (scores.max() + 1e-9))
    if tied:
        gain = np.floor(2 * gain)
    stratum = rng.permutation(np.repeat(np.array([0, 1], dtype=np.int8), [n // 3, n - n // 3]))
    return scores, gain, stratum


# Brute force


small_integers = st.lists(st.integers(0, 3), min_size=2, max_size=6)


@settings(max_examples=80)
@given(scores=small_integers, data=st.data())
def test_every_metric_is_its_mean_over_all_orders_within_ties(scores, data):
    n = len(scores)
    gain = data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n).filter(any))
    wanted = data.draw(st.integers(1, n))
    assume(references.positives(gain, wanted))
    ks = range(1, n + 1)
    found = evaluate(np.array(scores, float), np.array(gain, float), wanted, ks)
    orders = list(references.orders(scores))
    for k in ks:
        expected = references.mean_of(references.at_k(o, gain, wanted, k) for o in orders)
        assert_same({name: found[f"{name}@{k}"] for name in expected}, expected)
        assert math.isnan(found[f"lift_stratified@{k}"])  # no matrices here
    one_by_one = [references.whole(o, gain, wanted) for o in orders]
    expected = references.mean_of(one_by_one)
    expected["first_hit_best"] = min(row["first_hit"] for row in one_by_one)
    expected["first_hit_worst"] = max(row["first_hit"] for row in one_by_one)
    assert_same({name: found[name] for name in expected}, expected)


@pytest.mark.parametrize("scores", [[3, 3, 2, 2, 2, 1], [2, 1, 1, 1, 1, 0], [6, 5, 4, 3, 2, 1]])
@pytest.mark.parametrize("stratum", [[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 0]])
@pytest.mark.parametrize("gain", [[0.5, 3, 0.1, 2, 4, 0.2], [0, 3, 0, 2, 4, 2]])
def test_stratified_lift_is_precision_over_its_mean_with_each_matrix_shuffled(
    scores, stratum, gain
):
    n_positives = 2
    strata = np.array(stratum, dtype=np.int8)
    found = evaluate(np.array(scores, float), np.array(gain), n_positives, range(1, 7), strata)
    for k in range(1, 7):
        shuffled = [
            references.at_k(inner, gain, n_positives, k)["precision"]
            for order in references.orders(scores)
            for inner in references.shuffled_inside(order, stratum)
        ]
        expected = found[f"precision@{k}"] / np.mean(shuffled) if any(shuffled) else math.nan
        assert found[f"lift_stratified@{k}"] == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_tau_counts_concordant_and_discordant_pairs():
    scores, gain, _ = random_case(0, n=25, levels=5)
    gain = np.round(2 * gain)
    assert metrics.kendall(scores, gain) == pytest.approx(references.kendall_tau_b(scores, gain))
    assert math.isnan(metrics.kendall(np.ones(25), gain))


@pytest.mark.parametrize("scores", [[2, 2, 1, 1, 0], [4, 3, 2, 1, 0], [0, 1, 1, 1, 1]])
@pytest.mark.parametrize("gain", [[5, 5, 5, 1, 1], [3, 0, 0, 0, 0], [0, 2, 1, 1, 0]])
def test_overlap_is_the_mean_over_all_orders_of_either_side(scores, gain):
    found = evaluate(np.array(scores, float), np.array(gain, float), 4, range(1, 6))
    for k in range(1, 6):
        pairs = itertools.product(references.orders(scores), references.orders(gain))
        shared = [len(set(mine[:k]) & set(truth[:k])) for mine, truth in pairs]
        assert found[f"overlap@{k}"] == pytest.approx(np.mean(shared) / k)


# Golden numbers


def test_golden_numbers_worked_out_by_hand():
    """Scores 5 4 4 1 of gains 0 3 0 1, two positives: the second and the fourth item."""
    found = evaluate(np.array([5.0, 4, 4, 1]), np.array([0.0, 3, 0, 1]), 2, [1, 2, 3, 4])
    assert [found[f"precision@{k}"] for k in (1, 2, 3, 4)] == pytest.approx(
        [0, 1 / 4, 1 / 3, 1 / 2]
    )
    assert [found[f"recall@{k}"] for k in (1, 2, 3, 4)] == pytest.approx([0, 1 / 4, 1 / 2, 1])
    assert [found[f"mass@{k}"] for k in (1, 2, 3, 4)] == pytest.approx([0, 3 / 8, 3 / 4, 1])
    # The positive of the pair stands second or third: (1/2 + 1/3)/2 of the precision there.
    assert found["ap"] == pytest.approx(((1 / 2 + 1 / 3) / 2 + 2 / 4) / 2)
    assert found["first_hit"] == pytest.approx(2.5)
    assert (found["first_hit_best"], found["first_hit_worst"]) == (2, 3)
    assert found["exam"] == pytest.approx(2.5 / 4)
    assert found["auc"] == pytest.approx(0.5 / 4)


# Other libraries


@pytest.mark.parametrize("levels", [None, 7])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_agree_with_scikit_learn_and_scipy(seed, levels):
    scores, gain, _ = random_case(seed, n=211, levels=levels)
    ks, n_positives = [1, 5, 21, 100, 211], 20
    found = evaluate(scores, gain, n_positives, ks)
    positive = np.zeros(211, dtype=bool)
    positive[np.argsort(-gain)[:n_positives]] = True
    for k in ks:
        assert found[f"ndcg@{k}"] == pytest.approx(ndcg_score([gain], [scores], k=k))
    assert found["auc"] == pytest.approx(roc_auc_score(positive, scores))
    assert found["spearman"] == pytest.approx(stats.spearmanr(scores, gain).statistic)
    assert metrics.kendall(scores, gain) == pytest.approx(stats.kendalltau(scores, gain).statistic)
    if levels is None:  # scikit-learn interpolates average precision inside ties
        assert found["ap"] == pytest.approx(average_precision_score(positive, scores))


@pytest.mark.parametrize("levels", [None, 6])
def test_spearman_takes_mid_ranks_of_tied_gains(levels):
    scores, gain, _ = random_case(4, n=97, levels=levels, tied=True)
    found = evaluate(scores, gain, 10, [1])
    assert found["spearman"] == pytest.approx(stats.spearmanr(scores, gain).statistic)


def test_a_correlation_with_a_constant_does_not_exist():
    scores, gain, _ = random_case(5)
    assert math.isnan(evaluate(np.ones(60), gain, 6, [1])["spearman"])
    assert math.isnan(evaluate(scores, np.ones(60), 60, [1])["spearman"])


def test_auc_does_not_exist_where_everything_is_positive():
    scores, gain, _ = random_case(6, n=10)
    assert math.isnan(evaluate(scores, gain, 10, [1])["auc"])


def test_average_precision_keeps_its_digits_far_down_a_long_ranking():
    """H_{t+n} - H_t of two large numbers would lose them."""
    n = 400_000
    gain = np.zeros(n, dtype=np.float32)
    gain[[n - 2, n - 1]] = 1
    scores = np.arange(n, 0, -1, dtype=np.float64)
    found = evaluate(scores, gain, 2, [1])
    assert found["ap"] == pytest.approx((1 / (n - 1) + 2 / n) / 2, rel=1e-12, abs=0)


# What holds for every metric, as scikit-learn's test_common does it


EVERY_METRIC = [f"{name}@{k}" for name in AT_K for k in (1, 6, 13, 60)] + list(WHOLE)


def every_metric(scores, gain, stratum):
    return evaluate(scores, gain, 6, [1, 6, 13, 60], stratum)


@pytest.mark.parametrize("levels", [None, 4])
@pytest.mark.parametrize("tied", [False, True], ids=["", "tied gains"])
@pytest.mark.parametrize("name", EVERY_METRIC)
class TestEveryMetric:
    def test_is_there(self, name, levels, tied):
        assert math.isfinite(every_metric(*random_case(7, levels=levels, tied=tied))[name])

    def test_does_not_depend_on_the_order_of_the_weights(self, name, levels, tied):
        case = random_case(7, levels=levels, tied=tied)
        order = np.random.default_rng(8).permutation(60)
        permuted = every_metric(*(part[order] for part in case))
        assert permuted[name] == pytest.approx(every_metric(*case)[name], rel=1e-12)

    @pytest.mark.parametrize("change", [np.exp, lambda s: s - 100, lambda s: s**3 / 7])
    def test_does_not_depend_on_the_scale_of_the_scores(self, name, levels, tied, change):
        scores, gain, stratum = random_case(7, levels=levels, tied=tied)
        expected = every_metric(scores, gain, stratum)[name]
        assert every_metric(change(scores), gain, stratum)[name] == expected

    def test_does_not_depend_on_the_precision_of_the_scores(self, name, levels, tied):
        scores, gain, stratum = random_case(7, levels=levels, tied=tied)
        narrow = scores.astype(np.float32)
        expected = every_metric(narrow.astype(np.float64), gain, stratum)[name]
        assert every_metric(narrow, gain, stratum)[name] == expected

    def test_does_not_depend_on_the_unit_of_the_gains(self, name, levels, tied):
        scores, gain, stratum = random_case(7, levels=levels, tied=tied)
        expected = every_metric(scores, gain, stratum)[name]
        assert every_metric(scores, 8 * gain, stratum)[name] == pytest.approx(expected, rel=1e-12)

    def test_knows_the_truth_from_its_opposite(self, name, levels, tied):
        _, gain, stratum = random_case(7, tied=tied)
        truth = gain if levels is None else np.ceil(levels * gain)
        best, worst = (every_metric(s, gain, stratum)[name] for s in (truth, -truth))
        lower_is_better = name in ("first_hit", "first_hit_best", "first_hit_worst", "exam")
        if name.endswith("@60"):  # everything is inside the first N
            assert best == pytest.approx(worst) or name == "ndcg@60"
        else:
            assert best < worst if lower_is_better else best > worst


def test_the_truth_itself_scores_best():
    _, gain, stratum = random_case(9)
    found = every_metric(gain, gain, stratum)
    for name in ("precision@1", "precision@6", "recall@6", "recall@13", "f1@6", "ap", "auc",
                 "spearman", "first_hit", "first_hit_best", "first_hit_worst"):  # fmt: skip
        assert found[name] == pytest.approx(1), name
    for k in (1, 6, 13, 60):
        assert found[f"overlap@{k}"] == found[f"ndcg@{k}"] == pytest.approx(1)
        assert found[f"mass@{k}"] == pytest.approx(np.sort(gain)[::-1][:k].sum() / gain.sum())
    assert found["lift@6"] == pytest.approx(10)


def test_noise_scores_the_base_rate_within_its_sampling_error():
    rng = np.random.default_rng(10)
    n, n_positives, ks = 5000, 50, [5, 50, 500]
    gain = rng.exponential(size=n)
    stratum = np.repeat(np.array([0, 1], dtype=np.int8), n // 2)
    runs = [evaluate(rng.random(n), gain, n_positives, ks, stratum) for _ in range(60)]
    expected = {"auc": 0.5, "spearman": 0, "first_hit": (n + 1) / (n_positives + 1)}
    for k in ks:
        expected |= {f"precision@{k}": 0.01, f"recall@{k}": k / n, f"overlap@{k}": k / n}
        expected |= {f"lift@{k}": 1, f"lift_stratified@{k}": 1, f"mass@{k}": k / n}
    for name, value in expected.items():
        sample = np.array([run[name] for run in runs])
        assert abs(sample.mean() - value) < 4 * sample.std(ddof=1) / math.sqrt(60) + 1e-12, name


# Tie groups


@pytest.mark.parametrize(("m", "d"), [(4, 3), (9, 2), (1, 5), (6, 1)])
@pytest.mark.parametrize("levels", [None, 3, 1])
@pytest.mark.parametrize("tied", [False, True])
def test_a_lifted_neuron_ranking_scores_as_its_scores_given_to_every_weight(m, d, levels, tied):
    """From counts per neuron, and from 2d tied weights per neuron."""
    rng = np.random.default_rng([m, d])
    gain = rng.exponential(size=2 * m * d).astype(np.float32)
    if tied:
        gain = np.where(gain > 1, np.ceil(gain), 0).astype(np.float32)
    neuron_scores = rng.normal(size=m) if levels is None else rng.integers(0, levels, m) * 1.0
    wanted = m * d if tied else 3
    truth = gains.make_gains(gain, wanted, np.repeat(np.array([0, 1], dtype=np.int8), m * d))
    ks = range(1, 2 * m * d + 1)
    lifted = ranking.spread(neuron_scores, d)
    expanded = ties.group_items(lifted, ranking.rank_by(lifted), truth, ks)
    counted = ties.group_neurons(neuron_scores, ties.count_by_neuron(truth, m, d, ks))
    assert counted.n_items == expanded.n_items == 2 * m * d
    assert_same(evaluate_groups(counted, truth, ks), evaluate_groups(expanded, truth, ks))


def test_the_order_within_ties_changes_nothing():
    scores, gain, stratum = random_case(11, levels=3)
    truth = gains.make_gains(gain, 6, stratum)
    ks = [1, 7, 60]
    order = ranking.rank_by(scores)
    other = np.lexsort((-np.arange(60), -scores)).astype(np.int32)
    assert not np.array_equal(order, other)
    assert_same(
        evaluate_groups(ties.group_items(scores, other, truth, ks), truth, ks),
        evaluate_groups(ties.group_items(scores, order, truth, ks), truth, ks),
    )


@pytest.mark.parametrize(
    "order",
    [[2, 1, 0, 3], [0, 1, 2, 2], [0, 0, 0, 0]],
    ids=["ascending", "an item twice", "one item only"],
)
def test_a_ranking_that_is_not_of_these_scores_is_refused(order):
    truth = gains.make_gains(np.arange(4.0), 1)
    with pytest.raises(ValueError, match="does not order"):
        ties.group_items(np.array([4.0, 3, 2, 1]), np.array(order, dtype=np.int32), truth, [1])


@pytest.mark.parametrize(
    ("gain", "wanted", "expected"),
    [
        ([1, 2, 2, 2, 0], 4, [0, 1, 2, 3]),
        ([1, 2, 2, 2, 0], 3, [1, 2, 3]),
        ([1, 2, 2, 2, 0], 2, []),  # the second is one of three
        ([1, 2, 2, 2, 0], 5, [0, 1, 2, 3]),  # and the fifth did not change
        ([0, 0, 7, 0], 1, [2]),
        ([0, 0, 7, 0], 3, [2]),
        ([4, 3, 3, 5], 3, [0, 3]),
        ([1, 1, 1], 3, [0, 1, 2]),
        ([0, 0, 0], 1, []),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_positives_end_before_a_tie_and_an_unchanged_item_is_never_one(
    gain, wanted, expected, dtype
):
    truth = gains.make_gains(np.array(gain, dtype=dtype), wanted)
    assert np.flatnonzero(truth.positives).tolist() == expected
    assert (truth.n_positives, truth.border.wanted) == (len(expected), wanted)


def test_the_truth_knows_mid_ranks_and_the_ideal():
    truth = gains.make_gains(np.array([1.0, 2, 2, 2, 0]), 3)
    assert truth.midrank2.tolist() == [8, 4, 4, 4, 10]
    assert truth.ideal.tolist() == [2, 2, 2, 1, 0]


def test_expected_places_in_the_truths_top_are_whole_numbers_where_nothing_ties():
    truth = gains.make_gains(np.array([1.0, 2, 2, 2, 0, 0]), 3)

    def places(k):
        return truth.expect_in_top(k, truth.midrank2, lambda mask: mask + 0)

    assert places(1).tolist() == [0, 1 / 3, 1 / 3, 1 / 3, 0, 0]
    assert places(3).tolist() == [0, 1, 1, 1, 0, 0]
    assert places(5).tolist() == [1, 1, 1, 1, 0.5, 0.5]
    assert (places(3).dtype.kind, places(4).dtype.kind) == ("i", "i")


def test_discounts_are_sums_of_inverse_logarithms():
    expected = [sum(1 / math.log2(i + 1) for i in range(1, k + 1)) for k in range(8)]
    np.testing.assert_allclose(metrics.discounts(7), expected, rtol=1e-15)
