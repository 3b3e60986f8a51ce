"""Reads what step 7 wrote about each fold."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from utils.data.settings import COLUMNS as SETTINGS_COLUMNS
from utils.data.settings import SETTINGS_STEP
from utils.errors import UserError
from utils.judge.verdict.relabelling import Relabelled, read_nulls
from utils.run import storage
from utils.run.paths import FoldPaths
from utils.run.record import TIME_COLUMNS
from utils.summary.folds.tables import STEP, FoldTables, tidy, tidy_scores
from utils.summary.rankings import Key
from utils.truth import CHANGE, REPAIR, TRUTHS

# Columns that hold names of methods.
NAMED = ("method", "reference")
STEPS = range(1, STEP + 1)
KINDS = ("scores", "stratified", "permutation", "curves", "locations", "relabelled")


def truths_of(paths: FoldPaths, truths: Iterable[str]) -> list[str]:
    """Those of `truths` that a fold was compared with."""
    return [name for name in truths if paths.judged("scores", name).is_file()]


def judged_files(paths: FoldPaths, truths: Sequence[str]) -> list[Path]:
    """What step 7 writes about a fold by each of its truths, and the summary reads."""
    files = []
    for truth in truths:
        files += [paths.judged(kind, truth) for kind in KINDS]
        files.append(paths.relabelled_lifts(truth))
        if truth == REPAIR:
            files += [paths.specificity, paths.repair_table]
    if CHANGE in truths and paths.replay_lifts.is_file():
        files.append(paths.replay_lifts)
    return files


def folds_with(folds: list[FoldPaths], truth: str) -> list[FoldPaths]:
    """The folds that were compared with a truth."""
    return [paths for paths in folds if paths.judged("scores", truth).is_file()]


def load(folds: list[FoldPaths], truth: str = CHANGE) -> FoldTables:
    """The folds' tables by one truth, which all of them have, with the summary's names."""
    return tidy(folds[0].ds, truth, [paths.fold for paths in folds], read_folds(folds, truth))


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


def read(path: Path, columns: list[str], step: int = STEP) -> pd.DataFrame:
    """A table that `step` writes; names that were protected from spreadsheets are themselves."""
    table = storage.read_table(path, columns, step)
    for column in NAMED:
        if column in table:
            table[column] = [storage.undefused(str(name)) for name in table[column]]
    return table


def read_all(folds: list[FoldPaths], table: str, columns: list[str]) -> pd.DataFrame:
    """A table of every fold, one below the other, with the fold; of no folds an empty one."""
    parts = [read(getattr(paths, table), columns).assign(fold=paths.fold) for paths in folds]
    empty = pd.DataFrame(columns=[*columns, "loss_transplanted", "n_test", "fold"])
    return pd.concat(parts, ignore_index=True) if parts else empty


def read_times(paths: FoldPaths) -> pd.DataFrame:
    parts = [_read_time(paths.times(step), step) for step in STEPS if paths.times(step).is_file()]
    return pd.concat(parts, ignore_index=True)


def _read_time(path: Path, step: int) -> pd.DataFrame:
    table = storage.read_table(path, TIME_COLUMNS, step)
    if not pd.api.types.is_numeric_dtype(table["elapsed_s"]):
        raise UserError(f"{path} has seconds that are no numbers; {storage.run_again(step)}")
    return table.assign(step=step)


def read_relabelled(folds: list[FoldPaths], truth: str) -> tuple[int, dict[Key, list[Relabelled]]]:
    """K of the verdict by a truth, and what each method is under relabellings, a fold each."""
    found: dict[Key, list[Relabelled]] = {}
    k = 0
    for paths in folds:
        table = read(paths.judged("relabelled", truth), ["level", "k", "null_sd"])
        lifts = paths.relabelled_lifts(truth)
        remedy = storage.run_again(STEP)
        nulls = storage.load_array(lifts, (np.float64,), (len(table), None), remedy)
        for key, values in read_nulls(table, nulls):
            found.setdefault(key, []).append(Relabelled(**values))
        k = int(table["k"].max()) if len(table) else k
    return k, found
