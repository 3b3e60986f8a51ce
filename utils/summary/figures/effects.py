"""Every figure of steps 8 and 9, and what stands under it in a paper."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from utils.summary.effects.verdicts import verdict_names
from utils.summary.figures import recovery
from utils.summary.figures.catalogue import LOOK, ToDraw
from utils.summary.figures.shared import WIDTHS
from utils.summary.figures.styles import Styles
from utils.summary.rankings import STAR

CAPTIONS = {
    "loss_against_k": "Loss on the test split that M1 recovers with M2's values in the first K% "
    "of the weights, setting 'all', mean over folds, logarithmic but near 0; dotted: K = "
    "1%. Black: rankings that know M2. "
    "A transplant needs M2 and repairs nothing. " + LOOK + STAR + ".",
    "repaired_and_broken": "Test samples that M1 gets right with M2's values in the first 1% of "
    "the weights and got wrong before (right, filled), and the other way round (left, hollow), "
    "mean over folds. Colours as in all figures. " + STAR + ".",
    "blocks": "Accuracy that M1 gains with M2's weights of one block, and that M2 loses with "
    "M1's, mean over folds: where in the network does the last epoch work?",
    "lift_and_recovery": "Each method's lift@1% by a truth against the loss that its first 1% "
    "recovers, settings averaged, mean over folds. Dashed: chance; lifts below 0.1 stand at 0.1. "
    "In one column only the methods in colour have a name, and the truth 'pooled' is left out "
    "beside 'change'. " + LOOK + STAR + ".",
    "planted": "Lift of the planted weights among as many of each ranking, by kind of fault "
    "(filled: in whole neurons; hollow: in single weights), mean over faults and folds, "
    "logarithmic from chance (1). A lift below 0.1, which a logarithm draws too long or not at "
    "all, ends at 0.1 and has its number beside it. Colours as in all figures. "
    + STAR + ".",
    "verdicts": "Each method's place, the highest mean over folds on top, by every verdict: lift "
    "by the truths, loss recovered by a transplant of the first 1%, lift of planted faults in "
    "neurons and in weights, loss mended by retraining the first 1%. A place is no finding: the "
    "notes say which methods are told apart. " + LOOK + STAR + ".",
}  # fmt: skip


@dataclass(frozen=True)
class EffectTables:
    """What steps 8 and 9 found, of all folds; empty where no fold has it.

    transplants, layers : the folds' tables, one below the other.
    joined : by truth, of `recovery.joined`.
    planted, verdicts : of `recovery.planted_table` and `verdicts.verdicts_table`.
    """

    transplants: pd.DataFrame
    layers: pd.DataFrame
    joined: dict[str, pd.DataFrame]
    planted: pd.DataFrame
    verdicts: pd.DataFrame


def every_figure(
    found: EffectTables, styles: Styles, widths: Sequence[str] = tuple(WIDTHS)
) -> Iterator[ToDraw]:
    """Each figure of steps 8 and 9 that has something to show.

    styles : those of step 7's figures.
    """
    several = len(verdict_names(found.verdicts)) > 1
    makers = {
        "loss_against_k": (len(found.transplants), recovery.loss_against_k, found.transplants),
        "repaired_and_broken": (
            len(found.transplants), recovery.repaired_and_broken, found.transplants,
        ),
        "blocks": (len(found.layers), recovery.blocks, found.layers),
        "lift_and_recovery": (len(found.joined), recovery.lift_and_recovery, found.joined),
        "planted": (len(found.planted), recovery.planted_lifts, found.planted),
        "verdicts": (several, recovery.verdict_places, found.verdicts),
    }  # fmt: skip
    for name, (there, draw, table) in makers.items():
        for width in widths if there else ():
            yield ToDraw(name, width, partial(draw, table, styles, width), CAPTIONS[name])
