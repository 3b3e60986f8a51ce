"""Writes the tables and figures of step 7 across folds."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from utils.errors import UserError
from utils.judge.names import CEILING, NEURON, ORACLE
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary.figures import catalogue
from utils.summary.figures.save import save_figures
from utils.summary.figures.shared import widths_of
from utils.summary.folds.read_tables import folds_with, load, read_all, read_relabelled
from utils.summary.folds.records import by_value
from utils.summary.folds.tables import seconds_per_fold
from utils.summary.rankings import Key
from utils.summary.scores import overview
from utils.summary.scores.comparisons import WrongConstant
from utils.summary.scores.layer import layer_table
from utils.summary.scores.means import settings_table
from utils.summary.scores.times import times_table
from utils.summary.scores.verdict import verdict_table
from utils.summary.scores.views import View, make_view, reference_lifts, specificities
from utils.truth import REPAIR


@dataclass(frozen=True)
class Summarised:
    """What the folds say together by step 7's tables: all that is written about them."""

    views: list[View]
    verdicts: pd.DataFrame
    references: pd.DataFrame
    crossed: pd.DataFrame
    layer: pd.DataFrame
    truths: pd.DataFrame
    overview: pd.DataFrame
    times: pd.DataFrame
    seconds: dict[Key, float]

    @property
    def sheets(self) -> dict[str, pd.DataFrame]:
        """The tables of step 7, by the names of their sheets in the workbook."""
        scores = [view.tables.scores.assign(truth=view.truth) for view in self.views]
        scores = [table[["truth", *table.columns.drop("truth")]] for table in scores]
        settings = [settings_table(view.tables, view.metrics[0]) for view in self.views]
        return {
            "Verdict": self.verdicts,
            "Summary": below([view.summary for view in self.views]),
            "Comparisons": below([view.compared for view in self.views]),
            "Scores": below(scores),
            "Settings": below(settings),
            "Times": self.times,
        }

    @property
    def whole(self) -> View:
        """The truth that most folds have."""
        return max(self.views, key=lambda view: len(view.tables.folds))


def gather(folds: list[FoldPaths], constants: dict[str, Any]) -> Summarised:
    """Read the folds and compare across them.

    Raises
    ------
    UserError : REFERENCES or COMPARED_METRICS names what is not there, or folds differ in m.
    """
    present = {name: folds_with(folds, name) for name in constants["TRUTHS"]}
    present = {name: found for name, found in present.items() if found}
    repaired, column = present.get(REPAIR, []), lift_column(constants)
    try:
        views = [make_view(load(found, name), constants) for name, found in present.items()]
    except WrongConstant as error:
        raise UserError(str(error)) from None
    refuse_other_sizes(views)
    references = reference_lifts(views, column)
    verdicts = read_verdicts(present, references)
    crossed = read_all(repaired, "specificity", ["level", "method", "setting", "truth_setting"])
    layer = layer_table(read_all(repaired, "repair_table", ["setting", "loss_m1"]))
    whole = max(views, key=lambda view: len(view.tables.folds)).tables
    times = times_table(whole.times, whole.folds)
    seconds = seconds_per_fold(times)
    intervals = {view.truth: view.intervals(column) for view in views}
    return Summarised(
        views, verdicts, references, crossed, layer, overview.truth_agreement(verdicts),
        overview.overview_table(verdicts, intervals, specificities(crossed, column), seconds),
        times, seconds,
    )  # fmt: skip


def lift_column(constants: dict[str, Any]) -> str:
    return f"lift@{constants['POSITIVE_PERCENT']:g}%"


def refuse_other_sizes(views: list[View]) -> None:
    """One relabelling serves all folds, so all have the same neurons.

    Raises
    ------
    UserError : names the sizes and their folds.
    """
    for view in views:
        scores = view.tables.scores
        neurons = scores[scores["level"] == NEURON].groupby("fold")["n_items"].max()
        if neurons.nunique() > 1:
            sizes = by_value({fold: f"{int(m)} neurons" for fold, m in neurons.items()})
            raise UserError(
                f"the folds' layers have different sizes: {sizes}; name folds of one size with "
                "--fold"
            )


def write(
    task: Task, paths: SummaryPaths, found: Summarised, constants: dict[str, Any], jobs: int
) -> None:
    """Write tables and figures.

    jobs : processes that draw.
    """
    sheets = found.sheets
    task.save_table(paths.table("overview"), found.overview)
    for name in ("Verdict", "Summary", "Comparisons", "Times"):
        task.save_table(paths.table(name.lower()), sheets[name])
    task.save_table(paths.table("truths"), found.truths)
    if len(found.layer):
        task.save_table(paths.table("layer"), found.layer)
    across = catalogue.AcrossTruths(found.verdicts, found.references, found.crossed)
    figures = catalogue.every_figure(
        found.views, across, found.seconds, constants["POSITIVE_PERCENT"], widths_of(constants)
    )
    captions = save_figures(task, paths, figures, constants, jobs)
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


def below(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other; without the empty ones, where any is not."""
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)
