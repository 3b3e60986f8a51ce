"""Every figure of the summary, and what stands under it in a paper."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from utils.summary.figures.critical_difference import critical_difference, rank_table
from utils.summary.figures.cumulative_gain import cumulative_gain
from utils.summary.figures.locations import locations
from utils.summary.figures.metrics_at_k import metrics_at_k
from utils.summary.figures.settings import setting_heat_map
from utils.summary.figures.shared import (
    LIFTED_STAR,
    SPREAD,
    WIDTHS,
    assign_lines,
    fold_means,
    ranked_methods,
)
from utils.summary.figures.specificity import has_settings, specificity_map
from utils.summary.figures.time import time_against
from utils.summary.figures.truths import ceiling, truth_against_truth
from utils.summary.fold_tables import FoldTables, seconds_of
from utils.truth import CHANGE, REPAIR

CAPTIONS = {
    "metrics_at_k": "Precision, recall, F1 and overlap among the first K% of the weights, settings "
    "averaged inside a fold. " + SPREAD + "fold; dashed: the expectation of a random ranking. "
    + LIFTED_STAR + "Positives: the top {percent}% by {gain}, as far as ties allow.",
    "cumulative_gain": "Cumulative gain in the setting 'all'. Left: share of the total gain, "
    "{gain}, inside the first weights of a ranking. Right: the same divided by the share "
    "of a random ranking; the ideal ranking leaves the panel. " + SPREAD + "fold. " + LIFTED_STAR,
    "settings": "{metric} by method and misclassification setting, mean over folds (descriptive: "
    "settings of a fold share the model and the truth, and a setting is about other classes in "
    "each fold). White: chance. Grey: one ranking for all settings, or no value. " + LIFTED_STAR,
    "locations": "Where the positives and the top {percent}% of each method lie in the setting "
    "'all', among neurons sorted by the positives in them; mean over folds. "
    "Density 1: as many as if they were spread evenly over both matrices. " + LIFTED_STAR,
    "time": "{metric} against seconds per fold, all settings together. " + SPREAD + "fold. Filled: "
    "weight-level methods; hollow: neuron-level methods, lifted to weights (*).",
    "critical_difference": "Mean rank by {metric} over folds, 1 is best (descriptive). A bar joins "
    "methods that a paired t test, Holm-adjusted over all pairs, does not tell apart at 0.05; the "
    "test takes folds as independent, though they share training data. " + LIFTED_STAR,
    "truths": "Each method's {metric} by the truth 'change' and by the truth 'repair', mean over "
    "folds, both axes logarithmic. Dashed: chance. Round: weight-level methods; square: "
    "neuron-level methods, lifted to weights (*). In these models; lifts below 0.03 stand at "
    "0.03.",
    "ceiling": "{metric} by the truth 'change' as a bar from chance (1), mean over folds, "
    "logarithmic. Filled: beyond chance in these models at 0.05, adjusted over methods; hollow: "
    "not. Lines: what knowing everything but the order of the data would score (replays), and the "
    "most that a score per neuron can. " + LIFTED_STAR,
    "specificity": "{metric} by the truth 'repair': rankings made for one setting's failures "
    "(rows) against the weights whose change mended another's (columns), mean over folds. A "
    "method that is specific is strongest on the diagonal. " + LIFTED_STAR,
}  # fmt: skip


# What is said instead where the folds are of several repeats.
CAPTIONS_OF_REPEATS = {
    "critical_difference": "Mean rank by {metric} over the folds of all repeats, 1 is best "
    "(descriptive). A bar joins methods that a paired t test, Holm-adjusted over all pairs, does "
    "not tell apart at 0.05; its variance is that of Nadeau and Bengio, for repeats split the same "
    "data. " + LIFTED_STAR,
}


def caption(name: str, repeated: bool, **words: object) -> str:
    """What a figure shows. repeated : whether the folds are of several repeats."""
    return (CAPTIONS | (CAPTIONS_OF_REPEATS if repeated else {}))[name].format(**words)


def across_truths(
    verdict: pd.DataFrame, references: pd.DataFrame, crossed: pd.DataFrame, percent: float
) -> Iterator[tuple[str, str, Figure]]:
    """The figures that are about several truths, as (name, width, figure).

    verdict : rows of verdict.csv. references : columns truth, method, lift.
    crossed : the folds' specificity tables, one below the other; empty without the truth repair.
    """
    truths = set(verdict["truth"])
    k = f"{percent:g}%"
    for width in WIDTHS:
        if {CHANGE, REPAIR} <= truths:
            yield "truths", width, truth_against_truth(verdict, CHANGE, REPAIR, k, width)
        if CHANGE in truths:
            yield "ceiling", width, ceiling(verdict, references, CHANGE, k, width)
        if len(crossed):
            rows = verdict[verdict["truth"] == REPAIR]
            best = list(zip(rows["level"], rows["method"], strict=True))
            if any(has_settings(crossed, key) for key in best):
                yield "specificity", width, specificity_map(crossed, f"lift@{k}", best, width)


def every_figure(
    tables: FoldTables,
    summary: pd.DataFrame,
    seconds: dict[tuple[str, str], float],
    primary: str,
    percent: float,
    repeated: int | None = None,
) -> Iterator[tuple[str, str, Figure]]:
    """Each figure as (name, width, figure), one after the other.

    primary : the primary metric, of which methods are sorted.
    percent : of the weights that are positives.
    repeated : folds of one repeat, where the folds are of several; else None.
    """
    ranked = ranked_methods(summary, primary)
    lines = assign_lines(ranked)
    at_k = fold_means(tables.scores)
    for width in WIDTHS:
        yield "metrics_at_k", width, metrics_at_k(at_k, lines, width)
        yield "cumulative_gain", width, cumulative_gain(tables.curves, lines, width)
        yield "settings", width, setting_heat_map(tables.scores, ranked, primary, width)
        yield "locations", width, locations(tables.locations, ranked, percent, width)
        if any(np.isfinite(seconds_of(*key, seconds)) for key in ranked):
            yield "time", width, time_against(tables.scores, ranked, lines, seconds, primary, width)
        diagram = rank_table(tables.scores, ranked, primary, width)
        if diagram.shape[0] > 1 and diagram.shape[1] > 1:
            yield (
                "critical_difference",
                width,
                critical_difference(diagram, primary, width, repeated),
            )
