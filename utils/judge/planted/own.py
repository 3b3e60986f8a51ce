"""What a user's own methods make of the planted faults of step 9 (definitions 7 and 12)."""

from pathlib import Path

from utils.judge.planted.fault import (
    REASON,
    STEP,
    Faults,
    fault_recipe,
    judge_fault,
    save_rows,
)
from utils.methods.method import Method
from utils.model.inputs import Inputs
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch


def write_own(
    job: Job,
    inputs: Inputs,
    kind: str,
    number: int,
    faults: Faults,
    key: tuple[str, str],
    method: Method,
) -> None:
    """The row of a user's method on one fault, in a file of its own; an empty one without fault."""
    recipe = fault_recipe(job)
    recipe["code"] = (*recipe["code"], *method.code)
    recipe["parameters"] = method.recipe["parameters"]
    task = inputs.ledger.task(own_task(kind, number, *key), **recipe)
    if task.done:
        return
    with task:
        watch = Stopwatch()
        plan, found = faults.plant(kind, number)
        rows = []
        if not isinstance(found, str):
            head = faults.head(kind, number)
            rows = judge_fault(job, head, plan, found, faults.model[1], {key: method})
        rows = [row for row in rows if REASON not in row]  # said once, of the fault
        task.time(f"{kind}{number}/{'/'.join(key)}", watch.seconds)
        save_rows(task, job.paths.planted_own(kind, number, *key), rows)


def own_task(kind: str, number: int, level: str, name: str) -> str:
    return f"{kind}{number}/{level}/{name}"


def own_rows(job: Job, inputs: Inputs, kind: str, number: int) -> list[Path]:
    """The files of a user's methods on one fault, of this call or an earlier one."""
    ledger, start = inputs.ledger, f"{STEP}/{own_task(kind, number, '', '')[:-1]}"
    return [
        job.paths.results / name
        for key, task in ledger.content["tasks"].items()
        if key.startswith(start) and ledger.why_stale(key) is None
        for name in task["outputs"]
        if (job.paths.results / name).is_file()
    ]
