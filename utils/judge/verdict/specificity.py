"""Does a ranking find the weights of its own failures, or of failures in general?

Each ranking of a setting is compared with the repair truth of every setting. A
method's specificity is the mean of its lifts against its own settings minus
the mean against the others (docs/definitions.md 9.3): 0 where it finds the same
weights whatever failed.
"""

from collections.abc import Mapping

import pandas as pd
from scipy import sparse

from utils.judge.verdict.relabelling import Positives

COLUMNS = ["ds", "fold", "level", "method", "setting", "truth_setting"]


def lift_of(member: sparse.csr_array, positives: Positives, n_weights: int, k: int) -> float:
    """Lift@K of a top K against positives, both one neuron a row.

    member : of `relabelling.membership`, (m, 2d), or (m, 1) of a neuron-level method.
    """
    if member.shape[1] == 1:
        found = float(member.toarray()[:, 0] @ positives.per_neuron)
    else:
        found = float(member.multiply(positives.rows).sum())
    return found * n_weights / (k * positives.count)


def mean_lift(
    members: Mapping[str, sparse.csr_array], positives: Positives, n_weights: int, k: int
) -> float:
    """Mean over settings of `lift_of` against one truth. members : a method's top K by setting."""
    lifts = [lift_of(member, positives, n_weights, k) for member in members.values()]
    return sum(lifts) / len(lifts)


def cross_lifts(
    members: Mapping[str, sparse.csr_array],
    truths: Mapping[str, Positives],
    n_weights: int,
    k: int,
    column: str,
) -> pd.DataFrame:
    """One method's lift in each (setting, truth_setting).

    members : its top K by setting; truths : the repair truth's positives by setting.
    column : the name of the lift's column, such as lift@1%.
    """
    rows = [
        {
            "setting": setting,
            "truth_setting": other,
            column: lift_of(member, positives, n_weights, k),
        }
        for setting, member in members.items()
        for other, positives in truths.items()
    ]
    return pd.DataFrame(rows, columns=["setting", "truth_setting", column])


def specificity(lifts: pd.DataFrame, column: str) -> float:
    """Mean against the own setting minus the mean against the others.

    NaN for a method with one ranking for all settings, which cannot be specific.
    """
    if lifts["setting"].nunique() < 2:
        return float("nan")
    own = lifts["setting"] == lifts["truth_setting"]
    return float(lifts.loc[own, column].mean() - lifts.loc[~own, column].mean())
