"""Reads how each fold was made, from its provenance and its checkpoints."""

import json
from collections.abc import Iterable, Sequence
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
from utils.summary.folds.read_tables import judged_files, truths_of
from utils.summary.folds.records import (
    FoldRecord,
    differences,
    producers,
    tasks_behind,
    with_training,
)
from utils.summary.folds.tables import STEP


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
