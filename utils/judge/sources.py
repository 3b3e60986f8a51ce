"""Which score files a fold has, ours and the user's, and reading them."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils import ranking
from utils.data.setting_names import ALL
from utils.errors import UserError
from utils.judge.details import curves as details
from utils.judge.scores import comparison
from utils.judge.scores.comparison import LIFTED, NEURON, WEIGHT, FoldTruth
from utils.methods import METHODS
from utils.methods.chosen import chosen_methods, stands_under
from utils.run import storage
from utils.run.cli import Job
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths
from utils.run.rules import meant

STEP = 7
TRUTH_STEP = 1
RANDOM, ORACLE = "random", "oracle"
# Names of rows that are no files; a user's file of that name could not be told from them.
RESERVED = (
    RANDOM, comparison.RANDOM_EXPECTED, comparison.RANDOM_SAMPLED, *comparison.REFERENCES,
    details.IDEAL, details.TRUTH,
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where the scores of one method in one setting are.

    step : the step that makes them, None for a user's file.
    n : None, or the budget of scores that depend on it.
    values : of a reference that is no file: how its scores come from the truth.
    made_from : the files behind a reference, with their steps.
    """

    setting: str
    level: str
    method: str
    score: Path | None
    order: Path | None
    step: int | None
    n: int | None = None
    values: Callable[[FoldTruth], np.ndarray] | None = None
    made_from: tuple[tuple[Path, int], ...] = ()

    @property
    def is_reference(self) -> bool:
        return self.method in comparison.REFERENCES

    @property
    def levels(self) -> tuple[str, ...]:
        """Where it is compared; the oracle, made of positives, is a ceiling among weights only."""
        if self.level == WEIGHT:
            return (WEIGHT,)
        return (LIFTED,) if self.is_reference else (NEURON, LIFTED)

    @property
    def has_cut(self) -> bool:
        """A method whose scores depend on n has its rows with n from those scores."""
        method = METHODS.get((self.level, self.method))
        mixed = method is not None and method.with_budget is not None
        return self.n is not None or not (mixed or self.is_reference)

    @property
    def inputs(self) -> list[Path | tuple[Path, int]]:
        if self.values is not None:
            return list(self.made_from)
        if self.step is None:
            return [self.score]
        paths = [self.score] if self.order is None else [self.score, self.order]
        return [(path, self.step) for path in paths]


def built_in_sources(
    paths: FoldPaths, settings: list[str], ns: list[int], constants: dict[str, Any]
) -> Iterator[Source]:
    """Every file of the methods of ours that run, in the order of settings and of the dictionary.

    Files of a method that METHODS_TO_RUN leaves out may be there: they are nobody's.
    """
    for setting in settings:
        for (level, name), method in chosen_methods(METHODS, constants).items():
            if not stands_under(method, setting, constants):
                continue
            yield Source(
                setting, level, name, paths.score(setting, level, name),
                paths.ranking(setting, level, name), method.step,
            )  # fmt: skip
            if method.with_budget:
                for n in ns:
                    path = paths.score(setting, level, name, n)
                    yield Source(setting, level, name, path, None, method.step, n)


def user_sources(paths: FoldPaths, settings: list[str]) -> Iterator[Source]:
    """Score files that are not ours: docs/definitions.md 7 makes each a method like the others."""
    for setting in settings:
        for path in paths.user_scores(setting):
            found = comparison.user_method(path)
            if found is None or is_ours(*found, setting):
                continue
            yield Source(setting, *found, path, None, None)


def usable_user_sources(
    job: Job, ledger: Ledger, settings: list[str], m: int, n_weights: int
) -> list[Source]:
    """A user's files that can be compared; one that cannot is left out with its line."""
    usable = []
    for source in user_sources(job.paths, settings):
        try:
            require_current(ledger, source)
            require_own_name(source)
            ledger.hashes.get(source.score)  # a file, and not what would never end
            read_file(source, m, n_weights)
        except UserError as error:
            job.leave_out(str(error))
        else:
            usable.append(source)
    return usable


def require_current(ledger: Ledger, source: Source) -> None:
    """Refuse scores that step 5 made with a user's function, of another M1 or other samples."""
    made_by = ledger.producer(ledger.relative(source.score))
    reason = made_by and ledger.why_stale(made_by)
    if reason:
        raise UserError(
            f"{source.score} is out of date: {reason}; give the file of your methods to "
            "exp-fl-5-5.py again (--methods FILE.py)"
        )


def require_own_name(source: Source) -> None:
    """Refuse a user's file whose name stands for something else in our tables."""
    key = source.level, source.method
    taken = key in METHODS or key == (NEURON, ORACLE) or source.method in RESERVED
    if taken or re.search(r"^random \(stratified|\(n=\d+\)$", source.method):
        raise UserError(
            f"{source.score} has a name that step 7 uses for a ranking of its own; "
            f"rename it to {source.level}_<another name>_score.npy, or take it away"
        )


def require_references(job: Job) -> None:
    """Refuse a name in REFERENCES that no method has, ours or a user's in any fold of the call.

    A method of ours that METHODS_TO_RUN leaves out is refused too.
    """
    folds = [replace(job.paths, fold=fold) for fold in job.args.fold]
    files = [comparison.user_method(path) for paths in folds for path in paths.every_score()]
    users = {key[1] for key in files if key and key not in METHODS}
    run = {name for _, name in chosen_methods(METHODS, job.constants)}
    idle = {name for _, name in METHODS} - run - users
    known = {RANDOM, *run, *users}
    for reference in job.constants["REFERENCES"]:
        name = re.sub(r" \(n=\d+\)$", "", reference)  # of scores that depend on n
        if name in idle:
            raise UserError(
                f"REFERENCES in utils/constants.py names {reference!r}, which METHODS_TO_RUN "
                "leaves out; name it there, or take it out of REFERENCES"
            )
        if name not in {*known, *RESERVED}:
            raise UserError(
                f"REFERENCES in utils/constants.py names {reference!r}, which is no method here"
                f"{meant(name, known)}; expected some of {', '.join(sorted(known))}"
            )


def is_ours(level: str, name: str, setting: str) -> bool:
    """Whether steps 4 to 7 write `<level>_<name>_score.npy` into the folder of `setting`."""
    if name == RANDOM or (level, name) == (NEURON, ORACLE):
        return setting == ALL
    method = METHODS.get((level, name))
    if method is None:  # a method of ours with a budget, maybe another one than today's
        method = METHODS.get((level, re.sub(r"_n\d+$", "", name)))
        return method is not None and method.with_budget is not None
    return method.per_setting or setting == ALL


def read_scores(source: Source, truth: FoldTruth) -> np.ndarray:
    """Scores of a ranking, checked: length, dtype, no NaN or infinite value."""
    if source.values is not None:
        return source.values(truth)
    return read_file(source, truth.m, truth.weights.n_items)


def read_file(source: Source, m: int, n_weights: int) -> np.ndarray:
    """`read_scores` of a ranking that is a file, for m neurons or `n_weights` weights."""
    remedy = (
        f"run exp-fl-5-{source.step}.py again" if source.step else "save it again, or take it away"
    )
    size = m if source.level == NEURON else n_weights
    scores = storage.load_array(source.score, (np.float32, np.float64), (size,), remedy)
    return storage.require_finite(np.asarray(scores), source.score, remedy)


def read_order(source: Source, scores: np.ndarray) -> np.ndarray:
    if source.order is None:
        return ranking.rank_by(scores)
    remedy = f"run exp-fl-5-{source.step}.py again"
    return np.asarray(storage.load_array(source.order, (np.int32,), scores.shape, remedy))


def shown_name(source: Source) -> str:
    """The method's name in tables; the seeded sample is one of two random rows."""
    sampled = source.method == RANDOM and source.step == STEP
    return comparison.RANDOM_SAMPLED if sampled else source.method


def require_all(ledger: Ledger, inputs: Iterable[Path | tuple[Path, int]]) -> None:
    """Refuse stale or missing files before anything is written."""
    for item in inputs:
        if isinstance(item, tuple):
            ledger.require(*item)


def from_another_truth(ledger: Ledger, source: Source) -> bool:
    """Whether a user's file was compared with another ground truth before, and is as it was."""
    known = ledger.content["tasks"].get(f"{STEP}/scores", {"recipe": {"inputs": {}}})
    before = known["recipe"]["inputs"]
    names = [ledger.relative(path) for path in (source.score, ledger.paths.abs_diff)]
    now = [ledger.hashes.get(path) for path in (source.score, ledger.paths.abs_diff)]
    return before.get(names[0]) == now[0] and before.get(names[1], now[1]) != now[1]


def report_users(
    job: Job, ledger: Ledger, sources: list[Source], settings: list[str], truth: FoldTruth
) -> None:
    """Say in one line what is odd about a user's file."""
    for path in (path for setting in settings for path in job.paths.user_scores(setting)):
        if comparison.user_method(path) is None:
            job.log.warning(
                "%s is not compared: its name has to begin with neuron_ or weight_", path
            )
    found: dict[tuple[str, str], list[str]] = {}
    for source in sources:
        if source.step is not None:
            continue
        scores = read_scores(source, truth)
        if scores.min() == scores.max():
            job.log.warning(
                "%s is constant: it ranks nothing, its values are those of chance and its "
                "correlations do not exist", source.score,
            )  # fmt: skip
        if from_another_truth(ledger, source):
            job.log.warning(
                "%s is as it was when the ground truth was another one: make it again if it was "
                "made from the old M1", source.score,
            )  # fmt: skip
        found.setdefault((source.level, source.method), []).append(source.setting)
    for (level, method), where in found.items():
        job.log.info("your method %s (%s) is compared in %d settings", method, level, len(where))
        absent = [setting for setting in settings if setting not in where]
        if absent:
            job.log.warning(
                "your method %s (%s) has no file in %d of %d settings (%s): "
                "it is compared where it has one",
                method, level, len(absent), len(settings), ", ".join(absent),
            )  # fmt: skip
