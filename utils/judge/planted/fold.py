"""Step 9 on one fold: plant faults, run every method on the planted models (definitions 12)."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from utils.errors import UserError
from utils.judge.names import PLANTED_STEP
from utils.judge.planted import plant as planting
from utils.judge.planted.fault import (
    COLUMNS,
    OF_FAULT,
    OF_METHOD,
    NoFault,
    PlantedFault,
    judge_method,
    make_fault,
)
from utils.methods import own
from utils.methods.chosen import Methods, chosen_methods
from utils.methods.evidence import Evidence
from utils.methods.method import Method
from utils.model.caches import cache_inputs, load_states, load_tail, require_test_split
from utils.model.inputs import M1, Inputs
from utils.model.states import States
from utils.model.tail import Tail
from utils.run import shown, storage
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch

TEST = "test"
REASON = "reason"
OF_KEY = ("kind", "percent", "fault")  # the columns of a FaultKey


class FaultKey(NamedTuple):
    """Which fault of a fold; as text the start of its files' names."""

    kind: str
    percent: float
    number: int

    def __str__(self) -> str:
        share = "" if self.percent == planting.NAMED_WITHOUT else f"_{self.percent:g}%"
        return f"{self.kind}{self.number}{share}"

    def in_words(self) -> str:
        return f"fault {self.number} in {self.percent:g}% of the {self.kind}"


class Faults:
    """The faults of a fold: each planted when it is asked for, the last one kept."""

    def __init__(self, job: Job, inputs: Inputs) -> None:
        self.job = job
        self.inputs = inputs
        self._last: tuple[FaultKey, PlantedFault | NoFault, Evidence | None] | None = None

    @cached_property
    def model(self) -> tuple[Tail, States, States]:
        """M1's tail, and the states of the repair and of the test split."""
        m1, paths = load_tail(self.inputs.pair.m1), self.job.paths
        return m1, load_states(paths, m1), load_states(paths, m1, TEST)

    def _kept(self, key: FaultKey) -> tuple[PlantedFault | NoFault, Evidence | None]:
        if self._last is None or self._last[0] != key:
            self._last = None  # one at a time: its states are as large as the caches
            job = self.job
            try:
                found = make_fault(*key, job.seed, *self.model)
                evidence = found.evidence(job.seed, job.constants["IG_POINTS"])
            except NoFault as error:
                found, evidence = error, None
            self._last = key, found, evidence
        return self._last[1:]

    def planted(self, key: FaultKey) -> PlantedFault:
        """The fault in place.

        Raises
        ------
        NoFault : it cannot be planted.
        """
        found, _ = self._kept(key)
        if isinstance(found, NoFault):
            raise found
        return found

    def evidence(self, key: FaultKey) -> Evidence:
        """What every method on a planted fault is given."""
        return self._kept(key)[1]


def require_ready(job: Job, inputs: Inputs, methods: Methods) -> None:
    """Refuse a fold whose states of either split are missing or stale.

    methods : every method of ours, by (level, name).
    """
    mine = own.methods_of(job.args, methods)
    require_test_split(job.paths, inputs.ledger.step)
    if not chosen_methods(methods, job.constants) and not mine:
        raise UserError(
            "METHODS_TO_RUN in utils/constants.py names no method, and score files cannot be asked "
            "for planted faults; name some, or give functions of your own with --methods"
        )
    for path, step in [*cache_inputs(job.paths), *cache_inputs(job.paths, TEST)]:
        inputs.ledger.require(path, step)


def plant_fold(job: Job, inputs: Inputs, methods: Methods) -> None:
    """Make the fold's table, fault by fault and method by method, or keep what is up to date.

    methods : every method of ours, by (level, name).
    """
    faults = Faults(job, inputs)
    ours, mine = chosen_methods(methods, job.constants), own.methods_of(job.args, methods)
    parts: dict[Path, list[Path]] = {}  # what methods make of each fault, by the fault's own row
    failures: dict[tuple[str, str], dict[str, str]] = {}  # of a user's methods, by fault
    count, percents = job.constants["PLANTED_FAULTS"], job.constants["PLANTED_PERCENTS"]
    every = [FaultKey(*key) for key in planting.faults(count, percents)]
    for fault in tqdm(every, desc="planted faults", unit="fault"):
        row = write_fault(job, inputs, fault, faults)
        parts[row] = []
        if reason_in(row):
            job.log.warning("%s", reason_in(row))
            continue
        with inputs.ledger.together():
            for method in ours.values():
                parts[row].append(write_row(job, inputs, fault, faults, method))
            for key, method in mine.items():
                try:
                    write_row(job, inputs, fault, faults, method)
                except own.MethodFailed as error:
                    failures.setdefault(key, {})[str(fault)] = str(error)
                    inputs.ledger.drop(row_task(fault, key))
        parts[row] += rows_of_users(job, inputs, fault, methods)
    for key, found in failures.items():
        job.leave_out(own.failures_in_words(found, "fault"), about=f"--methods {'/'.join(key)}")
    write_table(job, inputs, parts)


def recipe(job: Job) -> dict[str, Any]:
    """Keywords of `Ledger.task` for what decides where a fault is and what it does."""
    return {
        "inputs": [M1, *cache_inputs(job.paths), *cache_inputs(job.paths, TEST)],
        "constants": ["SEED", "MIN_SAMPLES"],
    }


def write_fault(job: Job, inputs: Inputs, key: FaultKey, faults: Faults) -> Path:
    """One fault: its weights, their change, and the row that says what it does, or why it is none.

    Returns
    -------
    The file of that row.
    """
    paths = job.paths
    path = paths.planted(str(key), "fault")
    task = inputs.ledger.task(str(key), **recipe(job), makes=write_fault)
    if task.done:
        return path
    with task:
        watch = Stopwatch()
        row = {"ds": paths.ds, "fold": paths.fold} | dict(zip(OF_KEY, key, strict=True))
        try:
            planted = faults.planted(key)
            task.time(f"plant/{key}", watch.seconds)
            task.save_array(paths.planted(str(key), "weights"), planted.plan.weights)
            task.save_array(paths.planted(str(key), "delta"), planted.fault.delta)
            lack = planted.lacks(job.constants["MIN_SAMPLES"])
            reason = lack and f"no method is asked for {key.in_words()}: {lack}"
            row |= planted.in_numbers()
        except NoFault as error:
            reason = f"{key.in_words()} could not be planted: {error}"
        row[REASON] = f"{paths.name}: {reason}" if reason else None
        table = pd.DataFrame([row]).reindex(columns=[*OF_FAULT, REASON])
        task.save_table(path, table.astype({REASON: object}))
    return path


def reason_in(row: Path) -> str | None:
    """Why a fault has no rows of methods; None where it has."""
    (reason,) = storage.read_table(row, [REASON], PLANTED_STEP)[REASON]
    return None if pd.isna(reason) else reason


def write_row(job: Job, inputs: Inputs, fault: FaultKey, faults: Faults, method: Method) -> Path:
    """What one method makes of one fault, in a file of its own: no other method makes it stale."""
    path = job.paths.planted_row(str(fault), *method.key)
    what = recipe(job)
    task = inputs.ledger.task(
        row_task(fault, method.key),
        inputs=what["inputs"],
        constants=[*what["constants"], *method.constants],
        parameters=method.parameters,
        makes=[write_row, method.function],
    )
    if task.done:
        return path
    planted, evidence = faults.planted(fault), faults.evidence(fault)
    truth = planted.truth
    with task:
        watch, saved = Stopwatch(), evidence.saved_s
        row = judge_method(method, evidence, truth)
        task.time(row_task(fault, method.key), watch.seconds + evidence.saved_s - saved)
        task.save_table(path, pd.DataFrame([row])[OF_METHOD])
    return path


def row_task(fault: FaultKey, key: tuple[str, str]) -> str:
    return "/".join((str(fault), *key))


def rows_of_users(job: Job, inputs: Inputs, fault: FaultKey, methods: Methods) -> list[Path]:
    """The files of a user's methods on one fault, of this call or an earlier one."""
    ledger, found = inputs.ledger, []
    for key, task in ledger.content["tasks"].items():
        step, *name = key.split("/", 3)
        if (
            [step, name[0]] != [str(PLANTED_STEP), str(fault)]
            or len(name) != 3
            or tuple(name[1:]) in methods
        ):
            continue
        if ledger.why_stale(key) is None:
            files = (job.paths.results / output for output in task["outputs"])
            found += [path for path in files if path.is_file()]
    return found


def write_table(job: Job, inputs: Inputs, parts: dict[Path, list[Path]]) -> None:
    """The table of the fold: what each method makes of each fault, beside what the fault is.

    parts : the files of methods' rows by that of the fault's.
    """
    files = [(path, PLANTED_STEP) for row, found in parts.items() for path in (row, *found)]
    task = inputs.ledger.task("planted", inputs=files, makes=write_table)
    if task.done:
        return
    with task:
        tables = [pd.DataFrame(columns=COLUMNS)]
        for row, found in parts.items():
            head = storage.read_table(row, [*OF_FAULT, REASON], PLANTED_STEP)[OF_FAULT]
            rows = [storage.read_table(path, OF_METHOD, PLANTED_STEP) for path in found]
            if rows:
                tables.append(head.merge(pd.concat(rows, ignore_index=True), how="cross"))
        table = pd.concat(tables[1:] or tables, ignore_index=True)[COLUMNS]
        task.save_table(job.paths.planted_table, table)
    job.log.info("wrote %s", job.paths.planted_table)


def of_methods_that_run(job: Job, methods: Methods) -> Callable[[dict[str, Any]], bool]:
    """Whether a row of seconds is not of a method that METHODS_TO_RUN leaves out."""
    idle = {"/".join(key) for key in methods.keys() - chosen_methods(methods, job.constants).keys()}
    return lambda row: row["method"].partition("/")[2] not in idle


def read_planted(path: Path) -> pd.DataFrame:
    """A fold's table, with the methods' own names."""
    table = storage.read_table(path, COLUMNS, PLANTED_STEP)
    table["method"] = [storage.undefused(str(name)) for name in table["method"]]
    return table


def finding(table: pd.DataFrame) -> str:
    """Lift by kind and percent, mean over faults and folds, as text for the terminal."""
    if not len(table):
        return "No fault could be planted; the lines above say why."
    lifts = table.pivot_table(
        index=["level", "method"], columns=["kind", "percent"], values="lift@R", sort=False
    ).sort_index(axis=1, kind="stable")
    lifts.columns = [f"{percent:g}% of the {kind}" for kind, percent in lifts.columns]
    return (
        "lift@R of the planted weights by where the fault lies (1 is chance), mean over faults "
        f"and folds:\n{shown.as_text(lifts.reset_index())}"
    )
