"""What step 7 wrote about each fold, joined and named as the summary names it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from utils.data.setting_names import ALL
from utils.judge.names import GIVEN, LIFTED, RANDOM_EXPECTED, RANDOM_SAMPLED, WEIGHT
from utils.judge.scores.comparison import AT_K
from utils.methods import METHODS
from utils.summary.rankings import Key, own_level
from utils.truth import TRUTHS

STEP = 7
AP_RATIO = "ap/random"
STRATIFIED = "random (stratified as {})"


@dataclass(frozen=True)
class FoldTables:
    """What step 7 wrote about each fold by one truth, one fold below the other, with tidy names.

    per_setting : whether each setting has a truth of its own.
    scores : one row per (fold, setting, level, method), random rows under `all` alone.
    stratified : the same for a random ranking that mixes the matrices like the method.
    permutation : one row per (fold, level, method, top).
    curves, locations : of the setting `all`.
    times, settings : the folds' tables as they are.
    """

    ds: str
    truth: str
    per_setting: bool
    folds: list[int]
    scores: pd.DataFrame
    stratified: pd.DataFrame
    permutation: pd.DataFrame
    curves: pd.DataFrame
    locations: pd.DataFrame
    times: pd.DataFrame
    settings: pd.DataFrame


def tidy(ds: str, truth: str, folds: list[int], raw: dict[str, pd.DataFrame]) -> FoldTables:
    """The folds' tables by one truth with the summary's names; raw : as they are, by kind."""
    per_setting = TRUTHS[truth].per_setting
    return FoldTables(
        ds=ds,
        truth=truth,
        per_setting=per_setting,
        folds=folds,
        scores=tidy_scores(raw["scores"], per_setting),
        stratified=tidy_stratified(raw["stratified"]),
        permutation=raw["permutation"],
        curves=raw["curves"],
        locations=raw["locations"],
        times=raw["times"],
        settings=raw["settings"],
    )


def tidy_scores(table: pd.DataFrame, per_setting: bool = False) -> pd.DataFrame:
    """The rankings of the scores table: whole ones, and those whose scores depend on n.

    The cut rankings are the first entries of whole ones. Where several budgets
    were asked for, @n would mean another K from row to row: the columns are
    called @n=<n> then, and those of a cut ranking join the whole one's row.
    """
    table = add_ap_ratio(table)
    random = table["method"].isin([RANDOM_EXPECTED, RANDOM_SAMPLED])
    table = table[~random | (table["setting"] == ALL) | per_setting]
    whole = table[table["n"].isna()].drop(columns="n")
    cut = table[table["n"].notna()]
    own = np.array([_has_own_scores(*key) for key in zip(cut["level"], cut["method"], strict=True)])
    own = own.astype(bool)
    with_own = cut[own].copy()
    with_own["method"] = [
        with_budget(name, n) for name, n in zip(with_own["method"], with_own["n"], strict=True)
    ]
    budgets = sorted({int(n) for n in cut["n"]})
    if len(budgets) > 1:
        whole = at_each_budget(whole, cut[~own], budgets)
        with_own = at_each_budget(with_own, with_own, budgets)
    return pd.concat([whole, with_own], ignore_index=True).drop(columns="n", errors="ignore")


def at_each_budget(table: pd.DataFrame, cut: pd.DataFrame, budgets: list[int]) -> pd.DataFrame:
    """Columns @n=<n> in place of @n.

    cut : rows that have an n, of the same rankings.
    """
    at_n = [f"{name}@n" for name in AT_K]
    keys = ["ds", "fold", "setting", "level", "method"]
    for n in budgets:
        columns = {name: f"{name}={n}" for name in at_n}
        part = cut.loc[cut["n"] == n, [*keys, *at_n]]
        table = table.merge(part.rename(columns=columns), on=keys, how="left")
    return table.drop(columns=at_n)


def spread_budgets(metrics: Iterable[str], columns: Iterable[str]) -> list[str]:
    """The declared metrics, each @n as its @n=<n> where `columns` have several budgets."""
    columns = list(columns)
    found = []
    for metric in metrics:
        each = [c for c in columns if metric not in columns and c.startswith(f"{metric}=")]
        found += each or [metric]
    return found


def _has_own_scores(level: str, method: str) -> bool:
    known = METHODS.get((level, method))
    return known is not None and known.with_budget is not None


def with_budget(method: str, n: float) -> str:
    return f"{method} (n={int(n)})"


def tidy_stratified(table: pd.DataFrame) -> pd.DataFrame:
    """Names of the stratified null rows: `random (stratified as <method>)`."""
    table = table.copy()
    names = [
        name if pd.isna(n) else with_budget(name, n)
        for name, n in zip(table["method"], table["n"], strict=True)
    ]
    table["method"] = [STRATIFIED.format(name) for name in names]
    return table.drop(columns="n")


def add_ap_ratio(table: pd.DataFrame) -> pd.DataFrame:
    """Average precision divided by its expectation under a random ranking of the same items."""
    expected = table[(table["method"] == RANDOM_EXPECTED) & table["n"].isna()]
    chance = expected.set_index(["fold", "setting", "level"])["ap"]
    base = table["level"].replace({LIFTED: WEIGHT})
    keys = pd.MultiIndex.from_arrays([table["fold"], table["setting"], base])
    return table.assign(**{AP_RATIO: table["ap"].to_numpy() / chance.reindex(keys).to_numpy()})


def seconds_per_fold(times: pd.DataFrame) -> dict[Key, float]:
    """Seconds that each method took over all settings of a fold, mean over folds.

    times : the summary's times.csv.
    """
    steps = {method.step for method in METHODS.values()}
    given = times["device"] == GIVEN  # by a user, of a method that no step of ours runs
    mine = times[(times["step"].isin(steps) | given) & times["n"].isna()]
    names = [str(name).split("/", 1) for name in mine["method"]]
    return {
        (name[0], name[1]): seconds
        for name, seconds in zip(names, mine["mean_s"], strict=True)
        if len(name) == 2
    }


def seconds_of(level: str, method: str, seconds: dict[Key, float]) -> float:
    """Seconds of a ranking; scores made for one n take those of the method without n."""
    return seconds.get(own_level(level, method.split(" (n=")[0]), float("nan"))
