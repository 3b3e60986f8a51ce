"""Where gains tie, as after an epoch in bf16, the order of the indices is no information."""

import itertools
import math
from types import SimpleNamespace

import folds_of_step7 as given
import numpy as np
import pandas as pd
import pytest
import torch

from utils import ranking
from utils.errors import UserError
from utils.judge import names
from utils.judge.details import curves as details
from utils.judge.details import permutation
from utils.judge.names import LIFTED, NEURON, WEIGHT
from utils.judge.scores import comparison, gains, ground_truth, ties
from utils.summary.folds import read_tables
from utils.summary.scores import notes

M, D = 512, 128
N = 2 * M * D  # 131,072: the top 1% are 1,310 weights and 5 neurons
PERCENTS = (0.1, 0.5, 1, 2, 5, 10)


@pytest.fixture(scope="module")
def bf16_epoch():
    """The truth of an epoch whose steps are mostly lost in bf16, by weights far apart in size."""
    rng = np.random.default_rng(0)
    weights = torch.from_numpy(rng.normal(0, 0.02, N)).bfloat16()
    steps = torch.from_numpy(rng.normal(0, 2.5e-7, N))
    change = ((weights.double() + steps).bfloat16() - weights).abs().float().numpy()
    return ground_truth.prepare_truth(change, M, D, PERCENTS, 1, [16])


def score(scores, truth, level):
    if level == LIFTED:
        groups = ties.group_neurons(scores, truth.by_neuron)
    else:
        make = {WEIGHT: comparison.weight_groups, NEURON: comparison.neuron_groups}[level]
        groups = make(scores, ranking.rank_by(scores), truth, [16])
    return comparison.compare(groups, truth, level, 16)


def test_positives_of_a_bf16_epoch_are_weights_that_changed(bf16_epoch):
    side = bf16_epoch.weights
    changed = np.count_nonzero(side.gain)
    assert 200 < changed < 1310
    assert side.n_positives == changed
    np.testing.assert_array_equal(side.positives, side.gain > 0)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_score_that_is_only_the_index_scores_chance(bf16_epoch, sign):
    index = sign * np.arange(N, dtype=np.float64)
    found = score(index, bf16_epoch, WEIGHT)
    r = bf16_epoch.weights.n_positives
    for label, k in bf16_epoch.ks(WEIGHT, 16).items():
        sd = math.sqrt(k * r / N) / k  # of precision, and nearly of overlap
        assert found[f"precision@{label}"] == pytest.approx(r / N, abs=4 * sd), label
        assert found[f"overlap@{label}"] == pytest.approx(k / N, abs=4 * sd), label
    best = score(ground_truth.oracle(bf16_epoch), bf16_epoch, LIFTED)
    assert found["lift@1%"] < best["lift@1%"]
    assert found["auc"] == pytest.approx(0.5, abs=0.1)


def test_the_index_passes_no_permutation_test(bf16_epoch):
    index = -np.arange(N, dtype=np.float64)
    k = ranking.share_of(1, N)
    mine = details.method_rows(index, WEIGHT, bf16_epoch, k)
    theirs = details.truth_rows(bf16_epoch, k)
    assert theirs.sum(dtype=np.float64) == pytest.approx(k)
    test = permutation.neuron_overlap_test(mine, theirs, permutation.draw_relabellings(M, 99, 0))
    assert abs(test.z) < 4
    found = score(index, bf16_epoch, WEIGHT)
    assert test.observed == pytest.approx(k * found["overlap@1%"], rel=1e-4)


def test_the_truth_itself_finds_every_positive(bf16_epoch):
    found = score(bf16_epoch.weights.gain, bf16_epoch, WEIGHT)
    assert found["recall@1%"] == found["auc"] == found["ap"] == pytest.approx(1)
    assert found["ndcg@10%"] == found["mass@1%"] == pytest.approx(1)
    # Of the 1,310 places those behind the changed weights are anybody's, for method and truth.
    n, r = 1310, bf16_epoch.weights.n_positives
    assert found["overlap@1%"] == pytest.approx((r + (n - r) ** 2 / (N - r)) / n)


# Whatever is permuted together


def tied_case(seed=0, m=20, d=6):
    """Whole-number gains, most of them 0, and scores that tie, of weights and of neurons."""
    rng = np.random.default_rng(seed)
    bef, aft = (np.maximum(rng.integers(-6, 4, shape), 0) for shape in ((m, d), (d, m)))
    bef[0], bef[1, 0] = 7, 9  # neurons far apart at the top
    gain = ranking.flatten(bef, aft).astype(np.float32)
    return gain, rng.integers(0, 5, 2 * m * d) * 1.0, rng.integers(0, 4, m) * 1.0, m, d


def everything(gain, weight_scores, neuron_scores, m, d):
    """What step 7 keeps of two methods and the oracle, one number a name."""
    truth = ground_truth.prepare_truth(gain, m, d, (1, 5, 10, 30), 6, [2])
    assert truth.weights.n_positives < ranking.share_of(6, len(gain))
    bins = details.neuron_bins(truth)
    ks = details.curve_ks(len(gain))
    oracle = ground_truth.oracle(truth)
    found = {}
    for name, scores, level in [("w", weight_scores, WEIGHT), ("n", neuron_scores, NEURON),
                                ("oracle", oracle, NEURON)]:  # fmt: skip
        shown = [WEIGHT] if level == WEIGHT else [NEURON, LIFTED]
        for at in shown:
            found |= {f"{name} {at} {key}": value for key, value in score_of(scores, truth, at)}
        mine = details.method_rows(scores, level, truth, 14)
        test = details.permutation_row(mine, details.truth_rows(truth, 14), 14,
                                       permutation.draw_relabellings(m, 9, 0))  # fmt: skip
        found |= {f"{name} {key}": test[key] for key in ("observed", "null_mean", "null_sd", "z")}
        rows = details.location_rows(mine, bins, d)
        found |= {f"{name} place {i}": row["share"] for i, row in enumerate(rows)}
        order = ranking.rank_by(scores) if level == WEIGHT else None
        for key, curve in details.method_curve(scores, order, level, truth, ks).items():
            found |= {f"{name} curve {key} {i}": value for i, value in enumerate(curve)}
    rows = details.location_rows(details.positive_rows(truth), bins, d)
    return found | {f"truth {i}": row["share"] for i, row in enumerate(rows)}


def score_of(scores, truth, level):
    if level == LIFTED:
        groups = ties.group_neurons(scores, truth.by_neuron)
    else:
        make = {WEIGHT: comparison.weight_groups, NEURON: comparison.neuron_groups}[level]
        groups = make(scores, ranking.rank_by(scores), truth, [2])
    yield from comparison.compare(groups, truth, level, 2).items()
    if level != NEURON:
        for name, value in comparison.random_stratified(groups, truth, 2).items():
            yield f"null {name}", value


@pytest.mark.parametrize("seed", range(3))
def test_neurons_that_trade_places_change_nothing(seed):
    gain, weight_scores, neuron_scores, m, d = tied_case(seed)
    moved = np.random.default_rng(seed + 10).permutation(m)

    def trade(values):
        bef, aft = ranking.unflatten(values, m, d)
        return ranking.flatten(bef[moved], aft[:, moved])

    before = everything(gain, weight_scores, neuron_scores, m, d)
    after = everything(trade(gain), trade(weight_scores), neuron_scores[moved], m, d)
    assert after == pytest.approx(before, rel=1e-6, abs=1e-9, nan_ok=True)


def test_neurons_with_equally_many_positives_share_their_bins():
    """Mean over all orders of the tied neurons, two neurons a bin."""
    values = np.array([0.5, 0.1, 0.0, 0.25, 0.15, 0.0])
    positives = [0, 3, 1, 1, 1, 0]
    order = ranking.rank_by(np.array(positives, dtype=np.float32))
    start = gains.group_starts(np.array(positives)[order])
    bins = details.NeuronBins(order, start, np.array([0, 0, 1, 1, 2, 2]))
    orders = [
        [1, *ones, *zeros]
        for ones in itertools.permutations([2, 3, 4])
        for zeros in itertools.permutations([0, 5])
    ]
    expected = np.mean([values[o].reshape(3, 2).sum(axis=1) for o in orders], axis=0)
    assert bins.spread(values) == pytest.approx(expected)


# Step 7


@pytest.fixture
def no_methods_of_ours():
    with pytest.MonkeyPatch.context() as patch:
        given.without_models(patch)
        yield


def few_changes():
    """20 of 640 weights changed, in 3 of 40 neurons; 32 positives are wanted, and 2 neurons."""
    change = np.zeros(given.N, dtype=np.float32)
    bef, aft = ranking.unflatten(change, given.M, given.D)
    bef[30], aft[:, 20], bef[9, :4] = 3, 2, 1
    return change


def test_every_table_of_step_7_has_the_positives_there_are(tmp_path, no_methods_of_ours, caplog):
    change = given.write_fold(tmp_path, 0, few_changes())
    given.drop_methods(tmp_path, 0, change)
    np.save(
        tmp_path / "exp-fl-5/digits_fold0/all/weight_index_score.npy",
        -np.arange(given.N, dtype=np.float32),
    )
    paths = given.evaluate(tmp_path, 0).paths
    assert "abs_diff.npy: R is 20 among weights, not 32: every other gain is 0" in caplog.text
    scores = pd.read_csv(paths.judged("scores"))
    counts = scores.groupby("level")["n_positives"].unique()
    assert {level: list(found) for level, found in counts.items()} == {
        WEIGHT: [20], LIFTED: [20], NEURON: [2],
    }  # fmt: skip
    expected = scores[scores["method"] == "random (expected)"].set_index("level")
    assert expected.loc[WEIGHT, "precision@5%"].iloc[0] == pytest.approx(20 / 640)
    assert expected.loc[WEIGHT, "overlap@5%"].iloc[0] == pytest.approx(32 / 640)
    # The index: its first 32 weights are neurons 0 to 3 of W_bef, which did not change.
    index = scores[scores["method"] == "index"].iloc[0]
    assert index["precision@5%"] == index["lift@5%"] == 0
    assert index["overlap@5%"] == pytest.approx(12 / 620)  # 12 places for 620 unchanged ones
    tests = pd.read_csv(paths.judged("permutation")).set_index(["method", "top"])
    assert tests.loc[("index", "5%"), "k"] == 32
    assert tests.loc[("index", "5%"), "observed"] == pytest.approx(32 * 12 / 620, rel=1e-5)
    curves = pd.read_csv(paths.judged("curves"))
    ideal = curves[curves["method"] == names.IDEAL]
    assert ideal["recall"].to_numpy() == pytest.approx(np.minimum(ideal["k"] / 20, 1))
    places = pd.read_csv(paths.judged("locations"))
    truth = places[places["method"] == names.TRUTH].set_index(["matrix", "bin"])["share"]
    # Neurons 20 and 30 hold 8 each and share the first two bins; neuron 9 is third.
    for bin_, share in [(0, 0.2), (1, 0.2), (2, 0.2), (3, 0)]:
        assert truth["W_bef", bin_] == pytest.approx(share)
    assert truth["W_aft", 0] == truth["W_aft", 1] == pytest.approx(0.2)
    mine = places[places["method"] == "index"].groupby("bin")["share"].sum()
    assert mine[:3].sum() == 0
    assert mine[3:].to_numpy() == pytest.approx(1 / 37)  # one of 37 alike, wherever it stands
    (said,) = notes.fewer_positives(read_tables.load([paths]), 5)
    assert said.startswith(
        "Fewer positives than the top 5% by 'change': 20 of 32 weights in fold 0."
    )


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (slice(0, 33), "no positive is left among the 640 weights: the 33 largest gains"),
        ([0, 8, 16], "no positive is left among the 40 neurons: the 3 largest gains are equal"),
    ],
)
def test_step_7_refuses_a_truth_without_positives(tmp_path, no_methods_of_ours, places, said):
    change = np.zeros(given.N, dtype=np.float32)
    change[places] = 0.5
    given.write_fold(tmp_path, 0, change)
    given.drop_methods(tmp_path, 0, change)
    with pytest.raises(UserError, match=rf"abs_diff\.npy: {said}"):
        given.evaluate(tmp_path, 0)
    assert not list(tmp_path.glob("exp-fl-5/*/exp-fl-5-7_scores.csv"))


def test_the_notes_say_nothing_where_nothing_is_missing():
    table = pd.DataFrame({"fold": [0, 0, 1], "level": [WEIGHT, NEURON, WEIGHT],
                          "n_items": [640, 40, 640], "n_positives": [32, 2, 32]})  # fmt: skip
    tables = SimpleNamespace(scores=table, truth="change")
    assert notes.fewer_positives(tables, 5) == []
    table.loc[2, "n_positives"], table.loc[1, "n_positives"] = 7, 1
    (said,) = notes.fewer_positives(tables, 5)
    assert "7 of 32 weights in fold 1, 1 of 2 neurons in fold 0" in said
