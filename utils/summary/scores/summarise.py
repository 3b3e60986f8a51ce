"""The results across folds: read what step 7 wrote about each fold, check it, write the summary.

Light on purpose: where nothing has changed, none of the libraries that make
tables and figures is imported.
"""

import importlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from utils.run import cli, storage
from utils.run.code import EVERYTHING
from utils.run.hashing import HashCache
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary.documents import short
from utils.summary.effects import summarise as effects
from utils.summary.folds.read_records import read_records, refuse_mixed, summary_paths
from utils.summary.folds.read_tables import STEPS, judged_files, truths_of
from utils.summary.folds.records import FoldRecord, remarks
from utils.summary.folds.tables import STEP

CONSTANTS = [
    "TRUTHS", "REFERENCES", "COMPARED_METRICS", "BOOTSTRAP_DRAWS", "N_FOLDS", "SEED",
    "POSITIVE_PERCENT",
]  # fmt: skip
# Those of the figures alone.
LOOKS = ["FIGURE_WIDTHS", "FIGURE_FORMATS"]
KEY = f"{STEP}/summary"
OF_FOLDS = "provenance of the folds"
# By name: they are imported when they run.
WRITER, DOCUMENTS = "utils.summary.scores.write", "utils.summary.scores.write_documents"
JUDGES = "utils.summary.effects.write"


def summarise(jobs: list[cli.Job], mix_constants: bool) -> SummaryPaths:
    """Make the summary of the jobs' folds, or keep it where nothing has changed.

    mix_constants : accept folds that were made with different constants.
    """
    first = jobs[0]
    folds = [job.paths for job in jobs]
    records = read_records(jobs)
    if not mix_constants:
        refuse_mixed(records)
    paths = summary_paths(folds)
    lock = cli.lock_fold(paths)
    try:
        storage.remove_temporaries(paths.results)
        tables = later_tables(jobs)
        files = fold_files(folds, first.constants["TRUTHS"])
        files |= effects.external_files(tables)
        ledger = Ledger(paths, STEP, first.constants, files, first.args.force)
        # Tables and figures are of step 7 alone; the documents say what later steps found too.
        task = plan(ledger, folds, records)
        if not task.done:
            known = ledger.content["tasks"].get(task.key, {"outputs": {}, "recipe": None})
            announce_other_folds(paths, known["recipe"], records)
            with task:
                # Imports the plots.
                writer = importlib.import_module(WRITER)
                found = writer.gather(folds, first.constants)
                writer.write(task, paths, found, first.constants, first.together)
        task = plan_documents(ledger, folds, records, tables)
        refresh_documents(task, paths, folds, first.constants, tables)
        ledger.hashes.save()
    finally:
        lock.release()
    return paths


def refresh_documents(
    task: Task,
    paths: SummaryPaths,
    folds: list[FoldPaths],
    constants: dict[str, Any],
    tables: dict[str, list[Path]],
) -> None:
    """Make notes, workbook and LaTeX of the tables that lie there, or keep them.

    task : of `plan_documents`.
    """
    if task.done:
        return
    with task:
        judged = importlib.import_module(JUDGES).read_judged(
            folds, tables, constants | {"TRUTHS": ()}
        )
        importlib.import_module(DOCUMENTS).write_documents(
            task, paths, folds, judged, constants, task.recipe["constants"]["remarks"]
        )


def later_tables(jobs: list[cli.Job]) -> dict[str, list[Path]]:
    """The tables of steps 8, 9 and 10 that are up to date, by the folds' names."""
    judged = {path for job in jobs for path in effects.tables_of(job.paths)}
    if not any(path.is_file() for path in judged):
        return {}
    found, _ = effects.current_files(jobs)
    return {name: [path for path in tables if path in judged] for name, tables in found.items()}


def plan(ledger: Ledger, folds: list[FoldPaths], records: list[FoldRecord]) -> Task:
    """The task that makes the tables and figures of folds as they are today."""
    return ledger.task(
        "summary",
        inputs=list(fold_files(folds, ledger.constants["TRUTHS"])),
        constants=[*CONSTANTS, *LOOKS],
        parameters=parameters_of(records),
        makes=EVERYTHING,
    )


def plan_documents(
    ledger: Ledger,
    folds: list[FoldPaths],
    records: list[FoldRecord],
    tables: dict[str, list[Path]],
) -> Task:
    """The task that makes notes, workbook, LaTeX and what a difference must be.

    tables : of `later_tables`.
    """
    made = ledger.content["tasks"][KEY]["outputs"]
    return ledger.task(
        "documents",
        inputs=[
            *fold_files(folds, ledger.constants["TRUTHS"]),
            *effects.external_files(tables),
            *(ledger.paths.results / name for name in made if name.endswith(".csv")),
        ],
        constants=CONSTANTS,
        parameters=parameters_of(records) | {"later steps": tables_named(tables)},
        makes=EVERYTHING,
    )


def tables_named(tables: dict[str, list[Path]]) -> dict[str, list[str]]:
    return {name: [path.name for path in found] for name, found in tables.items() if found}


def parameters_of(records: list[FoldRecord]) -> dict[str, Any]:
    """What the recipes of both tasks say about how the folds were made."""
    return {
        OF_FOLDS: {record.name: record.digest for record in records},
        "constants of the folds": {record.name: record.constants for record in records},
        "remarks": remarks(records),
    }


def announce_other_folds(
    paths: SummaryPaths, recipe: dict[str, Any] | None, records: list[FoldRecord]
) -> None:
    """Say so where a summary of folds that are not named now is about to be replaced."""
    before = (recipe or {"constants": {}})["constants"].get(OF_FOLDS, {})
    gone = sorted(set(before) - {record.name for record in records})
    if gone:
        was, lost = ", ".join(sorted(before)), ", ".join(gone)
        print(f"{paths.results} was of {was}: replaced by one without {lost}")


def fold_files(
    folds: list[FoldPaths], truths: Iterable[str]
) -> dict[str, Callable[[HashCache], str]]:
    """The fold's tables that the summary reads, as external inputs of its ledger."""
    found: dict[str, Callable[[HashCache], str]] = {}
    for paths in folds:
        tables = [
            *judged_files(paths, truths_of(paths, truths)),
            paths.settings,
            *(paths.times(step) for step in STEPS if paths.times(step).is_file()),
        ]
        for path in tables:
            name = f"{paths.name}/{path.relative_to(paths.results).as_posix()}"
            found[name] = partial(_hash_table, path=path)
    return found


def _hash_table(hashes: HashCache, path: Any) -> str:
    if not path.is_file():
        raise storage.missing(path, STEP)
    return hashes.get(path)


def finding(paths: SummaryPaths, constants: dict[str, Any]) -> str:
    """What was found, in sentences and one short table, as text for the terminal."""
    overview = storage.read_table(paths.table("overview"), ["level", "method"], STEP)
    overview["method"] = [storage.undefused(str(name)) for name in overview["method"]]
    found, _, _ = paths.notes.read_text(encoding="utf-8").partition("\n\n")
    k = f"{constants['POSITIVE_PERCENT']:g}%"
    return (
        f"\n{found}\n\nNotes, tables, workbook, figures and report.html: {paths.results}\n\n"
        f"lift@{k} by each truth. {short.LEGEND}\n{short.terminal_table(overview)}"
    )
