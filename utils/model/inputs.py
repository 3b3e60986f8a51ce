"""A fold's two checkpoints and its data, as the ledger names and hashes them."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from utils.constants import PROFILES
from utils.errors import UserError
from utils.model import checkpoints, training
from utils.model.optimizer_state import hash_optimizer
from utils.model.replays import find_replays
from utils.run import hashing
from utils.run.cli import Job
from utils.run.ledger import Ledger

M1_FFN, M2_FFN = "FFN of M1", "FFN of M2"
M1 = "checkpoint M1"
OPTIMIZER = "optimizer state of M1"
REPAIR, TEST = "repair split", "test split"
SPLITS = {REPAIR: "repair", TEST: "test"}


@dataclass(frozen=True)
class Inputs:
    """A fold's checkpoints and its ledger.

    d, m : sizes of the target FFN.
    replays : checkpoint of each replay of the last epoch, by number.
    """

    pair: checkpoints.Pair
    d: int
    m: int
    ledger: Ledger
    replays: dict[int, Path] = field(default_factory=dict)


def open_inputs(job: Job) -> Inputs:
    """Find M1 and M2 of the job's fold and open its ledger.

    Raises
    ------
    UserError : M1 and M2 are not two states of one architecture.
    """
    training.require_finished(job.paths)
    pair = checkpoints.find_pair(job.paths)
    first, second = checkpoints.read_config(pair.m1), checkpoints.read_config(pair.m2)
    for key in ("hidden_size", "intermediate_size", "num_hidden_layers"):
        if first.get(key) != second.get(key):
            raise UserError(
                f"{pair.m1.name} and {pair.m2.name} in {job.paths.training} differ in {key} "
                f"({first.get(key)} and {second.get(key)}); both must come from one training run"
            )

    replayed = find_replays(job.paths)

    def hash_split(hashes: hashing.HashCache, split: str) -> str:
        from utils.data import folds  # imports datasets, which steps 1 and 4 to 7 do not need

        return folds.hash_split(job.paths, split, hashes)

    profile = PROFILES[job.paths.ds]
    columns = {"image_column": profile.image_column, "label_column": profile.label_column}
    ledger = Ledger(
        job.paths,
        job.step,
        job.constants | columns,
        {
            M1_FFN: lambda hashes: checkpoints.hash_ffn(pair.m1, hashes),
            M2_FFN: lambda hashes: checkpoints.hash_ffn(pair.m2, hashes),
            M1: lambda hashes: checkpoints.hash_checkpoint(pair.m1, hashes),
            **{name: partial(hash_split, split=split) for name, split in SPLITS.items()},
            OPTIMIZER: lambda hashes: hash_optimizer(pair.m1, hashes),
            **{replay_ffn(r): partial(_hash_ffn, folder) for r, folder in replayed.items()},
        },
        job.args.force,
    )
    return Inputs(pair, first["hidden_size"], first["intermediate_size"], ledger, replayed)


def replay_ffn(number: int) -> str:
    """What the ledger calls the two matrices of a replay."""
    return f"FFN of replay {number}"


def _hash_ffn(folder: Path, hashes: hashing.HashCache) -> str:
    return checkpoints.hash_ffn(folder, hashes)
