"""The command line, the log and the exit status that all numbered scripts share."""

import argparse
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

from filelock import FileLock, Timeout

from utils import constants as user_constants
from utils import ranking
from utils.errors import UserError
from utils.run import storage
from utils.run.paths import FoldPaths

USER_MISTAKE = 2
DEFECT = 1


@dataclass
class Job:
    """One step on one fold: what a script's `work` function is given."""

    step: int
    paths: FoldPaths
    args: argparse.Namespace
    constants: dict[str, Any]
    log: logging.Logger

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
        "--ds", default=user_constants.DEFAULT_DS, help="data set (default: %(default)s)"
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
    parser.add_argument("--force", action="store_true", help="redo what is already done")
    if add_options:
        add_options(parser)
    return parser.parse_args()


def add_budget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--n", type=int, nargs="+", metavar="N", help="neuron budgets (default: d/8)"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")


def check_arguments(args: argparse.Namespace) -> None:
    if args.ds not in user_constants.PROFILES:
        known = ", ".join(user_constants.PROFILES)
        raise UserError(f"unknown data set {args.ds!r}; --ds takes one of {known}")
    for fold in args.fold:
        if not 0 <= fold < user_constants.N_FOLDS:
            raise UserError(
                f"fold {fold} does not exist; --fold takes 0 to {user_constants.N_FOLDS - 1}"
            )
    repeated = sorted({fold for fold in args.fold if args.fold.count(fold) > 1})
    if repeated:
        raise UserError(f"fold {repeated[0]} is given twice; name each fold once")
    if not args.root.is_dir():
        raise UserError(f"{args.root} is not a folder; --root names the one that holds dataset/")


def _whole(least: int) -> tuple[Callable[[Any], bool], str]:
    return (
        lambda value: type(value) is int and value >= least,
        f"a whole number of at least {least}",
    )


def _or_none(rule: tuple[Callable[[Any], bool], str]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value is None or rule[0](value), f"{rule[1]}, or None"


def _is_percent(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= 100


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _distinct(value: Any) -> bool:
    return len({f"{v:g}" if isinstance(v, int | float) else v for v in value}) == len(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_list_of(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, tuple | list) and len(value) > 0 and all(fits(v) for v in value)


SEED_RULE = (
    lambda value: type(value) is int and 0 <= value < 2**31,
    "a whole number from 0 to below 2**31",
)
# What a constant has to be: a test and the words for it.
RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "FOLDS": (lambda value: _is_list_of(value, _whole(0)[0]), "fold numbers, like (0, 1)"),
    "N_FOLDS": _whole(2),
    "SPLIT_SEED": SEED_RULE,
    "SEED": SEED_RULE,
    "NEURON_BUDGET": _or_none(_whole(1)),
    "IG_POINTS": _whole(1),
    "MIN_SAMPLES": _whole(2),
    "TOP_RANKS": _whole(0),
    "POSITIVE_PERCENT": (_is_percent, "a percentage above 0"),
    "K_PERCENTS": (
        lambda value: _is_list_of(value, _is_percent) and _distinct(value),
        "different percentages, like (1, 10)",
    ),
    "WITH_KENDALL": (lambda value: type(value) is bool, "True or False"),
    "REFERENCES": (
        lambda value: value in ((), []) or (_is_list_of(value, _is_text) and _distinct(value)),
        'names of different methods, like ("random", "bl")',
    ),
    "COMPARED_METRICS": (
        lambda value: _is_list_of(value, _is_text) and _distinct(value),
        'names of different columns, like ("lift@1%",)',
    ),
    "PERMUTATION_DRAWS": _whole(1),
    "BOOTSTRAP_DRAWS": _whole(1),
    "INFERENCE_BATCH_SIZE": _or_none(_whole(1)),
    "INFERENCE_PRECISION": (lambda value: value in ("fp32", "bf16"), '"fp32" or "bf16"'),
    "PREPROCESSING_WORKERS": _or_none(_whole(0)),
}


PROFILE_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "batch_size": _whole(1),
    "learning_rate": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "weight_decay": (lambda value: _is_number(value) and value >= 0, "a number of at least 0"),
    "epochs": _whole(2),
    "repeats_per_epoch": _whole(1),
    "cpu_threads": _or_none(_whole(1)),
}


def check_constants() -> None:
    """Refuse a value in utils/constants.py that cannot be meant."""
    for name, (fits, wanted) in RULES.items():
        value = getattr(user_constants, name, None)
        if not fits(value):
            raise UserError(f"{name} in utils/constants.py is {value!r}; expected {wanted}")
    for ds, profile in user_constants.PROFILES.items():
        for name, (fits, wanted) in PROFILE_RULES.items():
            value = getattr(profile, name)
            if not fits(value):
                raise UserError(
                    f"{name} of the profile {ds} in utils/constants.py is {value!r}; "
                    f"expected {wanted}"
                )


def constants_in_force(args: argparse.Namespace) -> dict[str, Any]:
    """The user's constants, with what the command line overrides."""
    values = {
        name: getattr(user_constants, name)
        for name in dir(user_constants)
        if name.isupper() and name not in ("PROFILES", "DEFAULT_DS", "FOLDS")
    }
    for name, value in vars(args).items():
        if name.upper() in values and value is not None:
            values[name.upper()] = value
    return values


def fix_order_of_sums() -> None:
    """Have MKL add up matrix products in one order, whatever the number of threads.

    Its own default splits the sums among four threads or more, which moves the
    last bits. MKL reads the variable at its first product; what a user has set
    stays. No effect on a torch that is built without MKL.
    """
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


def is_main_process() -> bool:
    """Of the processes that torchrun starts on a step, the first one locks, logs and writes."""
    by_torchrun = "LOCAL_RANK" in os.environ  # a job scheduler may have set RANK alone
    return not by_torchrun or os.environ.get("RANK", "0") == "0"


class PatientOutput:
    """Standard output that goes on when its reader, like `head`, has gone away."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        with self._into_nothing_if_broken():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._into_nothing_if_broken():
            self.stream.flush()

    @contextmanager
    def _into_nothing_if_broken(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


class LogFile(logging.FileHandler):
    """A log that loses lines on a full disk, and leaves the complaint to the results."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def open_log(path: Path) -> logging.Logger:
    """Log to the terminal, and with times to the file `path`."""
    log = logging.getLogger("exp-fl-5")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    close_log(log)
    if not is_main_process():
        log.addHandler(logging.NullHandler())
        return log
    terminal = logging.StreamHandler(sys.stdout)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    terminal.setLevel(logging.INFO)
    log.addHandler(terminal)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = LogFile(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UserError(
            f"cannot write the log {path}: {error.strerror}; check the folder"
        ) from None
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(file)
    return log


def close_log(log: logging.Logger) -> None:
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()


def lock_fold(paths: FoldPaths) -> FileLock:
    """One step at a time on a fold: a second one waits, and says for what."""
    try:
        paths.lock.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(paths.lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{paths.name}: another step is at work on this fold; waiting for it", flush=True)
            lock.acquire()
    except OSError as error:
        raise UserError(f"cannot write {paths.lock}: {error.strerror}; check the folder") from None
    return lock


def run(
    step: int,
    description: str,
    work: Callable[[Job], Any],
    *,
    add_options: Callable[[argparse.ArgumentParser], None] | None = None,
    needs: tuple[str, ...] = ("dataset", "training"),
    after: Callable[[list[tuple[Job, Any]]], None] | None = None,
) -> NoReturn:
    """Run `work` on every fold, then `after` on all results; exit with the status.

    `needs`: the input folders of every fold (attributes of FoldPaths) that have
    to exist before anything starts.
    """
    fix_order_of_sums()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a path that the terminal cannot show
    sys.stdout = PatientOutput(sys.stdout)
    try:
        check_constants()
        args = parse_arguments(step, description, add_options)
        check_arguments(args)
        values = constants_in_force(args)
        folds = [FoldPaths(args.root, args.ds, fold) for fold in args.fold]
        for paths in folds:
            require_inputs(paths, needs)
        finished = [run_fold(step, paths, args, values, work) for paths in folds]
        if after and is_main_process():
            after(finished)
    except UserError as error:
        sys.stdout.flush()
        print(f"exp-fl-5-{step}.py: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(USER_MISTAKE) from None
    except KeyboardInterrupt:
        print(f"exp-fl-5-{step}.py: interrupted; run it again to go on", file=sys.stderr)
        raise SystemExit(DEFECT) from None
    raise SystemExit(0)


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
        log = open_log(paths.log(step))
        try:
            if is_main_process():
                storage.remove_temporaries(paths.results)
            log.info("exp-fl-5-%d.py: %s", step, paths.name)
            job = Job(step, paths, args, values, log)
            return job, work(job)
        except UserError as error:
            log.handlers[-1].handle(
                log.makeRecord(log.name, logging.ERROR, "", 0, str(error), (), None)
            )
            raise
        finally:
            close_log(log)
    finally:
        lock.release()


def require_inputs(paths: FoldPaths, needs: tuple[str, ...]) -> None:
    """The folders that step 0 makes, or that come from elsewhere in the same layout."""
    for folder in (getattr(paths, need) for need in needs):
        if not folder.is_dir():
            raise UserError(
                f"{folder} does not exist; run exp-fl-5-0.py --ds {paths.ds} "
                f"--fold {paths.fold} first, or put the folder there"
            )
