"""Step 0: make the folds of a data set and fine-tune a ViT on each, a checkpoint per epoch.

Folds and checkpoints that exist are kept, with --force too: to train a fold
again, move its out_vit folder away. A training that was killed goes on from
its last epoch. Several GPUs: torchrun --nproc_per_node=N exp-fl-5-0.py ...
"""

import argparse
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from utils.constants import PROFILES, Profile
from utils.data import folds
from utils.errors import UserError
from utils.model import checkpoints, replaying, replays, training
from utils.run import cli, log
from utils.run.ledger import Ledger
from utils.run.stopwatch import Stopwatch

STEP = 0


@dataclass(frozen=True)
class Outcome:
    """What the table at the end says about a fold."""

    sizes: dict[str, int]
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
        help="the ViT to fine-tune, a folder on disk or another name on the hub",
    )
    parser.add_argument(
        "--replays",
        type=int,
        metavar="R",
        help="train the last epoch R times more, each with the data in another order "
        "(default: the profile's)",
    )


def work(job: cli.Job) -> Outcome:
    try:
        return make_and_train(job)
    except BaseException:
        if log.is_main_process():
            training.forget_failed(job.paths)
        raise


def make_and_train(job: cli.Job) -> Outcome:
    profile = PROFILES[job.args.ds]
    wanted = profile.replays if job.args.replays is None else job.args.replays
    if wanted < 0:
        raise UserError(f"--replays is {wanted}; give a number of at least 0")
    watch = Stopwatch()
    ledger = Ledger(job.paths, STEP, job.constants, {}, job.args.force)
    with training.main_process_first():
        made = make_fold(job, profile, ledger)
        record = recipe(job, profile, ledger)
        done = training.usable_checkpoints(job.paths, record, profile.epochs)
    trains = len(done) < profile.epochs
    if trains:
        train(job, profile, ledger, record, done[-1] if done else None)
        done = training.complete_checkpoints(job.paths)
    else:
        job.log.info("%s has %d checkpoints: kept as it is", job.paths.training, len(done))
    replayed = replay(job, profile, ledger, wanted)
    if log.is_main_process():
        ledger.close()
    ours = training.read_record(job.paths) is not None
    return Outcome(
        {split: len(folds.load_split(job.paths, split)) for split in folds.SPLITS},
        done[-2:],
        [training.repair_accuracy(checkpoint) if ours else None for checkpoint in done[-2:]],
        watch.seconds if made or trains or replayed else None,
        len(replays.find_replays(job.paths)),
    )


def replay(job: cli.Job, profile: Profile, ledger: Ledger, wanted: int) -> list[int]:
    if not wanted:
        return []
    if training.read_record(job.paths) is None:
        job.log.warning("%s was trained elsewhere: no replays", job.paths.training)
        return []
    return replaying.make_replays(job, profile, ledger, wanted)


def make_fold(job: cli.Job, profile: Profile, ledger: Ledger) -> bool:
    constants = job.constants["SPLIT_SEED"], job.paths.fold, job.constants["N_FOLDS"]
    task = ledger.task(
        "folds", constants=["N_FOLDS", "SPLIT_SEED"], parameters=training.split_record(*constants)
    )
    if job.paths.dataset.exists():
        changed = ledger.why_stale(task.key) if task.key in ledger.content["tasks"] else None
        if changed:
            raise UserError(
                f"{job.paths.dataset} was made with another constant ({changed}); put the old "
                "value back, or move the folder away to make the fold again"
            )
        job.log.info("%s exists: kept as it is", job.paths.dataset)
        return False
    n_folds, split_seed = job.constants["N_FOLDS"], job.constants["SPLIT_SEED"]
    watch = Stopwatch()
    with task:
        source = folds.load_source(profile, job.args.data_dir, split_seed)
        folds.make_fold(job.paths, source, profile.test_split, n_folds, split_seed)
        task.time("folds", watch.seconds)
    job.log.info("%s made from %s", job.paths.dataset, job.args.data_dir or profile.source)
    return True


def recipe(job: cli.Job, profile: Profile, ledger: Ledger) -> dict[str, Any]:
    data = {
        split: folds.hash_split(job.paths, split, ledger.hashes) for split in ("train", "repair")
    }
    base = job.args.base_model or profile.base_model
    content = None
    if base and Path(base).is_dir():
        content = checkpoints.hash_checkpoint(Path(base), ledger.hashes)
    return training.make_record(
        job.constants, profile, job.args.base_model, data, content, job.paths.fold
    )


def train(
    job: cli.Job,
    profile: Profile,
    ledger: Ledger,
    record: dict[str, Any],
    resume_from: Path | None,
) -> None:
    from utils.model import finetuning

    main = log.is_main_process()
    watch = Stopwatch()
    with ledger.task("training", constants=["SEED"]) if main else nullcontext() as task:
        if main and resume_from is None:
            training.save_record(job.paths, record)
        device = finetuning.train_fold(
            job.paths,
            profile,
            job.seed,
            job.args.base_model or profile.base_model,
            job.constants["PREPROCESSING_WORKERS"],
            resume_from,
            job.log,
        )
        if main:
            ledger.device = device
            task.time("training (resumed)" if resume_from else "training", watch.seconds)


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
    table = pd.DataFrame(rows).astype(
        {"M1 on repair": float, "M2 on repair": float, "seconds": float}
    )
    print(table.to_string(index=False, na_rep="-", float_format="{:.3f}".format))


if __name__ == "__main__":
    cli.run(STEP, __doc__, work, add_options=add_options, needs=(), after=show)
