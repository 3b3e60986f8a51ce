"""The truth `pooled` of a fold: |dW| averaged over M2 and the replays of the last epoch."""

from pathlib import Path

import numpy as np

from utils import ranking
from utils.errors import UserError
from utils.model import checkpoints, replays
from utils.model.inputs import M1_FFN, M2_FFN, Inputs, replay_ffn
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth.pooled.mean import SAME_ORDER, agreement_table, mean_change


def write_pooled(job: Job, inputs: Inputs) -> None:
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
        makes=write_pooled,
    )
    if task.done:
        return
    with task:
        watch = Stopwatch()
        w_m1 = ranking.flatten(*checkpoints.read_ffn(inputs.pair.m1))
        changes = {"0": change_to(inputs.pair.m2, w_m1)}
        for number, folder in usable.items():
            change = change_to(folder, w_m1)
            task.save_array(paths.replay_change(number), change)
            changes[str(number) if number else SAME_ORDER] = change
        others = [change for name, change in changes.items() if name != SAME_ORDER]
        task.save_array(paths.pooled_change, mean_change(others))
        table = agreement_table(changes, job.constants["POSITIVE_PERCENT"])
        task.save_table(paths.agreement, table)
        task.time("pooled", watch.seconds)
    job.log.info("wrote %s and %s", paths.pooled_change, paths.agreement.name)


def change_to(checkpoint: Path, w_m1: np.ndarray) -> np.ndarray:
    """|dW| from M1's weights, float32 (N,), to those of a checkpoint."""
    return np.abs(ranking.flatten(*checkpoints.read_ffn(checkpoint)) - w_m1)


def usable_replays(job: Job, inputs: Inputs) -> dict[int, Path]:
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
