"""Writes what transplants, layers and planted faults say across folds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from utils.data.repeats import describe
from utils.judge.layers import swap as layers
from utils.judge.layers.swap import BACK_TO_M1, INTO_M1
from utils.judge.names import PLANTED_STEP, RETRAIN_STEP, TRANSPLANT_STEP
from utils.judge.planted import fault as faults
from utils.judge.retrain import effect as retraining
from utils.judge.transplant import walk as transplant
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary.effects import recovery, retrained, verdicts
from utils.summary.figures import effects as figures
from utils.summary.figures import styles
from utils.summary.figures.save import save_figures
from utils.summary.figures.shared import widths_of
from utils.summary.folds.read_tables import load_scores, read
from utils.summary.folds.tables import spread_budgets
from utils.summary.rankings import Key


@dataclass(frozen=True)
class Judged:
    """What steps 7 to 10 wrote about the folds beside the scores, one fold below the other.

    lifts : by truth, of `recovery.lifts_of`. values : by verdict, of `verdicts.values_of`.
    """

    transplants: pd.DataFrame
    back: pd.DataFrame
    layers: pd.DataFrame
    planted: pd.DataFrame
    retrained: pd.DataFrame
    lifts: dict[str, pd.DataFrame]
    values: dict[str, pd.DataFrame]


def read_judged(
    folds: list[FoldPaths], files: dict[str, list[Path]], constants: dict[str, Any]
) -> Judged:
    """Each part is empty that no fold has.

    files : the tables to be read, by the folds' names.
    """
    current = {path for tables in files.values() for path in tables}
    moved, back = (
        gathered(folds, current, name, TRANSPLANT_STEP, transplant.COLUMNS)
        for name in ("transplants", "transplants_back")
    )
    swapped = gathered(folds, current, "layers", TRANSPLANT_STEP, layers.COLUMNS)
    planted = gathered(folds, current, "planted_table", PLANTED_STEP, faults.COLUMNS)
    trained = gathered(folds, current, "retrained_table", RETRAIN_STEP, retraining.COLUMNS)
    percent = constants["POSITIVE_PERCENT"]
    lifts = read_lifts(folds, current, constants["TRUTHS"], f"lift@{percent:g}%")
    values = verdicts.values_of(lifts, moved, back, planted, trained)
    return Judged(moved, back, swapped, planted, trained, lifts, values)


def write(
    task: Task,
    paths: SummaryPaths,
    folds: list[FoldPaths],
    constants: dict[str, Any],
    files: dict[str, list[Path]],
    jobs: int = 1,
) -> None:
    """Tables, figures and sentences of what there is; a part that no fold has is left out.

    files : the tables to be read, by the folds' names. jobs : processes that draw.
    """
    n_folds = constants["N_FOLDS"]
    judged = read_judged(folds, files, constants)
    moved = {INTO_M1: judged.transplants, BACK_TO_M1: judged.back}
    both = {truth: recovery.joined(table, moved[INTO_M1]) for truth, table in judged.lifts.items()}
    both = {truth: table for truth, table in both.items() if len(table)}
    correlated = recovery.recovery_table(both, n_folds)
    found = recovery.planted_table(judged.planted, n_folds)
    trained = retrained.retrained_table(judged.retrained, n_folds)
    places = verdicts.verdicts_table(judged.values)
    predicts = verdicts.predicts_table(judged.values, n_folds)
    agreement = verdicts.verdict_agreement(places)
    tables = {
        "transplant": recovery.transplant_table(moved, n_folds),
        "recovery": correlated,
        "planted": found,
        "retrained": trained,
        "predicts": predicts,
    }
    for name, table in tables.items():
        if len(table):
            task.save_table(paths.table(name), table)
    task.save_table(paths.table("verdicts"), places)
    task.save_table(paths.table("verdicts_agreement"), agreement)
    current = {path for tables in files.values() for path in tables}
    rankings = method_rankings(folds, current, constants) or [list(by_place(places))]
    shown = figures.EffectTables(judged.transplants, judged.layers, both, found, places)
    drawn = figures.every_figure(shown, styles.assign(rankings), widths_of(constants))
    captions = save_figures(task, paths, drawn, constants, jobs)
    said = verdicts.prediction_in_words(predicts, trained)
    said += recovery.sentences(correlated, agreement, judged.values, n_folds)
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
    folds: list[FoldPaths], current: set[Path], truths: list[str], column: str
) -> dict[str, pd.DataFrame]:
    """Lift@K, the given column, of every method by each truth that has it."""
    found = {}
    for truth in truths:
        files = [fold.judged("scores", truth) for fold in folds]
        tables = [read(file, ["setting", "level", "n"]) for file in files if file in current]
        if tables and all(column in table for table in tables):
            found[truth] = recovery.lifts_of(pd.concat(tables, ignore_index=True), column)
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


def by_place(places: pd.DataFrame) -> Iterator[Key]:
    """Methods by their mean place, where no truth has been compared with."""
    order = places.filter(like="place ").mean(axis=1).sort_values(kind="stable").index
    yield from places.loc[order, recovery.KEYS].itertuples(index=False, name=None)
