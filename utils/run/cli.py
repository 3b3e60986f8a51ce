"""How every numbered script runs: its folds one after another, its errors in one line each."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from filelock import FileLock
from threadpoolctl import ThreadpoolController

from utils import ranking
from utils.errors import UserError
from utils.run import pictures, storage
from utils.run.arguments import (
    USER_MISTAKE,
    add_budget,
    add_device,
    add_halves,
    check_arguments,
    parse_arguments,
    whole_commands,
)
from utils.run.constant_rules import check_constants, constants_in_force
from utils.run.folders import fold_paths, require_inputs
from utils.run.locks import lock_fold
from utils.run.log import PatientOutput, close_log, is_main_process, open_log, silent_log
from utils.run.paths import FoldPaths
from utils.run.side_by_side import Defect, Workers

DEFECT = 1
# What the scripts and the tests ask for here.
__all__ = [
    "DEFECT", "USER_MISTAKE", "Job", "add_budget", "add_device", "add_halves",
    "fix_order_of_sums", "lock_fold", "run",
]  # fmt: skip


@dataclass
class Job:
    """One step on one fold: what a script's `work` function is given.

    left_out : why each of a user's files was left out, and in which settings, by what the line
        is about; named again when all is done.
    only_look : nothing is to be made; what is not up to date is refused.
    """

    step: int
    paths: FoldPaths
    args: argparse.Namespace
    constants: dict[str, Any]
    log: logging.Logger
    left_out: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    only_look: bool = False

    def leave_out(
        self, reason: str, about: str | None = None, settings: tuple[str, ...] = ()
    ) -> None:
        """Go on without a file of the user's: the step ends with the status of a mistake.

        about : what is left out, where several folds can have it: it is named once for all.
        settings : those that have it, where they are several.
        """
        if (about or reason) not in self.left_out:
            where = f" in the settings {', '.join(settings)}" if settings else ""
            self.log.warning("left out%s: %s", where, reason)
            self.left_out[about or reason] = (reason, settings)

    def warn(self, text: str) -> None:
        """A warning, each `run exp-fl-5-<i>.py` in it completed with the options of this call."""
        self.log.warning("%s", whole_commands(text, self.paths, self.args))

    def budgets(self, d: int, m: int) -> list[int]:
        """The neuron budgets n in force, ascending: --n, else NEURON_BUDGET, else d/8."""
        given = getattr(self.args, "n", None) or self.constants["NEURON_BUDGET"]
        if given is None:
            return [ranking.default_budget(d)]
        values = [given] if isinstance(given, int) else given
        try:
            return [ranking.check_budget(n, d, m) for n in sorted(set(values))]
        except ValueError as error:
            raise UserError(
                f"{error}; change --n, or NEURON_BUDGET in utils/constants.py"
            ) from None

    @property
    def together(self) -> int:
        """Folds that are worked on at a time."""
        return folds_together(self.args)

    @property
    def seed(self) -> int:
        """The fold's seed."""
        return self.constants["SEED"] + self.paths.fold


def fix_order_of_sums() -> None:
    """Have numpy, scipy and MKL add up in one order, whatever the number of threads.

    numpy's and scipy's OpenBLAS splits a sum among its threads, so it gets one:
    what it does here is little. MKL's order may depend on where an array begins
    in memory. It reads the variable at its first product; what a user has set
    stays. How torch's work is shared out is in utils.pieces.
    """
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # for those that are loaded later
    ThreadpoolController().select(internal_api="openblas").limit(limits=1)


def run(
    step: int,
    description: str,
    work: Callable[[Job], Any],
    *,
    add_options: Callable[[argparse.ArgumentParser], None] | None = None,
    needs: tuple[str, ...] = ("dataset", "training"),
    ready: Callable[[Job], Any] | None = None,
    after: Callable[[list[tuple[Job, Any]]], None] | None = None,
) -> NoReturn:
    """Run `work` on every fold, then `after` on all results; exit with the status.

    Before any work, every fold that cannot be worked on is named in a line of its own; after
    all of it, every file of the user's that was left out.

    Parameters
    ----------
    needs : the input folders of every fold (attributes of FoldPaths) that have to exist.
    ready : refuses a fold whose inputs are missing or stale, with a UserError; writes nothing.
    after : the summary; `add_halves` lets a call leave it out, or make it alone. Then `work` is
        given jobs that are only looked at.
    """
    fix_order_of_sums()
    pictures.ignore_user_settings()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a path that the terminal cannot show
    sys.stdout = PatientOutput(sys.stdout)
    finished: list[tuple[Job, Any]] = []
    try:
        check_constants()
        args = parse_arguments(step, description, add_options)
        check_arguments(step, args)
        values = constants_in_force(args)
        folds = fold_paths(args)
        if getattr(args, "only_summary", False):
            finished += require_ready(step, folds, args, values, needs, ready, look=work)
        else:
            run_one = partial(run_fold, step, args=args, values=values, work=work)
            with workers(step, args, run_one) as together:
                require_ready(step, folds, args, values, needs, ready)
                if together:
                    together.run(folds, finished)
                else:
                    finished.extend(map(run_one, folds))
        if after and is_main_process() and not getattr(args, "only_folds", False):
            after(finished)
    except NotReady as error:
        refuse(step, error.reasons)
    except UserError as error:
        refuse(step, [*left_out(finished), str(error)])
    except Defect as error:
        print(f"exp-fl-5-{step}.py: {error}", file=sys.stderr)
        raise SystemExit(DEFECT) from None
    except KeyboardInterrupt:
        print(f"exp-fl-5-{step}.py: interrupted; run it again to go on", file=sys.stderr)
        raise SystemExit(DEFECT) from None
    if reasons := left_out(finished):
        refuse(step, reasons)
    raise SystemExit(0)


def workers(
    step: int, args: argparse.Namespace, run_one: Callable[[FoldPaths], tuple[Job, Any]]
) -> AbstractContextManager[Workers | None]:
    """The processes that --jobs asks for; None where this one works on all folds itself."""
    count = folds_together(args)
    return nullcontext() if count == 1 else Workers(count, step, run_one)


def folds_together(args: argparse.Namespace) -> int:
    """As many as --jobs asks for; one under torchrun, which has its own processes."""
    return 1 if "LOCAL_RANK" in os.environ else min(args.jobs, len(args.fold))


def left_out(finished: list[tuple[Job, Any]]) -> list[str]:
    """A line for each thing that was left out, with its folds and settings if they are several."""
    found: dict[str, dict[tuple[str, ...], list[int]]] = {}
    said: dict[str, str] = {}
    for job, _ in finished:
        for about, (reason, settings) in job.left_out.items():
            said.setdefault(about, reason)
            found.setdefault(about, {}).setdefault(settings, []).append(job.paths.fold)
    lines = []
    for about, places in found.items():
        several = sum(map(len, places.values())) > 1
        parts = []
        for settings, folds in places.items():
            named = f"fold{'s' * (len(folds) > 1)} {', '.join(map(str, folds))}"
            inside = f"the settings {', '.join(settings)}" if settings else ""
            parts.append(" of ".join(filter(None, [inside, named if several else ""])))
        where = f" in {' and '.join(parts)}" if any(parts) else ""
        lines.append(f"left out{where}: {said[about]}")
    return lines


def run_fold(
    step: int,
    paths: FoldPaths,
    args: argparse.Namespace,
    values: dict[str, Any],
    work: Callable[[Job], Any],
) -> tuple[Job, Any]:
    """Run `work` on one fold under its lock and with its log; the job and what came out."""
    lock = lock_fold(paths) if is_main_process() else FileLock(paths.lock)
    try:
        log = open_log(paths.log(step), paths.log_in_results(step), args.verbose)
        try:
            if is_main_process():
                storage.remove_temporaries(paths.results)
            log.info("exp-fl-5-%d.py: %s", step, paths.name)
            job = Job(step, paths, args, values, log)
            return job, work(job)
        except UserError as found:
            error = UserError(whole_commands(str(found), paths, args))
            log.handlers[-1].handle(
                log.makeRecord(log.name, logging.ERROR, "", 0, str(error), (), None)
            )
            raise error from found
        finally:
            close_log(log)
    finally:
        lock.release()


class NotReady(Exception):
    """Folds whose inputs are missing or stale: `reasons` has a line for each."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


def refuse(step: int, reasons: list[str]) -> NoReturn:
    sys.stdout.flush()
    for reason in reasons:
        print(f"exp-fl-5-{step}.py: {' '.join(reason.split())}", file=sys.stderr)
    raise SystemExit(USER_MISTAKE) from None


def require_ready(
    step: int,
    folds: list[FoldPaths],
    args: argparse.Namespace,
    values: dict[str, Any],
    needs: tuple[str, ...],
    ready: Callable[[Job], Any] | None,
    look: Callable[[Job], Any] | None = None,
) -> list[tuple[Job, Any]]:
    """Look at the inputs of every fold before the first is worked on.

    look : a `work` that nothing is left for; the answer has its job and result of every fold.
    """
    reasons, seen = [], []
    for paths in folds:
        try:
            require_inputs(paths, needs)
            job = Job(step, paths, args, values, silent_log(), only_look=look is not None)
            if ready:
                ready(job)
            if look:
                seen.append((job, look(job)))
        except UserError as error:
            reasons.append(whole_commands(str(error), paths, args))
    if reasons:
        raise NotReady(list(dict.fromkeys(reasons)))
    return seen
