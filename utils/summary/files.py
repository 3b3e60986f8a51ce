"""Make every file of the summary across folds."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from utils import drawing
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary import across_folds, fold_tables, latex, notes, overview, short, workbook
from utils.summary.figures import catalogue
from utils.summary.views import (
    make_view,
    read_all,
    reference_lifts,
    specificities,
    verdict_of,
)
from utils.truth import REPAIR

NO_GLYPH = (
    "no installed font has the characters {}: the figures show boxes for them; install one (on "
    "Debian fonts-noto-cjk) and run exp-fl-5-7.py --force"
)


def write(
    task: Task,
    paths: SummaryPaths,
    folds: list[FoldPaths],
    constants: dict[str, Any],
    remarks: list[str],
) -> None:
    """Read the folds, compare across them, and write tables, workbook, LaTeX and figures.

    remarks : sentences about how the folds were made, for the notes.
    """
    present = {name: fold_tables.folds_with(folds, name) for name in constants["TRUTHS"]}
    repaired = present.get(REPAIR, [])
    views = [make_view(found, name, constants) for name, found in present.items() if found]
    whole, percent = max(views, key=lambda view: len(view.folds)), constants["POSITIVE_PERCENT"]
    column = f"lift@{percent:g}%"
    times = across_folds.times_table(whole.tables.times, whole.tables.folds)
    seconds = fold_tables.seconds_per_fold(times)
    references = reference_lifts(views, column)
    verdicts = pd.concat([verdict_of(view, references) for view in views], ignore_index=True)
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
    sheets = {
        "Verdict": verdicts,
        "Summary": below([view.summary for view in views]),
        "Comparisons": below([view.compared for view in views]),
        "Scores": below([with_truth(view.tables.scores, view.truth) for view in views]),
        "Settings": below(
            [across_folds.settings_table(view.tables, view.metrics[0]) for view in views]
        ),
        "Times": times,
    }
    task.save_table(paths.table("overview"), table)
    for name in ("Verdict", "Summary", "Comparisons", "Times"):
        task.save_table(paths.table(name.lower()), sheets[name])
    task.save_table(paths.table("truths"), truths)
    if len(layer):
        task.save_table(paths.table("layer"), layer)
    task.save_bytes(paths.notes, ("\n".join([*found, "", *said]) + "\n").encode())
    front = workbook.Overview(
        found, f"{column} by each truth", short.short_table(table), short.LEGEND
    )
    task.save_bytes(paths.workbook, workbook.render(front, notes.COLUMNS, said, sheets))
    text = latex.document(views, verdicts, seconds, [*found, *said])
    task.save_bytes(paths.latex, text.encode())
    figures = catalogue.every_figure(views, verdicts, references, crossed, seconds, percent)
    draw(task, paths, figures)


def below(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)


def with_truth(table: pd.DataFrame, truth: str) -> pd.DataFrame:
    table = table.copy()
    table.insert(0, "truth", truth)
    return table


def draw(task: Task, paths: SummaryPaths, figures: Iterable[catalogue.Drawn]) -> None:
    """Save every figure, and what stands under it as text and as LaTeX."""
    captions: dict[str, str] = {}
    missing: set[str] = set()
    for drawn in figures:
        catalogue.save(task, paths, drawn)
        captions[drawn.title] = drawn.caption
        missing |= drawing.missing_glyphs(drawn.figure)
    if missing:
        print(NO_GLYPH.format("".join(sorted(missing))))
    text = "\n\n".join(f"{name}: {caption.strip()}" for name, caption in captions.items())
    task.save_bytes(paths.captions, f"{text}\n".encode())
    task.save_bytes(paths.latex_captions, latex.figures(captions).encode())
