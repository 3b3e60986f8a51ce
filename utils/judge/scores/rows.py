"""The rows of one ranking in the scores table, and those of random rankings."""

import numpy as np
import pandas as pd

from utils import ranking
from utils.data.setting_names import ALL
from utils.errors import UserError
from utils.judge.details import curves as details
from utils.judge.scores import comparison, metrics
from utils.judge.scores.comparison import LIFTED, NEURON, WEIGHT, FoldTruth
from utils.judge.sources import RANDOM, STEP, Source, read_order, read_scores
from utils.run.cli import Job


def evaluate_source(
    source: Source, truth: FoldTruth, ns: list[int], kendall: bool
) -> tuple[list[dict], list[dict]]:
    """Rows of one method in one setting: the whole ranking, then cut at each budget.

    A whole ranking has columns @n where there is one budget; with several they
    would mean another K than in the next row, and only the cut rankings have them.

    Returns
    -------
    The rows of the scores table, and for those at weight level the rows of a
    random ranking that mixes the two matrices as this one does.
    """
    scores = read_scores(source, truth)
    order = read_order(source, scores)
    whole = ns if source.n is None else [source.n]
    make = {
        WEIGHT: lambda: _groups(comparison.weight_groups, source, scores, order, truth, whole),
        NEURON: lambda: _groups(comparison.neuron_groups, source, scores, order, truth, whole),
        LIFTED: lambda: metrics.group_neurons(scores, truth.by_neuron),
    }
    rows, stratified = [], []
    for level in source.levels:
        if level not in truth.levels:
            continue
        found = make[level]()
        row = {"setting": source.setting, "level": level, "method": source.method}
        row |= sizes(truth, level)
        if source.n is None:
            values = comparison.compare(found, truth, level, only(ns))
            if kendall and level != NEURON:
                shown = scores if level == WEIGHT else ranking.lift(scores, truth.d)
                values["kendall"] = metrics.kendall(shown, truth.weights.gain)
            elif level == NEURON:
                values["kendall"] = metrics.kendall(scores, truth.neurons.gain)
            rows.append(row | values)
        if level != NEURON:
            limit = None if source.n is None else cut_size(level, source.n, truth)
            null = details.stratified(found, truth, source.n or only(ns), limit)
            stratified.append(row | {"n": source.n} | null)
        for n in ns if source.n is None else [source.n]:
            if source.has_cut:
                limit = cut_size(level, n, truth)
                rows.append(row | {"n": n} | comparison.compare(found, truth, level, n, limit))
    return rows, stratified


def sizes(truth: FoldTruth, level: str) -> dict[str, int]:
    """The columns that say what was compared."""
    side = truth.truth(level)
    return {"n_items": side.n_items, "n_positives": side.n_positives}


def only(ns: list[int]) -> int | None:
    """The one budget there is, or None."""
    return ns[0] if len(ns) == 1 else None


def _groups(make, source, scores, order, truth, ns) -> metrics.TieGroups:  # noqa: ANN001
    try:
        return make(scores, order, truth, ns)
    except ValueError as error:
        raise UserError(
            f"{source.order} does not belong to {source.score.name} ({error}); "
            f"run exp-fl-5-{source.step}.py again"
        ) from None


def cut_size(level: str, n: int, truth: FoldTruth) -> int:
    """Items in a ranking cut at budget n: n neurons, their 2dn weights, or 8 n^2 weights."""
    if level == NEURON:
        return n
    return 2 * truth.d * n if level == LIFTED else ranking.weight_budget(n, len(truth.weights.gain))


def random_rows(job: Job, truth: FoldTruth, settings: list[str], ns: list[int]) -> list[dict]:
    """The two random rows at each level, under each of `settings`, which share the truth.

    Each setting shows the fold's one sample. With several budgets there are
    rows for each, as of the methods.
    """
    rows = []
    for level in (NEURON, WEIGHT):
        if level not in truth.levels:
            continue
        source = Source(ALL, level, RANDOM, job.paths.score(ALL, level, RANDOM), None, STEP)
        found, _ = evaluate_source(source, truth, ns, job.constants["WITH_KENDALL"])
        sampled = [row for row in found if row["level"] == level]
        expected = [comparison.random_expected(truth, level, only(ns))]
        if level == WEIGHT and not job.constants["WITH_KENDALL"]:
            expected[0]["kendall"] = np.nan
        for n in ns:
            cut = comparison.random_expected(truth, level, n, cut_size(level, n, truth))
            expected.append({"n": n} | cut)
        shown = 1 if len(ns) == 1 else 1 + len(ns)
        for setting in settings:
            head = {"setting": setting, "level": level, **sizes(truth, level)}
            for one, other in zip(expected[:shown], sampled[:shown], strict=True):
                rows.append(one | head | {"method": comparison.RANDOM_EXPECTED})
                rows.append(other | head | {"method": comparison.RANDOM_SAMPLED})
    return rows


def finish(job: Job, rows: list[dict], settings: list[str]) -> pd.DataFrame:
    """The rows as a table, sorted by setting, then as evaluated."""
    for row in rows:
        row |= {"ds": job.paths.ds, "fold": job.paths.fold}
    table = comparison.scores_table(rows, job.constants["K_PERCENTS"])
    place = {setting: i for i, setting in enumerate(settings)}
    return table.sort_values(
        "setting", key=lambda s: s.map(place), kind="stable", ignore_index=True
    )
