import itertools
import math

import numpy as np
import pandas as pd
import pytest

from utils import ranking
from utils.judge.names import LIFTED, NEURON, WEIGHT
from utils.judge.scores import comparison, ground_truth, nulls, ties

M, D = 12, 5  # 120 weights
PERCENTS = (0.1, 0.5, 1, 2, 5, 10)
LABELS = ["0.1%", "0.5%", "1%", "2%", "5%", "10%", "n"]


def make_truth(seed=0, m=M, d=D, ns=(1, 2), percents=PERCENTS):
    rng = np.random.default_rng(seed)
    abs_diff = rng.exponential(size=2 * m * d).astype(np.float32)
    return ground_truth.prepare_truth(abs_diff, m, d, percents, 1, ns)


def groups_at(level, scores, truth, ns=(1, 2)):
    if level == LIFTED:
        return ties.group_neurons(scores, truth.by_neuron)
    make = {WEIGHT: comparison.weight_groups, NEURON: comparison.neuron_groups}[level]
    return make(scores, ranking.rank_by(scores), truth, ns)


def compare(scores, truth, level=WEIGHT, n=2, limit=None):
    return comparison.compare(groups_at(level, scores, truth, (n,)), truth, level, n, limit)


# Alignment


def unequal_matrices(rng, m=120, d=60):
    """|dW| whose top 1% lies to three quarters in W_bef, as the matrices change unequally."""
    bef, aft = rng.normal(size=(m, d)), rng.normal(size=(d, m))
    return np.abs(ranking.flatten(1.15 * bef, aft)).astype(np.float32)


def test_noise_scores_the_base_rate_at_every_k_where_the_matrices_change_unequally():
    rng = np.random.default_rng(1)
    m, d = 120, 60
    abs_diff = unequal_matrices(rng, m, d)
    truth = ground_truth.prepare_truth(abs_diff, m, d, PERCENTS, 1, (7,))
    assert truth.weights.positive_shares[0] > 1.5 * truth.weights.positive_shares[1]
    runs = [compare(rng.random(2 * m * d), truth, n=7) for _ in range(40)]
    for label, k in truth.ks(WEIGHT, 7).items():
        error = math.sqrt(0.01 * 0.99 / (k * len(runs)))
        mean = np.mean([run[f"precision@{label}"] for run in runs])
        assert mean == pytest.approx(0.01, abs=4 * error), label


def test_ranks_sorted_within_each_matrix_would_have_made_noise_look_perfect():
    """The defect: ranks of a method and of the truth, each sorted per matrix, by position."""
    rng = np.random.default_rng(2)
    m, d = 120, 60
    abs_diff = unequal_matrices(rng, m, d)
    noise = rng.random(2 * m * d)

    def sorted_within(scores):
        ranks = ranking.inverse(ranking.rank_by(scores))
        return ranking.flatten(*(np.sort(part) for part in (ranks[: m * d], ranks[m * d :])))

    wrong_truth = ground_truth.prepare_truth(
        -sorted_within(abs_diff).astype(np.float32) + 2 * m * d, m, d, PERCENTS, 1, (7,)
    )
    wrong = compare(-sorted_within(noise).astype(float), wrong_truth, n=7)
    assert wrong["precision@0.1%"] == 1
    assert wrong["overlap@1%"] > 0.6
    truth = ground_truth.prepare_truth(abs_diff, m, d, PERCENTS, 1, (7,))
    right = compare(noise, truth, n=7)
    assert right["precision@0.1%"] < 0.2
    assert right["overlap@1%"] < 0.05


# Levels


def test_neuron_level_truth_sums_the_change_of_each_neurons_weights():
    truth = make_truth(m=300, d=3)
    bef, aft = ranking.unflatten(truth.weights.gain.astype(np.float64), 300, 3)
    expected = [bef[j].sum() + aft[:, j].sum() for j in range(300)]
    np.testing.assert_allclose(truth.neurons.gain, expected, rtol=1e-12)
    assert truth.neurons.n_positives == 3
    assert set(np.flatnonzero(truth.neurons.positives)) == set(np.argsort(expected)[-3:])


def test_at_least_one_item_is_positive():
    truth = make_truth()
    assert (truth.weights.n_items, truth.weights.n_positives) == (120, 1)
    assert (truth.neurons.n_items, truth.neurons.n_positives) == (12, 1)


def test_every_k_is_a_floor_of_the_items_at_its_level():
    truth = make_truth(m=64, d=16)
    assert truth.ks(WEIGHT, 2) == dict(zip(LABELS, [2, 10, 20, 40, 102, 204, 32], strict=True))
    assert truth.ks(LIFTED, 2) == truth.ks(WEIGHT, 2)
    assert truth.ks(NEURON, 2) == dict(zip(LABELS, [1, 1, 1, 1, 3, 6, 2], strict=True))


def test_a_budget_beyond_the_layer_is_cut_to_it():
    assert make_truth().ks(WEIGHT, 4)["n"] == 120
    assert make_truth().ks(NEURON, 40)["n"] == 12


@pytest.mark.parametrize("levels", [None, 3])
def test_a_lifted_method_scores_as_a_weight_method_with_its_neurons_scores(levels):
    truth = make_truth(3)
    rng = np.random.default_rng(4)
    scores = rng.normal(size=M) if levels is None else rng.integers(0, levels, M).astype(float)
    assert compare(scores, truth, LIFTED) == pytest.approx(
        compare(ranking.spread(scores, D), truth, WEIGHT)
    )


@pytest.mark.parametrize("seed", range(3))
def test_no_neuron_score_recalls_more_positives_than_the_oracle(seed):
    m, d = 5, 4
    rng = np.random.default_rng(seed)
    abs_diff = rng.exponential(size=2 * m * d).astype(np.float32)
    truth = ground_truth.prepare_truth(abs_diff, m, d, (5, 20, 33, 50, 80), 25, (1,))
    best = compare(ground_truth.oracle(truth), truth, LIFTED, n=1)
    names = [name for name in best if name.startswith("precision@")]
    reached = dict.fromkeys(names, 0.0)
    for order in itertools.permutations(np.arange(5.0)):
        found = compare(np.array(order), truth, LIFTED, n=1)
        assert all(found[name] <= best[name] + 1e-12 for name in names)
        reached = {name: max(reached[name], found[name]) for name in names}
    assert reached == pytest.approx({name: best[name] for name in names})


# Truncated rankings


@pytest.mark.parametrize("level", [WEIGHT, NEURON, LIFTED])
def test_what_lies_beyond_a_truncated_ranking_does_not_exist(level):
    truth = make_truth(5, m=200, d=6, ns=(3,))
    scores = np.random.default_rng(6).normal(size=2400 if level == WEIGHT else 200)
    limit = {WEIGHT: 72, NEURON: 3, LIFTED: 36}[level]
    whole, cut = (compare(scores, truth, level, n=3, limit=x) for x in (None, limit))
    ks = truth.ks(level, 3)
    assert any(k <= limit for k in ks.values())
    assert any(k > limit for k in ks.values())
    for label, k in ks.items():
        for name in comparison.AT_K:
            value = cut[f"{name}@{label}"]
            assert (
                math.isnan(value)
                if k > limit
                else value == pytest.approx(whole[f"{name}@{label}"], nan_ok=True)
            )
    assert not {"ap", "auc", "spearman", "kendall"} & cut.keys()


def test_the_first_hit_of_a_truncated_ranking_exists_where_it_is_certain():
    truth = make_truth(7)
    gain = truth.weights.gain
    cut = compare(gain, truth, limit=8)
    assert (cut["first_hit"], cut["exam"]) == (1, 1 / 120)
    assert "first_hit" not in compare(-gain, truth, limit=8)
    # Of 10 items tied with the positive, it may or may not be among the first 8.
    tied = np.where(gain >= np.sort(gain)[-10], 1.0, 0.0)
    assert "first_hit" not in compare(tied, truth, limit=8)
    assert compare(tied, truth, limit=10)["first_hit"] == pytest.approx(5.5)


# Random rankings


@pytest.mark.parametrize("level", [WEIGHT, NEURON])
def test_the_random_row_is_that_of_scores_that_say_nothing(level):
    truth = make_truth(8)
    size = truth.gains(level).n_items
    expected = comparison.random_expected(truth, level, 2)
    found = compare(np.zeros(size), truth, level)
    assert expected.pop("kendall") == expected.pop("spearman") == 0
    assert math.isnan(found.pop("spearman"))
    assert found == pytest.approx(expected, nan_ok=True)


def test_at_neuron_level_there_are_no_matrices_to_stratify_by():
    truth = make_truth(9)
    assert math.isnan(compare(np.arange(12.0), truth, NEURON)["lift_stratified@10%"])
    assert math.isnan(comparison.random_expected(truth, NEURON, 2)["lift_stratified@10%"])


def test_preferring_one_matrix_beats_random_and_not_the_stratified_null():
    rng = np.random.default_rng(10)
    m, d = 120, 60
    abs_diff = unequal_matrices(rng, m, d)
    truth = ground_truth.prepare_truth(abs_diff, m, d, (10, 50), 1, (30,))
    prefers_bef = np.repeat([1.0, 0.0], m * d)
    found = compare(prefers_bef, truth, n=30)
    for label, k in truth.ks(WEIGHT, 30).items():
        assert found[f"lift@{label}"] > 1.2
        assert found[f"lift_stratified@{label}"] == pytest.approx(1)
        groups = groups_at(WEIGHT, prefers_bef, truth, (30,))
        null = nulls.stratified_at_k(groups, truth.weights, k, truth.discount)
        assert null["precision"] == pytest.approx(found[f"precision@{label}"])


# The table


def test_columns_are_those_of_the_specification():
    expected = ["ds", "fold", "setting", "level", "method", "n", "n_items", "n_positives"]
    for label in LABELS:
        expected += [
            f"{name}@{label}"
            for name in ("precision", "recall", "f1", "overlap", "lift", "lift_stratified",
                         "ndcg", "mass")
        ]  # fmt: skip
    expected += ["ap", "auc", "spearman", "kendall", "first_hit", "first_hit_best",
                 "first_hit_worst", "exam"]  # fmt: skip
    assert comparison.columns(PERCENTS) == expected


def test_table_holds_every_value_and_leaves_the_others_empty():
    truth = make_truth(11)
    scores = np.random.default_rng(12).random(120)
    whole, cut = compare(scores, truth), compare(scores, truth, limit=32)
    head = {"setting": "all", "level": WEIGHT, "method": "x"}
    table = comparison.scores_table([head | whole, head | {"n": 2} | cut], PERCENTS)
    assert list(table.columns) == comparison.columns(PERCENTS)
    assert table["n"].isna().tolist() == [True, False]
    assert (table["n"].dtype, table["kendall"].dtype) == (pd.Int64Dtype(), np.float64)
    assert set(whole) <= set(table.columns)
    for name, value in whole.items():
        assert table.loc[0, name] == pytest.approx(value, nan_ok=True)
    assert table.loc[1, ["ap", "auc", "spearman"]].isna().all()
