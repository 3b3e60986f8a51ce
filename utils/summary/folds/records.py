"""How each fold of a summary was made, and whether folds are repetitions of one experiment."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol


class Training(Protocol):
    """What checkpoints say about a training (`trainer_state.Recipe`)."""

    values: Mapping[str, Any]
    steps_per_epoch: float | None
    transformers: str | None


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
    recipe: Training | None = None


def with_training(record: FoldRecord, epochs: list[float] | None, recipe: Training) -> FoldRecord:
    """A fold's record with what its checkpoints say.

    The steps of M1 and M2 depend on the size of a fold, their epochs do not.
    """
    constants = dict(record.constants)
    if epochs is not None:
        constants |= {"M1_STEP": None, "M2_STEP": None, "epochs of M1 and M2": epochs}
    constants |= {f"training {name}": value for name, value in recipe.values.items()}
    return replace(record, constants=constants, recipe=recipe)


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
