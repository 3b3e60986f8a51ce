"""Products at some places against whole products, sparse or not."""

import numpy as np
import pytest
import torch

from utils import ranking
from utils.judge.retrain import places

M, D, G, B = 13, 7, 3, 11


@pytest.fixture(params=[0, 1, 0.15], ids=["whole products", "entry by entry", "by density"])
def share(request, monkeypatch):
    monkeypatch.setattr(places, "SPARSE_UP_TO", request.param)


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("k", [1, 9, 60, 2 * M * D])
def test_products_are_those_of_whole_matrices(share, k):
    weights = np.random.default_rng(k).permutation(2 * M * D)[:k].astype(np.int32)
    found = places.find_places(weights, M, D, torch.zeros(1))
    matrix, row, column = ranking.locate(weights, M, D)
    values = normal(G, k)
    parts = found.split(values)
    picks = found.bef, found.aft, found.aft_quiet
    rows = found.active, found.active, found.quiet
    u, left, right = normal(D, B), normal(M, B), normal(G, B, D)
    dense = torch.zeros(G, 2, M, D)  # both matrices with a row for each neuron
    for i, at in enumerate(found.order):
        where = (0, row[at], column[at]) if matrix[at] == 0 else (1, column[at], row[at])
        dense[(slice(None), *where)] = values[:, i]
    made = torch.cat(
        [p.product(left[n].expand(G, -1, -1), right) for p, n in zip(picks, rows, strict=True)], 1
    )
    for kind, pick, neurons, part in zip((0, 1, 1), picks, rows, parts, strict=True):
        own = dense[:, kind, neurons]
        start = normal(*pick.shape)
        before, start = normal(pick.shape[0], B), normal(*pick.shape)
        torch.testing.assert_close(pick.add_multiplied(before, part, u), before + own @ u)
        torch.testing.assert_close(pick.add_to(start, part), start + own)
        assert torch.equal(start, normal(*pick.shape))  # it stays as it was
    whole = torch.einsum("jb,gbi->gji", left, right)
    for i, at in enumerate(found.order):
        neuron, other = (row[at], column[at]) if matrix[at] == 0 else (column[at], row[at])
        torch.testing.assert_close(made[:, i], whole[:, neuron, other])
    assert np.array_equal(found.in_order_of_ranking(values[0])[found.order], values[0].numpy())


def test_a_neuron_is_active_where_a_weight_of_w_bef_moves():
    weights = np.array([M * D + 2 * M + 5, 3 * D + 1, M * D + 3, 3 * D, M * D + 8], dtype=np.int32)
    found = places.find_places(weights, M, D, torch.zeros(1))
    assert found.active.tolist() == [3] and found.quiet.tolist() == [5, 8]
    assert found.order.tolist() == [3, 1, 2, 0, 4]


def test_few_entries_are_made_one_by_one_and_many_by_the_whole_product():
    one, half = (
        places.find_places(np.arange(n, dtype=np.int32), M, D, torch.zeros(1)).bef for n in (1, 6)
    )
    assert one.pattern is not None and half.pattern is None
    none = places.find_places(np.arange(0, dtype=np.int32), M, D, torch.zeros(1))
    assert none.bef.pattern is None and none.bef.shape == (0, D)
