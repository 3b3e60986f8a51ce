"""Tables across folds: every value is a fold's, and the fold is the unit of every test.

Tables are long and keyed by (level, method). The settings of a fold are
averaged before anything is tested (utils.summary.statistics says why).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from utils.data.repeats import repeats_of
from utils.data.setting_names import ALL
from utils.errors import UserError
from utils.judge.names import LIFTED, NEURON, RANDOM_EXPECTED, RANDOM_SAMPLED, REFERENCES, WEIGHT
from utils.judge.scores.comparison import AT_K, WHOLE
from utils.methods import METHODS
from utils.summary import bootstrap, levels, statistics
from utils.summary.fold_tables import AP_RATIO, STEP, FoldTables, shown
from utils.truth import CHANGE, POOLED, REPAIR, TRUTHS

LOWER_IS_BETTER = ("first_hit", "first_hit_best", "first_hit_worst", "exam")
PERMUTATION = {
    "observed": "permutation_observed",
    "null_mean": "permutation_null_mean",
    "z": "permutation_z",
    "p": "permutation_p",
}
REFERENCE_OF = {"random": RANDOM_EXPECTED}
SUMMARY_HEAD = [
    "truth", "metric", "level", "method", "n_folds", "n_settings", "mean", "sd", "low", "high",
    "corrected_low", "corrected_high", "icc_settings",
]  # fmt: skip
COMPARISON_HEAD = [
    "truth", "family", "metric", "level", "method", "reference", "n_folds", "n_settings",
    "n_positive", "mean", "low", "high", "t", "p", "holm_p", "corrected_low", "corrected_high",
    "corrected_t",
    "corrected_p", "corrected_holm_p", "wild_low", "wild_high", "rank_biserial", "a12",
    "icc_settings", "signed_rank_smallest_p", "note",
]  # fmt: skip


def is_setting_free(level: str, method: str, per_setting: bool = False) -> bool:
    """Whether one value stands for every setting of the fold.

    per_setting : whether each setting has a truth of its own; then none does.
    """
    if per_setting:
        return False
    if is_reference_only(method):
        return True
    known = METHODS.get((NEURON if level == LIFTED else level, method))
    return known is not None and not known.per_setting


def metrics_of(table: pd.DataFrame) -> list[str]:
    """The metric columns, those at the same K together as in the scores table."""
    names = [*(f"{name}@" for name in AT_K), *WHOLE]
    return [
        column
        for column in table.columns
        if column == AP_RATIO or column in names or column.split("@")[0] + "@" in names
    ]


def grids(table: pd.DataFrame, metric: str) -> dict[tuple[str, str], pd.DataFrame]:
    """One metric of each ranking: folds x settings, NaN where there is no value."""
    return {
        key: rows.pivot(index="fold", columns="setting", values=metric)
        for key, rows in table.groupby(["level", "method"], sort=False)
    }


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
                rows.append(head | spread(values, folds, n_folds))
    return pd.DataFrame(rows)


def fold_cells(rows: pd.DataFrame, folds: list[int], metrics: list[str]) -> np.ndarray:
    """All metrics of one ranking: float64 (folds, settings, metrics), NaN where absent."""
    settings = rows["setting"].unique()
    cells = np.full((len(folds), len(settings), len(metrics)), np.nan)
    place = (
        pd.Index(folds).get_indexer(rows["fold"]),
        pd.Index(settings).get_indexer(rows["setting"]),
    )
    cells[place] = rows[metrics].to_numpy(dtype=np.float64)
    return cells


def spread(values: np.ndarray, folds: list[int], n_folds: int) -> dict[str, float]:
    """Fold means of one metric with their mean, sd and intervals.

    values : (folds, settings), NaN where absent.
    n_folds : folds of one repeat of the cross-validation.
    """
    means = statistics.fold_means(values)
    present = means[~np.isnan(means)]
    low, high = statistics.t_interval(present)
    corrected = statistics.nadeau_bengio(present, n_folds)
    return {
        "n_folds": len(present),
        "n_settings": int((~np.isnan(values)).sum(axis=1).max()),
        "mean": present.mean() if len(present) else np.nan,
        "sd": present.std(ddof=1) if len(present) > 1 else np.nan,
        "low": low,
        "high": high,
        "corrected_low": corrected.low,
        "corrected_high": corrected.high,
        "icc_settings": statistics.intra_class_correlation(values),
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
        for column, metric in PERMUTATION.items():
            values = found.set_index("fold")[[column]].reindex(tables.folds).to_numpy()
            row = {"metric": f"{metric}@{top}", "level": level, "method": method}
            row |= spread(values, tables.folds, n_folds)
            if column == "p":
                row |= dict.fromkeys(SUMMARY_HEAD[6:], np.nan)
            rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Pair:
    """A method and its reference, both (level, method)."""

    method: tuple[str, str]
    reference: tuple[str, str]
    label: str


def pairs_of(scores: pd.DataFrame, references: Iterable[str]) -> list[Pair]:
    """Every method against every reference that ranks the same kind of item.

    Left out: random rankings and the oracle, about which there is no hypothesis.

    Raises
    ------
    UserError : a reference is the name of no method.
    """
    keys = list(dict.fromkeys(zip(scores["level"], scores["method"], strict=True)))
    names = {method for _, method in keys}
    pairs = []
    for reference in references:
        wanted = REFERENCE_OF.get(reference, reference)
        if wanted not in names:
            known = ", ".join(sorted(names - {RANDOM_EXPECTED, RANDOM_SAMPLED, *REFERENCES}))
            raise UserError(
                f"REFERENCES names {reference!r}, which is no method here; "
                f"change it to random or one of {known}"
            )
        for family in ((WEIGHT, LIFTED), (NEURON,)):
            at = next((level for level in family if (level, wanted) in keys), None)
            if at is None:
                continue
            pairs += [
                Pair(key, (at, wanted), reference)
                for key in keys
                if key[0] in family and key != (at, wanted) and not is_reference_only(key[1])
            ]
    return pairs


def is_reference_only(method: str) -> bool:
    """Whether a row is there to be compared with: random, or one that knows the training."""
    return method in (RANDOM_EXPECTED, RANDOM_SAMPLED, *REFERENCES)


def paired_grids(
    values: dict[tuple[str, str], pd.DataFrame], pair: Pair, per_setting: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Both sides of a pair on the same folds and settings, and how many settings those are.

    A method that does not depend on the setting has one value per fold; it
    stands under every setting of the other side. Otherwise the settings that
    both have enter.

    values : of `grids`.
    per_setting : whether each setting has a truth of its own: nothing is then carried over.
    """
    a, b = values[pair.method], values[pair.reference]
    free = [is_setting_free(*key, per_setting) for key in (pair.method, pair.reference)]
    if free == [True, False]:
        a = broadcast(a, b)
    elif free == [False, True]:
        b = broadcast(b, a)
    folds = sorted({*a.index} & {*b.index})
    settings = [name for name in a.columns if name in b.columns]
    a, b = a.reindex(folds)[settings], b.reindex(folds)[settings]
    shared = a.notna() & b.notna()
    a, b = a.where(shared), b.where(shared)
    some = shared.any(axis=1)
    return a[some], b[some], int(shared.sum(axis=1).max()) if len(folds) else 0


def broadcast(one: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """The value of `all`, one per fold, under the columns of `like`."""
    return pd.DataFrame(
        np.repeat(one[[ALL]].to_numpy(), like.shape[1], axis=1), one.index, like.columns
    )


def comparison_table(
    tables: FoldTables,
    references: Iterable[str],
    metrics: Iterable[str],
    n_folds: int,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """Every declared pair of rankings, on every declared metric.

    One family of tests per metric and kind of item; Holm's adjustment is within it.

    n_folds : folds of one repeat of the cross-validation.
    draws, seed : of the wild cluster bootstrap.

    Returns
    -------
    Columns COMPARISON_HEAD, and the paired difference in each fold.
    """
    pairs = pairs_of(tables.scores, references)
    rows = []
    for metric in metrics:
        if metric not in tables.scores.columns:
            known = ", ".join(metrics_of(tables.scores))
            raise UserError(
                f"COMPARED_METRICS names {metric!r}, which step 7 does not compute; "
                f"change it or K_PERCENTS (it has {known})"
            )
        if metric in LOWER_IS_BETTER:
            raise UserError(
                f"COMPARED_METRICS names {metric!r}, of which less is better: differences, effect "
                "sizes and ranks would read the wrong way round; name one of which more is better"
            )
        values = grids(tables.scores, metric)
        for pair in pairs:
            sides = paired_grids(values, pair, tables.per_setting)
            rows.append(compare_metric(tables, pair, metric, sides, n_folds, draws, seed))
    table = pd.DataFrame(rows, columns=_comparison_columns(tables.folds))
    if rows:
        table = adjust(table.dropna(subset="mean"))
    return table


def _comparison_columns(folds: list[int]) -> list[str]:
    return [*COMPARISON_HEAD, *(fold_column(fold) for fold in folds)]


def compare_metric(
    tables: FoldTables,
    pair: Pair,
    metric: str,
    sides: tuple[pd.DataFrame, pd.DataFrame, int],
    n_folds: int,
    draws: int,
    seed: int,
) -> dict:
    """One row of the comparisons, without what depends on its family.

    sides : of `paired_grids`.
    """
    a, b, settings = sides
    test = statistics.compare_pair(statistics.fold_means(a), statistics.fold_means(b), n_folds)
    repeats = repeats_of(a.index, n_folds)
    wild = (
        bootstrap.wild_cluster_interval(a - b, draws=draws, seed=seed, repeats=repeats)
        if len(a)
        else (np.nan,) * 2
    )
    missing = [fold for fold in tables.folds if fold not in a.index]
    values = dict(zip(a.index, test.differences, strict=True))
    return {
        "truth": tables.truth,
        "family": f"{metric}, {levels.in_words(pair.method[0] == NEURON)}",
        "metric": metric,
        "level": pair.method[0],
        "method": pair.method[1],
        "reference": pair.label,
        "n_settings": settings,
        **{key: value for key, value in vars(test).items() if key != "differences"},
        "wild_low": wild[0] if np.isfinite(wild[0]) else np.nan,
        "wild_high": wild[1] if np.isfinite(wild[1]) else np.nan,
        "icc_settings": statistics.intra_class_correlation(a - b),
        "signed_rank_smallest_p": (
            np.nan if len(set(repeats)) > 1 else statistics.signed_rank_floor(test.n_folds)
        ),
        "note": pair_note(test, wild, missing),
        **{fold_column(fold): values.get(fold, np.nan) for fold in tables.folds},
    }


def pair_note(
    test: statistics.PairComparison, wild: tuple[float, float], missing: list[int]
) -> str:
    """What is left out of a row, in words."""
    notes = []
    if missing:
        notes.append("no value in fold " + ", ".join(map(str, missing)))
    if test.n_folds == 1:
        notes.append("one fold: no interval, no test")
    elif np.isnan(test.t):
        notes.append("the difference is the same in all folds: no interval, no test")
    if np.isinf(wild[0]):
        notes.append("wild cluster interval unbounded")
    return "; ".join(notes)


def adjust(table: pd.DataFrame) -> pd.DataFrame:
    """Fill Holm's p within each family, and write the family's size into its name."""
    parts = []
    for family, found in table.groupby("family", sort=False):
        tests = int(found["p"].notna().sum())
        ordered = found.sort_values(["reference", "mean"], ascending=[False, False], kind="stable")
        parts.append(
            ordered.assign(
                family=f"{family} ({tests} tests)",
                holm_p=statistics.holm(ordered["p"]),
                corrected_holm_p=statistics.holm(ordered["corrected_p"]),
            )
        )
    return pd.concat(parts, ignore_index=True)


def times_table(times: pd.DataFrame, folds: list[int]) -> pd.DataFrame:
    """Seconds of each timed thing, summed over the settings of a fold, and their mean over folds.

    times : rows of the folds' exp-fl-5-<i>_time.csv with their step.
    """
    keys = ["step", "method", "n", "device"]
    sums = (
        times.groupby([*keys, "fold"], sort=False, dropna=False)["elapsed_s"]
        .agg(["sum", "size"])
        .reset_index()
    )
    rows = []
    for key, found in sums.groupby(keys, sort=False, dropna=False):
        seconds = found.set_index("fold")["sum"].reindex(folds)
        rows.append(
            {"truth": timed_truth(key[0], key[1])}
            | dict(zip(keys, key, strict=True))
            | {
                "n_folds": len(found),
                "n_timed": int(found["size"].max()),
                "mean_s": seconds.mean(),
                "sd_s": seconds.std(ddof=1),
                **{fold_column(fold): seconds[fold] for fold in folds},
            }
        )
    table = pd.DataFrame(rows).sort_values(["step", "method", "n"], kind="stable")
    return table.astype({"n": "Int64"}).reset_index(drop=True)


# What step 1 times, and the truth that it belongs to.
TRUTH_OF_TIMED = {"ground_truth": CHANGE, "pooled": POOLED, "repair credit": REPAIR}


def timed_truth(step: int, method: str) -> str | None:
    """The truth that a timed thing was made for or compared with; None for the rest."""
    if method in TRUTH_OF_TIMED:
        return TRUTH_OF_TIMED[method]
    first = method.split("/")[0]
    if step == STEP:
        return first if first in TRUTHS else CHANGE
    return None


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
