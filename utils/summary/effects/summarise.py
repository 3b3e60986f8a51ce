"""Steps 8, 9 and 10 end with what they say across folds, in the folder of step 7's summary."""

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from utils.errors import UserError
from utils.judge.names import JUDGED_STEP, PLANTED_STEP, RETRAIN_STEP, TRANSPLANT_STEP
from utils.model.opening import open_inputs
from utils.run import cli, storage
from utils.run.code import EVERYTHING
from utils.run.hashing import HashCache
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths
from utils.run.task import Task
from utils.summary.folds.read_records import (
    read_record_of,
    refuse_mixed,
    summary_paths,
    with_trainings,
)

# The task belongs to the last step, and each of them makes it anew from what there is.
LAST_STEP = 10
CONSTANTS = [
    "TRUTHS", "N_FOLDS", "K_PERCENTS", "COMPARED_METRICS", "POSITIVE_PERCENT", "FIGURE_WIDTHS",
    "FIGURE_FORMATS",
]  # fmt: skip
# By name: it is imported when it runs.
WRITER = "utils.summary.effects.write"


def summarise(jobs: list[cli.Job]) -> str:
    """Make the tables and figures across the jobs' folds, or keep them; the finding in words.

    A table that is out of date, of another of the steps for example, is left out.

    Raises
    ------
    UserError : the folds were made with different constants, and no --mix-constants is given.
    """
    first = jobs[0]
    files, stale = current_files(jobs)
    if not first.args.mix_constants:
        records = [read_record_of(job.paths, files[job.paths.name], job.step) for job in jobs]
        refuse_mixed(with_trainings(jobs, records))
    paths = summary_paths([job.paths for job in jobs])
    lock = cli.lock_fold(paths)
    try:
        storage.remove_temporaries(paths.results)
        hashed = external_files(files)
        ledger = Ledger(paths, LAST_STEP, first.constants, hashed, first.args.force)
        task = plan(ledger, files)
        if not task.done:
            with task:
                # Imports the plots.
                importlib.import_module(WRITER).write(
                    task,
                    paths,
                    [job.paths for job in jobs],
                    first.constants,
                    files,
                    first.together,
                )
        ledger.hashes.save()
    finally:
        lock.release()
    found = paths.effect_notes.read_text(encoding="utf-8").partition("\n\n")[0]
    said = "".join(f"\nleft out: {line}" for line in stale)
    return f"{said}\n{found}\n\nTables and figures: {paths.results}"


def plan(ledger: Ledger, files: dict[str, list[Path]]) -> Task:
    """The task that says what steps 8, 9 and 10 found across folds, of what there is today.

    files : of `current_files`, by the folds' names.
    """
    return ledger.task(
        "effects",
        inputs=list(external_files(files)),
        constants=CONSTANTS,
        parameters={"folds": list(files)},
        makes=EVERYTHING,
        step=LAST_STEP,
    )


def current_files(jobs: list[cli.Job]) -> tuple[dict[str, list[Path]], list[str]]:
    """The tables of each fold that are there and up to date, by its name; a line for each other."""
    found: dict[str, list[Path]] = {}
    stale = []
    for job in jobs:
        paths, ledger = job.paths, open_inputs(job).ledger
        tables = {
            **{paths.judged("scores", truth): JUDGED_STEP for truth in job.constants["TRUTHS"]},
            **tables_of(paths),
        }
        found[paths.name] = []
        for path, step in tables.items():
            try:
                if path.is_file():
                    ledger.require(path, step)
                    found[paths.name].append(path)
            except UserError as error:
                stale.append(cli.whole_commands(str(error), paths, job.args))
    return found, stale


def tables_of(paths: FoldPaths) -> dict[Path, int]:
    """What steps 8, 9 and 10 write about a fold and the summary reads, each with its step."""
    return {
        paths.transplants: TRANSPLANT_STEP,
        paths.transplants_back: TRANSPLANT_STEP,
        paths.layers: TRANSPLANT_STEP,
        paths.planted_table: PLANTED_STEP,
        paths.retrained_table: RETRAIN_STEP,
    }


def external_files(files: dict[str, list[Path]]) -> dict[str, Callable[[HashCache], str]]:
    """The tables as external inputs of a ledger."""
    return {
        f"{fold}/{path.name}": partial(_hash, path=path)
        for fold, tables in files.items()
        for path in tables
    }


def _hash(hashes: HashCache, path: Path) -> str:
    return hashes.get(path)
