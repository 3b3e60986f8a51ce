"""The command line, the log and the exit status that all numbered scripts share."""

import argparse
import errno
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout
from threadpoolctl import ThreadpoolController

from utils import constants as user_constants
from utils import ranking
from utils.errors import UserError
from utils.run import pictures, storage
from utils.run.constant_rules import check_constants, constants_in_force, more_repeats
from utils.run.folders import fold_paths, require_inputs, require_known_data
from utils.run.ledger import ONLY_FOLDS
from utils.run.log import PatientOutput, close_log, is_main_process, open_log, silent_log
from utils.run.paths import FoldPaths

USER_MISTAKE = 2
DEFECT = 1
# Options for inputs that do not lie below --root, and what they point to.
ROOTS = {"--data-root": "dataset/", "--training-root": "out_vit_*/"}
# What flock answers where the file system cannot lock.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


@dataclass
class Job:
    """One step on one fold: what a script's `work` function is given.

    left_out : why each of a user's files was left out; named again when all is done.
    only_look : nothing is to be made; what is not up to date is refused.
    """

    step: int
    paths: FoldPaths
    args: argparse.Namespace
    constants: dict[str, Any]
    log: logging.Logger
    left_out: list[str] = field(default_factory=list)
    only_look: bool = False

    def leave_out(self, reason: str) -> None:
        """Go on without a file of the user's: the step ends with the status of a mistake."""
        if reason not in self.left_out:
            self.log.warning("left out: %s", reason)
            self.left_out.append(reason)

    def warn(self, text: str) -> None:
        """A warning, each `run exp-fl-5-<i>.py` in it completed with the options of this call."""
        self.log.warning("%s", whole_commands(text, self.paths, self.args))

    def budgets(self, d: int, m: int) -> list[int]:
        """The neuron budgets n in force, ascending: --n, else NEURON_BUDGET, else d/8."""
        given = getattr(self.args, "n", None) or self.constants["NEURON_BUDGET"]
        if given is None:
            return [ranking.default_budget(d)]
        values = [given] if isinstance(given, int) else given
        return [ranking.check_budget(n, d, m) for n in sorted(set(values))]

    @property
    def seed(self) -> int:
        """The fold's seed."""
        return self.constants["SEED"] + self.paths.fold


class OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(USER_MISTAKE)


def parse_arguments(
    step: int, description: str, add_options: Callable[[argparse.ArgumentParser], None] | None
) -> argparse.Namespace:
    parser = OneLineParser(
        prog=f"exp-fl-5-{step}.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--ds",
        default=user_constants.DEFAULT_DS,
        help=f"data set: {', '.join(user_constants.PROFILES)}, or one that you add to PROFILES in "
        "utils/constants.py (default: %(default)s)",
    )
    parser.add_argument(
        "--fold",
        type=int,
        nargs="+",
        default=list(user_constants.FOLDS),
        metavar="K",
        help="fold numbers (default: %(default)s)",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(),
        help="folder that holds dataset/, out_vit_*/ and exp-fl-5/ (default: here)",
    )
    for name, folder in ROOTS.items():
        parser.add_argument(
            name, type=Path, metavar="DIR", help=f"folder that holds {folder} (default: --root)"
        )
    parser.add_argument(
        "--repair-split",
        metavar="NAME",
        help="the split that is taken as 'repair' (default: repair, else the only one called "
        "validation, valid, val, dev or eval)",
    )
    parser.add_argument("--force", action="store_true", help="redo what is already done")
    if step > 0:
        add_pair(parser)
    if add_options:
        add_options(parser)
    return parser.parse_args()


def add_pair(parser: argparse.ArgumentParser) -> None:
    for name, default in (("m1", "the one before M2"), ("m2", "the highest")):
        parser.add_argument(
            f"--{name}",
            type=int,
            dest=f"{name}_step",
            metavar="STEP",
            help=f"step of the checkpoint that is {name.upper()} (default: {default})",
        )
    parser.add_argument(
        "--accept-pair",
        action="store_true",
        help="take M1 and M2 even if they are not one epoch apart in one run",
    )


def add_budget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--n", type=int, nargs="+", metavar="N", help="neuron budgets (default: d/8)"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")


def add_halves(parser: argparse.ArgumentParser) -> None:
    """A step in two: each fold, where many machines work on folds; then the summary."""
    halves = parser.add_mutually_exclusive_group()
    halves.add_argument(
        ONLY_FOLDS, action="store_true", help="work on the folds, and leave the summary out"
    )
    halves.add_argument(
        "--only-summary",
        action="store_true",
        help="make the summary of folds on which all is done; others are refused",
    )
    parser.add_argument(
        "--mix-constants",
        action="store_true",
        help="summarise folds even if they were made with different constants",
    )


def check_arguments(step: int, args: argparse.Namespace) -> None:
    require_known_data(step, args)
    last = user_constants.REPEATS * user_constants.N_FOLDS - 1
    for fold in args.fold:
        if not 0 <= fold <= last:
            more = "" if fold < 0 else more_repeats(fold, user_constants.N_FOLDS)
            raise UserError(f"fold {fold} does not exist; --fold takes 0 to {last}{more}")
    repeated = sorted({fold for fold in args.fold if args.fold.count(fold) > 1})
    if repeated:
        raise UserError(f"fold {repeated[0]} is given twice; name each fold once")
    for name, folder in ({"--root": "dataset/"} | ROOTS).items():
        path = vars(args)[name[2:].replace("-", "_")]
        if path is not None and not path.is_dir():
            raise UserError(f"{path} is not a folder; {name} names the one that holds {folder}")


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


def lock_fold(paths: FoldPaths) -> FileLock:
    """One step at a time on a fold: a second one waits, and says for what.

    Where the file system knows no locks (some network mounts) the step goes on
    without one after saying so: it could wait for ever for a file that is nobody's.
    """
    try:
        paths.lock.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(paths.lock, fallback_to_soft=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(
                f"{paths.name}: another step is at work on this fold and holds {paths.lock}; "
                "waiting for it",
                flush=True,
            )
            lock.acquire()
    except OSError as error:
        if error.errno in NO_LOCKS:
            print(
                f"{paths.name}: {paths.lock.parent} has no file locks ({error.strerror}); going on "
                "without: start no other step on this fold before this one ends",
                flush=True,
            )
            return lock
        raise UserError(f"cannot write {paths.lock}: {error.strerror}; check the folder") from None
    return lock


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
            require_ready(step, folds, args, values, needs, ready)
            for paths in folds:
                finished.append(run_fold(step, paths, args, values, work))
        if after and is_main_process() and not getattr(args, "only_folds", False):
            after(finished)
    except NotReady as error:
        refuse(step, error.reasons)
    except UserError as error:
        refuse(step, [*left_out(finished), str(error)])
    except KeyboardInterrupt:
        print(f"exp-fl-5-{step}.py: interrupted; run it again to go on", file=sys.stderr)
        raise SystemExit(DEFECT) from None
    if reasons := left_out(finished):
        refuse(step, reasons)
    raise SystemExit(0)


def left_out(finished: list[tuple[Job, Any]]) -> list[str]:
    return [f"left out: {reason}" for job, _ in finished for reason in job.left_out]


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
        log = open_log(paths.log(step), paths.log_in_results(step))
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


def whole_commands(message: str, paths: FoldPaths, args: argparse.Namespace) -> str:
    """Complete each `run exp-fl-5-<i>.py` of a message with the options of this call."""
    where = f" --ds {paths.ds} --fold {paths.fold}"
    for name in ("root", *(root[2:].replace("-", "_") for root in ROOTS)):
        folder = getattr(args, name, None)
        if folder is not None and (name, folder) != ("root", Path()):
            where += f" --{name.replace('_', '-')} {shlex.quote(str(folder))}"
    pair = ""
    for name in ("m1", "m2"):
        step = getattr(args, f"{name}_step", None)
        pair += "" if step is None else f" --{name} {step}"
    if getattr(args, "accept_pair", False):
        pair += " --accept-pair"
    if paths.repair_split:
        where += f" --repair-split {shlex.quote(paths.repair_split)}"
    return re.sub(
        rf"(run exp-fl-5-(\d)\.py(?: {ONLY_FOLDS})?)(?! --)",
        # Step 0 makes the checkpoints, it does not choose among them.
        lambda found: found[1] + where + (pair if found[2] != "0" else ""),
        message,
    )
