"""A layer that carries little of the change is said to, with the block that carries most."""

import numpy as np
import pandas as pd
import pytest

from utils.summary.scores import layer


def repair_of(shares: list[float]) -> pd.DataFrame:
    """repair.csv of folds whose layer mends these shares of a loss of 2, and a setting beside."""
    rows = [
        {"fold": fold, "setting": setting, "n_test": 7, "loss_m1": 2.0,
         "loss_transplanted": 2 - 2 * share if setting == "all" else 0.0}
        for fold, share in enumerate(shares)
        for setting in ("all", "tgt_top1")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def blocks_of(losses: dict[tuple[float, str], float]) -> pd.DataFrame:
    """layers.csv of two folds around these means; put back, every block would look best."""
    rows = [
        {
            "fold": fold,
            "layer": at,
            "block": block,
            "direction": direction,
            "loss": loss,
            "samples": 256,
        }
        for (at, block), mean in losses.items()
        for fold, off in ((0, -0.1), (1, 0.1))
        for direction, loss in (("into_m1", mean + off), ("back_to_m1", 0.0))
    ]
    return pd.DataFrame(rows)


LOSSES = {
    (np.nan, "embeddings"): 0.5,
    (0.0, "ffn"): 0.45,
    (3.0, "ffn"): 0.6,
    (np.nan, "head"): 0.48,
}
NO_BLOCKS = pd.DataFrame(columns=["fold", "layer", "block", "direction", "loss"])


def test_the_table_has_the_share_of_each_fold_under_all():
    table = layer.layer_table(repair_of([0.01, 0.2]))
    assert table["share_recovered"].to_list() == pytest.approx([0.01, 0.2])
    assert table.columns.to_list() == layer.COLUMNS


@pytest.mark.parametrize(
    ("losses", "named"),
    [
        (
            LOSSES,
            "'ffn 0': M2's in M1 takes the loss to 0.450, over the 256 test samples of a fold",
        ),
        (LOSSES | {(np.nan, "head"): 0.3}, "'head': M2's in M1 takes the loss to 0.300"),
        (LOSSES | {(3.0, "ffn"): 0.25}, "'ffn 3': M2's in M1 takes the loss to 0.250"),
    ],
)
def test_little_is_said_with_the_block_that_carries_most(losses, named):
    (said,) = layer.little_in_words(layer.layer_table(repair_of([0.01, 0.03])), blocks_of(losses))
    assert said.startswith("The judged layer carries little of the change: ")
    assert "mend 2.0% of the loss over M1's failing test samples" in said
    assert f"The block that carries most is {named}" in said


def test_without_step_8_the_line_says_which_step_to_run():
    (said,) = layer.little_in_words(layer.layer_table(repair_of([-0.1])), NO_BLOCKS)
    assert "mend -10.0% of the loss" in said and "Run exp-fl-5-8.py" in said


@pytest.mark.parametrize("shares", [[0.05], [0.0, 0.2], []])
def test_a_layer_that_carries_more_or_is_unknown_is_not_said_to_carry_little(shares):
    table = layer.layer_table(repair_of(shares)) if shares else pd.DataFrame(columns=layer.COLUMNS)
    assert layer.little_in_words(table, blocks_of(LOSSES)) == []
