"""Replays of the last epoch: which ones a fold has, and whether they are of its M1.

Replay r > 0 saw the data in another order than M2 (docs/definitions.md 9.1).
"""

import json
import re
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.model import checkpoints, configs, trainer_state
from utils.run import storage
from utils.run.hashing import HashCache
from utils.run.paths import FoldPaths
from utils.run.profiles import step_0_or

# How far the data seeds of a fold's replays lie apart; folds' own seeds lie 1 apart.
SEED_STEP = 1000
BY_HAND = "docs/replays.md says how"


def data_seed(seed: int, replay: int) -> int:
    """The seed of the order of the data in replay `replay`; that of M2's training for 0."""
    return seed + SEED_STEP * replay


def find_replays(paths: FoldPaths) -> dict[int, Path]:
    """The checkpoint of each replay that the fold has, by number.

    Raises
    ------
    UserError : a replay's folder has no checkpoint, or several.
    """
    found = {}
    for folder in paths.training.glob("replay-*"):
        match = re.fullmatch(r"replay-(\d+)", folder.name)
        if not match or not folder.is_dir():
            continue
        inside = [path for path in folder.glob("checkpoint-*") if path.is_dir()]
        if len(inside) > 1:
            raise UserError(f"{folder} holds {len(inside)} checkpoints; leave the one of its epoch")
        if inside:
            found[int(match[1])] = inside[0]
    return dict(sorted(found.items()))


def make_record(m1: Path, hashes: HashCache, seed: int, replay: int) -> dict[str, Any]:
    """What a replay is made from."""
    return {
        "M1": checkpoints.hash_checkpoint(m1, hashes),
        "seed": seed,
        "data_seed": data_seed(seed, replay),
    }


def save_record(paths: FoldPaths, replay: int, record: dict[str, Any]) -> None:
    storage.save_json(paths.replay_record(replay), record)


def require_same_m1(
    paths: FoldPaths, replay: int, checkpoint: Path, m1: Path, hashes: HashCache
) -> None:
    """Refuse a replay that did not begin at this M1.

    A replay of ours has a record of M1's content; of others the history of the
    training is compared, where both have one.
    """
    remedy = f"move {paths.replay(replay)} away{_how_to_make(paths)}"
    try:
        record = json.loads(paths.replay_record(replay).read_text(encoding="utf-8"))
        same = record["M1"] == checkpoints.hash_checkpoint(m1, hashes)
    except FileNotFoundError:
        same = _continues(checkpoint, m1)
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"{paths.replay_record(replay)} is not readable; {remedy}") from None
    if not same:
        raise UserError(f"{paths.replay(replay)} began at another M1 than {m1.name}; {remedy}")


def _how_to_make(paths: FoldPaths) -> str:
    """Who makes a replay of this fold: step 0, or whoever trained it."""
    if paths.training_record.is_file():
        return step_0_or(paths, ", and run exp-fl-5-0.py to make it again")
    return f", or train it again from M1 ({BY_HAND})"


def _continues(checkpoint: Path, m1: Path) -> bool:
    """Whether the training's history of a checkpoint goes on from M1's; True where one has none."""
    states = [trainer_state.read_state(folder) for folder in (m1, checkpoint)]
    return None in states or trainer_state.continues(*states)


def require_other_weights(paths: FoldPaths, replay: int, ffn: str, of_m2: str) -> None:
    """Refuse a replay in M2's own order of the data, which gave M2's very weights.

    ffn, of_m2 : `checkpoints.hash_ffn` of the replay and of M2.
    """
    if replay and ffn == of_m2:
        raise UserError(
            f"{paths.replay(replay)} has M2's own weights, so it saw the data in M2's order: train "
            f"it with another data_seed ({BY_HAND}), or move it away"
        )


def require_shape(checkpoint: Path, m1: Path) -> None:
    """Refuse a replay whose layer is not M1's in size."""
    ours, other = configs.read_config(m1), configs.read_config(checkpoint)
    keys = configs.family_of(ours).keys
    for key in ("model_type", keys.d, keys.m, keys.layers):
        if ours.get(key) != other.get(key):
            raise UserError(
                f"{checkpoint} has {key} {other.get(key)}, {m1.name} {ours.get(key)}: "
                "it is no replay of this M1; move it away"
            )
