"""Step 0's first half on one fold: its splits are made, or kept as they are."""

from utils.constants import Profile
from utils.data import folds, originals
from utils.data.repeats import split_record
from utils.errors import UserError
from utils.run.cli import Job
from utils.run.ledger import Ledger
from utils.run.stopwatch import Stopwatch


def ensure_splits(job: Job, profile: Profile, ledger: Ledger) -> bool:
    """Make train, repair and test of the job's fold where they are not there; whether it did.

    Raises
    ------
    UserError : they are there, made with other constants.
    """
    split_seed, n_folds = job.constants["SPLIT_SEED"], job.constants["N_FOLDS"]
    task = ledger.task(
        "folds",
        constants=["N_FOLDS", "SPLIT_SEED"],
        parameters=split_record(split_seed, job.paths.fold, n_folds),
        makes=folds.make_fold,
    )
    if job.paths.dataset.exists():
        if changed := ledger.other_constant(task.key):
            raise UserError(
                f"{job.paths.dataset} was made with another constant ({changed}); put the old "
                "value back, or move the folder away to make the fold again"
            )
        job.log.info("%s exists: kept as it is", job.paths.dataset)
        if changed := ledger.other_code(task.key):
            job.log.warning("%s; move the folder away to make the fold again", changed)
        return False
    watch = Stopwatch()
    with task:
        source = originals.load_source(profile, job.args.data_dir, split_seed)
        folds.make_fold(job.paths, source, profile.test_split, n_folds, split_seed)
        task.time("folds", watch.seconds)
    job.log.info("%s made from %s", job.paths.dataset, job.args.data_dir or profile.source)
    return True
