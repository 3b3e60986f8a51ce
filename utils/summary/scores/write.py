"""Writes every file of the summary across folds."""

from typing import Any

import pandas as pd

from utils.errors import UserError
from utils.judge.names import CEILING, ORACLE
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary.documents import latex, short, workbook
from utils.summary.figures import catalogue
from utils.summary.figures.save import save_figures
from utils.summary.folds.read_tables import folds_with, load, read_all, read_relabelled
from utils.summary.folds.tables import seconds_per_fold
from utils.summary.scores import notes, overview
from utils.summary.scores.comparisons import WrongConstant
from utils.summary.scores.means import settings_table
from utils.summary.scores.times import times_table
from utils.summary.scores.verdict import verdict_table
from utils.summary.scores.views import View, make_view, reference_lifts, specificities
from utils.truth import REPAIR


def write(
    task: Task,
    paths: SummaryPaths,
    folds: list[FoldPaths],
    constants: dict[str, Any],
    remarks: list[str],
) -> None:
    """Read the folds, compare across them, and write tables, workbook, LaTeX and figures.

    remarks : sentences about how the folds were made, for the notes.

    Raises
    ------
    UserError : REFERENCES or COMPARED_METRICS names what is not there.
    """
    present = {name: folds_with(folds, name) for name in constants["TRUTHS"]}
    present = {name: found for name, found in present.items() if found}
    repaired, percent = present.get(REPAIR, []), constants["POSITIVE_PERCENT"]
    try:
        views = [make_view(load(found, name), constants) for name, found in present.items()]
    except WrongConstant as error:
        raise UserError(str(error)) from None
    whole = max(views, key=lambda view: len(view.tables.folds))
    column = f"lift@{percent:g}%"
    times = times_table(whole.tables.times, whole.tables.folds)
    seconds = seconds_per_fold(times)
    references = reference_lifts(views, column)
    verdicts = read_verdicts(present, references)
    crossed = read_all(repaired, "specificity", ["level", "method", "setting", "truth_setting"])
    layer = overview.layer_table(read_all(repaired, "repair_table", ["setting", "loss_m1"]))
    truths = overview.truth_agreement(verdicts)
    intervals = {view.truth: view.intervals(column) for view in views}
    table = overview.overview_table(verdicts, intervals, specificities(crossed, column), seconds)
    found = overview.sentences(verdicts, references, truths, layer, f"{percent:g}%")
    said = notes.of(whole.tables, whole.metrics, constants["N_FOLDS"]) + remarks
    for view in views:
        said += notes.absent_truth(view.truth, view.tables.folds, whole.tables.folds)
        said += notes.fewer_positives(view.tables, percent)
    sheets = sheets_of(views, verdicts, times)
    task.save_table(paths.table("overview"), table)
    for name in ("Verdict", "Summary", "Comparisons", "Times"):
        task.save_table(paths.table(name.lower()), sheets[name])
    task.save_table(paths.table("truths"), truths)
    if len(layer):
        task.save_table(paths.table("layer"), layer)
    task.save_bytes(paths.notes, ("\n".join([*found, "", *said]) + "\n").encode())
    front = workbook.Front(found, f"{column} by each truth", short.short_table(table), short.LEGEND)
    task.save_bytes(paths.workbook, workbook.render(front, notes.COLUMNS, said, sheets))
    text = latex.document(views, verdicts, seconds, [*found, *said])
    task.save_bytes(paths.latex, text.encode())
    across = catalogue.AcrossTruths(verdicts, references, crossed)
    captions = save_figures(task, paths, catalogue.every_figure(views, across, seconds, percent))
    task.save_bytes(paths.captions, f"{captions.text}\n".encode())
    task.save_bytes(paths.latex_captions, captions.latex.encode())


def read_verdicts(folds: dict[str, list[FoldPaths]], references: pd.DataFrame) -> pd.DataFrame:
    """verdict.csv: every truth's rows, one below the other.

    folds : by truth, those that have it. references : of `reference_lifts`.
    """
    parts = []
    for truth, found in folds.items():
        ends = references[references["truth"] == truth].set_index("method")["lift"]
        best = [ends.get(name, float("nan")) for name in (CEILING, ORACLE)]
        k, relabelled = read_relabelled(found, truth)
        parts.append(verdict_table(truth, relabelled, k, *best))
    return pd.concat(parts, ignore_index=True)


def sheets_of(
    views: list[View], verdicts: pd.DataFrame, times: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """The tables of the workbook, by the names of their sheets."""
    scores = [view.tables.scores.assign(truth=view.truth) for view in views]
    scores = [table[["truth", *table.columns.drop("truth")]] for table in scores]
    return {
        "Verdict": verdicts,
        "Summary": below([view.summary for view in views]),
        "Comparisons": below([view.compared for view in views]),
        "Scores": below(scores),
        "Settings": below([settings_table(view.tables, view.metrics[0]) for view in views]),
        "Times": times,
    }


def below(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other; without the empty ones, where any is not."""
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)
