"""Means across folds: every value is a fold's, and the fold is the unit of every interval.

Tables are long and keyed by (level, method). The settings of a fold are
averaged before anything is tested (utils.summary.statistics.t_tests says why).
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from utils.judge.names import NEURON
from utils.judge.scores.comparison import AT_K, WHOLE
from utils.summary.folds.tables import AP_RATIO, FoldTables
from utils.summary.rankings import shown
from utils.summary.statistics import effect_sizes, t_tests

LOWER_IS_BETTER = ("first_hit", "first_hit_best", "first_hit_worst", "exam")
PERMUTATION = {
    "observed": "permutation_observed",
    "null_mean": "permutation_null_mean",
    "z": "permutation_z",
    "p": "permutation_p",
}
SUMMARY_HEAD = [
    "truth", "metric", "level", "method", "n_folds", "n_settings", "mean", "sd", "low", "high",
    "corrected_low", "corrected_high", "icc_settings",
]  # fmt: skip


def metrics_of(table: pd.DataFrame) -> list[str]:
    """The metric columns, those at the same K together as in the scores table."""
    names = [*(f"{name}@" for name in AT_K), *WHOLE]
    return [
        column
        for column in table.columns
        if column == AP_RATIO or column in names or column.split("@")[0] + "@" in names
    ]


def summary_table(tables: FoldTables, first: Iterable[str], n_folds: int) -> pd.DataFrame:
    """Each metric of each ranking: fold means, their mean, sd and intervals.

    first : the metrics to begin with.
    n_folds : folds of one repeat of the cross-validation, whichever are here.

    Returns
    -------
    Columns SUMMARY_HEAD and one per fold. `low`, `high`: 95% t interval, df =
    folds - 1, folds taken as independent; `corrected_*`: with the variance of
    Nadeau and Bengio. Sorted by metric, weights before neurons, best first.
    """
    parts = [
        _summarise(tables.scores, tables.folds, n_folds),
        _summarise(tables.stratified, tables.folds, n_folds),
        permutation_summary(tables, n_folds),
    ]
    table = pd.concat(parts, ignore_index=True)
    order = list(dict.fromkeys([*first, *metrics_of(tables.scores), *table["metric"]]))
    table = _sort(table, order)
    table.insert(0, "truth", tables.truth)
    return table


def _sort(table: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    place = {metric: i for i, metric in enumerate(metrics)}
    better = table["mean"].where(~table["metric"].isin(LOWER_IS_BETTER), -table["mean"])
    keys = pd.DataFrame(
        {
            "metric": table["metric"].map(place),
            "neurons": table["level"] == NEURON,
            "worse": -better,
            "name": table["method"],
            "level": table["level"],
        }
    )
    order = keys.sort_values(list(keys.columns), kind="stable", na_position="last").index
    return table.loc[order].reset_index(drop=True)


def _summarise(table: pd.DataFrame, folds: list[int], n_folds: int) -> pd.DataFrame:
    metrics = metrics_of(table)
    rows = []
    for (level, method), found in table.groupby(["level", "method"], sort=False):
        cells = fold_cells(found, folds, metrics)
        for place, metric in enumerate(metrics):
            values = cells[:, :, place]
            if not np.isnan(values).all():
                head = {"metric": metric, "level": level, "method": method}
                rows.append(head | fold_summary(values, folds, n_folds))
    return pd.DataFrame(rows)


def fold_cells(
    rows: pd.DataFrame, folds: list[int], metrics: list[str], across: str = "setting"
) -> np.ndarray:
    """All metrics of one ranking: float64 (folds, settings, metrics), NaN where absent.

    rows : one of a fold and setting. across : what stands in the place of settings.
    """
    names = rows[across].unique()
    cells = np.full((len(folds), len(names), len(metrics)), np.nan)
    place = (
        pd.Index(folds).get_indexer(rows["fold"]),
        pd.Index(names).get_indexer(rows[across]),
    )
    cells[place] = rows[metrics].to_numpy(dtype=np.float64)
    return cells


def fold_summary(values: np.ndarray, folds: list[int], n_folds: int) -> dict[str, float]:
    """Fold means of one metric with their mean, sd and intervals.

    values : (folds, settings), NaN where absent.
    n_folds : folds of one repeat of the cross-validation.
    """
    means = t_tests.fold_means(values)
    present = means[~np.isnan(means)]
    plain = t_tests.t_interval(present)
    corrected = t_tests.nadeau_bengio(present, n_folds)
    return {
        "n_folds": len(present),
        "n_settings": int((~np.isnan(values)).sum(axis=1).max()),
        "mean": present.mean() if len(present) else np.nan,
        "sd": present.std(ddof=1) if len(present) > 1 else np.nan,
        "low": plain.low,
        "high": plain.high,
        "corrected_low": corrected.low,
        "corrected_high": corrected.high,
        "icc_settings": effect_sizes.intra_class_correlation(values),
        **{fold_column(fold): value for fold, value in zip(folds, means, strict=True)},
    }


def fold_column(fold: int) -> str:
    return f"fold{fold}"


def permutation_summary(tables: FoldTables, n_folds: int) -> pd.DataFrame:
    """The permutation tests as metrics; a p value has no mean: only the folds' own."""
    rows = []
    for (level, method, top), found in tables.permutation.groupby(
        ["level", "method", "top"], sort=False
    ):
        cells = fold_cells(found, tables.folds, list(PERMUTATION))
        for place, (column, metric) in enumerate(PERMUTATION.items()):
            values = cells[:, :, place]
            row = {"metric": f"{metric}@{top}", "level": level, "method": method}
            row |= fold_summary(values, tables.folds, n_folds)
            if column == "p":
                row |= dict.fromkeys(SUMMARY_HEAD[6:], np.nan)
            rows.append(row)
    return pd.DataFrame(rows)


def settings_table(tables: FoldTables, metric: str) -> pd.DataFrame:
    """The folds' settings, and beside each what every method scores there (descriptive)."""
    chosen = tables.scores[tables.scores["level"] != NEURON]
    wide = chosen.assign(
        column=[shown(*key) for key in zip(chosen["level"], chosen["method"], strict=True)]
    ).pivot(index=["fold", "setting"], columns="column", values=metric)
    order = (
        wide.mean().sort_values(ascending=False, kind="stable").index
    )  # best first, as in the other tables
    wide = wide[order].add_prefix(f"{metric} ")
    table = tables.settings.merge(wide.reset_index(), on=["fold", "setting"], how="left")
    table.insert(0, "truth", tables.truth)
    return table
