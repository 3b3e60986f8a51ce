"""What a fold is trained with and how far it has come; `finetuning` does the training."""

import dataclasses
import datetime
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from utils.constants import Profile
from utils.data.repeats import SPLIT_SEED_IN_FORCE, split_record
from utils.errors import UserError
from utils.model import configs, tensors
from utils.run import storage
from utils.run.paths import FoldPaths

STEP = 0
# Where the data came from does not matter to the training; what it is is compared by content.
# Replays come after it.
NOT_COMPARED = ("source", "test_split", "class_names", "replays")
BASE_CONTENT = "the content of the base model"
# Folds may have to be downloaded while the other processes wait.
LONGEST_WAIT = datetime.timedelta(hours=3)
RESUME_FILES = ("trainer_state.json", "optimizer.pt", "scheduler.pt")


@contextmanager
def main_process_first() -> Iterator[None]:
    """Let the main process make what the others then find; alone, it just goes on."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.accelerator.is_available(), timeout=LONGEST_WAIT)
    with state.main_process_first():
        yield


def make_record(
    constants: dict[str, Any],
    profile: Profile,
    base_model: str | None,
    data: dict[str, str],
    base_content: str | None = None,
    fold: int = 0,
) -> dict[str, Any]:
    """Everything that decides the weights of M1 and M2.

    Parameters
    ----------
    base_model : what the command line puts in place of the profile's, or None.
    data : content hash of each split that the training uses.
    base_content : hash of a base model that is a folder.
    fold : the fold's number, which says its repeat.
    """
    record = {name: constants[name] for name in ("SEED", "SPLIT_SEED", "N_FOLDS")}
    record |= split_record(constants["SPLIT_SEED"], fold, constants["N_FOLDS"])
    record |= {
        name: value
        for name, value in dataclasses.asdict(profile).items()
        if name not in NOT_COMPARED
    }
    record["--base-model"] = base_model
    record |= {f"the split {split}": digest for split, digest in data.items()}
    if base_content is not None:
        record[BASE_CONTENT] = base_content
    return json.loads(json.dumps(record))


def seed_in_force(record: dict[str, Any]) -> int | None:
    """The seed that split a fold, by its record."""
    return record.get(SPLIT_SEED_IN_FORCE, record.get("SPLIT_SEED"))


def usable_checkpoints(paths: FoldPaths, record: dict[str, Any], epochs: int) -> list[Path]:
    """Checkpoints that the fold has, by step ascending: enough, or good to go on from.

    Raises
    ------
    UserError : they are of a training with something else than `record`, or too
        few with no way to go on.
    """
    if epochs < 2:
        raise UserError(f"epochs is {epochs}; M1 and M2 take 2 epochs at least")
    done = complete_checkpoints(paths)
    if done:
        require_same(paths, record)
        if len(done) < epochs:
            require_resumable(paths, done[-1])
    return done


def complete_checkpoints(paths: FoldPaths) -> list[Path]:
    """Checkpoints of the fold, by step ascending.

    Raises
    ------
    UserError : one of them is not whole.
    """
    found = sorted(checkpoint_folders(paths), key=step_of)
    for folder in found:
        configs.read_config(folder)
        tensors.weight_files(folder)
    return found


def require_same(paths: FoldPaths, record: dict[str, Any]) -> None:
    """Refuse a fold that was trained with something else than `record`.

    A fold without a record was trained elsewhere, with what only its owner knows.
    """
    known = read_record(paths)
    if known is None:
        return
    known[SPLIT_SEED_IN_FORCE] = seed_in_force(known)
    for name, value in (record | {SPLIT_SEED_IN_FORCE: seed_in_force(record)}).items():
        if known.get(name) == value:
            continue
        if name == "--base-model" and value is None:
            continue  # the profile's entry is compared by itself
        if name == BASE_CONTENT and name not in known:
            continue  # trained before it was recorded
        was = f"{name} was {known.get(name)}, now {value}"
        if name.startswith("the split "):
            was = f"{name} in {paths.dataset} has changed"
        if name == BASE_CONTENT:
            was = f"{name} has changed"
        if name == SPLIT_SEED_IN_FORCE:
            was += ": it is of another repeat"
        raise UserError(
            f"{paths.training} was trained with other values ({was}); put the old value back, "
            "or move the folder away to train again"
        )


def read_record(paths: FoldPaths) -> dict[str, Any] | None:
    try:
        return dict(json.loads(paths.training_record.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{paths.training_record} is not readable ({error}); remove it if the checkpoints "
            "beside it are good"
        ) from None


def can_go_on(paths: FoldPaths) -> bool:
    """Whether step 0 would begin or go on with the training that a fold has."""
    found = sorted(checkpoint_folders(paths), key=step_of)
    if not found:
        return True
    whole = all((found[-1] / name).is_file() for name in RESUME_FILES)
    return whole and paths.training_record.is_file()


def require_resumable(paths: FoldPaths, checkpoint: Path) -> None:
    """A run can go on from a checkpoint of ours that has the state of the optimizer."""
    absent = [name for name in RESUME_FILES if not (checkpoint / name).is_file()]
    if absent or read_record(paths) is None:
        raise UserError(
            f"{paths.training} has too few checkpoints, and the training cannot go on from "
            f"{checkpoint.name} (no {absent[0] if absent else paths.training_record.name}); "
            "add the missing checkpoint or move the folder away"
        )


def require_finished(paths: FoldPaths) -> None:
    """Refuse a training of ours that was cut short: its last checkpoint is not M2.

    One that was made elsewhere is finished when its owner says so.
    """
    if read_record(paths) is None:
        return
    try:
        last = max(checkpoint_folders(paths), key=step_of)
        state = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))
        whole, done = int(state["max_steps"]), int(state["global_step"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if done < whole:
        raise UserError(
            f"the training of {paths.training} was cut short after step {done} of {whole}; "
            "run exp-fl-5-0.py to go on with it"
        )


def checkpoint_folders(paths: FoldPaths) -> list[Path]:
    """Every folder `checkpoint-<step>` of the fold, whole or not."""
    return [
        folder
        for folder in paths.training.glob("checkpoint-*")
        if re.fullmatch(r"checkpoint-\d+", folder.name) and folder.is_dir()
    ]


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def forget_failed(paths: FoldPaths) -> None:
    """Take away what a training leaves that has not come to its first checkpoint.

    Nobody can then take its folder for a training. Files of the user's stay.
    """
    if checkpoint_folders(paths):
        return
    shutil.rmtree(paths.training_staging, ignore_errors=True)
    for file in (paths.training_record, paths.log(STEP)):
        with suppress(OSError):
            file.unlink()
    for folder in (paths.log(STEP).parent, paths.training):
        with suppress(OSError):
            folder.rmdir()


def save_record(paths: FoldPaths, record: dict[str, Any]) -> None:
    storage.save_json(paths.training_record, record)


def repair_accuracy(checkpoint: Path) -> float | None:
    """Accuracy on the repair split that the training noted beside a checkpoint of ours."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        values = [
            entry["eval_accuracy"]
            for entry in state["log_history"]
            if entry.get("step") == state["global_step"] and "eval_accuracy" in entry
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return values[-1] if values else None
