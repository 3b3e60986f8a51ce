"""Writes what people read first: notes, workbook, LaTeX, and what a difference must be.

Made of step 7's tables and, where they have run, of those of steps 8, 9 and 10.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary.documents import latex, short, workbook
from utils.summary.effects import retrained, verdicts
from utils.summary.effects.write import Judged
from utils.summary.folds.read_tables import folds_with, load, read
from utils.summary.folds.tables import seconds_per_fold
from utils.summary.scores import layer, notes, overview
from utils.summary.scores.views import reference_lifts, view_of
from utils.summary.scores.write import Summarised, lift_column
from utils.summary.statistics.resolution import COLUMNS, resolution
from utils.truth import CHANGE


def write_documents(
    task: Task,
    paths: SummaryPaths,
    folds: list[FoldPaths],
    judged: Judged,
    constants: dict[str, Any],
    remarks: list[str],
) -> None:
    """Write what people read first: notes, workbook, LaTeX, and what a difference must be.

    judged : what steps 8, 9 and 10 wrote about the folds, empty where they have not run.
    remarks : sentences about how the folds were made, for the notes.
    """
    percent, n_folds, column = (
        constants["POSITIVE_PERCENT"],
        constants["N_FOLDS"],
        lift_column(constants),
    )
    found = read_back(paths, folds, constants)
    whole = found.whole
    values = lift_values(found, column) | judged.values
    trained = retrained.retrained_table(judged.retrained, n_folds)
    resolved = resolution_table(values, spread_of_replays(folds), column, n_folds)
    finding = layer.little_in_words(found.layer, judged.layers)
    finding += verdicts.prediction_in_words(verdicts.predicts_table(values, n_folds), trained)
    finding += overview.sentences(
        found.verdicts, found.references, found.truths, f"{percent:g}%",
        lift_values(found, column), n_folds,
    )  # fmt: skip
    finding += layer.in_words(found.layer)
    said = notes.of(whole.tables, whole.metrics, n_folds) + remarks
    for view in found.views:
        said += notes.absent_truth(view.truth, view.tables.folds, whole.tables.folds)
        said += notes.fewer_positives(view.tables, percent)
    task.save_table(paths.table("resolution"), resolved)
    task.save_bytes(paths.notes, ("\n".join([*finding, "", *said]) + "\n").encode())
    front = workbook.Front(
        finding, f"{column} by each truth", short.short_table(found.overview), short.LEGEND
    )
    places = verdicts.verdicts_table(values)
    sheets = found.sheets
    more = {"Verdicts": places, "Retrained": trained, "Resolution": resolved}
    sheets = {name: table for name, table in more.items() if len(table)} | sheets
    task.save_bytes(paths.workbook, workbook.render(front, notes.COLUMNS, said, sheets))
    text = latex.document(found.views, found.verdicts, places, found.seconds, [*finding, *said])
    task.save_bytes(paths.latex, text.encode())


def read_back(paths: SummaryPaths, folds: list[FoldPaths], constants: dict[str, Any]) -> Summarised:
    """What `write.gather` compared, from the summary's own tables: nothing is compared again."""
    column = lift_column(constants)
    names = ("overview", "verdict", "summary", "comparisons", "times", "truths")
    saved = {name: read(paths.table(name), []) for name in names}
    views = []
    for truth in dict.fromkeys(saved["summary"]["truth"]):
        tables = load(folds_with(folds, truth), truth)
        own = [
            saved[name][saved[name]["truth"] == truth].reset_index(drop=True)
            for name in ("summary", "comparisons")
        ]
        views.append(view_of(tables, *own, constants))
    layer = paths.table("layer")
    return Summarised(
        views=views,
        verdicts=saved["verdict"],
        references=reference_lifts(views, column),
        crossed=pd.DataFrame(),
        layer=read(layer, []) if layer.is_file() else pd.DataFrame(),
        truths=saved["truths"],
        overview=saved["overview"],
        times=saved["times"],
        seconds=seconds_per_fold(saved["times"]),
    )


def spread_of_replays(folds: list[FoldPaths]) -> float:
    """sd over replays of a method's lift against |dW| of that replay, mean over methods and folds.

    NaN without two replays.
    """
    found = []
    for paths in folds:
        if paths.replay_lifts.is_file():
            table = read(paths.replay_lifts, ["level", "method", "replay"])
            lifts = table.pivot(
                index=["level", "method"], columns="replay", values=table.columns[-1]
            )
            found.append(lifts.std(axis=1, ddof=1).mean())
    return float(np.mean(found)) if found else math.nan


def lift_values(found: Summarised, column: str) -> dict[str, pd.DataFrame]:
    """Each truth's lifts of the methods in its verdict: (folds, methods)."""
    values = {}
    for view in found.views:
        rows = found.verdicts[found.verdicts["truth"] == view.truth]
        keys = list(zip(rows["level"], rows["method"], strict=True))
        values[view.truth] = verdicts.by_fold(view.tables.scores, column)[keys]
    return values


def resolution_table(
    values: dict[str, pd.DataFrame], of_replays: float, column: str, n_folds: int
) -> pd.DataFrame:
    """What a difference must be to mean something, by each verdict.

    of_replays : of `spread_of_replays`; it is about 'change' alone.
    """
    rows = [
        resolution(table, n_folds)
        | {"verdict": name, "metric": verdicts.metric_of(name, column)}
        | {"sd_of_replays": of_replays if name == CHANGE else math.nan}
        for name, table in values.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
