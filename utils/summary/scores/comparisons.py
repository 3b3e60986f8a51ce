"""Every method against every reference, paired by fold (docs/definitions.md 14)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from utils.data.repeats import repeats_of
from utils.data.setting_names import ALL
from utils.judge.names import LIFTED, NEURON, RANDOM_EXPECTED, RANDOM_SAMPLED, REFERENCES, WEIGHT
from utils.methods import METHODS
from utils.summary.folds.tables import FoldTables
from utils.summary.rankings import Key, is_reference_only, levels_in_words, own_level
from utils.summary.scores.means import LOWER_IS_BETTER, fold_column, metrics_of
from utils.summary.statistics import effect_sizes, pairs, t_tests
from utils.summary.statistics.bootstrap import wild_cluster_interval
from utils.summary.statistics.limits import signed_rank_floor

REFERENCE_OF = {"random": RANDOM_EXPECTED}
COMPARISON_HEAD = [
    "truth", "family", "metric", "level", "method", "reference", "n_folds", "n_settings",
    "n_positive", "mean", "low", "high", "t", "p", "holm_p", "corrected_low", "corrected_high",
    "corrected_t",
    "corrected_p", "corrected_holm_p", "wild_low", "wild_high", "rank_biserial", "a12",
    "icc_settings", "signed_rank_smallest_p", "note",
]  # fmt: skip


class WrongConstant(ValueError):
    """A constant names what is not there; the text says what to change it to."""


@dataclass(frozen=True)
class Design:
    """How folds are compared.

    n_folds : folds of one repeat of the cross-validation, whichever are here.
    draws, seed : of the wild cluster bootstrap.
    """

    n_folds: int
    draws: int
    seed: int


@dataclass(frozen=True)
class Contrast:
    """A method and the reference that it is compared with.

    label : the reference as REFERENCES calls it.
    """

    method: Key
    reference: Key
    label: str


@dataclass(frozen=True)
class Sides:
    """Both sides of a contrast on the same folds and settings, (folds, settings) each.

    n_settings : the most settings that both have in a fold.
    """

    method: pd.DataFrame
    reference: pd.DataFrame
    n_settings: int


def contrasts_of(scores: pd.DataFrame, references: Iterable[str]) -> list[Contrast]:
    """Every method against every reference that ranks the same kind of item.

    Left out: random rankings and the oracle, about which there is no hypothesis.

    Raises
    ------
    WrongConstant : a reference is the name of no method.
    """
    keys = list(dict.fromkeys(zip(scores["level"], scores["method"], strict=True)))
    names = {method for _, method in keys}
    found = []
    for reference in references:
        wanted = REFERENCE_OF.get(reference, reference)
        if wanted not in names:
            known = ", ".join(sorted(names - {RANDOM_EXPECTED, RANDOM_SAMPLED, *REFERENCES}))
            raise WrongConstant(
                f"REFERENCES names {reference!r}, which is no method here; "
                f"change it to random or one of {known}"
            )
        for family in ((WEIGHT, LIFTED), (NEURON,)):
            at = next((level for level in family if (level, wanted) in keys), None)
            if at is None:
                continue
            found += [
                Contrast(key, (at, wanted), reference)
                for key in keys
                if key[0] in family and key != (at, wanted) and not is_reference_only(key[1])
            ]
    return found


def is_setting_free(level: str, method: str, per_setting: bool = False) -> bool:
    """Whether one value stands for every setting of the fold.

    per_setting : whether each setting has a truth of its own; then none does.
    """
    if per_setting:
        return False
    if is_reference_only(method):
        return True
    known = METHODS.get(own_level(level, method))
    return known is not None and not known.per_setting


def grids(table: pd.DataFrame, metric: str) -> dict[Key, pd.DataFrame]:
    """One metric of each ranking: folds x settings, NaN where there is no value."""
    return {
        key: rows.pivot(index="fold", columns="setting", values=metric)
        for key, rows in table.groupby(["level", "method"], sort=False)
    }


def paired_grids(
    values: dict[Key, pd.DataFrame], contrast: Contrast, per_setting: bool = False
) -> Sides:
    """Both sides of a contrast on the same folds and settings.

    A method that does not depend on the setting has one value per fold; it
    stands under every setting of the other side. Otherwise the settings that
    both have enter.

    values : of `grids`.
    per_setting : whether each setting has a truth of its own: nothing is then carried over.
    """
    a, b = values[contrast.method], values[contrast.reference]
    free = [is_setting_free(*key, per_setting) for key in (contrast.method, contrast.reference)]
    if free == [True, False]:
        a = broadcast(a, b)
    elif free == [False, True]:
        b = broadcast(b, a)
    if not (a.index.equals(b.index) and a.columns.equals(b.columns)):  # pivots are sorted
        folds = sorted({*a.index} & {*b.index})
        settings = [name for name in a.columns if name in b.columns]
        a, b = a.reindex(folds)[settings], b.reindex(folds)[settings]
    shared = a.notna().to_numpy() & b.notna().to_numpy()  # (folds, settings)
    if not shared.all():
        a, b = a.where(shared), b.where(shared)
        some = shared.any(axis=1)
        a, b = a[some], b[some]
    return Sides(a, b, int(shared.sum(axis=1).max(initial=0)))


def broadcast(one: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """The value of `all`, one per fold, under the columns of `like`."""
    return pd.DataFrame(
        np.repeat(one[[ALL]].to_numpy(), like.shape[1], axis=1), one.index, like.columns
    )


def comparison_table(
    tables: FoldTables,
    references: Iterable[str],
    metrics: Iterable[str],
    design: Design,
) -> pd.DataFrame:
    """Every declared pair of rankings, on every declared metric.

    One family of tests per metric and kind of item; Holm's adjustment is within it.

    Returns
    -------
    Columns COMPARISON_HEAD, and the paired difference in each fold.

    Raises
    ------
    WrongConstant : a reference is no method here, or a metric is not one to compare by.
    """
    contrasts = contrasts_of(tables.scores, references)
    rows = []
    for metric in metrics:
        check_metric(metric, tables.scores)
        values = grids(tables.scores, metric)
        for contrast in contrasts:
            sides = paired_grids(values, contrast, tables.per_setting)
            rows.append(compare_metric(tables, contrast, metric, sides, design))
    table = pd.DataFrame(rows, columns=_comparison_columns(tables.folds))
    if rows:
        table = adjust(table.dropna(subset="mean"))
    return table


def check_metric(metric: str, scores: pd.DataFrame) -> None:
    """Raise WrongConstant where methods cannot be compared by a metric."""
    if metric not in scores.columns:
        known = ", ".join(metrics_of(scores))
        raise WrongConstant(
            f"COMPARED_METRICS names {metric!r}, which step 7 does not compute; "
            f"change it or K_PERCENTS (it has {known})"
        )
    if metric in LOWER_IS_BETTER:
        raise WrongConstant(
            f"COMPARED_METRICS names {metric!r}, of which less is better: differences, effect "
            "sizes and ranks would read the wrong way round; name one of which more is better"
        )


def _comparison_columns(folds: list[int]) -> list[str]:
    return [*COMPARISON_HEAD, *(fold_column(fold) for fold in folds)]


def compare_metric(
    tables: FoldTables,
    contrast: Contrast,
    metric: str,
    sides: Sides,
    design: Design,
) -> dict[str, Any]:
    """One row of the comparisons, without what depends on its family.

    sides : of `paired_grids`.
    """
    a, b = sides.method, sides.reference
    test = pairs.compare_pair(t_tests.fold_means(a), t_tests.fold_means(b), design.n_folds)
    repeats = repeats_of(a.index, design.n_folds)
    wild = (
        wild_cluster_interval(a - b, draws=design.draws, seed=design.seed, repeats=repeats)
        if len(a)
        else t_tests.Interval(np.nan, np.nan)
    )
    missing = [fold for fold in tables.folds if fold not in a.index]
    values = dict(zip(a.index, test.differences, strict=True))
    return {
        "truth": tables.truth,
        "family": f"{metric}, {levels_in_words(contrast.method[0] == NEURON)}",
        "metric": metric,
        "level": contrast.method[0],
        "method": contrast.method[1],
        "reference": contrast.label,
        "n_settings": sides.n_settings,
        **{key: value for key, value in vars(test).items() if key != "differences"},
        "wild_low": wild.low if np.isfinite(wild.low) else np.nan,
        "wild_high": wild.high if np.isfinite(wild.high) else np.nan,
        "icc_settings": effect_sizes.intra_class_correlation(a - b),
        "signed_rank_smallest_p": (
            np.nan if len(set(repeats)) > 1 else signed_rank_floor(test.n_folds)
        ),
        "note": note_of(test, wild, missing),
        **{fold_column(fold): values.get(fold, np.nan) for fold in tables.folds},
    }


def note_of(test: pairs.PairComparison, wild: t_tests.Interval, missing: list[int]) -> str:
    """What is left out of a row, in words."""
    notes = []
    if missing:
        notes.append("no value in fold " + ", ".join(map(str, missing)))
    if test.n_folds == 1:
        notes.append("one fold: no interval, no test")
    elif np.isnan(test.t):
        notes.append("the difference is the same in all folds: no interval, no test")
    if np.isinf(wild.low):
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
                holm_p=t_tests.holm(ordered["p"]),
                corrected_holm_p=t_tests.holm(ordered["corrected_p"]),
            )
        )
    return pd.concat(parts, ignore_index=True)
