"""Make every file of the summary across folds."""

from typing import Any

from matplotlib.figure import Figure

from utils.run import pictures
from utils.run.paths import FoldPaths, SummaryPaths
from utils.run.task import Task
from utils.summary import across_folds, fold_tables, latex, notes, workbook
from utils.summary.figures import catalogue


def write(
    task: Task, paths: SummaryPaths, folds: list[FoldPaths], constants: dict[str, Any]
) -> None:
    """Read the folds, compare across them, and write tables, workbook, LaTeX and figures."""
    tables = fold_tables.load(folds)
    metrics = fold_tables.spread_budgets(constants["COMPARED_METRICS"], tables.scores.columns)
    primary = metrics[0]
    compared = across_folds.comparison_table(
        tables,
        constants["REFERENCES"],
        metrics,
        constants["N_FOLDS"],
        constants["BOOTSTRAP_DRAWS"],
        constants["SEED"],
    )
    summarised = across_folds.summary_table(tables, metrics, constants["N_FOLDS"])
    times = across_folds.times_table(tables.times, tables.folds)
    settings = across_folds.settings_table(tables, primary)
    percent = constants["POSITIVE_PERCENT"]
    said = notes.of(tables, metrics, constants["N_FOLDS"])
    said += notes.fewer_positives(tables.scores, percent)
    task.save_table(paths.table("summary"), summarised)
    task.save_table(paths.table("comparisons"), compared)
    task.save_table(paths.table("times"), times)
    task.save_bytes(paths.notes, ("\n".join(said) + "\n").encode())
    sheets = {
        "Summary": summarised,
        "Comparisons": compared,
        "Scores": tables.scores,
        "Settings": settings,
        "Times": times,
    }
    task.save_bytes(paths.workbook, workbook.render(sheets, notes.COLUMNS, said))
    seconds = fold_tables.seconds_per_fold(times)
    task.save_bytes(
        paths.latex, latex.document(tables, summarised, compared, seconds, metrics, said).encode()
    )
    drawn = {}
    for name, width, figure in catalogue.every_figure(
        tables, summarised, seconds, primary, percent
    ):
        save(task, paths, name, width, figure)
        drawn[name] = catalogue.CAPTIONS[name].format(metric=primary, percent=percent)
    text = "\n\n".join(f"{name}: {caption.strip()}" for name, caption in drawn.items())
    task.save_bytes(paths.captions, f"{text}\n".encode())


def save(task: Task, paths: SummaryPaths, name: str, width: str, figure: Figure) -> None:
    for suffix in ("png", "pdf"):
        target = paths.figure(name, width).with_suffix(f".{suffix}")
        task.save_bytes(target, pictures.render(figure, suffix))
