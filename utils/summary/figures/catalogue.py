"""Every figure of the summary, and what stands under it in a paper."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from utils import drawing
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary.figures import styles as method_styles
from utils.summary.figures.critical_difference import critical_difference, rank_table
from utils.summary.figures.cumulative_gain import cumulative_gain
from utils.summary.figures.locations import locations
from utils.summary.figures.metrics_at_k import metrics_at_k
from utils.summary.figures.settings import setting_heat_map
from utils.summary.figures.shared import WIDTHS, fold_means, ranked_methods
from utils.summary.figures.specificity import has_settings, specificity_map
from utils.summary.figures.styles import Key, Styles
from utils.summary.figures.time import time_against
from utils.summary.figures.truths import ceiling, truth_against_truth
from utils.summary.fold_tables import FoldTables, seconds_of
from utils.summary.levels import STAR
from utils.summary.views import View
from utils.truth import CHANGE, REPAIR, TRUTHS

# {metric} is the primary one, {percent} of the positives, {gain} what the truth counts by.
LOOK = (
    "A method has one colour and marker in all figures: in colour the "
    f"{method_styles.MOST} that stand highest by any truth, black the references, grey the "
    "others, which the tables name; hollow: neuron-level methods. "
)
SPREAD = "Means over folds; bars reach from the lowest to the highest fold. "
CAPTIONS = {
    "metrics_at_k": "Precision, recall, F1 and overlap among the first K% of the weights, settings "
    "averaged inside a fold, both axes logarithmic; what is lower stands at the edge. " + SPREAD
    + "They stand around K = {percent}%. Dashed: the expectation of a random ranking. Positives: "
    "the top {percent}% by {gain}, as far as ties allow. " + LOOK + STAR + ".",
    "cumulative_gain": "Share of the total gain, {gain}, inside the first weights of a ranking, "
    "divided by the share inside a random ranking's (dashed), in the setting 'all'; both axes "
    "logarithmic. Dotted: K = {percent}%, with bars there. " + SPREAD + LOOK + STAR + ".",
    "settings": "{metric} by method and misclassification setting, mean over folds (descriptive: "
    "settings of a fold share the model and the truth, and a setting is about other classes in "
    "each fold). White: chance. Grey: one ranking for all settings, or no value. " + STAR + ".",
    "locations": "Where the positives and the top {percent}% of each method lie in the setting "
    "'all', among neurons sorted by the positives in them; mean over folds. "
    "Density 1: as many as if they were spread evenly over both matrices; white: none. "
    + STAR + ".",
    "time": "{metric} against seconds per fold, all settings together; both axes logarithmic where "
    "the metric is a lift; markers that would hide each other stand side by side. " + SPREAD
    + LOOK + STAR + ".",
    "critical_difference": "Mean rank by {metric} over folds, 1 is best (descriptive), a "
    "line for each method. A bar at the right joins the dotted methods that a paired t test, "
    "Holm-adjusted over all pairs, does not tell apart at 0.05; the test takes folds as "
    "independent, though they share training data. " + LOOK + STAR + ".",
    "truths": "Each method's {metric} by the truth 'change' and by the truth 'repair', mean over "
    "folds, both axes logarithmic. Dashed: chance. In these models; lifts below 0.03 stand at "
    "0.03. " + LOOK + STAR + ".",
    "ceiling": "{metric} by the truth 'change' as a bar from chance (1), mean over folds, "
    "logarithmic. Filled: beyond chance in these models at 0.05, adjusted over methods; hollow: "
    "not. Lines: what knowing everything but the order of the data would score (replays), and the "
    "most that a score per neuron can. Colours as in all figures. " + STAR + ".",
    "specificity": "{metric} by the truth 'repair': rankings made for one setting's failures "
    "(rows) against the weights whose change mended another's (columns), mean over folds. A "
    "method that is specific is strongest on the diagonal. " + STAR + ".",
}  # fmt: skip


# What is said instead where the folds are of several repeats.
CAPTIONS_OF_REPEATS = {
    "critical_difference": "Mean rank by {metric} over the folds of all repeats, 1 is best "
    "(descriptive), a line for each method. A bar at the right joins the dotted methods that a "
    "paired t test, Holm-adjusted over all pairs, does not tell apart at 0.05; its variance is "
    "that of Nadeau and Bengio, for repeats split the same data. " + LOOK + STAR + ".",
}


def caption(name: str, repeated: bool, **words: object) -> str:
    """What a figure shows. repeated : whether the folds are of several repeats."""
    return (CAPTIONS | (CAPTIONS_OF_REPEATS if repeated else {}))[name].format(**words)


@dataclass(frozen=True)
class Drawn:
    """One figure at one width. truth : whose folder it lies in; None of no truth alone."""

    name: str
    width: str
    figure: Figure
    caption: str
    truth: str | None = None

    @property
    def title(self) -> str:
        """The name by which captions call it."""
        return f"{self.truth}/{self.name}" if self.truth else self.name


def every_figure(
    views: Sequence[View],
    verdict: pd.DataFrame,
    references: pd.DataFrame,
    crossed: pd.DataFrame,
    seconds: dict[Key, float],
    percent: float,
    widths: Sequence[str] = tuple(WIDTHS),
) -> Iterator[Drawn]:
    """Each figure of step 7's summary, one after the other.

    verdict : rows of verdict.csv. references : columns truth, method, lift.
    crossed : the folds' specificity tables, one below the other; empty without the truth repair.
    percent : of the weights that are positives.
    """
    styles = styles_of(views)
    metric = f"lift@{percent:g}%"
    for name, width, figure in across_truths(verdict, references, crossed, styles, percent, widths):
        yield Drawn(name, width, figure, CAPTIONS[name].format(metric=metric))
    for view in views:
        words = {
            "metric": view.metrics[0],
            "percent": f"{percent:g}",
            "gain": TRUTHS[view.truth].says.split(":")[0],
        }
        for name, width, figure in of_truth(
            view.tables, view.summary, seconds, styles, view.metrics[0], percent,
            view.repeated, widths,
        ):  # fmt: skip
            said = f"Truth '{view.truth}'. {caption(name, view.repeated is not None, **words)}"
            yield Drawn(name, width, figure, said, view.truth)


def styles_of(views: Sequence[View]) -> Styles:
    """One map for the figures of every truth."""
    return method_styles.assign(
        [method_styles.ranked_by(view.tables.scores, view.metrics[0]) for view in views]
    )


def across_truths(
    verdict: pd.DataFrame,
    references: pd.DataFrame,
    crossed: pd.DataFrame,
    styles: Styles,
    percent: float,
    widths: Sequence[str] = tuple(WIDTHS),
) -> Iterator[tuple[str, str, Figure]]:
    """The figures that are about several truths, as (name, width, figure)."""
    truths = set(verdict["truth"])
    k = f"{percent:g}%"
    for width in widths:
        if {CHANGE, REPAIR} <= truths:
            yield "truths", width, truth_against_truth(verdict, styles, CHANGE, REPAIR, k, width)
        if CHANGE in truths:
            yield "ceiling", width, ceiling(verdict, references, styles, CHANGE, k, width)
        if len(crossed):
            rows = verdict[verdict["truth"] == REPAIR]
            best = list(zip(rows["level"], rows["method"], strict=True))
            if any(has_settings(crossed, key) for key in best):
                yield "specificity", width, specificity_map(crossed, f"lift@{k}", best, width)


def of_truth(
    tables: FoldTables,
    summary: pd.DataFrame,
    seconds: dict[Key, float],
    styles: Styles,
    primary: str,
    percent: float,
    repeated: int | None = None,
    widths: Sequence[str] = tuple(WIDTHS),
) -> Iterator[tuple[str, str, Figure]]:
    """The figures of one truth, as (name, width, figure).

    primary : the primary metric, of which methods are sorted.
    repeated : folds of one repeat, where the folds are of several; else None.
    """
    ranked = ranked_methods(summary, primary)
    at_k = fold_means(tables.scores)
    scores = tables.scores
    diagram = rank_table(scores, ranked, primary)
    timed = any(np.isfinite(seconds_of(*key, seconds)) for key in ranked)
    for width in widths:
        yield "metrics_at_k", width, metrics_at_k(at_k, ranked, styles, percent, width)
        gain = cumulative_gain(tables.curves, ranked, styles, percent, width)
        yield "cumulative_gain", width, gain
        yield "settings", width, setting_heat_map(scores, ranked, primary, width)
        yield "locations", width, locations(tables.locations, ranked, percent, width)
        if timed:
            yield "time", width, time_against(scores, ranked, styles, seconds, primary, width)
        if diagram.shape[0] > 1 and diagram.shape[1] > 1:
            diagram_of = critical_difference(diagram, styles, width, repeated)
            yield "critical_difference", width, diagram_of


def save(
    task: Task, paths: SummaryPaths, drawn: Drawn, suffixes: Sequence[str] = drawing.FORMATS
) -> None:
    """Write one figure in each format: "png", "pdf" or "svg"."""
    for suffix in suffixes:
        target = paths.figure(drawn.name, drawn.width, drawn.truth)
        task.save_bytes(target.with_suffix(f".{suffix}"), drawing.render(drawn.figure, suffix))
