"""Writes what transplants, layers and planted faults say across folds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from utils.data.repeats import describe
from utils.judge.layers import swap as layers
from utils.judge.names import PLANTED_STEP, TRANSPLANT_STEP
from utils.judge.planted import fault as faults
from utils.judge.transplant import walk as transplant
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary.effects import recovery
from utils.summary.figures import effects as figures
from utils.summary.figures import styles
from utils.summary.figures.save import save_figures
from utils.summary.folds.read_tables import load_scores, read
from utils.summary.folds.tables import spread_budgets
from utils.summary.rankings import Key
from utils.truth import CHANGE, REPAIR

LIFT = "lift@1%"


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
    moved = gathered(folds, current, "transplants", TRANSPLANT_STEP, transplant.COLUMNS)
    swapped = gathered(folds, current, "layers", TRANSPLANT_STEP, layers.COLUMNS)
    planted = gathered(folds, current, "planted_table", PLANTED_STEP, faults.COLUMNS)
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
    rankings = method_rankings(folds, current, constants) or [list(by_place(places))]
    tables = figures.EffectTables(moved, swapped, both, found, places)
    drawn = figures.every_figure(tables, styles.assign(rankings))
    captions = save_figures(task, paths, drawn)
    said = recovery.sentences(correlated, found, agreement)
    if repeated := describe([fold.fold for fold in folds], n_folds):
        said.append(
            f"The folds are {repeated} of the same data; the corrected intervals allow for that."
        )
    text = "\n".join(said) + "\n\n" + captions.text + "\n"
    task.save_bytes(paths.effect_notes, text.encode())
    task.save_bytes(paths.latex_effect_captions, captions.latex.encode())


def gathered(
    folds: list[FoldPaths], current: set[Path], table: str, step: int, columns: list[str]
) -> pd.DataFrame:
    """A table of every fold that has it among `current`, one below the other; else an empty one."""
    files = [getattr(fold, table) for fold in folds]
    parts = [read(file, columns, step) for file in files if file in current]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def read_lifts(
    folds: list[FoldPaths], current: set[Path], truths: list[str]
) -> dict[str, pd.DataFrame]:
    """Lift@1% of every method by each truth that has it."""
    found = {}
    for truth in truths:
        files = [fold.judged("scores", truth) for fold in folds]
        tables = [read(file, ["setting", "level", "n"]) for file in files if file in current]
        if tables and all(LIFT in table for table in tables):
            found[truth] = recovery.lifts_of(pd.concat(tables, ignore_index=True), LIFT)
    return found


def method_rankings(
    folds: list[FoldPaths], current: set[Path], constants: dict[str, Any]
) -> list[list[Key]]:
    """Methods by the primary metric of each truth, as step 7's summary of these folds has them."""
    found = []
    for truth in constants["TRUTHS"]:
        there = [fold for fold in folds if fold.judged("scores", truth) in current]
        if not there:
            continue
        scores = load_scores(there, truth)
        primary = spread_budgets(constants["COMPARED_METRICS"], scores.columns)[0]
        found.append(styles.ranked_by(scores, primary))
    return found


def by_place(verdicts: pd.DataFrame) -> Iterator[Key]:
    """Methods by their mean place, where no truth has been compared with."""
    order = verdicts.filter(like="place ").mean(axis=1).sort_values(kind="stable").index
    yield from verdicts.loc[order, recovery.KEYS].itertuples(index=False, name=None)
