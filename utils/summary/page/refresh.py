"""report.html: made after the summary, and again when steps 8, 9 and 10 have more to say.

Light on purpose: where nothing has changed, nothing that makes pages is imported.
"""

import importlib
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

from utils.run import cli
from utils.run.code import EVERYTHING
from utils.run.hashing import hash_bytes, hash_file
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary.effects import summarise as effects
from utils.summary.folds.read_records import read_records, summary_paths
from utils.summary.folds.read_tables import judged_files, truths_of
from utils.summary.folds.records import FoldRecord
from utils.summary.folds.tables import STEP
from utils.summary.page.made import made, of_fold
from utils.summary.scores import summarise

# By name: it is imported when it runs.
WRITER = "utils.summary.page.write"
TEMPLATE = Path(__file__).with_name("report.html.jinja")
SHOWN = (".csv", ".svg", ".txt")
# What makes the summary; the folds' provenance names what made the folds.
PACKAGES = ("numpy", "pandas", "scipy", "matplotlib", "XlsxWriter", "Jinja2")
NOT_YET = "Steps 8, 9 and 10 answer this; they have not run on these folds."
STALE_TABLES = (
    "the tables of step 7 in {} are older than the folds' results and are left as they are; run "
    "exp-fl-5-7.py to make them anew"
)
# Files that a line names.
MOST_NAMED = 6
OUT_OF_DATE = (
    "What steps 8, 9 and 10 found is older than the results on this page and is not shown; run "
    "exp-fl-5-8.py, exp-fl-5-9.py and exp-fl-5-10.py again."
)


def refresh(jobs: list[cli.Job]) -> None:
    """Write the page of the jobs' folds where what it shows has changed.

    It shows a summary that is up to date, and what steps 8, 9 and 10 say if that is; without such
    a summary it is left alone, and step 7 makes both.
    """
    first, folds = jobs[0], [job.paths for job in jobs]
    paths = summary_paths(folds)
    lock = cli.lock_fold(paths)
    try:
        tables, _ = effects.current_files(jobs)
        files = summarise.fold_files(folds, first.constants["TRUTHS"])
        files |= effects.external_files(tables)
        ledger = Ledger(paths, STEP, first.constants, files)
        if summarise.KEY not in ledger.content["tasks"]:
            return
        records = read_records(jobs)
        summary, more = summarise.plan(ledger, folds, records), effects.plan(ledger, tables)
        if not summary.done:
            print(STALE_TABLES.format(paths.results))
            return
        remove_foreign(ledger, paths)
        later = summarise.later_tables(jobs)
        texts = summarise.plan_documents(ledger, folds, records, later)
        summarise.refresh_documents(texts, paths, folds, dict(first.constants), later)
        shown = more.done
        if not shown:
            remove_stale(ledger, more)
        has_run = any(path.is_file() for fold in folds for path in effects.tables_of(fold))
        own = {name: ledger.constants[name] for name in summarise.CONSTANTS}
        about = {
            "folds": sorted(fold.fold for fold in folds),
            "made": how_made(folds, records, own),
            "no_effects": None if shown else OUT_OF_DATE if has_run else NOT_YET,
        }
        task = plan(ledger, [summary, texts, more] if shown else [summary, texts], about)
        if first.args.force or not task.done:
            with task:
                importlib.import_module(WRITER).write(task, paths, TEMPLATE, about, first.constants)
        ledger.hashes.save()
    finally:
        lock.release()


def remove_foreign(ledger: Ledger, paths: SummaryPaths) -> None:
    """Remove what other releases left in the folder: files of tasks that no step has now.

    And files that are called like ours and are on no record.
    """
    tasks = ledger.content["tasks"]
    ours = (summarise.KEY, f"{STEP}/documents", f"{STEP}/report", f"{effects.LAST_STEP}/effects")
    others = [key for key in tasks if key not in ours]
    made = {name for key in ours if key in tasks for name in tasks[key]["outputs"]}
    before = paths.of_ours()
    for key in others:
        outputs = tasks.pop(key)["outputs"]
        ledger.remove({name: digest for name, digest in outputs.items() if name not in made})
    if others:
        ledger.commit()
    for path in before:
        if ledger.relative(path) not in made:
            path.unlink(missing_ok=True)
    if gone := [ledger.relative(path) for path in before if not path.exists()]:
        more = f" and {len(gone) - MOST_NAMED} more" if len(gone) > MOST_NAMED else ""
        print(f"removed {', '.join(gone[:MOST_NAMED])}{more}: no step made them of these folds")


def remove_stale(ledger: Ledger, more: Task) -> None:
    """A summary holds what one set of folds, constants and code made; the rest goes.

    more : the task of steps 8, 9 and 10, which is not up to date.
    """
    if more.key in ledger.content["tasks"]:
        names = ledger.content["tasks"][more.key]["outputs"]
        tables = sorted(name for name in names if name.endswith(".csv"))
        ledger.drop(more.key)
        print(
            f"removed {', '.join(tables)} and their figures: made from other results than those "
            "of today; run exp-fl-5-8.py, exp-fl-5-9.py and exp-fl-5-10.py to make them anew"
        )


def how_made(
    folds: list[FoldPaths], records: list[FoldRecord], own: dict[str, Any]
) -> dict[str, dict[str, str]]:
    """Constants, versions and hashes of the folds and of the summary, for a reader.

    own : the summary's own constants.
    """
    each = []
    for paths in folds:
        content = json.loads(paths.provenance.read_text(encoding="utf-8"))
        files = judged_files(paths, truths_of(paths, own["TRUTHS"]))
        names = [path.relative_to(paths.results).as_posix() for path in files]
        each.append(of_fold(content, names))
    return made(records, each, own, versions_here())


def versions_here() -> dict[str, str]:
    """Versions of Python and of PACKAGES in this process."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found}


def plan(ledger: Ledger, shown: list[Task], about: dict[str, Any]) -> Task:
    """The task that makes the page.

    shown : the finished tasks whose results it shows.
    about : of `page.write.write`.
    """
    names = [name for task in shown for name in ledger.content["tasks"][task.key]["outputs"]]
    return ledger.task(
        "report",
        inputs=[ledger.paths.results / name for name in names if name.endswith(SHOWN)],
        parameters={
            "how the folds were made": hash_bytes(
                json.dumps(about["made"], sort_keys=True).encode()
            ),
            "later steps": about["no_effects"],
            "template": hash_file(TEMPLATE),
        },
        constants=["POSITIVE_PERCENT", "FIGURE_WIDTHS"],
        makes=EVERYTHING,
    )
