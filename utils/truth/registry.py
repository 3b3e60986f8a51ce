"""Every ground truth by name: what it says of a weight, and where its values lie.

To add a truth, add one entry to TRUTHS and its name to the constant of that
name: the comparison, the tables and the figures pick it up from there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGE, POOLED, REPAIR = "change", "pooled", "repair"


@dataclass(frozen=True)
class TruthKind:
    """One truth: a value per weight, float32 (N,); a weight's gain is its value where above 0.

    file : (FoldPaths of a fold, setting) -> where the values lie.
    step : the step that writes them.
    per_setting : whether each setting has its own.
    says : what the value is, in words.
    needs : what a fold without it lacks, in words.
    """

    file: Callable[[Any, str], Path]
    step: int
    per_setting: bool
    says: str
    needs: str


TRUTHS: dict[str, TruthKind] = {
    CHANGE: TruthKind(
        lambda paths, _: paths.abs_diff,
        step=1,
        per_setting=False,
        says="|W(M2) - W(M1)|: how far training moved the weight",
        needs="two checkpoints",
    ),
    POOLED: TruthKind(
        lambda paths, _: paths.pooled_change,
        step=1,
        per_setting=False,
        says="|W(M2) - W(M1)| averaged over replays of the last epoch in other orders of the data",
        needs="replays of the last epoch (exp-fl-5-0.py --replays, or docs/replays.md)",
    ),
    REPAIR: TruthKind(
        lambda paths, setting: paths.repair_credit(setting),
        step=7,
        per_setting=True,
        says="the loss over the setting's failing test samples that the weight's change mends",
        needs="failing samples of the test split (steps 2 and 3)",
    ),
}
