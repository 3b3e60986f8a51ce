"""Step 9 on one fold: plant faults, run every method on the planted models (definitions 12)."""

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from utils.errors import UserError
from utils.judge.planted import plant as planted
from utils.judge.planted.fault import (
    CODE,
    COLUMNS,
    REASON,
    STEP,
    Faults,
    fault_recipe,
    find_fault,
    judge_fault,
    judge_methods,
    save_rows,
)
from utils.judge.planted.own import own_rows, own_task, write_own
from utils.methods import METHODS, own
from utils.methods.chosen import chosen_methods
from utils.model.caches import cache_inputs, require_test_split
from utils.model.inputs import Inputs, open_inputs
from utils.run import storage
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth import REPAIR
from utils.truth.credit_of_fold import TEST


def require_ready(job: Job) -> None:
    """Refuse a fold whose states of either split are missing or stale."""
    own.methods_of(job.args)
    require_test_split(job.paths, STEP)
    if REPAIR not in job.constants["TRUTHS"]:
        raise UserError(
            "faults are planted with the test split, which only the truth 'repair' needs; "
            "add it to TRUTHS in utils/constants.py and run exp-fl-5-2.py again"
        )
    if not chosen_methods(METHODS, job.constants) and not own.methods_of(job.args):
        raise UserError(
            "METHODS_TO_RUN in utils/constants.py names no method, and score files cannot be asked "
            "for planted faults; name some, or give functions of your own with --methods"
        )
    ledger = open_inputs(job).ledger
    for path, step in [*cache_inputs(job.paths), *cache_inputs(job.paths, TEST)]:
        ledger.require(path, step)


def plant_fold(job: Job, inputs: Inputs) -> pd.DataFrame:
    """Make the fold's table, fault by fault, or keep what is up to date."""
    faults = Faults(job, inputs)
    parts: list[Path] = []
    failures: dict[tuple[str, str], dict[str, str]] = {}  # of a user's methods, by fault
    every = list(planted.faults(job.constants["PLANTED_FAULTS"]))
    for kind, number in tqdm(every, desc="planted faults", unit="fault"):
        parts.append(write_fault(job, inputs, kind, number, faults))
        for key, method in own.methods_of(job.args).items():
            try:
                write_own(job, inputs, kind, number, faults, key, method)
            except own.MethodFailed as error:
                failures.setdefault(key, {})[f"{kind}{number}"] = str(error)
                inputs.ledger.drop(own_task(kind, number, *key))
        parts += own_rows(job, inputs, kind, number)
    for found in failures.values():
        job.leave_out(own.failures_in_words(found, "fault"))
    task = inputs.ledger.task("planted", inputs=[(path, STEP) for path in parts])
    if not task.done:
        with task:
            rows = [storage.read_table(path, [*COLUMNS, REASON], STEP) for path in parts]
            table = pd.concat(rows, ignore_index=True)
            table = table[table[REASON].isna()][COLUMNS]
            task.save_table(job.paths.planted_table, table)
        job.log.info("wrote %s", job.paths.planted_table)
    for path in parts:
        for line in storage.read_table(path, [REASON], STEP)[REASON].dropna():
            job.log.warning("%s", line)
    return read_planted(job.paths.planted_table)


def read_planted(path: Path) -> pd.DataFrame:
    """A fold's table, with the methods' own names."""
    table = storage.read_table(path, COLUMNS, STEP)
    table["method"] = [storage.undefused(str(name)) for name in table["method"]]
    return table


def write_fault(job: Job, inputs: Inputs, kind: str, number: int, faults: Faults) -> Path:
    """One fault: its weights, their change, and its rows in a file of their own."""
    paths = job.paths
    rows_path = paths.planted(kind, number, "rows")
    methods = chosen_methods(METHODS, job.constants)
    recipe = fault_recipe(job)
    recipe["code"] = (
        *CODE,
        *dict.fromkeys(module for method in methods.values() for module in method.code),
        *(method.function for method in methods.values()),
        find_fault,
        judge_methods,
    )
    task = inputs.ledger.task(f"{kind}{number}", **recipe)
    if task.done:
        return rows_path
    with task:
        watch = Stopwatch()
        head = faults.head(kind, number)
        plan, found = faults.plant(kind, number)
        if isinstance(found, str):
            rows = [head | {REASON: f"{paths.name}: no fault {kind}{number}: {found}"}]
        else:
            task.time(f"plant/{kind}{number}", watch.seconds)
            task.save_array(paths.planted(kind, number, "weights"), plan.weights)
            task.save_array(paths.planted(kind, number, "delta"), found.delta)
            rows = judge_fault(job, head, plan, found, faults.model[1], methods)
        task.time(f"{kind}{number}", watch.seconds)
        save_rows(task, rows_path, rows)
    return rows_path


def finding(table: pd.DataFrame) -> str:
    """Lift by kind, mean over faults and folds, as text for the terminal."""
    if not len(table):
        return "No fault could be planted; the lines above say why."
    lifts = table.pivot_table(
        index=["level", "method"], columns="kind", values="lift@R", sort=False
    )
    lifts = lifts.sort_values(lifts.columns[0], ascending=False, kind="stable").reset_index()
    text = lifts.to_string(index=False, na_rep="-", float_format="{:.2f}".format)
    return (
        "lift@R of the planted weights by kind of fault (1 is chance), mean over faults and "
        f"folds:\n{text}"
    )
