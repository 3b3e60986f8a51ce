"""What the HF Trainer noted beside the weights: which run, how far, with what recipe."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.model import configs
from utils.model.inputs import Pair
from utils.model.optimizer_state import OPTIMIZER_FILE, load_state

STATE_FILE = "trainer_state.json"


@dataclass(frozen=True)
class TrainerState:
    """A trainer_state.json.

    run : the settings that all checkpoints of a run share, by name.
    log : (step, text) of every logged entry, in order; equal entries have equal texts.
    """

    step: int
    epoch: float
    run: dict[str, Any]
    batch_size: int | None
    log: list[tuple[int, str]]

    @property
    def steps_per_epoch(self) -> float:
        return self.step / self.epoch


def read_state(checkpoint: Path) -> TrainerState | None:
    """The trainer_state.json of a checkpoint, None without one.

    Raises
    ------
    UserError : it is not what the Trainer writes.
    """
    path = checkpoint / STATE_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        state = TrainerState(
            step=int(content["global_step"]),
            epoch=float(content["epoch"]),
            run={name: content[name] for name in ("max_steps", "num_train_epochs")},
            batch_size=content.get("train_batch_size"),
            # As text: a loss of NaN is equal to itself.
            log=[
                (int(entry["step"]), json.dumps(entry, sort_keys=True))
                for entry in content["log_history"]
            ],
        )
        if not (state.step > 0 and state.epoch > 0):
            raise ValueError(f"step {state.step}, epoch {state.epoch}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{path} is not what the Trainer writes ({reason}); copy the checkpoint again, or take "
            "the file away if you know that M1 and M2 are neighbours"
        ) from None
    return state


# -- neighbours ------------------------------------------------------------------------------


def why_not_neighbours(pair: Pair) -> list[str]:
    """What says that M1 and M2 are not one epoch apart in one run; empty if nothing does."""
    m1, m2 = read_state(pair.m1), read_state(pair.m2)
    if m1 is None and m2 is None:
        return []
    if m1 is None or m2 is None:
        length = (m1 or m2).steps_per_epoch
        steps = [int(folder.name.rpartition("-")[2]) for folder in (pair.m1, pair.m2)]
        return _apart(*(step / length for step in steps), length)
    found = [
        f"{name} is {value} and {m2.run[name]}"
        for name, value in m1.run.items()
        if value != m2.run[name]
    ]
    if not continues(m1, m2):
        found.append(f"the log of {pair.m2.name} does not continue that of {pair.m1.name}")
    return found + _apart(m1.epoch, m2.epoch, m2.steps_per_epoch)


def continues(m1: TrainerState, m2: TrainerState) -> bool:
    """Whether the log of M2 begins with that of M1 and goes on after M1's step.

    At M1's step itself more can follow: an evaluation that comes after the save.
    """
    n = len(m1.log)
    return m2.log[:n] == m1.log and all(step >= m1.step for step, _ in m2.log[n:])


def _apart(one: float, other: float, steps_per_epoch: float) -> list[str]:
    """Words for two epochs that are not one apart.

    Less than one step is no difference: where the batches of an epoch are no multiple of those
    that make a step, an epoch ends before its last images.
    """
    if abs(other - one - 1) * steps_per_epoch < 1 - 1e-6:
        return []
    return [f"they are {other - one:.4g} epochs apart ({one:.4g} and {other:.4g})"]


def unchecked(pair: Pair) -> str | None:
    """In words, what nothing but the names of the folders says about M1 and M2."""
    absent = [f.name for f in (pair.m1, pair.m2) if not (f / STATE_FILE).is_file()]
    if not absent:
        return None
    return (
        f"no {STATE_FILE} in {' and '.join(absent)}: that {pair.m1.name} and {pair.m2.name} are "
        "neighbours of one run is taken from their names"
    )


# -- the recipe ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How a fold was trained, as far as its checkpoints say.

    values : by name; equal in folds that were trained alike.
    steps_per_epoch : depends on the number of images, too.
    transformers : the release that wrote M2.
    """

    values: dict[str, Any]
    steps_per_epoch: float | None = None
    transformers: str | None = None


def epochs_of(pair: Pair) -> list[float] | None:
    """The epochs after which M1 and M2 were saved, to a tenth; None where nothing says so."""
    states = [read_state(folder) for folder in (pair.m1, pair.m2)]
    return None if None in states else [round(state.epoch, 1) for state in states]


def read_recipe(pair: Pair) -> Recipe:
    """The recipe of M2. Nothing is unpickled: training_args.bin is left alone."""
    state = read_state(pair.m2)
    release = configs.read_config(pair.m2).get("transformers_version")
    values = {
        "num_train_epochs": state and state.run["num_train_epochs"],
        "train_batch_size": state and state.batch_size,
        "transformers": release and str(release).partition(".")[0],
        **optimizer_settings(pair.m2),
    }
    known = {name: value for name, value in values.items() if value is not None}
    return Recipe(known, state and state.steps_per_epoch, release)


def optimizer_settings(checkpoint: Path) -> dict[str, Any]:
    """Learning rate and weight decay in an optimizer.pt; nothing where it cannot be read safely."""
    if not (checkpoint / OPTIMIZER_FILE).is_file():
        return {}
    try:
        groups = load_state(checkpoint / OPTIMIZER_FILE)["param_groups"]
        return {
            name: max(float(group[key]) for group in groups)
            for key, name in (("initial_lr", "learning_rate"), ("weight_decay", "weight_decay"))
            if all(key in group for group in groups)
        }
    except (UserError, KeyError, TypeError, ValueError):  # a foreign file
        return {}
