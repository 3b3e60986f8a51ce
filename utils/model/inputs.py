"""A fold's two checkpoints and its data: what the ledger calls them, and what a step is given.

utils.model.opening finds them. What reads an `Inputs` alone does not depend on how that is done:
what it finds is on record by its hash.
"""

from dataclasses import dataclass, field
from pathlib import Path

from utils.run.ledger import Ledger

M1_FFN, M2_FFN = "FFN of M1", "FFN of M2"
M1, M2 = "checkpoint M1", "checkpoint M2"
OPTIMIZER = "optimizer state of M1"
REPAIR, TEST = "repair split", "test split"
SPLITS = {REPAIR: "repair", TEST: "test"}
# The name under which the ledger keeps what --accept-pair accepted.
ACCEPTED = "accepted pair"


@dataclass(frozen=True)
class Pair:
    """The two checkpoint folders of a fold.

    passed_over : the other entries called like a checkpoint, and why each is neither.
    """

    m1: Path
    m2: Path
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """A fold's checkpoints and its ledger.

    d, m : sizes of the target FFN.
    replays : checkpoint of each replay of the last epoch, by number.
    """

    pair: Pair
    d: int
    m: int
    ledger: Ledger
    replays: dict[int, Path] = field(default_factory=dict)


def replay_ffn(number: int) -> str:
    """What the ledger calls the two matrices of a replay."""
    return f"FFN of replay {number}"
