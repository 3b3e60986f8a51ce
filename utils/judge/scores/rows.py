"""The rows of one ranking in the scores table, and those of random rankings."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from utils import ranking
from utils.judge.names import LIFTED, NEURON, RANDOM_EXPECTED, RANDOM_SAMPLED, WEIGHT
from utils.judge.scores import comparison, metrics, ties
from utils.judge.scores.ground_truth import GroundTruth
from utils.ranking import RankingKey


@dataclass(frozen=True)
class Ranked:
    """One ranking to be compared.

    levels : where it is compared: its own, and a neuron-level ranking among weights too.
    scores : (m,) or (N,), higher is more suspicious. order : int32, their ranking.
    n : the budget that the scores depend on, or None.
    has_cut : whether it is compared cut at each budget as well.
    """

    key: RankingKey
    levels: tuple[str, ...]
    scores: np.ndarray
    order: np.ndarray
    n: int | None = None
    has_cut: bool = True


@dataclass(frozen=True)
class Rows:
    """What one ranking has in the tables of a truth.

    scores : rows of the scores table.
    stratified : those of a random ranking that mixes the two matrices as this one does.
    """

    scores: list[dict]
    stratified: list[dict]


def rows_of(ranked: Ranked, truth: GroundTruth, ns: list[int], kendall: bool) -> Rows:
    """Rows of one method in one setting: the whole ranking, then cut at each budget.

    A whole ranking has columns @n where there is one budget; with several they
    would mean another K than in the next row, and only the cut rankings have them.

    kendall : whether Kendall's tau is computed at weight level.

    Raises
    ------
    NotARanking : `ranked.order` is not the ranking of its scores.
    """
    rows, stratified = [], []
    for level in ranked.levels:
        if level not in truth.levels:
            continue
        groups = _groups(ranked, level, truth, ns if ranked.n is None else [ranked.n])
        row = {"setting": ranked.key.setting, "level": level, "method": ranked.key.method}
        row |= sizes(truth, level)
        if ranked.n is None:
            values = comparison.compare(groups, truth, level, only(ns))
            rows.append(row | values | _kendall(ranked.scores, level, truth, kendall))
        if level != NEURON:
            limit = None if ranked.n is None else cut_size(level, ranked.n, truth)
            null = comparison.random_stratified(groups, truth, ranked.n or only(ns), limit)
            stratified.append(row | {"n": ranked.n} | null)
        for n in (ns if ranked.n is None else [ranked.n]) if ranked.has_cut else ():
            limit = cut_size(level, n, truth)
            rows.append(row | {"n": n} | comparison.compare(groups, truth, level, n, limit))
    return Rows(rows, stratified)


def _groups(ranked: Ranked, level: str, truth: GroundTruth, ns: list[int]) -> ties.TieGroups:
    if level == LIFTED:
        return ties.group_neurons(ranked.scores, truth.by_neuron)
    make = comparison.weight_groups if level == WEIGHT else comparison.neuron_groups
    return make(ranked.scores, ranked.order, truth, ns)


def _kendall(
    scores: np.ndarray, level: str, truth: GroundTruth, at_weights: bool
) -> dict[str, float]:
    if level == NEURON:
        return {"kendall": metrics.kendall(scores, truth.neurons.gain)}
    if not at_weights:
        return {}
    shown = scores if level == WEIGHT else ranking.spread(scores, truth.d)
    return {"kendall": metrics.kendall(shown, truth.weights.gain)}


def sizes(truth: GroundTruth, level: str) -> dict[str, int]:
    """The columns that say what was compared."""
    side = truth.gains(level)
    return {"n_items": side.n_items, "n_positives": side.n_positives}


def only(ns: list[int]) -> int | None:
    """The one budget there is, or None."""
    return ns[0] if len(ns) == 1 else None


def cut_size(level: str, n: int, truth: GroundTruth) -> int:
    """Items in a ranking cut at budget n: n neurons, their 2dn weights, or 8 n^2 weights."""
    if level == NEURON:
        return n
    return 2 * truth.d * n if level == LIFTED else ranking.weight_budget(n, len(truth.weights.gain))


def random_rows(
    samples: Iterable[Ranked],
    truth: GroundTruth,
    settings: Iterable[str],
    ns: list[int],
    kendall: bool,
) -> list[dict]:
    """The two random rows at each level, under each of `settings`, which share the truth.

    Each setting shows the fold's one sample. With several budgets there are
    rows for each, as of the methods.

    samples : the random ranking of neurons, and that of weights.
    """
    rows = []
    for sample in samples:
        level = sample.key.level
        if level not in truth.levels:
            continue
        found = rows_of(sample, truth, ns, kendall).scores
        sampled = [row for row in found if row["level"] == level]
        expected = [comparison.random_expected(truth, level, only(ns))]
        if level == WEIGHT and not kendall:
            expected[0]["kendall"] = np.nan
        for n in ns:
            cut = comparison.random_expected(truth, level, n, cut_size(level, n, truth))
            expected.append({"n": n} | cut)
        shown = 1 if len(ns) == 1 else 1 + len(ns)
        for setting in settings:
            head = {"setting": setting, "level": level, **sizes(truth, level)}
            for one, other in zip(expected[:shown], sampled[:shown], strict=True):
                rows.append(one | head | {"method": RANDOM_EXPECTED})
                rows.append(other | head | {"method": RANDOM_SAMPLED})
    return rows


def finish(rows: list[dict], settings: list[str], percents: Iterable[float]) -> pd.DataFrame:
    """The rows, which name their fold, as a table, sorted by setting, then as evaluated."""
    table = comparison.scores_table(rows, percents)
    place = {setting: i for i, setting in enumerate(settings)}
    return table.sort_values(
        "setting", key=lambda s: s.map(place), kind="stable", ignore_index=True
    )
