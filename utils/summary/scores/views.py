"""What each truth says across the folds that have it, and what several truths say together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from utils.data.repeats import describe
from utils.judge.names import CEILING, ORACLE
from utils.judge.verdict.specificity import specificity
from utils.summary.folds.tables import FoldTables, spread_budgets
from utils.summary.rankings import Key
from utils.summary.scores.comparisons import Design, comparison_table
from utils.summary.scores.means import summary_table


@dataclass(frozen=True)
class View:
    """What one truth says across the folds that have it.

    metrics : COMPARED_METRICS with their budgets, the primary one first.
    repeated : folds of one repeat, where the folds are of several repeats; else None.
    """

    tables: FoldTables
    metrics: list[str]
    summary: pd.DataFrame
    compared: pd.DataFrame
    repeated: int | None = None

    @property
    def truth(self) -> str:
        return self.tables.truth

    def intervals(self, column: str) -> pd.DataFrame:
        """corrected_low and corrected_high of a metric, by (level, method)."""
        rows = self.summary[self.summary["metric"] == column].set_index(["level", "method"])
        return rows[["corrected_low", "corrected_high"]]

    def lift_of(self, reference: str, column: str) -> float:
        """Mean lift of a reference, NaN where the truth has none."""
        rows = self.summary[self.summary["method"] == reference]
        values = rows.loc[rows["metric"] == column, "mean"]
        return float(values.iloc[0]) if len(values) else float("nan")


def make_view(tables: FoldTables, constants: Mapping[str, Any]) -> View:
    """Summarise and compare the folds' tables by one truth.

    constants : COMPARED_METRICS, REFERENCES, N_FOLDS, BOOTSTRAP_DRAWS and SEED by name.

    Raises
    ------
    comparisons.WrongConstant : REFERENCES or COMPARED_METRICS names what is not there.
    """
    n_folds = constants["N_FOLDS"]
    design = Design(n_folds, constants["BOOTSTRAP_DRAWS"], constants["SEED"])
    metrics = spread_budgets(constants["COMPARED_METRICS"], tables.scores.columns)
    compared = comparison_table(tables, constants["REFERENCES"], metrics, design)
    return view_of(tables, summary_table(tables, metrics, n_folds), compared, constants)


def view_of(
    tables: FoldTables,
    summary: pd.DataFrame,
    compared: pd.DataFrame,
    constants: Mapping[str, Any],
) -> View:
    """A view of tables that are made already."""
    n_folds = constants["N_FOLDS"]
    metrics = spread_budgets(constants["COMPARED_METRICS"], tables.scores.columns)
    repeated = n_folds if describe(tables.folds, n_folds) else None
    return View(tables, metrics, summary, compared, repeated)


def reference_lifts(views: list[View], column: str) -> pd.DataFrame:
    """Columns truth, method, lift: what could be reached, by each truth that has it."""
    rows = [
        (view.truth, name, view.lift_of(name, column))
        for view in views
        for name in (CEILING, ORACLE)
    ]
    table = pd.DataFrame(rows, columns=["truth", "method", "lift"])
    return table.dropna(ignore_index=True)


def specificities(crossed: pd.DataFrame, column: str) -> dict[Key, float]:
    """Mean of each method's specificity over the folds where it has one, NaN if in none."""
    found = {}
    for key, rows in crossed.groupby(["level", "method"], sort=False):
        each = np.array([specificity(one, column) for _, one in rows.groupby("fold")])
        each = each[~np.isnan(each)]
        found[key] = float(each.mean()) if len(each) else float("nan")
    return found
