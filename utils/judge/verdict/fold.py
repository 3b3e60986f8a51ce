"""Step 7's part of the verdict: each method's lift under relabelled neurons, and specificity."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm import tqdm

from utils import ranking
from utils.judge.details import permutation
from utils.judge.names import TRUTH_STEP, shown_level
from utils.judge.rankings.files import read_file
from utils.judge.rankings.source import ScoreSource, by_method, files_of
from utils.judge.truth_files import TruthFiles
from utils.judge.verdict import relabelling, specificity
from utils.judge.verdict.relabelling import (
    Positives,
    membership,
    overlap_matrix,
    positive_rows,
    relabel,
)
from utils.judge.verdict.specificity import mean_lift
from utils.model.inputs import Inputs
from utils.run import storage
from utils.run.cli import Job
from utils.run.paths import FoldPaths
from utils.truth import positives
from utils.truth.registry import REPAIR


def write_relabelled(
    job: Job, inputs: Inputs, truths: list[TruthFiles], sources: list[ScoreSource]
) -> None:
    """Per truth a table of lifts with their null moments and an array of every draw.

    Whole rankings of methods only: no reference, no ranking cut at a budget.
    The same relabellings serve every method, every truth and every fold: they are drawn from
    SEED, not from the fold's seed, so that draw b of all folds can be added up.
    """
    paths = job.paths
    methods = by_method(sources)
    task = inputs.ledger.task(
        "relabelled",
        inputs=[
            *(item for truth in truths for item in truth.inputs),
            *(item for found in methods.values() for item in files_of(found)),
            *((path, TRUTH_STEP) for path in replay_files(paths, inputs).values()),
        ],
        constants=["POSITIVE_PERCENT", "SEED", "PERMUTATION_DRAWS"],
        makes=write_relabelled,
    )
    if task.done:
        return
    with task:
        percent, n_weights = (
            job.constants["POSITIVE_PERCENT"],
            ranking.n_weights(inputs.m, inputs.d),
        )
        k, column = ranking.share_of(percent, n_weights), f"lift@{percent:g}%"
        draws = job.constants["PERMUTATION_DRAWS"]
        relabellings = permutation.draw_relabellings(inputs.m, draws, job.constants["SEED"])
        known = {truth.name: positives_of(truth) for truth in truths}
        rows = {truth.name: [] for truth in truths}
        nulls = {truth.name: [] for truth in truths}
        crossed, replayed = [], []
        replays = positives_of_replays(job, inputs)
        for (level, method), found in tqdm(methods.items(), desc="verdict", unit="method"):
            members = {s.key.setting: membership_of(s, inputs.m, inputs.d, k) for s in found}
            head = {"ds": paths.ds, "fold": paths.fold, "level": shown_level(level)}
            head |= {"method": method}
            for name, truth in known.items():
                pairs = [(members[s], truth[s]) for s in members if s in truth]
                if not pairs:
                    continue
                one = relabel(overlap_matrix(pairs, n_weights, k), relabellings)
                rows[name].append(
                    head
                    | {"n_settings": len(pairs), "k": k, "lift": one.lift}
                    | {"null_mean": one.null_mean, "null_sd": one.null_sd}
                )
                nulls[name].append(one.null)
            if REPAIR in known:
                table = specificity.cross_lifts(members, known[REPAIR], n_weights, k, column)
                crossed.append(table.assign(**head)[[*specificity.COLUMNS, column]])
            replayed += [
                head | {"replay": number, column: mean_lift(members, positive, n_weights, k)}
                for number, positive in replays.items()
            ]
        for name in known:
            table = pd.DataFrame(rows[name], columns=relabelling.COLUMNS)
            task.save_table(paths.judged("relabelled", name), table)
            task.save_array(paths.relabelled_lifts(name), np.array(nulls[name]).reshape(-1, draws))
        if crossed:
            task.save_table(paths.specificity, pd.concat(crossed, ignore_index=True))
        if replayed:
            task.save_table(paths.replay_lifts, pd.DataFrame(replayed))
    job.log.info("wrote %s", ", ".join(paths.judged("relabelled", n).name for n in known))


def replay_files(paths: FoldPaths, inputs: Inputs) -> dict[int, Path]:
    """|dW| of each replay in another order, by its number."""
    files = {r: paths.replay_change(r) for r in inputs.replays if r > 0}
    return {r: path for r, path in files.items() if path.is_file()}


def positives_of_replays(job: Job, inputs: Inputs) -> dict[int, Positives]:
    """The positives of each replay's |dW|; a replay that changed no weight has none."""
    found = {}
    size = ranking.n_weights(inputs.m, inputs.d)
    wanted = ranking.share_of(job.constants["POSITIVE_PERCENT"], size)
    for number, path in replay_files(job.paths, inputs).items():
        values = storage.load_array(path, (np.float32,), (size,), storage.run_again(TRUTH_STEP))
        rows = positive_rows(
            positives.positive_mask(np.asarray(values), wanted), inputs.m, inputs.d
        )
        if rows.count:
            found[number] = rows
    return found


def membership_of(source: ScoreSource, m: int, d: int, k: int) -> sparse.csr_array:
    """A ranking's top k, one neuron a row, from its file."""
    scores = read_file(source, m, ranking.n_weights(m, d))
    return membership(scores, source.key.level, m, d, k)


def positives_of(truth: TruthFiles) -> dict[str, Positives]:
    """A truth's positives in each setting; settings that share them share the object."""
    found = {}
    for group in truth.groups:
        rows = positive_rows(truth.positives(group[0]), truth.m, truth.d)
        found |= dict.fromkeys(group, rows)
    return found
