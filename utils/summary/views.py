"""What each truth says across the folds that have it, and what several truths say together."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from utils.data.repeats import describe
from utils.judge.names import CEILING, ORACLE
from utils.judge.verdict.relabelling import Relabelled, read_nulls
from utils.judge.verdict.specificity import specificity
from utils.run import storage
from utils.run.paths import FoldPaths
from utils.summary import across_folds, fold_tables, verdict
from utils.summary.fold_tables import STEP, FoldTables


@dataclass(frozen=True)
class View:
    """What one truth says across the folds that have it.

    metrics : COMPARED_METRICS with their budgets, the primary one first.
    repeated : folds of one repeat, where the folds are of several repeats; else None.
    """

    folds: list[FoldPaths]
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


def make_view(folds: list[FoldPaths], truth: str, constants: dict[str, Any]) -> View:
    tables = fold_tables.load(folds, truth)
    metrics = fold_tables.spread_budgets(constants["COMPARED_METRICS"], tables.scores.columns)
    compared = across_folds.comparison_table(
        tables,
        constants["REFERENCES"],
        metrics,
        constants["N_FOLDS"],
        constants["BOOTSTRAP_DRAWS"],
        constants["SEED"],
    )
    summary = across_folds.summary_table(tables, metrics, constants["N_FOLDS"])
    repeated = constants["N_FOLDS"] if describe(tables.folds, constants["N_FOLDS"]) else None
    return View(folds, tables, metrics, summary, compared, repeated)


def verdict_of(view: View, references: pd.DataFrame) -> pd.DataFrame:
    """One truth's rows of verdict.csv."""
    found: dict[tuple[str, str], list[Relabelled]] = {}
    k = 0
    for paths in view.folds:
        table = fold_tables.read(paths.judged("relabelled", view.truth), ["level", "k", "null_sd"])
        remedy = storage.run_again(STEP)
        lifts = paths.relabelled_lifts(view.truth)
        nulls = storage.load_array(lifts, (np.float64,), (len(table), None), remedy)
        for key, values in read_nulls(table, nulls):
            found.setdefault(key, []).append(Relabelled(**values))
        k = int(table["k"].max()) if len(table) else k
    ends = references[references["truth"] == view.truth].set_index("method")["lift"]
    nan = float("nan")
    return verdict.verdict_table(
        view.truth, found, k, ends.get(CEILING, nan), ends.get(ORACLE, nan)
    )


def reference_lifts(views: list[View], column: str) -> pd.DataFrame:
    """Columns truth, method, lift: what could be reached, by each truth that has it."""
    rows = [
        (view.truth, name, view.lift_of(name, column))
        for view in views
        for name in (CEILING, ORACLE)
    ]
    table = pd.DataFrame(rows, columns=["truth", "method", "lift"])
    return table.dropna(ignore_index=True)


def specificities(crossed: pd.DataFrame, column: str) -> dict[tuple[str, str], float]:
    """Mean of each method's specificity over the folds where it has one, NaN if in none."""
    found = {}
    for key, rows in crossed.groupby(["level", "method"], sort=False):
        each = np.array([specificity(one, column) for _, one in rows.groupby("fold")])
        each = each[~np.isnan(each)]
        found[key] = float(each.mean()) if len(each) else float("nan")
    return found


def read_all(folds: list[FoldPaths], table: str, columns: list[str]) -> pd.DataFrame:
    """A table of every fold, one below the other, with the fold; of no folds an empty one."""
    parts = []
    for paths in folds:
        found = storage.read_table(getattr(paths, table), columns, STEP)
        if "method" in found:
            found["method"] = [fold_tables.undefused(str(name)) for name in found["method"]]
        parts.append(found.assign(fold=paths.fold))
    empty = pd.DataFrame(columns=[*columns, "loss_transplanted", "n_test", "fold"])
    return pd.concat(parts, ignore_index=True) if parts else empty
