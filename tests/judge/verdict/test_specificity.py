"""Specificity: each ranking against every setting's truth, by brute force and by hand."""

import numpy as np
import pandas as pd
import pytest

from utils import ranking
from utils.judge.names import NEURON, WEIGHT
from utils.judge.verdict.relabelling import membership, positive_rows
from utils.judge.verdict.specificity import cross_lifts, specificity

M, D, K = 7, 4, 9
N = 2 * M * D
SETTINGS = ("all", "a", "b")


def brute_lift(scores, positives, k, draws=4000):
    """Mean over random orders within ties."""
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(draws):
        order = np.lexsort((rng.random(len(scores)), -scores))
        hits.append(positives[order[:k]].sum())
    return np.mean(hits) / k / positives.mean()


@pytest.mark.parametrize("level", [WEIGHT, NEURON])
def test_every_pair_of_settings(level):
    rng = np.random.default_rng(2)
    scores = {s: np.round(4 * rng.random(M if level == NEURON else N)) for s in SETTINGS}
    positives = {s: rng.random(N) < 0.25 for s in SETTINGS[1:]}
    table = cross_lifts(
        {s: membership(x, level, M, D, K) for s, x in scores.items()},
        {s: positive_rows(x, M, D) for s, x in positives.items()},
        N, K, "lift@1%",
    )  # fmt: skip
    assert len(table) == 6
    for row in table.itertuples(index=False):
        at_weights = scores[row.setting]
        at_weights = ranking.spread(at_weights, D) if level == NEURON else at_weights
        expected = brute_lift(at_weights, positives[row.truth_setting], K)
        assert row[2] == pytest.approx(expected, abs=0.06)


def test_a_ranking_of_its_own_truth_is_specific_and_a_shared_one_is_not():
    rng = np.random.default_rng(0)
    positives = {s: rng.random(N) < 0.2 for s in SETTINGS}
    truths = {s: positive_rows(x, M, D) for s, x in positives.items()}

    def found(scores):
        members = {s: membership(x, WEIGHT, M, D, K) for s, x in scores.items()}
        return specificity(cross_lifts(members, truths, N, K, "lift"), "lift")

    own = found({s: x + 0.1 * rng.random(N) for s, x in positives.items()})
    shared = positives["a"] + 0.1 * rng.random(N)
    assert own > 2
    assert found(dict.fromkeys(SETTINGS, shared)) == pytest.approx(0, abs=1e-9)


def test_by_hand():
    table = pd.DataFrame(
        [("a", "a", 5.0), ("a", "b", 1.0), ("b", "a", 2.0), ("b", "b", 3.0)],
        columns=["setting", "truth_setting", "lift"],
    )
    assert specificity(table, "lift") == pytest.approx(4 - 1.5)
    assert np.isnan(specificity(table[table["setting"] == "a"], "lift"))
