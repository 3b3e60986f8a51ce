"""How each fold of a summary was made, and whether folds are repetitions of one experiment."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from utils import constants as user_constants
from utils.data.repeats import SPLIT_SEED_IN_FORCE, repeat_of
from utils.errors import UserError
from utils.model import training
from utils.model.inputs import ACCEPTED
from utils.model.pair import find_pair
from utils.model.trainer_state import Recipe, epochs_of, read_recipe
from utils.run import cli, storage
from utils.run.hashing import hash_bytes
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.summary.fold_tables import STEP, judged_files, truths_of


@dataclass(frozen=True)
class FoldRecord:
    """What one fold's provenance says about its scores by every truth.

    constants : every constant that decided them, by name.
    digest : of the recipes and results of every task behind them.
    accepted : what is wrong with M1 and M2 that --accept-pair accepted.
    recipe : what the checkpoints say about the training, where step 0 did not train every fold.
    """

    name: str
    fold: int
    constants: dict[str, Any]
    digest: str
    accepted: str | None = None
    recipe: Recipe | None = None


def summary_paths(folds: list[FoldPaths]) -> SummaryPaths:
    """Where the summary of these folds is: those of FOLDS in the usual place."""
    given = tuple(sorted(paths.fold for paths in folds))
    others = () if given == tuple(sorted(user_constants.FOLDS)) else given
    return SummaryPaths(folds[0].root, folds[0].ds, other_folds=others)


def read_records(jobs: list[cli.Job]) -> list[FoldRecord]:
    """What is known about how each fold was made, from its provenance and its checkpoints."""
    return with_trainings(jobs, [read_record(job.paths, job.constants["TRUTHS"]) for job in jobs])


def with_trainings(jobs: list[cli.Job], records: list[FoldRecord]) -> list[FoldRecord]:
    """The folds' records with what their checkpoints say, where they are here."""
    ours = all(training.read_record(job.paths) is not None for job in jobs)
    found = []
    for job, record in zip(jobs, records, strict=True):
        if job.paths.training.is_dir():
            pair = find_pair(job.paths, job.constants["M1_STEP"], job.constants["M2_STEP"])
            record = with_training(
                record, epochs_of(pair), Recipe({}) if ours else read_recipe(pair)
            )
        found.append(record)
    return found


def with_training(record: FoldRecord, epochs: list[float] | None, recipe: Recipe) -> FoldRecord:
    """A fold's record with what its checkpoints say.

    The steps of M1 and M2 depend on the size of a fold, their epochs do not.
    """
    constants = dict(record.constants)
    if epochs is not None:
        constants |= {"M1_STEP": None, "M2_STEP": None, "epochs of M1 and M2": epochs}
    constants |= {f"training {name}": value for name, value in recipe.values.items()}
    return replace(record, constants=constants, recipe=recipe)


def read_record(paths: FoldPaths, truths: Sequence[str]) -> FoldRecord:
    """What the fold's tables by each of `truths` were made from, all the way up."""
    present = truths_of(paths, truths)
    if not present:
        raise storage.missing(paths.judged("scores", truths[0]), STEP)
    return read_record_of(paths, judged_files(paths, present), STEP)


def read_record_of(paths: FoldPaths, files: Iterable[Path], step: int) -> FoldRecord:
    """What some of the fold's results were made from, all the way up; `step` makes them."""
    try:
        tasks = json.loads(paths.provenance.read_text(encoding="utf-8"))["tasks"]
        made = producers(tasks)
        read = (path.relative_to(paths.results) for path in files)
        behind = tasks_behind(tasks, {made[path.as_posix()] for path in read})
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{paths.provenance} does not say what the scores were made from; "
            f"{storage.run_again(step)}"
        ) from None
    constants: dict[str, Any] = {}
    for key in sorted(behind):
        constants |= tasks[key]["recipe"]["constants"]
    accepted = constants.pop(ACCEPTED, None)
    digest = hash_bytes(
        json.dumps(
            {key: [tasks[key]["recipe"], tasks[key]["outputs"]] for key in sorted(behind)},
            sort_keys=True,
        ).encode()
    )
    constants |= training_constants(paths)
    return FoldRecord(paths.name, paths.fold, constants, digest, accepted)


def producers(tasks: dict[str, Any]) -> dict[str, str]:
    """The key of the task that made each file."""
    return {name: key for key, task in tasks.items() for name in task["outputs"]}


def tasks_behind(tasks: dict[str, Any], keys: Iterable[str]) -> set[str]:
    """The keys of some tasks and of every task whose results they were made from."""
    producer = producers(tasks)
    found: set[str] = set()
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        if key in found:
            continue
        found.add(key)
        waiting += [producer[name] for name in tasks[key]["recipe"]["inputs"] if name in producer]
    return found


def training_constants(paths: FoldPaths) -> dict[str, Any]:
    """How the fold was trained, where step 0 trained it.

    SPLIT_SEED is what the split seed in force says, less the repeat that the fold's number says:
    folds differ in it where one of them was trained as a fold of another repeat.
    """
    record = training.read_record(paths) or {}
    found = {
        f"training {name}": value
        for name, value in record.items()
        if not name.startswith("the split ") and name != SPLIT_SEED_IN_FORCE
    }
    seed, n_folds = training.seed_in_force(record), record.get("N_FOLDS")
    if isinstance(seed, int) and isinstance(n_folds, int) and n_folds > 0:
        found["training SPLIT_SEED"] = seed - repeat_of(paths.fold, n_folds)
    return found


def refuse_mixed(records: list[FoldRecord]) -> None:
    """Folds made with different constants are not repetitions of one experiment.

    Raises
    ------
    UserError : names the constant, its values and the folds.
    """
    for found in differences(records):
        raise UserError(
            f"the folds were made with different constants: {found}; run the steps "
            "again with one value, name folds that agree, or give --mix-constants"
        )


def differences(records: list[FoldRecord]) -> list[str]:
    """The constants in which folds differ, with their values and the folds."""
    names = dict.fromkeys(name for record in records for name in record.constants)
    found = []
    for name in names:
        values = {
            record.fold: json.dumps(record.constants[name])
            for record in records
            if name in record.constants
        }
        if len(set(values.values())) > 1:
            found.append(f"{name} is {by_value(values)}")
    lengths = {
        record.fold: f"{record.recipe.steps_per_epoch:g}"
        for record in records
        if record.recipe and record.recipe.steps_per_epoch
    }
    if different_lengths([float(length) for length in lengths.values()]):
        found.append(f"training steps per epoch is {by_value(lengths)}")
    return found


def by_value(values: dict[int, str]) -> str:
    """Values of folds, each once with its folds."""
    folds: dict[str, list[int]] = {}
    for fold, value in values.items():
        folds.setdefault(value, []).append(fold)
    return " and ".join(
        f"{value} in fold {', '.join(map(str, where))}" for value, where in folds.items()
    )


def different_lengths(steps: list[float]) -> bool:
    """Whether numbers of steps per epoch are of trainings with different batches.

    Folds of one data set have nearly the same size; another number of devices or of batches per
    step changes the number of steps by a quarter at least (4 devices in place of 5).
    """
    low, high = min(steps, default=1), max(steps, default=1)
    return high - low > 1 and high > 1.1 * low


def remarks(records: list[FoldRecord]) -> list[str]:
    """What a reader of the summary has to know about how the folds were made."""
    said = [
        f"Fold {record.fold}: M1 and M2 are no neighbours in one training ({record.accepted}); "
        "taken with --accept-pair."
        for record in records
        if record.accepted
    ]
    mixed = differences(records)
    if mixed:
        said.append(
            f"The folds were made with different constants (--mix-constants): {'; '.join(mixed)}."
        )
    releases = {
        record.fold: record.recipe.transformers
        for record in records
        if record.recipe and record.recipe.transformers
    }
    if len(set(releases.values())) > 1:
        said.append(f"The release of transformers that wrote M2 is {by_value(releases)}.")
    return said
