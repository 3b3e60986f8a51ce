"""Asking a user's function for scores, and checking what it gives."""

import copy
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from utils import ranking
from utils.methods.evidence import Evidence
from utils.methods.method import Scores
from utils.methods.own.guard import undisturbed
from utils.methods.own.mark import Function
from utils.model.states import States


class MethodFailed(ValueError):
    """A user's method raised, or returned what are no scores; the others go on."""


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
        with undisturbed():
            given = function(apart(evidence))
            if isinstance(given, torch.Tensor):
                given = given.detach().cpu().numpy()
            scores = np.asarray(given)
    except (Exception, SystemExit) as error:
        raise MethodFailed(f"{head} raised {in_words(error, path)}") from None
    hidden = int(np.ma.getmaskarray(given).sum()) if np.ma.isMaskedArray(given) else 0
    if hidden:
        raise MethodFailed(f"{head} returned {hidden} of {given.size} scores that are masked")
    if scores.dtype.kind not in "fiub":
        raise MethodFailed(f"{head} returned values of type {scores.dtype}, no numbers")
    if scores.shape != (size,):
        raise MethodFailed(f"{head} returned the shape {scores.shape}; ({size},) is needed")
    kept = scores.dtype if scores.dtype in (np.float32, np.float64) else np.float64
    scores = np.array(
        scores, dtype=kept, order="C"
    )  # a copy: the function may write to its own again
    bad = size - int(np.isfinite(scores).sum())
    if bad:
        raise MethodFailed(f"{head} returned {bad} of {size} scores that are NaN or infinite")
    return Scores(scores)


def in_words(error: BaseException, path: Path) -> str:
    """An error of a user's code in one line, with the last line of their file that led to it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if frame.filename == str(path)]  # fmt: skip
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines = [error.lineno]
    said = " ".join(str(error).split())[:300]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}{': ' if said else ''}{said}{where}"


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
