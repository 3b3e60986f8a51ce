"""The ground truth: which weights training changed from M1 to M2, and by how much."""

import numpy as np
import pandas as pd

from utils import ranking
from utils.truth.positives import Border, find_border

BITS = {"bf16": 8, "fp16": 11}
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


def narrow_format(weights: np.ndarray) -> str | None:
    """A key of BITS where float32 weights hold values of that format and nothing finer, or None.

    Looks at the values: a checkpoint that was stored so is no finer after a conversion.
    """
    if not np.any(weights.view(np.uint32) & 0xFFFF):
        return "bf16"
    with np.errstate(over="ignore"):
        return "fp16" if np.array_equal(weights.astype(np.float16), weights) else None


def change_borders(
    abs_diff: np.ndarray, order: np.ndarray, percent: float, m: int, d: int
) -> dict[str, Border]:
    """Where the positives of either level end, the top `percent` wanted.

    abs_diff : float32 (N,); order : int32 (N,), its ranking.
    """
    sums = np.sort(ranking.neuron_sums(abs_diff, m, d))[::-1]
    return {
        "weights": find_border(abs_diff[order], ranking.share_of(percent, len(order))),
        "neurons": find_border(sums, ranking.share_of(percent, m)),
    }


def remarks(weights: dict[str, np.ndarray], borders: dict[str, Border]) -> list[str]:
    """Sentences about a change that was stored too coarsely, and about positives lost to ties.

    weights : float32 (N,) of each checkpoint, by its name.
    """
    found = []
    for name, values in weights.items():
        narrow = narrow_format(values)
        if narrow:
            found.append(
                f"{name} was stored in {narrow} ({BITS[narrow]} bits of precision): changes of "
                f"less than about 1/{2 ** BITS[narrow]} of a weight are lost; save checkpoints in "
                "float32"
            )
    lines = (border.shortfall(items) for items, border in borders.items())
    return found + [f"positives by |W(M2) - W(M1)|: {line}" for line in lines if line]


def summary_table(
    abs_diff: np.ndarray, order: np.ndarray, borders: dict[str, Border], m: int, d: int
) -> pd.DataFrame:
    """Where the positives lie and how |W(M2) - W(M1)| is spread, as (quantity, value) rows.

    borders : of `change_borders`; at least one weight is positive.
    """
    weights, neurons = borders["weights"], borders["neurons"]
    n_top = weights.n_positives
    matrix, row, col = ranking.locate(order[:n_top], m, d)
    per_neuron = np.bincount(np.where(matrix == 0, row, col), minlength=m)
    total = abs_diff.sum(dtype=np.float64)
    rows: list[tuple[str, float | int]] = [
        ("n_weights", len(abs_diff)),
        ("d", d),
        ("m", m),
        ("n_positives", n_top),
        ("n_positives_wanted", weights.wanted),
        ("n_positive_neurons", neurons.n_positives),
        ("n_positive_neurons_wanted", neurons.wanted),
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
