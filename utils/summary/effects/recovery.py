"""What transplants and planted faults say across folds, beside the truths (definitions 11, 12)."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from utils.data.setting_names import ALL
from utils.judge.names import CREDIT, LIFTED, RANDOM, REFERENCES, WEIGHT
from utils.judge.transplant.walk import ELSEWHERE
from utils.summary.rankings import shown
from utils.summary.scores.means import fold_summary
from utils.truth import CHANGE

KEYS = ["level", "method"]
AREA = "area"
AT_ONE = ("loss_recovered", "share_recovered", "repaired", "broken")
FOUND = ("lift@R", "ap/random", "first_hit")
# Rows of the transplants that are no methods.
BESIDE = (CHANGE, CREDIT, RANDOM, *REFERENCES)
TRANSPLANT, PLANTED = "transplant", "planted"


def area(k_percent: np.ndarray, recovered: np.ndarray) -> float:
    """Mean of the loss recovered over log K, by the trapezoidal rule.

    k_percent : ascending, different, more than one. recovered : as long.
    """
    x = np.log(k_percent)
    return float(np.sum(np.diff(x) * (recovered[1:] + recovered[:-1]) / 2) / (x[-1] - x[0]))


def areas(transplants: pd.DataFrame) -> pd.DataFrame:
    """Columns fold, level, method, area, under `all`."""
    rows = transplants[transplants["setting"] == ALL].sort_values("k_percent", kind="stable")
    found = [
        (*key, area(one["k_percent"].to_numpy(float), one["loss_recovered"].to_numpy(float)))
        for key, one in rows.groupby(["fold", *KEYS], sort=False)
    ]
    return pd.DataFrame(found, columns=["fold", *KEYS, AREA])


def spread_table(table: pd.DataFrame, column: str, across: str, n_folds: int) -> pd.DataFrame:
    """Rows level, method, metric and `means.fold_summary` of one column.

    across : the column that is averaged inside a fold, such as setting.
    """
    folds = sorted(table["fold"].unique())
    rows = []
    for key, one in table.groupby(KEYS, sort=False):
        cells = one.pivot_table(index="fold", columns=across, values=column, dropna=False)
        values = cells.reindex(folds).to_numpy(dtype=np.float64)
        if np.isfinite(values).any():
            head = dict(zip(KEYS, key, strict=True)) | {"metric": column}
            rows.append(head | fold_summary(values, folds, n_folds))
    return pd.DataFrame(rows)


def transplant_table(transplants: pd.DataFrame, n_folds: int) -> pd.DataFrame:
    """Area and values at 1%, per method: mean, intervals over folds, each fold."""
    at_one = transplants[transplants["k_percent"] == ELSEWHERE]
    whole = areas(transplants).assign(setting=ALL)
    parts = [spread_table(whole, AREA, "setting", n_folds)]
    parts += [spread_table(at_one, column, "setting", n_folds) for column in AT_ONE]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def planted_table(planted: pd.DataFrame, n_folds: int) -> pd.DataFrame:
    """Per kind and method: mean over faults and folds, intervals over folds."""
    parts = []
    for kind, rows in planted.groupby("kind", sort=False):
        for column in FOUND:
            part = spread_table(rows, column, "fault", n_folds)
            part.insert(0, "kind", kind)
            parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


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


def mean_of(table: pd.DataFrame, column: str) -> pd.Series:
    """Mean over settings (or faults) inside a fold, then over folds, by (level, method)."""
    return table.groupby(["fold", *KEYS])[column].mean().groupby(KEYS).mean()


def verdicts_table(
    lifts: dict[str, pd.DataFrame], transplants: pd.DataFrame, planted: pd.DataFrame
) -> pd.DataFrame:
    """Each method's value and place by each truth, by transplant at 1% and by planted faults.

    lifts : by truth, of `lifts_of`. Verdicts that no fold has are left out.
    """
    found = {truth: mean_of(table, "lift") for truth, table in lifts.items()}
    if len(transplants):
        at_one = transplants[transplants["k_percent"] == ELSEWHERE]
        rows = at_one[~at_one["method"].isin(BESIDE)]
        found[TRANSPLANT] = mean_of(rows, "loss_recovered")
    if len(planted):
        found[PLANTED] = mean_of(planted, "lift@R")
    if not found:
        return pd.DataFrame(columns=KEYS)
    table = pd.DataFrame(found).rename_axis(KEYS)
    places = table.rank(ascending=False).add_prefix("place ")
    table = pd.concat([table, places], axis=1).reset_index()
    return table.sort_values(f"place {next(iter(found))}", kind="stable", ignore_index=True)


def verdict_names(verdicts: pd.DataFrame) -> list[str]:
    return [name.removeprefix("place ") for name in verdicts if name.startswith("place ")]


def verdict_agreement(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Columns verdict_a, verdict_b, n_methods, kendall_tau of each two verdicts."""
    rows = []
    for a, b in combinations(verdict_names(verdicts), 2):
        both = verdicts[[a, b]].dropna()
        rows.append((a, b, len(both), tau(both[a], both[b])))
    return pd.DataFrame(rows, columns=["verdict_a", "verdict_b", "n_methods", "kendall_tau"])


def sentences(recovery: pd.DataFrame, planted: pd.DataFrame, agreement: pd.DataFrame) -> list[str]:
    """The finding in words; every number is one of the given tables'."""
    said = [
        f"Does being right by '{row.truth}' predict repair? Kendall's tau between lift@1% and the "
        f"loss recovered at 1%, over methods and settings: {row.mean:.2f} (mean over folds)."
        for row in recovery.itertuples(index=False)
    ]
    if len(planted):
        lifts = planted[planted["metric"] == "lift@R"]
        for kind, rows in lifts.groupby("kind", sort=False):
            best = rows.sort_values("mean", ascending=False).head(3)
            names = ", ".join(
                f"{shown(r.level, r.method)} {r.mean:.1f}" for r in best.itertuples(index=False)
            )
            size = rows.loc[rows["method"] == "magnitude", "mean"]
            alone = f"; size alone (magnitude) {size.iloc[0]:.1f}" if len(size) else ""
            said.append(f"Planted in {kind}, found best by lift@R: {names}{alone}; chance is 1.")
    said += [
        f"Order of the {row.n_methods} methods by '{row.verdict_a}' and by '{row.verdict_b}': "
        f"Kendall's tau {row.kendall_tau:.2f}."
        for row in agreement.itertuples(index=False)
        if np.isfinite(row.kendall_tau)
    ]
    said.append(
        "A transplant needs M2: it checks a localisation, and is no method of repair. Its share "
        "is empty where the layer's whole transplant does not lower the loss."
    )
    return said
