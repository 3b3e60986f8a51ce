"""Step 1 on checkpoints that hardly differ, or were stored in a narrow format."""

import re

import numpy as np
import pandas as pd
import pipeline
import pytest
import torch

from utils import ranking

D, M = 16, 64
N = 2 * M * D  # 2,048: the top 1% are 20 weights and 1 neuron
SIZES = {"hidden_size": D, "intermediate_size": M}


def matrices(model) -> tuple[torch.Tensor, torch.Tensor]:
    layer = model.vit.layers[-1].mlp
    return layer.fc1.weight.data, layer.fc2.weight.data


def save_pair(root, change, prepare=lambda model: None):
    """M1, and M2 that `change` has made of its two matrices; both as `prepare` leaves them."""
    training = root / "out_vit_digits_fold0"
    model = pipeline.make_model(**SIZES)
    prepare(model)
    model.save_pretrained(training / "checkpoint-10")
    change(*matrices(model))
    prepare(model)
    model.save_pretrained(training / "checkpoint-20")


def summary(root) -> dict[str, float]:
    table = pd.read_csv(root / "exp-fl-5" / pipeline.NAME / "ground_truth" / "summary.csv")
    return dict(zip(table["quantity"], table["value"], strict=True))


def ten_raised(w_bef, w_aft):
    """Ten weights of neuron 3, by nearly the same: rounding makes them differ."""
    w_bef[3, :10] += 0.05


def test_ten_changed_weights_are_ten_positives(server, tmp_path):
    save_pair(tmp_path, ten_raised)
    done = server.run(1, tmp_path)
    assert done.status == 0, done.stderr
    found = summary(tmp_path)
    assert found["n_positives"] == 10 and found["n_positives_wanted"] == 20
    assert found["n_positive_neurons"] == found["neurons_with_a_top_weight"] == 1
    assert found["unchanged_weights"] == N - 10
    assert found["threshold_abs_diff"] == pytest.approx(0.05, rel=1e-4)
    assert found["share_of_top_in_W_bef"] == found["share_of_total_change_in_top"] == 1
    assert "2,038 of 2,048 FFN weights did not change from checkpoint-10 to" in done.stdout
    assert "R is 10 among weights, not 20: every other gain is 0" in done.stdout
    assert "its last 22 weights did not change" in done.stdout  # top_n2.csv has 32
    assert "among neurons" not in done.stdout and "stored in" not in done.stdout


def raise_exactly(w_bef, w_aft):
    """Thirty weights from 0 to 1/2: more equal changes than the 20 wanted."""
    w_bef[5, :15], w_aft[:15, 5] = 0.5, 0.5


def zero_the_same(model):
    w_bef, w_aft = matrices(model)
    if w_bef[5, 0] != 0.5:
        w_bef[5, :15], w_aft[:15, 5] = 0, 0


def test_where_more_weights_tie_than_are_wanted_no_positive_is_left(server, tmp_path):
    save_pair(tmp_path, raise_exactly, zero_the_same)
    before = pipeline.snapshot(tmp_path)
    done = server.run(1, tmp_path)
    assert done.status == 2
    (line,) = done.stderr.splitlines()
    for words in (
        "checkpoint-10 and checkpoint-20 in",
        "out_vit_digits_fold0: no positive is left among the 2,048 weights",
        "the 30 largest gains are equal (0.5)",
        "float32",
    ):
        assert words in line
    assert pipeline.snapshot(tmp_path) == before
    percent = float(re.search(r"POSITIVE_PERCENT in utils/constants.py to (\S+) or more", line)[1])
    done = server.run(1, tmp_path, constants={"POSITIVE_PERCENT": percent})
    assert done.status == 0, done.stderr
    assert summary(tmp_path)["n_positives"] == 30


def two_neurons(w_bef, w_aft):
    w_bef[2, 1], w_aft[1, 2], w_bef[9, 4], w_aft[4, 9] = 0.5, 0.25, 0.25, 0.5


def zero_four(model):
    w_bef, w_aft = matrices(model)
    if w_bef[2, 1] != 0.5:
        w_bef[2, 1], w_aft[1, 2], w_bef[9, 4], w_aft[4, 9] = 0, 0, 0, 0


def test_where_the_first_neurons_tie_no_positive_is_left_either(server, tmp_path):
    save_pair(tmp_path, two_neurons, zero_four)
    done = server.run(1, tmp_path)
    assert done.status == 2
    assert "no positive is left among the 64 neurons: the 2 largest gains are equal (0.75)" in (
        done.stderr
    )
    assert not (tmp_path / "exp-fl-5" / pipeline.NAME / "ground_truth").exists()


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("converted", [False, True])
def test_checkpoints_of_a_narrow_format_are_pointed_at(server, tmp_path, stored, converted):
    """Also those that were written in float32 after having been narrow."""

    def narrow(model):
        model.to(stored)
        if converted:
            model.float()

    def epoch(w_bef, w_aft):
        generator = torch.Generator().manual_seed(3)
        for w in (w_bef, w_aft):
            noise = torch.randn(w.shape, generator=generator)
            w.copy_((w.float() + 2e-4 * noise).to(w.dtype))

    save_pair(tmp_path, epoch, narrow)
    done = server.run(1, tmp_path)
    assert done.status == 0, done.stderr
    name, bits = ("bf16", 8) if stored == torch.bfloat16 else ("fp16", 11)
    for checkpoint in ("checkpoint-10", "checkpoint-20"):
        assert f"{checkpoint} was stored in {name} ({bits} bits of precision)" in done.stdout
    change = np.load(tmp_path / "exp-fl-5" / pipeline.NAME / "ground_truth" / "abs_diff.npy")
    found = summary(tmp_path)
    assert found["unchanged_weights"] == np.count_nonzero(change == 0) > 0
    assert found["n_positives"] == np.count_nonzero(change >= found["threshold_abs_diff"])
    assert found["n_positives"] <= ranking.share_of(1, N)
