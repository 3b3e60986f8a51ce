"""What transplants and planted faults say across folds, beside the truths (definitions 11, 12)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from utils.data.setting_names import ALL
from utils.judge.names import CREDIT, LIFTED, RANDOM, REFERENCES, WEIGHT
from utils.judge.transplant.walk import ELSEWHERE
from utils.summary.best import best_in_words
from utils.summary.scores.means import fold_cells, fold_summary
from utils.truth import CHANGE, REPAIR

KEYS = ["level", "method"]
AREA = "area"
# The smallest K of the area, in percent.
FIRST_PERCENT = 0.1
AT_ONE = ("loss_recovered", "share_recovered", "repaired", "broken")
FOUND = ("lift@R", "ap/random", "first_hit")
# Rows of the transplants that are no methods.
BESIDE = (CHANGE, CREDIT, RANDOM, *REFERENCES)
# How the verdicts of planted faults begin.
PLANTED = "planted "
# What predicts retraining is said before.
SAID_FIRST = "retrained ("


def area(k_percent: np.ndarray, recovered: np.ndarray) -> float:
    """Mean of what is recovered over log K, by the trapezoidal rule; 1 if always everything is.

    k_percent : ascending, more than one. recovered : as long, not clipped.
    """
    x = np.log(k_percent)
    return float(np.sum(np.diff(x) * (recovered[1:] + recovered[:-1]) / 2) / (x[-1] - x[0]))


def areas(transplants: pd.DataFrame) -> pd.DataFrame:
    """Columns fold, level, method, area: of share_recovered under `all`, K from 0.1% to 100%."""
    rows = transplants[transplants["setting"] == ALL].sort_values("k_percent", kind="stable")
    rows = rows[rows["k_percent"] >= FIRST_PERCENT]
    found = [
        (*key, area(one["k_percent"].to_numpy(float), one["share_recovered"].to_numpy(float)))
        for key, one in rows.groupby(["fold", *KEYS], sort=False)
        if len(one) > 1
    ]
    return pd.DataFrame(found, columns=["fold", *KEYS, AREA])


def spread_table(table: pd.DataFrame, column: str, across: str, n_folds: int) -> pd.DataFrame:
    """Rows level, method, metric and `means.fold_summary` of one column.

    across : the column that is averaged inside a fold, such as setting.
    """
    folds = sorted(table["fold"].unique())
    rows = []
    for key, one in table.groupby(KEYS, sort=False):
        values = fold_cells(one.sort_values(across), folds, [column], across)[:, :, 0]
        if np.isfinite(values).any():
            head = dict(zip(KEYS, key, strict=True)) | {"metric": column}
            rows.append(head | fold_summary(values, folds, n_folds))
    return pd.DataFrame(rows)


def transplant_table(by_direction: dict[str, pd.DataFrame], n_folds: int) -> pd.DataFrame:
    """Area and values at 1%, per direction and method: mean, intervals over folds, each fold.

    by_direction : into_m1, M1 with M2's values; back_to_m1, M2 with M1's, where a share
        recovered is a share of loss lost.
    """
    parts = []
    for direction, transplants in by_direction.items():
        at_one = transplants[transplants["k_percent"] == ELSEWHERE]
        whole = areas(transplants).assign(setting=ALL)
        found = [spread_table(whole, AREA, "setting", n_folds)]
        found += [spread_table(at_one, column, "setting", n_folds) for column in AT_ONE]
        for part in found:
            if len(part):
                part.insert(0, "direction", direction)
                parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def planted_table(planted: pd.DataFrame, n_folds: int) -> pd.DataFrame:
    """Per kind, percent and method: mean over faults and folds, intervals over folds."""
    parts = []
    for (kind, percent), rows in planted.groupby(["kind", "percent"], sort=False):
        for column in FOUND:
            part = spread_table(rows, column, "fault", n_folds)
            if len(part):
                part.insert(0, "kind", kind)
                part.insert(1, "percent", percent)
                parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def usual_faults(planted: pd.DataFrame) -> pd.DataFrame:
    """The rows of one share of weights: 1%, or the smallest where no fault is of 1%."""
    shares = set(planted["percent"])
    wanted = ELSEWHERE if ELSEWHERE in shares else min(shares, default=ELSEWHERE)
    return planted[planted["percent"] == wanted]


def lifts_of(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """Columns fold, setting, level, method, lift of the whole rankings of methods."""
    rows = scores[scores["n"].isna() & scores["level"].isin([WEIGHT, LIFTED])]
    rows = rows[~rows["method"].isin(REFERENCES) & ~rows["method"].str.startswith("random (")]
    return rows[["fold", "setting", *KEYS, column]].rename(columns={column: "lift"})


def joined(lifts: pd.DataFrame, transplants: pd.DataFrame) -> pd.DataFrame:
    """Lift and loss recovered at 1% of each method in each setting and fold."""
    at_one = transplants[transplants["k_percent"] == ELSEWHERE]
    at_one = at_one[~at_one["method"].isin(BESIDE)]
    keys = ["fold", "setting", *KEYS]
    return lifts.merge(at_one[[*keys, "loss_recovered"]], on=keys, validate="one_to_one")


def recovery_table(both: dict[str, pd.DataFrame], n_folds: int) -> pd.DataFrame:
    """Does being right predict repair? Kendall's tau over methods and settings, by truth.

    both : by truth, of `joined`. One value per fold; their mean and intervals.
    """
    rows = []
    for truth, table in both.items():
        folds = sorted(table["fold"].unique())
        taus = np.array(
            [[tau(one["lift"], one["loss_recovered"])] for _, one in table.groupby("fold")]
        )
        if np.isfinite(taus).any():
            head = {"truth": truth, "metric": "kendall_tau"}
            rows.append(head | fold_summary(taus, folds, n_folds))
    return pd.DataFrame(rows)


def tau(a: pd.Series, b: pd.Series) -> float:
    """Kendall's tau-b, NaN where there is none."""
    return float(kendalltau(a, b).statistic) if len(a) > 1 else float("nan")


def sentences(
    recovery: pd.DataFrame,
    agreement: pd.DataFrame,
    values: Mapping[str, pd.DataFrame],
    n_folds: int,
) -> list[str]:
    """The finding in words; every number is one of the given tables'.

    values : by verdict, of `verdicts.values_of`. agreement : of `verdicts.verdict_agreement`.
    """
    said = [
        f"Does being right by '{row.truth}' go with transplants? Kendall's tau between lift@1% "
        "and the loss recovered at 1%, over methods and settings: "
        f"{row.mean:.2f} (mean over folds)."
        for row in recovery.itertuples(index=False)
    ]
    for verdict, found in values.items():
        if not verdict.startswith(PLANTED):
            continue
        size = found.get((WEIGHT, "magnitude"))
        alone = f", size alone (magnitude) {size.mean():.1f}" if size is not None else ""
        best = best_in_words(found, n_folds, "lift@R {:.1f}")
        said.append(f"{verdict.capitalize()}, chance is 1{alone}. {best}.")
    for truth in (CHANGE, REPAIR):
        rows = agreement[(agreement["verdict_a"] == truth) & agreement["kendall_tau"].notna()]
        others = [
            f"{row.verdict_b} {row.kendall_tau:.2f}"
            for row in rows.itertuples(index=False)
            if not row.verdict_b.startswith(SAID_FIRST)
        ]
        if others:
            said.append(
                f"Order of the methods by '{truth}' and by the other verdicts, Kendall's tau: "
                f"{', '.join(others)}."
            )
    said.append(
        "A transplant needs M2: it checks a localisation, and is no method of repair. Its share "
        "is empty where the layer's whole transplant does not lower the loss."
    )
    return said
