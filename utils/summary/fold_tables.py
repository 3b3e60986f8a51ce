"""What step 7 wrote about each fold, read, joined and named as the summary names it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from utils.data.setting_names import ALL
from utils.data.setting_names import COLUMNS as SETTINGS_COLUMNS
from utils.data.settings import SETTINGS_STEP
from utils.errors import UserError
from utils.judge.names import GIVEN, LIFTED, NEURON, ORACLE, RANDOM_EXPECTED, RANDOM_SAMPLED, WEIGHT
from utils.judge.scores.comparison import AT_K
from utils.methods import METHODS
from utils.run import storage
from utils.run.paths import FoldPaths
from utils.run.record import TIME_COLUMNS
from utils.run.storage import undefused
from utils.truth import CHANGE, REPAIR, TRUTHS

STEP = 7
STEPS = range(1, STEP + 1)
KINDS = ("scores", "stratified", "permutation", "curves", "locations", "relabelled")
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


def truths_of(paths: FoldPaths, truths: Iterable[str]) -> list[str]:
    """Those of `truths` that a fold was compared with."""
    return [name for name in truths if paths.judged("scores", name).is_file()]


def judged_files(paths: FoldPaths, truths: Iterable[str]) -> list[Path]:
    """What step 7 writes about a fold by each of its truths, and the summary reads."""
    files = []
    for truth in truths:
        files += [paths.judged(kind, truth) for kind in KINDS]
        files.append(paths.relabelled_lifts(truth))
        if truth == REPAIR:
            files += [paths.specificity, paths.repair_table]
    return files


def folds_with(folds: list[FoldPaths], truth: str) -> list[FoldPaths]:
    """The folds that were compared with a truth."""
    return [paths for paths in folds if paths.judged("scores", truth).is_file()]


def load(folds: list[FoldPaths], truth: str = CHANGE) -> FoldTables:
    """The folds' tables by one truth, which all of them have, with the summary's names."""
    raw = read_folds(folds, truth)
    per_setting = TRUTHS[truth].per_setting
    return FoldTables(
        ds=folds[0].ds,
        truth=truth,
        per_setting=per_setting,
        folds=[paths.fold for paths in folds],
        scores=tidy_scores(raw["scores"], per_setting),
        stratified=tidy_stratified(raw["stratified"]),
        permutation=raw["permutation"],
        curves=raw["curves"],
        locations=raw["locations"],
        times=raw["times"],
        settings=raw["settings"],
    )


def load_scores(folds: list[FoldPaths], truth: str = CHANGE) -> pd.DataFrame:
    """The scores of `load` alone."""
    columns = ["ds", "fold", "setting", "level", "method", "n", "ap"]
    parts = [read(paths.judged("scores", truth), columns) for paths in folds]
    return tidy_scores(pd.concat(parts, ignore_index=True), TRUTHS[truth].per_setting)


def read_folds(folds: list[FoldPaths], truth: str) -> dict[str, pd.DataFrame]:
    """The folds' tables of one truth by name, one fold below the other."""
    keys = ["ds", "fold", "setting", "level", "method"]
    readers = {
        "scores": lambda p: read(p.judged("scores", truth), [*keys, "n", "ap"]),
        "stratified": lambda p: read(p.judged("stratified", truth), [*keys, "n"]),
        "permutation": lambda p: read(p.judged("permutation", truth), [*keys, "top", "p"]),
        "curves": lambda p: read(p.judged("curves", truth), [*keys, "percent", "mass"]),
        "locations": lambda p: read(
            p.judged("locations", truth), [*keys, "matrix", "bin", "share"]
        ),
        "settings": lambda p: storage.read_table(
            p.settings, SETTINGS_COLUMNS, SETTINGS_STEP
        ).assign(fold=p.fold),
        "times": read_times,
    }
    return {
        name: pd.concat([reader(paths) for paths in folds], ignore_index=True)
        for name, reader in readers.items()
    }


def read(path: Path, columns: list[str]) -> pd.DataFrame:
    """A table of step 7; names that were protected from spreadsheets are themselves again."""
    table = storage.read_table(path, columns, STEP)
    table["method"] = [undefused(str(name)) for name in table["method"]]
    return table


def read_times(paths: FoldPaths) -> pd.DataFrame:
    parts = [_read_time(paths.times(step), step) for step in STEPS if paths.times(step).is_file()]
    return pd.concat(parts, ignore_index=True)


def _read_time(path: Path, step: int) -> pd.DataFrame:
    table = storage.read_table(path, TIME_COLUMNS, step)
    if not pd.api.types.is_numeric_dtype(table["elapsed_s"]):
        raise UserError(f"{path} has seconds that are no numbers; {storage.run_again(step)}")
    return table.assign(step=step)


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


def seconds_per_fold(times: pd.DataFrame) -> dict[tuple[str, str], float]:
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


def seconds_of(level: str, method: str, seconds: dict[tuple[str, str], float]) -> float:
    """Seconds of a ranking; scores made for one n take those of the method without n."""
    base = method.split(" (n=")[0]
    return seconds.get((NEURON if level == LIFTED else level, base), float("nan"))


def shown(level: str, method: str) -> str:
    """One text for a ranking among weights; * is `levels.STAR`.

    The neuron oracle says by its name what it is.
    """
    return f"{method} *" if level == LIFTED and method != ORACLE else method
