import numpy as np
import pytest
import torch

from utils import ranking
from utils.truth.change import tables as change
from utils.truth.positives import Border

M, D = 7, 3


def two_models(seed=0, m=M, d=D):
    rng = np.random.default_rng(seed)
    w_m1 = rng.normal(size=2 * m * d).astype(np.float32)
    w_m2 = w_m1 + (0.1 * rng.normal(size=2 * m * d)).astype(np.float32)
    w_m2[::5] = w_m1[::5]
    return w_m1, w_m2


def test_rows_name_the_matrix_and_the_place_in_it():
    values = np.arange(2 * M * D)
    w_bef, w_aft = ranking.unflatten(values, M, D)
    indices = np.array([40, 0, 21, 20, 5])
    found = ranking.weight_rows(indices, M, D)
    matrices = {"W_bef": w_bef, "W_aft": w_aft}
    places = zip(found["matrix"], found["row"], found["col"], strict=True)
    assert [matrices[name][row, col] for name, row, col in places] == indices.tolist()


def test_top_table_holds_the_most_changed_weights_in_order():
    w_m1, w_m2 = two_models()
    order = ranking.rank_by(np.abs(w_m2 - w_m1))
    table = change.top_table(w_m1, w_m2, order[:9], M, D)
    assert list(table.columns) == [
        "rank", "matrix", "row", "col", "w_m1", "w_m2", "diff", "abs_diff",
    ]  # fmt: skip
    assert table["rank"].tolist() == list(range(1, 10))
    assert table["abs_diff"].is_monotonic_decreasing
    before, after = (dict(zip(ranking.MATRICES, ranking.unflatten(w, M, D), strict=True))
                     for w in (w_m1, w_m2))  # fmt: skip
    for row in table.itertuples():
        place = (row.row, row.col)
        assert row.w_m1 == before[row.matrix][place]
        assert row.w_m2 == after[row.matrix][place]
        assert row.diff == np.float32(row.w_m2) - np.float32(row.w_m1)
        assert row.abs_diff == abs(row.diff)
    left_out = np.delete(np.abs(w_m2 - w_m1), order[:9])
    assert table["abs_diff"].min() >= left_out.max()


@pytest.mark.parametrize(
    ("percent", "wanted", "n_top"), [(1, 1, 1), (10, 4, 4), (100, 42, 33)], ids=str
)
def test_summary_agrees_with_counting(percent, wanted, n_top):
    """Nine of the 42 weights did not change."""
    w_m1, w_m2 = two_models(1)
    abs_diff = np.abs(w_m2 - w_m1)
    order = ranking.rank_by(abs_diff)
    borders = change.change_borders(abs_diff, order, percent, M, D)
    table = change.summary_table(abs_diff, order, borders, M, D)
    found = dict(zip(table["quantity"], table["value"], strict=True))
    top = order[:n_top].tolist()
    owners = [w // D if w < M * D else (w - M * D) % M for w in top]
    in_bef = sum(w < M * D for w in top)
    wide = abs_diff.astype(np.float64)
    expected = {
        "n_weights": 42,
        "d": D,
        "m": M,
        "n_positives": n_top,
        "n_positives_wanted": wanted,
        "n_positive_neurons": max(1, percent * M // 100),
        "n_positive_neurons_wanted": max(1, percent * M // 100),
        "threshold_abs_diff": min(wide[top]),
        "share_of_top_in_W_bef": in_bef / n_top,
        "share_of_top_in_W_aft": 1 - in_bef / n_top,
        "neurons_with_a_top_weight": len(set(owners)),
        "most_top_weights_in_one_neuron": max(owners.count(j) for j in range(M)),
        "share_of_total_change_in_top": wide[top].sum() / wide.sum(),
        "unchanged_weights": sum(x == 0 for x in abs_diff),
        "mean_abs_diff": wide.mean(),
        "quantile_0": wide.min(),
        "quantile_0.5": np.sort(wide)[[20, 21]].mean(),
        "quantile_1": wide.max(),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_borders_are_found_at_either_level():
    abs_diff = np.zeros(2 * M * D, dtype=np.float32)
    bef, aft = ranking.unflatten(abs_diff, M, D)
    bef[2, 0], aft[0, 2] = 2, 1  # neuron 2 changed by 3
    bef[5, 1] = bef[5, 2] = aft[1, 5] = 1  # and so did neuron 5
    aft[2, 0] = 1
    borders = change.change_borders(abs_diff, ranking.rank_by(abs_diff), 10, M, D)
    assert borders["weights"] == Border(42, wanted=4, n_positives=1, gain=1, n_tied=5)
    assert borders["neurons"] == Border(7, wanted=1, n_positives=0, gain=3, n_tied=2)
    borders = change.change_borders(abs_diff, ranking.rank_by(abs_diff), 30, M, D)
    assert borders["weights"] == Border(42, wanted=12, n_positives=6, gain=0, n_tied=36)
    assert borders["neurons"] == Border(7, wanted=2, n_positives=2, gain=3, n_tied=2)


@pytest.mark.parametrize("name", ["bf16", "fp16", None])
def test_the_format_that_weights_were_stored_in_is_seen_in_their_values(name):
    weights = torch.from_numpy(two_models()[0])
    narrow = {"bf16": torch.bfloat16, "fp16": torch.float16, None: torch.float32}[name]
    values = weights.to(narrow).float().numpy()
    assert change.narrow_format(values) == name
    values[3] = np.float32(0.1)  # one value of full precision
    assert change.narrow_format(values) is None
    assert change.narrow_format(np.float32([1e6 + 1 / 16, 3])) is None  # infinite in fp16
