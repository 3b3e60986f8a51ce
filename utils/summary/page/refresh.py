"""report.html: made after the summary, and again when steps 8 and 9 have more to say.

Light on purpose: where nothing has changed, nothing that makes pages is imported.
"""

import importlib
import json
from pathlib import Path
from types import ModuleType

from utils.run import cli
from utils.run.hashing import hash_bytes, hash_file
from utils.run.ledger import Ledger
from utils.run.task import Task
from utils.summary.effects import summarise as effects
from utils.summary.folds.records import read_records, summary_paths
from utils.summary.folds.tables import STEP
from utils.summary.scores import summarise

CODE = (
    "summary.page.page", "summary.page.refresh", "summary.page.made", "summary.page.inline_svg",
    "summary.documents.short",
    "summary.folds.tables", "summary.folds.records", "summary.levels", "truth",
)  # fmt: skip
TEMPLATE = Path(__file__).with_name("report.html.jinja")
SHOWN = (".csv", ".svg", ".txt")
NOT_YET = "Steps 8 and 9 answer this; they have not run on these folds."
OUT_OF_DATE = (
    "What steps 8 and 9 found is older than the results on this page and is not shown; run "
    "exp-fl-5-8.py and exp-fl-5-9.py again."
)


def refresh(jobs: list[cli.Job]) -> None:
    """Write the page of the jobs' folds where what it shows has changed.

    It shows a summary that is up to date, and what steps 8 and 9 say if that is; without such
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
            return
        shown = more.done
        has_run = any(fold.transplants.is_file() or fold.planted_table.is_file() for fold in folds)
        own = {name: ledger.constants[name] for name in summarise.CONSTANTS}
        made = importlib.import_module("utils.summary.page.made").made(folds, records, own)
        missing = None if shown else OUT_OF_DATE if has_run else NOT_YET
        task = plan(ledger, [summary, more] if shown else [summary], made, missing)
        if first.args.force or not task.done:
            with task:
                importlib.import_module("utils.summary.page.page").write(
                    task, paths, sorted(fold.fold for fold in folds), made,
                    first.constants["POSITIVE_PERCENT"], missing,
                )  # fmt: skip
        ledger.hashes.save()
    finally:
        lock.release()


def plan(
    ledger: Ledger, shown: list[Task], made: dict[str, dict[str, str]], missing: str | None
) -> Task:
    """The task that makes the page.

    shown : the finished tasks whose results it shows.
    missing : why what steps 8 and 9 say is not among them; None if it is.
    """
    names = [name for task in shown for name in ledger.content["tasks"][task.key]["outputs"]]
    return ledger.task(
        "report",
        inputs=[ledger.paths.results / name for name in names if name.endswith(SHOWN)],
        parameters={
            "how the folds were made": hash_bytes(json.dumps(made, sort_keys=True).encode()),
            "steps 8 and 9": missing,
            "template": hash_file(TEMPLATE),
        },
        constants=["POSITIVE_PERCENT"],
        code=[ModuleType(f"utils.{name}") for name in CODE],
    )
