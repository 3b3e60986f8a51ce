"""Step 0's second half on one fold: M1 and M2 are trained, or kept as they are."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from utils.constants import Profile
from utils.data import folds
from utils.errors import UserError
from utils.model import checkpoints, replaying, replays, training
from utils.run.cli import Job
from utils.run.ledger import Ledger
from utils.run.log import is_main_process
from utils.run.stopwatch import Stopwatch

TASK = "training"


@contextmanager
def nothing_half_done(job: Job) -> Iterator[None]:
    """Take away what a training leaves that fails before its first checkpoint."""
    try:
        yield
    except BaseException:
        if is_main_process():
            training.forget_failed(job.paths)
        raise


def ensure_training(job: Job, profile: Profile, ledger: Ledger) -> bool:
    """Train the job's fold where it has too few checkpoints; whether it did.

    Raises
    ------
    UserError : it was trained with other values, or cannot be gone on with.
    """
    with training.main_process_first():
        record = recipe(job, profile, ledger)
        done = training.usable_checkpoints(job.paths, record, profile.epochs)
    if len(done) < profile.epochs:
        train(job, profile, ledger, record, done[-1] if done else None)
        return True
    job.log.info("%s has %d checkpoints: kept as it is", job.paths.training, len(done))
    if changed := ledger.other_code(f"{training.STEP}/{TASK}"):
        job.log.warning("%s; move the folder away to train again", changed)
    return False


def recipe(job: Job, profile: Profile, ledger: Ledger) -> dict[str, Any]:
    """What decides the weights of M1 and M2, as training.json keeps it."""
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
    job: Job, profile: Profile, ledger: Ledger, record: dict[str, Any], resume_from: Path | None
) -> None:
    """Fine-tune a model on the job's fold, from the beginning or from a checkpoint of ours."""
    from utils.model import finetuning  # seconds of imports that finished folds do without

    main = is_main_process()
    watch = Stopwatch()
    with ledger.task(TASK, constants=["SEED"], makes=train) if main else nullcontext() as task:
        if main and resume_from is None:
            training.save_record(job.paths, record)
        device = finetuning.train_fold(
            job.paths,
            profile,
            job.seed,
            job.args.base_model or profile.base_model,
            finetuning.loader_workers(job),
            resume_from,
            job.log,
        )
        if main:
            ledger.device = device
            task.time("training (resumed)" if resume_from else "training", watch.seconds)


def replays_wanted(job: Job, profile: Profile) -> int:
    wanted = profile.replays if job.args.replays is None else job.args.replays
    if wanted < 0:
        raise UserError(f"--replays is {wanted}; give a number of at least 0")
    return wanted


def ensure_replays(job: Job, profile: Profile, ledger: Ledger) -> bool:
    """Make the replays of the last epoch that are wanted and not there; whether any was made."""
    wanted = replays_wanted(job, profile)
    if not wanted:
        return False
    if training.read_record(job.paths) is None:
        job.log.warning(
            "%s was trained elsewhere, with what only its own script knows: no replays made here; "
            "to have them, train its last epoch again from M1 (%s)",
            job.paths.training, replays.BY_HAND,
        )  # fmt: skip
        return False
    return bool(replaying.make_replays(job, profile, ledger, wanted))
