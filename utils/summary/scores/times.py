"""What each step took, across folds."""

import pandas as pd

from utils.summary.folds.tables import STEP
from utils.summary.scores.means import fold_column
from utils.truth import CHANGE, POOLED, REPAIR, TRUTHS

# What step 1 times, and the truth that it belongs to.
TRUTH_OF_TIMED = {"ground_truth": CHANGE, "pooled": POOLED, "repair credit": REPAIR}


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


def timed_truth(step: int, method: str) -> str | None:
    """The truth that a timed thing was made for or compared with; None for the rest."""
    if method in TRUTH_OF_TIMED:
        return TRUTH_OF_TIMED[method]
    first = method.split("/")[0]
    if step == STEP:
        return first if first in TRUTHS else CHANGE
    return None
