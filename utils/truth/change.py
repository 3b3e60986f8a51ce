"""The ground truth: which weights training changed from M1 to M2, and by how much."""

import numpy as np
import pandas as pd

from utils import ranking

QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1)


def top_table(
    w_m1: np.ndarray, w_m2: np.ndarray, order: np.ndarray, m: int, d: int
) -> pd.DataFrame:
    """The weights at canonical indices `order`, most changed first.

    w_m1, w_m2 : float32 (N,)
    """
    before, after = w_m1[order], w_m2[order]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            **ranking.weight_rows(order, m, d),
            "w_m1": before,
            "w_m2": after,
            "diff": after - before,
            "abs_diff": np.abs(after - before),
        }
    )


def summary_table(
    abs_diff: np.ndarray, order: np.ndarray, n_top: int, m: int, d: int
) -> pd.DataFrame:
    """Where the top of the truth lies and how |W(M2) - W(M1)| is spread, as (quantity, value) rows.

    n_top : number of positives, the first of `order`.
    """
    matrix, row, col = ranking.locate(order[:n_top], m, d)
    neurons = np.where(matrix == 0, row, col)
    per_neuron = np.bincount(neurons, minlength=m)
    total = abs_diff.sum(dtype=np.float64)
    rows: list[tuple[str, float | int]] = [
        ("n_weights", len(abs_diff)),
        ("d", d),
        ("m", m),
        ("n_top", n_top),
        ("threshold_abs_diff", abs_diff[order[n_top - 1]]),
        ("share_of_top_in_W_bef", float(np.mean(matrix == 0))),
        ("share_of_top_in_W_aft", float(np.mean(matrix == 1))),
        ("neurons_with_a_top_weight", int(np.count_nonzero(per_neuron))),
        ("most_top_weights_in_one_neuron", int(per_neuron.max())),
        ("share_of_total_change_in_top", abs_diff[order[:n_top]].sum(dtype=np.float64) / total),
        ("unchanged_weights", int(np.count_nonzero(abs_diff == 0))),
        ("mean_abs_diff", total / len(abs_diff)),
    ]
    rows += [
        (f"quantile_{q:g}", v)
        for q, v in zip(QUANTILES, np.quantile(abs_diff, QUANTILES), strict=True)
    ]
    return pd.DataFrame(
        {
            "quantity": [name for name, _ in rows],
            "value": [float(f"{float(value):.9g}") for _, value in rows],
        }
    )
