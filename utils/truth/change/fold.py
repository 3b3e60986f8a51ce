"""The truth `change` of a fold: how far each FFN weight moved from M1 to M2."""

import numpy as np
import pandas as pd

from utils import ranking
from utils.errors import UserError
from utils.model import checkpoints
from utils.model.inputs import ACCEPTED, M1_FFN, M2_FFN, Inputs
from utils.run import pictures, storage
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.run.task import Task
from utils.truth import positives
from utils.truth.change import histogram, tables
from utils.truth.positives import Border
from utils.truth.registry import CHANGE, TRUTHS

STEP = TRUTHS[CHANGE].step


def write_change(job: Job, inputs: Inputs) -> None:
    """abs_diff.npy, its ranking, summary and histogram, or nothing where they are up to date."""
    # Every hash comes first, so that a broken checkpoint is found before anything is written.
    task = inputs.ledger.task(
        "ground_truth",
        inputs=[M1_FFN, M2_FFN],
        constants=["POSITIVE_PERCENT", "M1_STEP", "M2_STEP", ACCEPTED],
        makes=write_change,
    )
    if task.done:
        job.log.info("ground_truth/ is up to date: kept")
        return
    checkpoints.require_same_shapes(inputs.pair.m1, inputs.pair.m2)
    with task:
        job.log.info("reads the FFN of %s and %s", inputs.pair.m1, inputs.pair.m2)
        watch = Stopwatch()
        w_m1, w_m2 = read_pair(inputs)
        abs_diff = np.abs(w_m2 - w_m1)
        order = ranking.rank_by(abs_diff)
        task.time("ground_truth", watch.seconds)
        percent = job.constants["POSITIVE_PERCENT"]
        borders = tables.change_borders(abs_diff, order, percent, inputs.m, inputs.d)
        refuse_without_truth(job, inputs, abs_diff, borders)
        say_what_changed(job, inputs, w_m1, w_m2, borders)
        task.save_array(job.paths.abs_diff, abs_diff)
        task.save_array(job.paths.truth_ranking, order)
        table = tables.summary_table(abs_diff, order, borders, inputs.m, inputs.d)
        task.save_table(job.paths.truth_summary, table)
        save_histogram(job, task, abs_diff, order, borders["weights"])
        job.log.info("wrote %s", job.paths.abs_diff.parent)


def read_pair(inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """The ranked weights of M1 and of M2 in canonical order, each float32 (N,)."""
    first, second = (checkpoints.read_ffn(folder) for folder in (inputs.pair.m1, inputs.pair.m2))
    return ranking.flatten(*first), ranking.flatten(*second)


def refuse_without_truth(
    job: Job, inputs: Inputs, abs_diff: np.ndarray, borders: dict[str, Border]
) -> None:
    names = f"{inputs.pair.m1.name} and {inputs.pair.m2.name} in {job.paths.training}"
    if not abs_diff.any():
        raise UserError(
            f"{names} have the same FFN weights: there is no ground truth; "
            "give two different epochs"
        )
    try:
        positives.require_positives(borders, f"|W(M2) - W(M1)| of {names}")
    except ValueError as error:
        raise UserError(str(error)) from None


def say_what_changed(
    job: Job, inputs: Inputs, w_m1: np.ndarray, w_m2: np.ndarray, borders: dict[str, Border]
) -> None:
    names = inputs.pair.m1.name, inputs.pair.m2.name
    job.log.info(
        "%s of %s FFN weights did not change from %s to %s",
        f"{np.count_nonzero(w_m1 == w_m2):,}", f"{len(w_m1):,}", *names,
    )  # fmt: skip
    for line in tables.remarks(dict(zip(names, (w_m1, w_m2), strict=True)), borders):
        job.log.warning(line)


def save_histogram(
    job: Job, task: Task, abs_diff: np.ndarray, order: np.ndarray, weights: Border
) -> None:
    full = weights.n_positives == weights.wanted
    percent = job.constants["POSITIVE_PERCENT"]
    top = f"top {percent:g}%" if full else f"{weights.n_positives:,} positives"
    threshold = abs_diff[order[weights.n_positives - 1]]
    figure = histogram.change_histogram(abs_diff, threshold, top, job.paths.name)
    for path in pictures.save_figure(figure, job.paths.truth_histogram):
        task.add_output(path)


def write_top(job: Job, inputs: Inputs, n: int) -> None:
    """The first 8 n^2 weights of the truth, with their values in M1 and in M2."""
    paths = job.paths
    task = inputs.ledger.task(
        f"ground_truth/n{n}",
        inputs=[M1_FFN, M2_FFN, (paths.truth_ranking, STEP)],
        makes=write_top,
    )
    if task.done:
        return
    with task:
        watch = Stopwatch()
        order = storage.open_array(paths.truth_ranking)
        first = np.array(order[: ranking.weight_budget(n, len(order))])
        table = tables.top_table(*read_pair(inputs), first, inputs.m, inputs.d)
        task.time("ground_truth", watch.seconds, n=n)
        task.save_table(paths.truth_top(n), table)
        job.log.info("wrote %s", paths.truth_top(n))
        if unchanged := np.count_nonzero(table["abs_diff"] == 0):
            job.log.warning("its last %s weights did not change", f"{unchanged:,}")


def read_summary(job: Job) -> dict[str, float]:
    """The quantities of summary.csv."""
    return pd.read_csv(job.paths.truth_summary).set_index("quantity")["value"].to_dict()
