"""Write what transplants, layers and planted faults say across folds."""

from pathlib import Path
from typing import Any

import pandas as pd

from utils.data.repeats import describe
from utils.judge import faults, layers, transplant, transplants
from utils.run import pictures, storage
from utils.run.paths import FoldPaths, SummaryPaths
from utils.run.task import Task
from utils.summary import fold_tables, recovery
from utils.summary.figures import recovery as figures
from utils.summary.figures.shared import LIFTED_STAR, WIDTHS
from utils.truth import CHANGE, REPAIR

LIFT = "lift@1%"
CAPTIONS = {
    "loss_against_k": "Loss on the test split that M1 recovers with M2's values in the first K% "
    "of the weights, setting 'all', mean over folds. Black: rankings that know M2, and random "
    "ones. A transplant needs M2 and repairs nothing.",
    "repaired_and_broken": "Test samples that M1 gets right with M2's values in the first 1% of "
    "the weights and got wrong before (blue), and the other way round (red), mean over folds. "
    + LIFTED_STAR,
    "blocks": "Accuracy that M1 gains with M2's weights of one block, and that M2 loses with "
    "M1's, mean over folds: where in the network does the last epoch work?",
    "lift_and_recovery": "Each method's lift@1% by a truth against the loss that its first 1% "
    "recovers, settings averaged, mean over folds. Dashed: chance. " + LIFTED_STAR,
    "planted": "Lift of the planted weights among as many of each ranking, by kind of fault, "
    "mean over faults and folds, logarithmic from chance (1). " + LIFTED_STAR,
    "verdicts": "Each method's place, the best on top, by the truths, by the loss recovered at "
    "1% and by planted faults. Solid: weight-level methods; dashed: neuron-level methods. "
    + LIFTED_STAR,
}  # fmt: skip


def write(
    task: Task,
    paths: SummaryPaths,
    folds: list[FoldPaths],
    constants: dict[str, Any],
    files: dict[str, list[Path]],
) -> None:
    """Tables, figures and sentences of what there is; a part that no fold has is left out.

    files : the tables to be read, by the folds' names.
    """
    current = {path for tables in files.values() for path in tables}
    n_folds = constants["N_FOLDS"]
    moved = below(folds, current, "transplants", transplants.STEP, transplant.COLUMNS)
    swapped = below(folds, current, "layers", transplants.STEP, layers.COLUMNS)
    planted = below(folds, current, "planted_table", faults.STEP, faults.COLUMNS)
    lifts = read_lifts(folds, current, constants["TRUTHS"])
    both = {}
    if len(moved):
        task.save_table(paths.table("transplant"), recovery.transplant_table(moved, n_folds))
        both = {truth: recovery.joined(table, moved) for truth, table in lifts.items()}
        both = {truth: table for truth, table in both.items() if len(table)}
    correlated = recovery.recovery_table(both, n_folds)
    if len(correlated):
        task.save_table(paths.table("recovery"), correlated)
    found = recovery.planted_table(planted, n_folds)
    if len(found):
        task.save_table(paths.table("planted"), found)
    places = recovery.verdicts_table(
        {truth: lifts[truth] for truth in (CHANGE, REPAIR) if truth in lifts}, moved, planted
    )
    agreement = recovery.verdict_agreement(places)
    task.save_table(paths.table("verdicts"), places)
    task.save_table(paths.table("verdicts_agreement"), agreement)
    drawn = draw(task, paths, moved, swapped, both, found, places)
    said = recovery.sentences(correlated, found, agreement)
    if repeated := describe([fold.fold for fold in folds], n_folds):
        said.append(
            f"The folds are {repeated} of the same data; the corrected intervals allow for that."
        )
    captions = [f"{name}: {CAPTIONS[name].strip()}" for name in drawn]
    text = "\n".join(said) + "\n\n" + "\n\n".join(captions) + "\n"
    task.save_bytes(paths.effect_notes, text.encode())


def below(
    folds: list[FoldPaths], current: set[Path], table: str, step: int, columns: list[str]
) -> pd.DataFrame:
    """A table of every fold that has it among `current`, one below the other; else an empty one."""
    parts = [
        storage.read_table(getattr(fold, table), columns, step)
        for fold in folds
        if getattr(fold, table) in current
    ]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    if "method" in found:
        found["method"] = [storage.undefused(str(name)) for name in found["method"]]
    return found


def read_lifts(
    folds: list[FoldPaths], current: set[Path], truths: list[str]
) -> dict[str, pd.DataFrame]:
    """Lift@1% of every method by each truth that has it."""
    found = {}
    for truth in truths:
        files = [fold.judged("scores", truth) for fold in folds]
        tables = [
            fold_tables.read(file, ["setting", "level", "n"]) for file in files if file in current
        ]
        if tables and all(LIFT in table for table in tables):
            found[truth] = recovery.lifts_of(pd.concat(tables, ignore_index=True), LIFT)
    return found


def draw(
    task: Task,
    paths: SummaryPaths,
    moved: pd.DataFrame,
    swapped: pd.DataFrame,
    both: dict[str, pd.DataFrame],
    planted: pd.DataFrame,
    verdicts: pd.DataFrame,
) -> list[str]:
    """Every figure that has something to show, at both widths; their names."""
    shown = {truth: both[truth] for truth in (CHANGE, REPAIR) if truth in both}
    makers = {
        "loss_against_k": (len(moved), lambda w: figures.loss_against_k(moved, w)),
        "repaired_and_broken": (len(moved), lambda w: figures.repaired_and_broken(moved, w)),
        "blocks": (len(swapped), lambda w: figures.blocks(swapped, w)),
        "lift_and_recovery": (len(shown), lambda w: figures.lift_and_recovery(shown, w)),
        "planted": (len(planted), lambda w: figures.planted_lifts(planted, w)),
        "verdicts": (
            len(recovery.verdict_names(verdicts)) > 1,
            lambda w: figures.verdict_places(verdicts, w),
        ),
    }
    drawn = [name for name, (there, _) in makers.items() if there]
    for name in drawn:
        for width in WIDTHS:
            figure = makers[name][1](width)
            for suffix in pictures.FORMATS:
                target = paths.figure(name, width).with_suffix(f".{suffix}")
                task.save_bytes(target, pictures.render(figure, suffix))
    return drawn
