"""A user's own FL methods: functions of a file, marked with a decorator (docs/definitions.md 7).

from utils.methods.own import fl_method

@fl_method("neuron", "loudest")
def loudest(evidence):
    return evidence.states.a[evidence.neg].max(axis=0)
"""

import argparse
import copy
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from utils import ranking
from utils.data.setting_names import ALL
from utils.errors import UserError
from utils.methods import COMMON, METHODS, arachne, interventions, pruning, spectrum, variance
from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores
from utils.model import gradients
from utils.model.states import States
from utils.run.hashing import hash_bytes

STEP = 5
LEVELS = ("neuron", "weight")
MARK = "fl_method"
# Whatever an Evidence may compute for a method.
CODE = (*COMMON, gradients, arachne, interventions, pruning, spectrum, variance)
# In tables and file names; what our own rows are called besides the methods has a space or a |.
NAME = re.compile(r"\w[\w+.\-]{0,79}")
TAKEN = ("random", "oracle", "ideal", "change", "pooled", "repair")


class MethodFailed(UserError):
    """A user's method raised, or returned what are no scores; the others go on."""


Function = Callable[[Evidence], np.ndarray]


def fl_method(level: str, name: str, per_setting: bool = True) -> Callable[[Function], Function]:
    """Mark a function as an FL method of `exp-fl-5-5.py --methods FILE` and step 9.

    The function takes an Evidence (M1's tail, the cached states, the setting's
    misclassified samples `neg` and correct samples `pos`, the fold's seed) and
    returns suspiciousness scores, higher is more suspicious: (m,) at level
    "neuron", (N,) in canonical order at level "weight".

    per_setting : False if the setting's samples do not matter; it then stands
        under `all` alone.
    """
    if level not in LEVELS:
        raise UserError(f"level {level!r} of {name!r} is unknown; expected 'neuron' or 'weight'")
    if not isinstance(name, str) or not NAME.fullmatch(name) or re.search(r"_n\d+$", name):
        raise UserError(
            f"{name!r} cannot name a method: letters, digits, _, +, - and . in at most 80 "
            "characters, and no budget such as _n16 at the end; rename it"
        )
    if name in TAKEN or (level, name) in METHODS:
        raise UserError(f"{level}/{name} is the name of a ranking of ours; rename it")

    def mark(function: Function) -> Function:
        setattr(function, MARK, (level, name, per_setting))
        return function

    return mark


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--methods",
        type=Path,
        metavar="FILE.py",
        help="methods of your own: functions marked with @fl_method of utils.methods.own",
    )


def methods_of(args: argparse.Namespace) -> dict[tuple[str, str], Method]:
    """The user's methods that a step was given, by (level, name)."""
    path = getattr(args, "methods", None)
    return {} if path is None else load_methods(path)


def standing_under(
    methods: dict[tuple[str, str], Method], setting: str
) -> dict[tuple[str, str], Method]:
    return {key: method for key, method in methods.items() if setting == ALL or method.per_setting}


@cache
def load_methods(path: Path) -> dict[tuple[str, str], Method]:
    """The methods that a file of the user's defines, by (level, name), in the file's order.

    Raises
    ------
    UserError : the file cannot be read or run, or defines none, or one twice.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"--methods {path} cannot be read: {error.strerror}; name a Python file"
        ) from None
    found: dict[tuple[str, str], Method] = {}
    for function in vars(run_file(path, source)).values():
        mark = getattr(function, MARK, None) if callable(function) else None
        if mark is None:
            continue
        level, name, per_setting = mark
        if (level, name) in found and found[level, name].function.args[0] is not function:
            raise UserError(f"--methods {path} defines {level}/{name} twice; rename one of them")
        found[level, name] = Method(
            level,
            STEP,
            partial(own_scores, function, level, name, path),
            CODE,
            per_setting=per_setting,
            constants=("IG_POINTS", "SEED"),
            source=hash_bytes(source),
        )
    if not found:
        raise UserError(
            f"--methods {path} defines no method; mark its functions with @fl_method(level, name) "
            "of utils.methods.own"
        )
    return found


def run_file(path: Path, source: bytes) -> ModuleType:
    """The module that a user's file is; what lies beside it can be imported from it."""
    module = ModuleType(f"own_methods_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up their module
    if str(path.resolve().parent) not in sys.path:
        sys.path.append(str(path.resolve().parent))
    try:
        exec(compile(source, path, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        raise UserError(f"--methods {path} cannot be run: {in_words(error, path)}") from None
    return module


def in_words(error: BaseException, path: Path) -> str:
    """An error of a user's code in one line, with the last line of their file that led to it."""
    if isinstance(error, UserError):
        return str(error)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if frame.filename == str(path)]  # fmt: skip
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines = [error.lineno]
    said = " ".join(str(error).split())[:300]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}{': ' if said else ''}{said}{where}"


def own_scores(function: Function, level: str, name: str, path: Path, evidence: Evidence) -> Scores:
    """Ask a user's function, and check what it gives.

    Raises
    ------
    MethodFailed : it raises, or returns anything but finite numbers, one for each item.
    """
    d, m = evidence.tail.d, evidence.tail.m
    size = m if level == "neuron" else ranking.n_weights(m, d)
    head = f"{level}/{name} of {path.name}"
    try:
        given = function(apart(evidence))
        if isinstance(given, torch.Tensor):
            given = given.detach().cpu().numpy()
        scores = np.asarray(given)
    except (Exception, SystemExit) as error:
        raise MethodFailed(f"{head} raised {in_words(error, path)}") from None
    if scores.dtype.kind not in "fiub":
        raise MethodFailed(f"{head} returned values of type {scores.dtype}, no numbers")
    if scores.shape != (size,):
        raise MethodFailed(f"{head} returned the shape {scores.shape}; ({size},) is needed")
    kept = scores.dtype if scores.dtype in (np.float32, np.float64) else np.float64
    scores = np.ascontiguousarray(scores, dtype=kept)
    bad = size - int(np.isfinite(scores).sum())
    if bad:
        raise MethodFailed(f"{head} returned {bad} of {size} scores that are NaN or infinite")
    return Scores(scores)


def apart(evidence: Evidence) -> Evidence:
    """The same evidence, of which nothing that a user's code does reaches another method."""
    states = {name: read_only(array) for name, array in vars(evidence.states).items()}
    return replace(
        evidence,
        tail=copy.deepcopy(evidence.tail),
        states=States(**states),
        neg=read_only(evidence.neg),
        pos=read_only(evidence.pos),
        fold_memo={},
        setting_memo={},
        saved_s=0.0,
    )


def read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def failures_in_words(failures: Mapping[str, str], what: str = "setting") -> str:
    """One line about a method that failed.

    failures : what went wrong, by name of the `what` it happened in, in their order.
    """
    (first, said), *others = failures.items()
    more = f" and {len(others)} more" if others else ""
    return f"{said} ({what} {first}{more}); mend the function and run the step again"
