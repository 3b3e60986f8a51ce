"""Steps 8 and 9 end with what they say across folds, in the folder of step 7's summary."""

import importlib
from functools import partial
from types import ModuleType

from utils import constants as user_constants
from utils.run import cli, storage
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths, SummaryPaths

# The task belongs to the last step, and each of the two makes it anew from what there is.
LAST_STEP = 9
CODE = (
    "ranking", "run.pictures", "judge.transplants", "judge.layers", "summary.across_folds",
    "summary.statistics", "summary.fold_tables", "summary.effects", "summary.effect_files",
    "summary.recovery", "summary.figures.recovery", "summary.figures.shared",
    "summary.figures.truths",
)  # fmt: skip


def summarise(jobs: list[cli.Job]) -> str:
    """Make the tables and figures across the jobs' folds, or keep them; the finding in words."""
    first = jobs[0]
    folds = [job.paths for job in jobs]
    given = tuple(sorted(paths.fold for paths in folds))
    others = () if given == tuple(sorted(user_constants.FOLDS)) else given
    paths = SummaryPaths(first.paths.root, first.paths.ds, other_folds=others)
    lock = cli.lock_fold(paths)
    try:
        storage.remove_temporaries(paths.results)
        files = {
            f"{fold.name}/{path.relative_to(fold.results).as_posix()}": path
            for fold in folds
            for path in fold_files(fold, first.constants["TRUTHS"])
            if path.is_file()
        }
        hashed = {name: partial(_hash, path=path) for name, path in files.items()}
        ledger = Ledger(paths, LAST_STEP, first.constants, hashed, first.args.force)
        task = ledger.task(
            "effects",
            inputs=list(files),
            constants=["TRUTHS", "N_FOLDS", "K_PERCENTS"],
            parameters={"folds": [fold.name for fold in folds]},
            code=[ModuleType(f"utils.{name}") for name in CODE],
        )
        if not task.done:
            with task:
                # Imports the plots.
                importlib.import_module("utils.summary.effect_files").write(
                    task, paths, folds, first.constants
                )
        ledger.hashes.save()
    finally:
        lock.release()
    found = paths.effect_notes.read_text(encoding="utf-8").partition("\n\n")[0]
    return f"\n{found}\n\nTables and figures: {paths.results}"


def fold_files(fold: FoldPaths, truths: list[str]) -> list:
    return [
        *(fold.judged("scores", truth) for truth in truths),
        fold.transplants,
        fold.layers,
        fold.planted_table,
    ]


def _hash(hashes, path) -> str:  # noqa: ANN001
    return hashes.get(path)
