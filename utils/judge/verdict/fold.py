"""Step 7's part of the verdict: each method's lift under relabelled neurons, and specificity."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm import tqdm

from utils import ranking
from utils.judge.details import permutation
from utils.judge.details.curves import shown_level
from utils.judge.sources import Source, read_file
from utils.judge.truths import TruthOfFold
from utils.judge.verdict import relabelling, specificity
from utils.judge.verdict.relabelling import (
    Positives,
    membership,
    overlap_matrix,
    positive_rows,
    relabel,
)
from utils.model.inputs import Inputs
from utils.run.cli import Job
from utils.truth import REPAIR, positives


def write_relabelled(
    job: Job, inputs: Inputs, truths: list[TruthOfFold], sources: list[Source]
) -> None:
    """Per truth a table of lifts with their null moments and an array of every draw.

    Whole rankings of methods only: no reference, no ranking cut at a budget.
    The same relabellings serve every method and every truth.
    """
    paths = job.paths
    methods = by_method(sources)
    task = inputs.ledger.task(
        "relabelled",
        inputs=[
            *(item for truth in truths for item in truth.inputs),
            *(item for found in methods.values() for source in found for item in source.inputs),
        ],
        constants=["POSITIVE_PERCENT", "SEED", "PERMUTATION_DRAWS"],
        code=(relabelling, permutation, specificity, positives, ranking, membership_of),
    )
    if task.done:
        return
    with task:
        k = ranking.share_of(
            job.constants["POSITIVE_PERCENT"], ranking.n_weights(inputs.m, inputs.d)
        )
        draws = job.constants["PERMUTATION_DRAWS"]
        relabellings = permutation.draw_relabellings(inputs.m, draws, job.seed)
        known = {truth.name: positives_of(truth) for truth in truths}
        rows = {truth.name: [] for truth in truths}
        nulls = {truth.name: [] for truth in truths}
        crossed = []
        for (level, method), found in tqdm(methods.items(), desc="verdict", unit="method"):
            members = {s.setting: membership_of(s, inputs.m, inputs.d, k) for s in found}
            head = {"ds": paths.ds, "fold": paths.fold, "level": shown_level(level)}
            head |= {"method": method}
            for name, truth in known.items():
                pairs = [(members[s], truth[s]) for s in members if s in truth]
                if not pairs:
                    continue
                one = relabel(overlap_matrix(pairs, 2 * inputs.m * inputs.d, k), relabellings)
                rows[name].append(
                    head
                    | {"n_settings": len(pairs), "k": k, "lift": one.lift}
                    | {"null_mean": one.null_mean, "null_sd": one.null_sd}
                )
                nulls[name].append(one.null)
            if REPAIR in known:
                crossed.append(cross(members, known[REPAIR], head, job, k, inputs))
        for name in known:
            table = pd.DataFrame(rows[name], columns=relabelling.COLUMNS)
            task.save_table(paths.judged("relabelled", name), table)
            task.save_array(paths.relabelled_lifts(name), np.array(nulls[name]).reshape(-1, draws))
        if crossed:
            task.save_table(paths.specificity, pd.concat(crossed, ignore_index=True))
    job.log.info("wrote %s", ", ".join(paths.judged("relabelled", n).name for n in known))


def by_method(sources: list[Source]) -> dict[tuple[str, str], list[Source]]:
    """Whole rankings of each method, (level, method), in the order they come."""
    found: dict[tuple[str, str], list[Source]] = {}
    for source in sources:
        if source.n is None and not source.is_reference:
            found.setdefault((source.level, source.method), []).append(source)
    return found


def membership_of(source: Source, m: int, d: int, k: int) -> sparse.csr_array:
    """A ranking's top k, one neuron a row, from its file."""
    scores = read_file(source, m, ranking.n_weights(m, d))
    return membership(scores, source.level, m, d, k)


def positives_of(truth: TruthOfFold) -> dict[str, Positives]:
    """A truth's positives in each setting; settings that share them share the object."""
    found = {}
    for group in truth.groups:
        rows = positive_rows(truth.positives(group[0]), truth.m, truth.d)
        found |= dict.fromkeys(group, rows)
    return found


def cross(
    members: dict[str, sparse.csr_array],
    truth: dict[str, Positives],
    head: dict,
    job: Job,
    k: int,
    inputs: Inputs,
) -> pd.DataFrame:
    column = f"lift@{job.constants['POSITIVE_PERCENT']:g}%"
    n_weights = ranking.n_weights(inputs.m, inputs.d)
    table = specificity.cross_lifts(members, truth, n_weights, k, column)
    return table.assign(**head)[[*specificity.COLUMNS, column]]


def read_nulls(table: pd.DataFrame, lifts: np.ndarray) -> Iterator[tuple[tuple[str, str], dict]]:
    """Rows of the table with their draws: ((level, method), values of `relabelling.Relabelled`)."""
    for row, null in zip(table.itertuples(index=False), lifts, strict=True):
        values = {name: getattr(row, name) for name in ("lift", "null_mean", "null_sd")}
        yield (row.level, row.method), values | {"null": null}
