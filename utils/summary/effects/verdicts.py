"""All verdicts side by side, how far they agree, and which of them predicts repair."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from utils.data.setting_names import ALL
from utils.judge.transplant.walk import ELSEWHERE
from utils.summary.effects import recovery, retrained
from utils.summary.scores.means import fold_summary

KEYS = ["level", "method"]
TRANSPLANT, BACK = "transplant", "transplant back"
LOSS, LIFT_R = "loss_recovered at 1%", "lift@R"
RETRAINED = "retrained ("
# The ends of an interval over folds, in the tables that hold a tau.
PREDICTS = ["verdict", "predicts", "n_methods"]

Values = Mapping[str, pd.DataFrame]


def planted_verdict(kind: str) -> str:
    return f"planted {kind}"


def metric_of(verdict: str, lift: str) -> str:
    """What a verdict's values are. lift : the metric of the truths, such as lift@1%."""
    if verdict in (TRANSPLANT, BACK):
        return LOSS
    if verdict.startswith(RETRAINED):
        return retrained.MENDED
    return LIFT_R if verdict.startswith("planted ") else lift


def values_of(
    lifts: Mapping[str, pd.DataFrame],
    transplants: pd.DataFrame,
    back: pd.DataFrame,
    planted: pd.DataFrame,
    trained: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """Each verdict's values of the methods: by its name (folds, methods), higher is better.

    lifts : by truth, of `recovery.lifts_of`. The others are the folds' tables, empty where no
    fold has one; their verdicts are then left out. Settings, or faults, are averaged inside a
    fold. The two kinds of planted faults are two verdicts, and so are the two optimisers.
    """
    found = {truth: by_fold(table, "lift") for truth, table in lifts.items()}
    for name, table in ((TRANSPLANT, transplants), (BACK, back)):
        rows = table[table["k_percent"] == ELSEWHERE]
        rows = rows[~rows["method"].isin(recovery.BESIDE)]
        if name == BACK:
            rows = rows[rows["setting"] == ALL]
        found[name] = by_fold(rows, "loss_recovered")
    usual = recovery.usual_faults(planted)
    for kind, rows in usual.groupby("kind", sort=True):
        found[planted_verdict(kind)] = by_fold(rows, "lift@R")
    rows = retrained.counted(trained)
    rows = rows[~rows["method"].isin(retrained.BESIDE)]
    for optimizer, part in rows.groupby("optimizer", sort=True):
        found[retrained.verdict_of(optimizer)] = by_fold(part, retrained.MENDED)
    return {name: table for name, table in found.items() if table.size}


def by_fold(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """(folds, methods), columns (level, method): means over what a fold has several of."""
    return rows.groupby(["fold", *KEYS])[column].mean().unstack(KEYS)


def verdicts_table(values: Values) -> pd.DataFrame:
    """Each method's mean over folds and its place by each verdict, by the place in the first."""
    if not values:
        return pd.DataFrame(columns=KEYS)
    table = pd.DataFrame({name: one.mean() for name, one in values.items()}).rename_axis(KEYS)
    places = table.rank(ascending=False).add_prefix("place ")
    table = pd.concat([table, places], axis=1).reset_index()
    return table.sort_values(f"place {next(iter(values))}", kind="stable", ignore_index=True)


def verdict_names(verdicts: pd.DataFrame) -> list[str]:
    return [name.removeprefix("place ") for name in verdicts if name.startswith("place ")]


def verdict_agreement(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Columns verdict_a, verdict_b, n_methods, kendall_tau of each two verdicts."""
    rows = []
    for a, b in combinations(verdict_names(verdicts), 2):
        both = verdicts[[a, b]].dropna()
        rows.append((a, b, len(both), recovery.tau(both[a], both[b])))
    return pd.DataFrame(rows, columns=["verdict_a", "verdict_b", "n_methods", "kendall_tau"])


def predicts_table(values: Values, n_folds: int) -> pd.DataFrame:
    """Which verdict predicts repair: Kendall's tau over methods with each way of retraining.

    One tau per fold, between that fold's two values of each method; columns PREDICTS and
    `means.fold_summary`, whose corrected interval speaks of new folds.
    """
    rows = []
    for target in (name for name in values if name.startswith(RETRAINED)):
        for name, table in values.items():
            if name.startswith(RETRAINED):
                continue
            methods = [key for key in values[target] if key in table]
            folds = [fold for fold in values[target].index if fold in table.index]
            taus = [tau_of(table, values[target], fold, methods) for fold in folds]
            if np.isfinite(taus).any():
                head = dict(zip(PREDICTS, (name, target, len(methods)), strict=True))
                rows.append(head | fold_summary(np.array(taus)[:, None], folds, n_folds))
    table = pd.DataFrame(rows, columns=None if rows else [*PREDICTS, "mean"])
    return table.drop(columns=["n_settings", "icc_settings"], errors="ignore")


def tau_of(a: pd.DataFrame, b: pd.DataFrame, fold: int, methods: list) -> float:
    """Kendall's tau-b over methods of one fold, NaN where there is none."""
    both = pd.DataFrame({"a": a.loc[fold, methods], "b": b.loc[fold, methods]}).dropna()
    return float(kendalltau(both["a"], both["b"]).statistic) if len(both) > 1 else float("nan")


QUESTION = "Which truth predicts repair?"


def prediction_in_words(predicts: pd.DataFrame, trained: pd.DataFrame) -> list[str]:
    """The first lines of the finding. trained : of `retrained.retrained_table`."""
    if not len(predicts):
        return [
            f"{QUESTION} Not known yet: run exp-fl-5-10.py on these folds, which retrains M1 "
            "where each ranking points."
        ]
    answers, each = [], []
    for target, rows in predicts.groupby("predicts", sort=False):
        told = rows[(rows["corrected_low"] > 0) | (rows["corrected_high"] < 0)]
        several = rows["corrected_low"].notna().any()
        answer = names_with_tau(told) if len(told) else "no verdict that is told apart from 0"
        answers.append(f"{target}: {answer if several else 'not to be said from one fold'}")
        taus = ", ".join(map(tau_in_words, rows.itertuples(index=False)))
        each.append(
            f"Kendall's tau with {target} over {rows['n_methods'].max()} methods, mean over folds"
            f"{' [95% over folds]' if several else ''}: {taus}."
        )
    return [f"{QUESTION} {'; '.join(answers)}.", *each, *retrained.sentences(trained)]


def names_with_tau(rows: pd.DataFrame) -> str:
    names = [
        f"'{row.verdict}'{' (the other way round)' if row.mean < 0 else ''}"
        for row in rows.itertuples(index=False)
    ]
    return " and ".join(names)


def tau_in_words(row: object) -> str:
    ends = (
        f" [{row.corrected_low:z.2f}, {row.corrected_high:z.2f}]"
        if np.isfinite(row.corrected_low)
        else ""
    )
    return f"{row.verdict} {row.mean:z.2f}{ends}"
