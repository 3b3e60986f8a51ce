"""Step 0: make the folds of a data set and fine-tune a model on each, a checkpoint per epoch.

Folds and checkpoints that exist are kept, with --force too: to train a fold
again, move its out_vit folder away. A training that was killed goes on from
its last epoch. Several GPUs: torchrun --nproc_per_node=N exp-fl-5-0.py ...
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from utils.constants import PROFILES
from utils.data import fold, folds
from utils.model import replays, training, training_of_fold
from utils.run import cli, log
from utils.run.ledger import Ledger
from utils.run.stopwatch import Stopwatch

STEP = 0
SHARES_AND_SECONDS = ("M1 on repair", "M2 on repair", "seconds")


@dataclass(frozen=True)
class Outcome:
    """What the table at the end says about a fold."""

    sizes: dict[str, int | None]
    checkpoints: list[Path]
    accuracies: list[float | None]
    seconds: float | None
    replays: int


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="the data set on disk instead of the hub's: a folder of DatasetDict.save_to_disk, "
        "of parquet files, of IDX files (MNIST's), or of images by split and class",
    )
    parser.add_argument(
        "--base-model",
        metavar="DIR",
        help="the model to fine-tune, a folder on disk or another name on the hub",
    )
    parser.add_argument(
        "--replays",
        type=int,
        metavar="R",
        help="train the last epoch R times more, each in another order (default: the profile's)",
    )


def work(job: cli.Job) -> Outcome:
    profile = PROFILES[job.args.ds]
    training_of_fold.replays_wanted(job, profile)  # a mistake there ends it before any work
    watch = Stopwatch()
    ledger = Ledger(job.paths, STEP, job.constants, {}, job.args.force)
    with training_of_fold.nothing_half_done(job):
        with training.main_process_first():
            made = fold.ensure_splits(job, profile, ledger)
        trained = training_of_fold.ensure_training(job, profile, ledger)
        replayed = training_of_fold.ensure_replays(job, profile, ledger)
        if log.is_main_process():
            ledger.close()
        seconds = watch.seconds if made or trained or replayed else None
        return outcome(job, seconds)


def outcome(job: cli.Job, seconds: float | None) -> Outcome:
    pair = training.complete_checkpoints(job.paths)[-2:]
    ours = training.read_record(job.paths) is not None
    sizes = folds.sizes(job.paths)
    accuracies = [training.repair_accuracy(checkpoint) if ours else None for checkpoint in pair]
    return Outcome(sizes, pair, accuracies, seconds, len(replays.find_replays(job.paths)))


def show(finished: list[tuple[cli.Job, Outcome]]) -> None:
    rows = [
        {
            "fold": job.paths.fold,
            **outcome.sizes,
            "M1": outcome.checkpoints[0].name,
            "M2": outcome.checkpoints[1].name,
            "M1 on repair": outcome.accuracies[0],
            "M2 on repair": outcome.accuracies[1],
            "replays": outcome.replays,
            "seconds": outcome.seconds,
        }
        for job, outcome in finished
    ]
    table = pd.DataFrame(rows).astype(dict.fromkeys(SHARES_AND_SECONDS, float))
    print(table.to_string(index=False, na_rep="-", float_format="{:.3f}".format))


if __name__ == "__main__":
    cli.run(STEP, __doc__, work, add_options=add_options, needs=(), after=show)
