"""Does the judged layer matter? What its change mends, and where else the change works."""

import numpy as np
import pandas as pd

from utils.data.setting_names import ALL
from utils.judge.layers.swap import INTO_M1

COLUMNS = ["fold", "n_test", "loss_m1", "loss_transplanted", "share_recovered"]
# A layer that mends less of the failures' loss carries little of the change.
LITTLE = 0.05


def layer_table(repair: pd.DataFrame) -> pd.DataFrame:
    """What M2's two matrices in M1 mend of the loss over M1's failing test samples, by fold.

    repair : the folds' repair.csv with their fold; the setting `all` counts.
    """
    whole = repair[repair["setting"] == ALL]
    share = (whole["loss_m1"] - whole["loss_transplanted"]) / whole["loss_m1"]
    return whole.assign(share_recovered=share)[COLUMNS].reset_index(drop=True)


def strongest_block(blocks: pd.DataFrame) -> tuple[str, float] | None:
    """The block of M2 that lowers M1's loss most, and that loss, mean over folds.

    blocks : the folds' layers.csv (step 8), of the test samples that were run. None without any.
    """
    rows = blocks[blocks["direction"] == INTO_M1]
    if not len(rows):
        return None
    means = rows.groupby(["layer", "block"], dropna=False)["loss"].mean()
    layer, block = means.idxmin()
    return (block if np.isnan(layer) else f"{block} {layer:g}"), float(means.min())


def little_in_words(layer: pd.DataFrame, blocks: pd.DataFrame) -> list[str]:
    """The warning that the judged layer carries little of the change; none where it carries more.

    layer : of `layer_table`. blocks : as in `strongest_block`.
    """
    share = layer["share_recovered"].mean() if len(layer) else np.nan
    if not share < LITTLE:
        return []
    said = (
        "The judged layer carries little of the change: M2's two matrices in M1 mend "
        f"{100 * share:.1f}% of the loss over M1's failing test samples"
    )
    most = strongest_block(blocks)
    if most is None:
        return [f"{said}. Run exp-fl-5-8.py to see which block carries most."]
    return [
        f"{said}. The block that carries most is '{most[0]}': M2's in M1 takes the loss to "
        f"{most[1]:.3f}, over the {blocks['samples'].max():,} test samples of a fold that step 8 "
        "ran the whole model on."
    ]


def in_words(layer: pd.DataFrame) -> list[str]:
    """What the layer's change mends. layer : of `layer_table`; nothing is said of an empty one."""
    if not len(layer):
        return []
    mean = layer[["loss_m1", "loss_transplanted", "share_recovered"]].mean()
    return [
        "Does the layer matter? M2's two matrices in M1 take the loss over M1's failing test "
        f"samples from {mean['loss_m1']:.2f} to {mean['loss_transplanted']:.2f} "
        f"({100 * mean['share_recovered']:.0f}% of it, mean over folds)."
    ]
