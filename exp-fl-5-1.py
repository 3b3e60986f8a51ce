"""Step 1: the ground truth - which FFN weights changed from M1 to M2, and by how much."""

from pathlib import Path

import numpy as np
import pandas as pd

from utils import ranking
from utils.errors import UserError
from utils.model import checkpoints, replays
from utils.model.inputs import (
    ACCEPTED,
    M1_FFN,
    M2_FFN,
    Inputs,
    choose_pair,
    open_inputs,
    replay_ffn,
)
from utils.run import cli, pictures
from utils.run.paths import FoldPaths
from utils.run.stopwatch import Stopwatch
from utils.run.task import Task
from utils.truth import change, histogram, pooled, positives
from utils.truth.positives import Border

STEP = 1


def work(job: cli.Job) -> dict[str, float]:
    inputs = open_inputs(job)
    paths, ledger = job.paths, inputs.ledger
    ns = job.budgets(inputs.d, inputs.m)
    # Every hash comes first, so that a broken checkpoint is found before anything is written.
    task = ledger.task(
        "ground_truth",
        inputs=[M1_FFN, M2_FFN],
        constants=["POSITIVE_PERCENT", "M1_STEP", "M2_STEP", ACCEPTED],
        code=[change, positives, histogram, ranking, pictures, checkpoints],
    )
    if task.done:
        job.log.info("ground_truth/ is up to date: kept")
    else:
        checkpoints.require_same_shapes(inputs.pair.m1, inputs.pair.m2)
        with task:
            write_truth(job, inputs, task)
    for n in ns:
        write_top(job, inputs, n)
    write_pooled(job, inputs)
    ledger.close()
    summary = pd.read_csv(paths.truth_summary).set_index("quantity")["value"]
    return summary.to_dict()


def read_pair(inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """The ranked weights of M1 and of M2 in canonical order, each float32 (N,)."""
    first, second = (checkpoints.read_ffn(folder) for folder in (inputs.pair.m1, inputs.pair.m2))
    return ranking.flatten(*first), ranking.flatten(*second)


def write_truth(job: cli.Job, inputs: Inputs, task: Task) -> None:
    paths, percent = job.paths, job.constants["POSITIVE_PERCENT"]
    job.log.info("reads the FFN of %s and %s", inputs.pair.m1, inputs.pair.m2)
    watch = Stopwatch()
    w_m1, w_m2 = read_pair(inputs)
    abs_diff = np.abs(w_m2 - w_m1)
    order = ranking.rank_by(abs_diff)
    seconds = watch.seconds
    borders = change.change_borders(abs_diff, order, percent, inputs.m, inputs.d)
    refuse_without_truth(inputs, paths, abs_diff, borders)
    names = inputs.pair.m1.name, inputs.pair.m2.name
    job.log.info(
        "%s of %s FFN weights did not change from %s to %s",
        f"{np.count_nonzero(abs_diff == 0):,}", f"{len(order):,}", *names,
    )  # fmt: skip
    for line in change.remarks(dict(zip(names, (w_m1, w_m2), strict=True)), borders):
        job.log.warning(line)
    task.time("ground_truth", seconds)
    task.save_array(paths.abs_diff, abs_diff)
    task.save_array(paths.truth_ranking, order)
    table = change.summary_table(abs_diff, order, borders, inputs.m, inputs.d)
    task.save_table(paths.truth_summary, table)
    weights = borders["weights"]
    full = weights.n_positives == weights.wanted
    top = f"top {percent:g}%" if full else f"{weights.n_positives:,} positives"
    threshold = abs_diff[order[weights.n_positives - 1]]
    figure = histogram.change_histogram(abs_diff, threshold, top, paths.name)
    for path in pictures.save_figure(figure, paths.truth_histogram):
        task.add_output(path)
    job.log.info("wrote %s", paths.abs_diff.parent)


def refuse_without_truth(
    inputs: Inputs, paths: FoldPaths, abs_diff: np.ndarray, borders: dict[str, Border]
) -> None:
    names = f"{inputs.pair.m1.name} and {inputs.pair.m2.name} in {paths.training}"
    if not abs_diff.any():
        raise UserError(
            f"{names} have the same FFN weights: there is no ground truth; "
            "give two different epochs"
        )
    positives.require_positives(borders, f"|W(M2) - W(M1)| of {names}")


def write_top(job: cli.Job, inputs: Inputs, n: int) -> None:
    paths = job.paths
    task = inputs.ledger.task(
        f"ground_truth/n{n}",
        inputs=[M1_FFN, M2_FFN, (paths.truth_ranking, STEP)],
        code=[change, ranking, checkpoints],
    )
    if task.done:
        return
    with task:
        watch = Stopwatch()
        order = np.load(paths.truth_ranking, mmap_mode="r")
        first = np.array(order[: ranking.weight_budget(n, len(order))])
        table = change.top_table(*read_pair(inputs), first, inputs.m, inputs.d)
        task.time("ground_truth", watch.seconds, n=n)
        task.save_table(paths.truth_top(n), table)
        job.log.info("wrote %s", paths.truth_top(n))
        if unchanged := np.count_nonzero(table["abs_diff"] == 0):
            job.log.warning("its last %s weights did not change", f"{unchanged:,}")


def write_pooled(job: cli.Job, inputs: Inputs) -> None:
    """The truth 'pooled' and how far replays agree; a replay that cannot be used is left out."""
    paths, ledger = job.paths, inputs.ledger
    usable = usable_replays(job, inputs)
    if not any(usable):  # replay 0 has M2's own order of the data
        ledger.drop("pooled")
        return
    task = ledger.task(
        "pooled",
        inputs=[M1_FFN, M2_FFN, *map(replay_ffn, usable)],
        constants=["POSITIVE_PERCENT"],
        code=[pooled, ranking, checkpoints],
    )
    if task.done:
        return
    with task:
        watch = Stopwatch()
        w_m1, w_m2 = read_pair(inputs)
        changes = {"0": np.abs(w_m2 - w_m1)}
        for number, folder in usable.items():
            change_here = np.abs(ranking.flatten(*checkpoints.read_ffn(folder)) - w_m1)
            task.save_array(paths.replay_change(number), change_here)
            changes[str(number) if number else pooled.SAME_ORDER] = change_here
        others = [change for name, change in changes.items() if name != pooled.SAME_ORDER]
        task.save_array(paths.pooled_change, pooled.mean_change(others))
        table = pooled.agreement_table(changes, job.constants["POSITIVE_PERCENT"])
        task.save_table(paths.agreement, table)
        task.time("pooled", watch.seconds)
    job.log.info("wrote %s and %s", paths.pooled_change, paths.agreement.name)


def usable_replays(job: cli.Job, inputs: Inputs) -> dict[int, Path]:
    """The replays that are of this M1, whole and finite; a line for each of the others."""
    usable = {}
    for number, folder in inputs.replays.items():
        try:
            hashes = inputs.ledger.hashes
            replays.require_same_m1(job.paths, number, folder, inputs.pair.m1, hashes)
            replays.require_shape(folder, inputs.pair.m1)
            # Reads it, and finds what is broken.
            found, of_m2 = (inputs.ledger.external(name) for name in (replay_ffn(number), M2_FFN))
            replays.require_other_weights(job.paths, number, found, of_m2)
            usable[number] = folder
        except UserError as error:
            job.warn(f"replay {number} is left out: {error}")
    return usable


def show(finished: list[tuple[cli.Job, dict[str, float]]]) -> None:
    columns = {
        "n_weights": "weights",
        "unchanged_weights": "unchanged",
        "n_positives": "positives",
        "threshold_abs_diff": "threshold",
        "share_of_top_in_W_bef": "in W_bef",
        "neurons_with_a_top_weight": "neurons",
        "share_of_total_change_in_top": "share of change",
    }
    rows = [
        {"fold": job.paths.fold, **{label: value[key] for key, label in columns.items()}}
        for job, value in finished
    ]
    whole = dict.fromkeys(["weights", "unchanged", "positives", "neurons"], int)
    print(pd.DataFrame(rows).astype(whole).to_string(index=False, float_format="{:.3g}".format))


if __name__ == "__main__":
    cli.run(
        STEP,
        __doc__,
        work,
        add_options=cli.add_budget,
        needs=("training",),
        ready=choose_pair,
        after=show,
    )
