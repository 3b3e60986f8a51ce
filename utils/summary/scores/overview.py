"""What was found, in a few sentences and one short table, all of it from the summary's files."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from utils.summary.best import best_in_words
from utils.summary.folds.tables import seconds_of
from utils.summary.rankings import Key
from utils.truth import CHANGE

SIGNIFICANT = 0.05
TRUTH_COLUMNS = ["truth_a", "truth_b", "n_methods", "kendall_tau"]


def overview_table(
    verdict: pd.DataFrame,
    intervals: dict[str, pd.DataFrame],
    specificity: dict[Key, float],
    seconds: dict[Key, float],
) -> pd.DataFrame:
    """One row per method: what each truth says of it, and what else is asked first.

    Per truth the mean lift over folds, the adjusted p (these models), the 95%
    interval over folds (new folds), and the method's place. Sorted by the place
    of the first truth.

    intervals : per truth, by (level, method), columns corrected_low and corrected_high.
    specificity : (level, method) -> mean over folds; NaN or absent where there is none.
    seconds : of `fold_tables.seconds_per_fold`.
    """
    truths = list(dict.fromkeys(verdict["truth"]))
    by_key = {
        truth: rows.set_index(["level", "method"]) for truth, rows in verdict.groupby("truth")
    }
    keys = list(dict.fromkeys(zip(verdict["level"], verdict["method"], strict=True)))
    columns: dict[str, list] = {
        "method": [method for _, method in keys],
        "level": [level for level, _ in keys],
    }
    for truth in truths:
        rows = by_key[truth].reindex(pd.MultiIndex.from_tuples(keys))
        columns[f"lift {truth}"] = rows["lift"].to_list()
        columns[f"null_mean {truth}"] = rows["null_mean"].to_list()
        columns[f"p_adjusted {truth}"] = rows["p_adjusted"].to_list()
        ends = intervals[truth].reindex(pd.MultiIndex.from_tuples(keys))
        columns[f"low {truth}"] = ends["corrected_low"].to_list()
        columns[f"high {truth}"] = ends["corrected_high"].to_list()
        columns[f"place {truth}"] = rows["lift"].rank(ascending=False).to_list()
    first = by_key[truths[0]].reindex(pd.MultiIndex.from_tuples(keys))
    columns["share_of_ceiling"] = first["share_of_ceiling"].to_list()
    columns["specificity"] = [specificity.get(key, np.nan) for key in keys]
    columns["seconds"] = [seconds_of(*key, seconds) for key in keys]
    table = pd.DataFrame(columns)
    return table.sort_values(f"place {truths[0]}", kind="stable", ignore_index=True)


def truth_agreement(verdict: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau-b between the orders of methods by each two truths: columns TRUTH_COLUMNS."""
    lifts = verdict.pivot(index=["level", "method"], columns="truth", values="lift")
    rows = []
    for a, b in combinations(dict.fromkeys(verdict["truth"]), 2):
        both = lifts[[a, b]].dropna()
        tau = kendalltau(both[a], both[b]).statistic if len(both) > 1 else np.nan
        rows.append((a, b, len(both), tau))
    return pd.DataFrame(rows, columns=TRUTH_COLUMNS)


def sentences(
    verdict: pd.DataFrame,
    references: pd.DataFrame,
    truths: pd.DataFrame,
    k: str,
    values: Mapping[str, pd.DataFrame],
    n_folds: int,
) -> list[str]:
    """The finding in words; every number is one of the given tables'.

    references : columns truth, method, lift: the ceiling and the neuron oracle.
    truths : of `truth_agreement`.
    k : the percent of lift@K, such as "1%".
    values : by truth (folds, methods) of lifts. n_folds : folds of one repeat.
    """
    said = [
        truth_in_words(rows, references[references["truth"] == truth], k, values[truth], n_folds)
        for truth, rows in verdict.groupby("truth", sort=False)
    ]
    for row in truths.itertuples(index=False):
        if np.isfinite(row.kendall_tau):
            said.append(
                f"Order of the {row.n_methods} methods by '{row.truth_a}' and by '{row.truth_b}': "
                f"Kendall's tau {row.kendall_tau:.2f} ({agreement(row.kendall_tau)})."
            )
    return said


def truth_in_words(
    rows: pd.DataFrame, references: pd.DataFrame, k: str, values: pd.DataFrame, n_folds: int
) -> str:
    """What one truth says. rows : its rows of verdict.csv; the rest as in `sentences`."""
    truth = rows["truth"].iloc[0]
    told = rows["p_adjusted"] <= SIGNIFICANT
    above = int((told & (rows["z"] > 0)).sum())
    below = int((told & (rows["z"] < 0)).sum())
    best = rows.loc[rows["lift"].idxmax()]
    text = (
        f"By '{truth}', {above} of {len(rows)} methods beat{'s' * (above == 1)} chance in these "
        f"models and {below} {'is' if below == 1 else 'are'} below it (p <= {SIGNIFICANT} adjusted "
        f"over methods). {best_in_words(values, n_folds, f'lift@{k} {{:.2f}}')}"
    )
    chance = best["null_mean"]
    if chance > 0:
        text += (
            f". That lift is {best['lift'] / chance:.1f} times the {chance:.2f} that trading "
            "neurons gives"
        )
    ends = [f"{row.method} {row.lift:.1f}" for row in references.itertuples(index=False)]
    if ends:
        text += f" ({', '.join(ends)})"
    if truth == CHANGE and best["share_of_ceiling"] > 0:
        text += f", {100 * best['share_of_ceiling']:.0f}% of the way from chance to the ceiling"
    return text + "."


def agreement(tau: float) -> str:
    """What a rank correlation says of two orders."""
    if tau > 0.6:
        return "they agree"
    if tau > 0.2:
        return "they agree in part"
    if tau >= -0.2:
        return "they have little to do with each other"
    return "they turn round"
