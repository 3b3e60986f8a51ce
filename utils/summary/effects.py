"""Steps 8 and 9 end with what they say across folds, in the folder of step 7's summary."""

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

from utils.run import cli, storage
from utils.run.hashing import HashCache
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths
from utils.run.task import Task
from utils.summary.fold_records import summary_paths

# The task belongs to the last step, and each of the two makes it anew from what there is.
LAST_STEP = 9
CODE = (
    "data.repeats", "ranking", "run.pictures", "judge.transplants", "judge.layers",
    "summary.across_folds",
    "summary.statistics", "summary.fold_tables", "summary.effects", "summary.effect_files",
    "summary.recovery", "summary.figures.recovery", "summary.figures.shared",
    "summary.figures.truths",
)  # fmt: skip


def summarise(jobs: list[cli.Job]) -> str:
    """Make the tables and figures across the jobs' folds, or keep them; the finding in words."""
    first = jobs[0]
    folds = [job.paths for job in jobs]
    paths = summary_paths(folds)
    lock = cli.lock_fold(paths)
    try:
        storage.remove_temporaries(paths.results)
        files = fold_files(folds, first.constants["TRUTHS"])
        ledger = Ledger(paths, LAST_STEP, first.constants, files, first.args.force)
        task = plan(ledger, folds)
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


def plan(ledger: Ledger, folds: list[FoldPaths]) -> Task:
    """The task that says what steps 8 and 9 found across folds, of what there is today."""
    return ledger.task(
        "effects",
        inputs=list(fold_files(folds, ledger.constants["TRUTHS"])),
        constants=["TRUTHS", "N_FOLDS", "K_PERCENTS"],
        parameters={"folds": [fold.name for fold in folds]},
        code=[ModuleType(f"utils.{name}") for name in CODE],
        step=LAST_STEP,
    )


def fold_files(folds: list[FoldPaths], truths: list[str]) -> dict[str, Callable[[HashCache], str]]:
    """The tables that are read of the folds, as external inputs of a ledger."""
    found: dict[str, Callable[[HashCache], str]] = {}
    for fold in folds:
        tables = [
            *(fold.judged("scores", truth) for truth in truths),
            fold.transplants,
            fold.layers,
            fold.planted_table,
        ]
        for path in filter(Path.is_file, tables):
            name = f"{fold.name}/{path.relative_to(fold.results).as_posix()}"
            found[name] = partial(_hash, path=path)
    return found


def _hash(hashes: HashCache, path: Path) -> str:
    return hashes.get(path)
