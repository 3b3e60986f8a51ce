"""Find the checkpoints and data of a fold, refuse those that do not fit, and open its ledger."""

import logging
from functools import partial
from pathlib import Path

from utils.errors import UserError
from utils.model import checkpoints, configs, trainer_state, training
from utils.model.inputs import (
    ACCEPTED,
    M1,
    M1_FFN,
    M2,
    M2_FFN,
    OPTIMIZER,
    SPLITS,
    Inputs,
    Pair,
    replay_ffn,
)
from utils.model.optimizer_state import hash_optimizer
from utils.model.pair import find_pair, require_one_model
from utils.model.replays import find_replays
from utils.run import hashing
from utils.run.cli import Job
from utils.run.ledger import Ledger
from utils.run.profiles import COLUMNS, profile_of

FIRST_STEP = 1


def open_inputs(job: Job) -> Inputs:
    """Find M1 and M2 of the job's fold and open its ledger.

    Raises
    ------
    UserError : M1 and M2 are not two states of one model, or no neighbours in its training.
    """
    pair, accepted = choose_pair(job)
    replayed = find_replays(job.paths)

    def hash_split(hashes: hashing.HashCache, split: str) -> str:
        from utils.data import folds  # imports datasets, which steps 1 and 4 to 7 do not need

        return folds.hash_split(job.paths, split, hashes)

    profile = profile_of(job.paths.ds)
    columns = {name: getattr(profile, name, None) for name in COLUMNS}
    ledger = Ledger(
        job.paths,
        job.step,
        job.constants | columns | {ACCEPTED: accepted},
        {
            M1_FFN: lambda hashes: checkpoints.hash_ffn(pair.m1, hashes),
            M2_FFN: lambda hashes: checkpoints.hash_ffn(pair.m2, hashes),
            M1: lambda hashes: checkpoints.hash_checkpoint(pair.m1, hashes),
            M2: lambda hashes: checkpoints.hash_checkpoint(pair.m2, hashes),
            **{name: partial(hash_split, split=split) for name, split in SPLITS.items()},
            OPTIMIZER: lambda hashes: hash_optimizer(pair.m1, hashes),
            **{replay_ffn(r): partial(_hash_ffn, folder) for r, folder in replayed.items()},
        },
        job.args.force,
        {M1: pair.m1.name, M2: pair.m2.name, M1_FFN: pair.m1.name, M2_FFN: pair.m2.name},
        job.only_look,
    )
    checkpoints.require_whole(pair.m1, pair.m2, ledger.hashes)
    return Inputs(pair, *checkpoints.ffn_shape(pair.m1), ledger, replayed)


def _hash_ffn(folder: Path, hashes: hashing.HashCache) -> str:
    return checkpoints.hash_ffn(folder, hashes)


def choose_pair(job: Job) -> tuple[Pair, str | None]:
    """M1 and M2, and in words what is wrong with them that --accept-pair accepted."""
    steps = [job.constants.get(name) for name in ("M1_STEP", "M2_STEP")]
    if steps[1] is None:  # else it is no matter how far the training came
        training.require_finished(job.paths)
    pair = find_pair(job.paths, *steps)
    both = [configs.read_classifier_config(folder) for folder in (pair.m1, pair.m2)]
    require_one_model(pair, *both)
    against = "; ".join(trainer_state.why_not_neighbours(pair)) or None
    said = f"{pair.m1.name} and {pair.m2.name} in {job.paths.training} are no neighbours: {against}"
    if against and not getattr(job.args, "accept_pair", False):
        raise UserError(
            f"{said}; name two that are with --m1 and --m2, or take them with --accept-pair"
        )
    lines = [f"{said}; taken with --accept-pair"] if against else []
    lines += filter(None, [trainer_state.unchecked(pair)])
    if pair.passed_over:
        lines.append(f"passed over in {job.paths.training}: {', '.join(pair.passed_over)}")
    for line in lines:
        # Every step's log has them; on the terminal once is enough.
        job.log.log(logging.INFO if job.step == FIRST_STEP else logging.DEBUG, "%s", line)
    return pair, against
