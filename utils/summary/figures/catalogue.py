"""Every figure of the summary, and what stands under it in a paper."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from utils.summary.figures import styles as method_styles
from utils.summary.figures.critical_difference import critical_difference, rank_table
from utils.summary.figures.cumulative_gain import cumulative_gain
from utils.summary.figures.locations import locations
from utils.summary.figures.metrics_at_k import metrics_at_k
from utils.summary.figures.settings import setting_heat_map
from utils.summary.figures.shared import WIDTHS, means_by_fold, ranked_methods
from utils.summary.figures.specificity import has_settings, specificity_map
from utils.summary.figures.styles import Styles
from utils.summary.figures.time import time_against
from utils.summary.figures.truths import ceiling, truth_against_truth
from utils.summary.folds.tables import seconds_of
from utils.summary.rankings import STAR, Key
from utils.summary.scores.views import View
from utils.truth import CHANGE, REPAIR, TRUTHS

# Makes a figure.
Draw = Callable[[], Figure]
# {metric} is the primary one, {percent} of the positives, {gain} what the truth counts by.
LOOK = (
    "A method has one colour and marker in all figures: in colour the "
    f"{method_styles.MOST} that stand highest by any truth, black the references, grey the "
    "others, which the tables name; hollow: neuron-level methods. "
)
SPREAD = "Means over folds; bars reach from the lowest to the highest fold. "
IN_COLOUR = "Bars are of the methods in colour. "
CAPTIONS = {
    "metrics_at_k": "Precision, recall, F1 and overlap among the first K% of the weights, settings "
    "averaged inside a fold, both axes logarithmic; what is lower stands at the edge. " + SPREAD
    + IN_COLOUR + "They stand around K = {percent}%. Dashed: the expectation of a random ranking. "
    "Positives: the top {percent}% by {gain}, as far as ties allow. " + LOOK + STAR + ".",
    "cumulative_gain": "Share of the total gain, {gain}, inside the first weights of a ranking, "
    "divided by the share inside a random ranking's (dashed), in the setting 'all'; both axes "
    "logarithmic. Dotted: K = {percent}%, with bars there. " + SPREAD + IN_COLOUR + LOOK
    + STAR + ".",
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
    "Holm-adjusted over all pairs, does not tell apart at 0.05; drawn are the bars that the best "
    "method is in, four at most; the test takes folds as independent, though they share training "
    "data. " + LOOK + STAR + ".",
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
    "paired t test, Holm-adjusted over all pairs, does not tell apart at 0.05; drawn are the bars "
    "that the best method is in, four at most; the variance is "
    "that of Nadeau and Bengio, for repeats split the same data. " + LOOK + STAR + ".",
}


def caption(name: str, repeated: bool, **words: object) -> str:
    """What a figure shows. repeated : whether the folds are of several repeats."""
    return (CAPTIONS | (CAPTIONS_OF_REPEATS if repeated else {}))[name].format(**words)


@dataclass(frozen=True)
class ToDraw:
    """One figure at one width, drawn when it is saved.

    truth : whose folder it lies in; None of no truth alone.
    """

    name: str
    width: str
    draw: Draw
    caption: str
    truth: str | None = None

    @property
    def title(self) -> str:
        """The name by which captions call it."""
        return f"{self.truth}/{self.name}" if self.truth else self.name


@dataclass(frozen=True)
class AcrossTruths:
    """The tables that are about several truths.

    verdicts : rows of verdict.csv.
    references : columns truth, method, lift.
    crossed : the folds' specificity tables, one below the other; empty without the truth repair.
    """

    verdicts: pd.DataFrame
    references: pd.DataFrame
    crossed: pd.DataFrame


def every_figure(
    views: Sequence[View],
    across: AcrossTruths,
    seconds: dict[Key, float],
    percent: float,
    widths: Sequence[str] = tuple(WIDTHS),
) -> Iterator[ToDraw]:
    """Each figure of step 7's summary, one after the other.

    percent : of the weights that are positives.
    """
    styles = styles_of(views)
    metric = f"lift@{percent:g}%"
    for name, width, draw in across_truths(across, styles, percent, widths):
        yield ToDraw(name, width, draw, CAPTIONS[name].format(metric=metric))
    for view in views:
        words = {
            "metric": view.metrics[0],
            "percent": f"{percent:g}",
            "gain": TRUTHS[view.truth].says.split(":")[0],
        }
        for name, width, draw in of_truth(view, styles, seconds, percent, widths):
            said = f"Truth '{view.truth}'. {caption(name, view.repeated is not None, **words)}"
            yield ToDraw(name, width, draw, said, view.truth)


def styles_of(views: Sequence[View]) -> Styles:
    """One map for the figures of every truth."""
    return method_styles.assign(
        [method_styles.ranked_by(view.tables.scores, view.metrics[0]) for view in views]
    )


def across_truths(
    across: AcrossTruths, styles: Styles, percent: float, widths: Sequence[str] = tuple(WIDTHS)
) -> Iterator[tuple[str, str, Draw]]:
    """The figures that are about several truths, as (name, width, how to draw it)."""
    verdicts, crossed = across.verdicts, across.crossed
    truths = set(verdicts["truth"])
    k = f"{percent:g}%"
    for width in widths:
        if {CHANGE, REPAIR} <= truths:
            draw = partial(truth_against_truth, verdicts, styles, CHANGE, REPAIR, k, width)
            yield "truths", width, draw
        if CHANGE in truths:
            given = verdicts, across.references, styles, CHANGE, k, width
            yield "ceiling", width, partial(ceiling, *given)
        if len(crossed):
            rows = verdicts[verdicts["truth"] == REPAIR]
            best = list(zip(rows["level"], rows["method"], strict=True))
            if any(has_settings(crossed, key) for key in best):
                draw = partial(specificity_map, crossed, f"lift@{k}", best, width)
                yield "specificity", width, draw


def of_truth(
    view: View,
    styles: Styles,
    seconds: dict[Key, float],
    percent: float,
    widths: Sequence[str] = tuple(WIDTHS),
) -> Iterator[tuple[str, str, Draw]]:
    """The figures of one truth, as (name, width, how to draw it), methods by the primary metric."""
    tables, primary = view.tables, view.metrics[0]
    ranked = ranked_methods(view.summary, primary)
    at_k = means_by_fold(tables.scores)
    scores = tables.scores
    diagram = rank_table(scores, ranked, primary)
    timed = any(np.isfinite(seconds_of(*key, seconds)) for key in ranked)
    for width in widths:
        makers = {
            "metrics_at_k": partial(metrics_at_k, at_k, ranked, styles, percent),
            "cumulative_gain": partial(cumulative_gain, tables.curves, ranked, styles, percent),
            "settings": partial(setting_heat_map, scores, ranked, primary),
            "locations": partial(locations, tables.locations, ranked, percent),
        }
        if timed:
            makers["time"] = partial(time_against, scores, ranked, styles, seconds, primary)
        if diagram.shape[0] > 1 and diagram.shape[1] > 1:
            makers["critical_difference"] = partial(
                critical_difference, diagram, styles, n_folds=view.repeated
            )
        for name, draw in makers.items():
            yield name, width, partial(draw, width=width)
