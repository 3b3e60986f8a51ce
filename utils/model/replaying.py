"""Step 0's replays: the last epoch again from M1, once in the same order and R times in others."""

import shutil
from collections.abc import Callable
from pathlib import Path

from utils.constants import Profile
from utils.errors import UserError
from utils.model import replays, tensors, training
from utils.run.cli import Job
from utils.run.hashing import HashCache, hash_bytes
from utils.run.ledger import Ledger
from utils.run.log import is_main_process
from utils.run.stopwatch import Stopwatch

# (data seed, folder that receives the checkpoint) -> the device it ran on
Replay = Callable[[int, Path], str]


def make_replays(job: Job, profile: Profile, ledger: Ledger, wanted: int) -> list[int]:
    """Make the replays 1..wanted that the fold lacks, after checking that training repeats.

    Returns
    -------
    The numbers of the replays that were made now.

    Raises
    ------
    UserError : the fold was trained elsewhere, its M1 cannot be gone on from, or
        a replay that is there began at another M1.
    """
    m1, m2 = training.complete_checkpoints(job.paths)[-2:]
    require_whole(m1)
    there = replays.find_replays(job.paths)
    for number in there:
        replays.require_same_m1(job.paths, number, there[number], m1, ledger.hashes)
    missing = [number for number in range(1, wanted + 1) if number not in there]
    if not missing:
        return []

    def replay(data_seed: int, destination: Path) -> str:
        from utils.model import finetuning  # seconds of imports that finished folds do without

        return finetuning.replay_epoch(
            job.paths, profile, job.seed, data_seed, m1, destination,
            finetuning.loader_workers(job),
        )  # fmt: skip

    check_order_zero(job, ledger, m1, m2, replay)
    for number in missing:
        make_replay(job, ledger, m1, number, replay)
    return missing


def require_whole(m1: Path) -> None:
    """A replay takes up the optimizer and the scheduler where M1 left them."""
    absent = [name for name in training.RESUME_FILES if not (m1 / name).is_file()]
    if absent:
        raise UserError(
            f"the last epoch cannot be replayed from {m1} (no {absent[0]}); "
            "copy the whole checkpoint there, or give --replays 0"
        )


def make_replay(job: Job, ledger: Ledger, m1: Path, number: int, replay: Replay) -> None:
    watch = Stopwatch()
    seed = replays.data_seed(job.seed, number)
    job.log.info("replay %d of the last epoch, from %s with data seed %d", number, m1.name, seed)
    if is_main_process():
        record = replays.make_record(m1, ledger.hashes, job.seed, number)
        replays.save_record(job.paths, number, record)
    ledger.device = replay(seed, job.paths.replay(number))
    if is_main_process():
        with ledger.task(f"replay {number}", parameters=record, makes=make_replays) as task:
            task.time(f"replay {number}", watch.seconds)


def check_order_zero(job: Job, ledger: Ledger, m1: Path, m2: Path, replay: Replay) -> None:
    """Replay 0, in M2's own order: on the CPU it must give M2's bytes; on a GPU it is kept.

    Raises
    ------
    UserError : the training does not repeat, so that replays would differ from
        M2 by more than the order of the data.
    """
    content = {name: weights_hash(path, ledger.hashes) for name, path in [("M1", m1), ("M2", m2)]}
    task = ledger.task("replay 0", parameters=content, makes=make_replays)
    if task.done:
        return
    job.log.info("replay 0: the last epoch again in M2's own order of the data, as a check")
    folder = job.paths.replay_check
    shutil.rmtree(folder, ignore_errors=True)
    with task:
        watch = Stopwatch()
        ledger.device = replay(job.seed, folder)
        (found,) = folder.glob("checkpoint-*")
        same = weights_hash(found, HashCache(folder / "hashes")) == content["M2"]
        if not same and ledger.device == "cpu":
            shutil.rmtree(folder, ignore_errors=True)
            raise UserError(
                f"the last epoch of {job.paths.training}, trained again in the same order, does "
                f"not give the weights of {m2.name}: this machine computes otherwise than the one "
                "that trained it; move the folder away to train again here, or give --replays 0"
            )
        task.time("replay 0", watch.seconds)
        if same:
            shutil.rmtree(folder)
        else:  # a GPU: what arithmetic alone changes is worth knowing
            folder.rename(job.paths.replay(0))
    job.log.info("replay 0 %s", "gives M2's bytes" if same else "is kept: its sums have no order")


def weights_hash(checkpoint: Path, hashes: HashCache) -> str:
    """Content hash of a checkpoint's weights alone."""
    files = tensors.weight_files(checkpoint)
    return hash_bytes(*(hashes.get(file).encode() for file in files))
