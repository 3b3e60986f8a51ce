"""Step 10 on a small fold: its rows against autograd, its files, what is kept, and bad input."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pipeline
import pytest
import retraining
import torch
import torch.nn.functional as F

from utils.judge.retrain import effect
from utils.judge.transplant.walk import neuron_weights
from utils.model import checkpoints, forward
from utils.model.class_token import forward_states

FOLD = Path("exp-fl-5") / pipeline.NAME
# Small, and of each kind one: what each method scores is tested elsewhere.
FEW = {
    "METHODS_TO_RUN": ("grad_loss", "magnitude", "mean_act"),
    "REFERENCES": ("random", "magnitude"),
}
CONSTANTS = pipeline.QUICK | FEW
SIZE = 2 * 8 * 32


def run_step(server, step, root, *options, **more):
    constants = CONSTANTS | more.pop("constants", {})
    return server.run(step, root, *options, constants=constants, **more)


@pytest.fixture(scope="module")
def before(server, tmp_path_factory):
    """A fold after step 7."""
    root = tmp_path_factory.mktemp("step10") / "root"
    pipeline.make_fold(root)
    for step in range(1, 8):
        finished = run_step(server, step, root, summary=False)
        assert finished.status == 0, finished.stderr
    scores = np.random.default_rng(0).random(SIZE, dtype=np.float32)
    np.save(root / FOLD / "all" / "weight_=mine_score.npy", scores)
    return root


@pytest.fixture(scope="module")
def done(before, server, tmp_path_factory):
    root = shutil.copytree(before, tmp_path_factory.mktemp("done10") / "root")
    finished = run_step(server, 10, root)
    assert finished.status == 0, finished.stderr
    return root, finished


@pytest.fixture
def root(done, tmp_path):
    return shutil.copytree(done[0], tmp_path / "root")


def table_of(root):
    return pd.read_csv(root / FOLD / "exp-fl-5-10_retrained.csv")


def test_rows_columns_and_files(done):
    root, finished = done
    table = table_of(root)
    assert list(table.columns) == effect.COLUMNS
    weight, neuron = "weight", "weight (from neuron)"
    expected = {(weight, name) for name in ("grad_loss", "magnitude", "'=mine", "change", "random")}
    expected |= {(weight, name) for name in ("all weights", "pooled", "repair credit")}
    expected |= {(neuron, name) for name in ("mean_act", "neuron oracle", "random neurons")}
    found = table.groupby(["level", "method"])["optimizer"].apply(list)
    assert set(found.index) == expected and all(two == ["adam", "sgd"] for two in found)
    whole = table["method"] == "all weights"
    assert set(table.loc[whole, "k"]) == {SIZE} and set(table.loc[~whole, "k"]) == {SIZE // 100}
    assert set(table["samples"]) == {60} and set(table["setting"]) == {"all"}
    folder = root / FOLD / "retrained"
    for row in table[~table["method"].str.startswith("random") & ~whole].itertuples():
        level = "weight" if row.level == weight else "neuron"
        name = row.method.removeprefix("'")
        delta = np.load(folder / f"{level}_{name}_{row.optimizer}_delta.npy")
        assert delta.dtype == np.float32 and len(delta) == row.k
        assert (delta != 0).any() == (row.steps > 0)
    assert len(list(folder.glob("*_delta.npy"))) == 2 * (len(expected) - 3)
    n_repair = len(np.load(root / FOLD / "cache_states_repair" / "labels.npy"))
    order = np.random.default_rng([777, 10]).permutation(n_repair)
    held_out, fitted = (np.load(folder / f"{name}.npy") for name in ("held_out", "all_fit"))
    assert held_out.dtype == fitted.dtype == np.int64
    assert np.array_equal(np.concatenate([held_out, fitted]), order)
    assert len(held_out) == n_repair // 4
    assert "M1 retrained where only the first 1%" in finished.stdout


def test_rows_are_those_of_the_whole_model_with_autograd_and_torch_optim(done):
    """Picture to loss in float64: chosen speed and steps, delta, losses, counts."""
    root = done[0]
    table, folder = table_of(root), root / FOLD / "retrained"
    checkpoint = root / f"out_vit_{pipeline.NAME}" / "checkpoint-10"
    model = forward.load_model(checkpoint)
    repair, repair_labels = pixels_of(root, "repair")
    test, test_labels = pixels_of(root, "test")
    held_out, fitted = (np.load(folder / f"{name}.npy") for name in ("held_out", "all_fit"))
    logits = retraining.of_vit(model, repair)
    matrices = checkpoints.read_ffn(checkpoint)
    neurons = np.load(root / FOLD / "all" / "neuron_mean_act_ranking.npy")
    orders = {
        "change": np.load(root / FOLD / "ground_truth" / "ranking.npy"),
        "grad_loss": np.load(root / FOLD / "all" / "weight_grad_loss_ranking.npy"),
        "mean_act": neuron_weights(neurons, 32, 8),
    }
    was = forward_states(model, {"pixel_values": test})[1]
    loss_m1 = float(F.cross_entropy(was.double(), torch.from_numpy(test_labels)))
    right = was.argmax(1).numpy() == test_labels
    failing = np.load(root / FOLD / "misclf_info" / "all_neg_test.npy")
    after = retraining.of_vit(model, test)
    for method, order in orders.items():
        chosen = order[: SIZE // 100]
        kept = retraining.retrain(logits, matrices, chosen, repair_labels, fitted, held_out)
        for optimizer, wanted in kept.items():
            row = table[(table["method"] == method) & (table["optimizer"] == optimizer)].iloc[0]
            assert row["steps"] == wanted.steps
            assert wanted.steps == 0 or row["r"] == wanted.r
            level = "neuron" if method == "mean_act" else "weight"
            delta = np.load(folder / f"{level}_{method}_{optimizer}_delta.npy")
            assert delta == pytest.approx(wanted.delta, rel=1e-3, abs=1e-5)
            assert row["loss_fit"] == pytest.approx(wanted.loss_fit, rel=1e-4)
            least = wanted.losses[wanted.r, wanted.steps]
            assert row["loss_held_out"] == pytest.approx(least, rel=1e-4)
            flat = np.concatenate([np.asarray(w, dtype=np.float64).ravel() for w in matrices])
            flat[chosen] += wanted.delta
            half = flat.size // 2
            moved = torch.from_numpy(flat[:half]).view(32, 8), torch.from_numpy(flat[half:])
            now = after(moved[0], moved[1].view(8, 32), np.arange(len(test_labels))).detach()
            loss = float(F.cross_entropy(now, torch.from_numpy(test_labels)))
            good = now.argmax(1).numpy() == test_labels
            assert row["loss"] == pytest.approx(loss, rel=1e-4)
            assert row["loss_mended"] == pytest.approx(loss_m1 - loss, abs=2e-4)
            assert row["repaired"] == (good & ~right).sum()
            assert row["broken"] == (right & ~good).sum()
            assert row["net"] == row["repaired"] - row["broken"]
            assert row["accuracy"] == pytest.approx(good.mean())
            assert row["target_samples"] == len(failing)
            assert row["target_repaired"] == good[failing].sum()


def pixels_of(root, split):
    """float32 (S, 1, H, W) with the standard preprocessing written out, and the labels."""
    import datasets

    rows = datasets.load_from_disk(root / "dataset" / pipeline.NAME)[split]
    images = np.stack([np.asarray(image) for image in rows["img"]])
    return torch.from_numpy((images / 255 - 0.5) / 0.5).float()[:, None], np.array(rows["label"])


def test_running_again_makes_nothing_and_anew_the_same_bytes(root, server):
    known = pipeline.results(root)
    again = run_step(server, 10, root)
    assert again.status == 0 and not [p for p in again.points if "retrained" in p]
    shutil.rmtree(root / FOLD / "retrained")
    assert run_step(server, 10, root, threads=2).status == 0
    assert pipeline.results(root) == known


def test_a_killed_step_goes_on_a_ranking_at_a_time_and_ends_the_same(
    before, done, server, tmp_path
):
    root = shutil.copytree(before, tmp_path / "root")
    for at in (len(done[1].points) // 3, len(done[1].points) // 4):
        assert run_step(server, 10, root, mode="kill", at=at).status == -9
    there = {p.name: p.stat().st_mtime_ns for p in (root / FOLD / "retrained").glob("all_*.csv")}
    assert len(there) > 1
    assert run_step(server, 10, root).status == 0
    for name, made in there.items():
        assert (root / FOLD / "retrained" / name).stat().st_mtime_ns == made
    assert pipeline.results(root) == pipeline.results(done[0])


def test_a_new_score_file_leaves_the_others_as_they_are(root, server):
    scores = np.arange(SIZE, dtype=np.float32)
    np.save(root / FOLD / "all" / "weight_late_score.npy", scores)
    finished = run_step(server, 10, root)
    assert finished.status == 0, finished.stderr
    made = {p for p in finished.points if p.startswith("rename") and "retrained" in p}
    made = {p.split("/")[-1] for p in made if "summary" not in p}
    assert made == {
        "all_weight_late.csv", "weight_late_adam_delta.npy", "weight_late_sgd_delta.npy",
        "exp-fl-5-10_retrained.csv",
    }  # fmt: skip


OWN = """
from utils.methods.own import fl_method

@fl_method("weight", "size")
def size(e):
    from utils.ranking import flatten
    return abs(flatten(e.tail.w_bef.numpy(), e.tail.w_aft.numpy()))
"""


def test_a_users_functions_are_retrained_once_step_5_has_run_them(root, server, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(OWN)
    finished = run_step(server, 10, root, "--methods", str(mine))
    assert finished.status == 2
    (line,) = finished.stderr.splitlines()
    assert "has no scores of weight/size" in line and "run exp-fl-5-5.py" in line
    assert run_step(server, 5, root, "--methods", str(mine)).status == 0
    assert run_step(server, 7, root, summary=False).status == 0
    finished = run_step(server, 10, root, "--methods", str(mine))
    assert finished.status == 0, finished.stderr
    table = table_of(root).set_index("method")
    same = table.loc["size"].reset_index(drop=True)
    assert same.equals(table.loc["magnitude"].reset_index(drop=True))


def test_other_percents_and_settings(root, server):
    few = {"RETRAIN_PERCENTS": (1, 5), "RETRAIN_SETTINGS": ("src_tgt_top1", "none")}
    finished = run_step(server, 10, root, constants=few)
    assert finished.status == 0, finished.stderr
    assert "none is left out: the fold has no such setting" in finished.stdout
    table = table_of(root)
    assert set(table["setting"]) == {"src_tgt_top1"} and "mean_act" in set(table["method"])
    part = table[table["method"] != "all weights"]
    assert set(part["k"]) == {5, 25} and set(part["k_percent"]) == {1, 5}
    failing = np.load(root / FOLD / "misclf_info" / "src_tgt_top1_neg_test.npy")
    assert set(table["target_samples"]) == {len(failing)}
    fit = np.load(root / FOLD / "retrained" / "src_tgt_top1_fit.npy")
    lists = [np.load(root / FOLD / "misclf_info" / f"src_tgt_top1_{x}.npy") for x in ("neg", "pos")]
    assert len(fit) and np.isin(fit, np.concatenate(lists)).all()
    assert not np.isin(fit, np.load(root / FOLD / "retrained" / "held_out.npy")).any()
    finished = run_step(server, 10, root, constants={"RETRAIN_SETTINGS": ("none",)})
    assert finished.status == 2 and len(finished.stderr.splitlines()) == 1
    assert "RETRAIN_SETTINGS" in finished.stderr


def test_without_the_truth_repair_there_are_no_rows_of_the_credit(root, server):
    alone = {"constants": {"TRUTHS": ("change",)}}
    assert run_step(server, 7, root, summary=False, **alone).status == 0
    before = table_of(root)
    finished = run_step(server, 10, root, **alone)
    assert finished.status == 0, finished.stderr
    kept = before[before["method"] != "repair credit"].reset_index(drop=True)
    assert table_of(root).equals(kept)


def test_a_part_without_a_failing_sample_is_said_in_every_run(done, root, server):
    """M1 is right on the whole held-out quarter of this fold."""
    held_out, fitted = (
        np.load(root / FOLD / "retrained" / f"{n}.npy") for n in ("held_out", "all_fit")
    )
    failing = np.load(root / FOLD / "misclf_info" / "all_neg.npy")
    assert np.isin(failing, fitted).any() and not np.isin(failing, held_out).any()
    for finished in (done[1], run_step(server, 10, root)):
        assert "all: M1 fails on none of the samples that are held out" in finished.stdout
        assert "that are trained on" not in finished.stdout


@pytest.mark.parametrize("without", ["states", "split", "failures"])
def test_no_test_split_or_no_failure_on_it_is_one_line_and_no_table(
    before, server, tmp_path, without
):
    root = shutil.copytree(before, tmp_path / "root")
    if without == "states":
        shutil.rmtree(root / FOLD / "cache_states_test")
        words = "run exp-fl-5-"
    else:
        import datasets

        folder = root / "dataset" / pipeline.NAME
        splits = datasets.DatasetDict(dict(datasets.load_from_disk(folder)))
        test = splits.pop("test")
        words = "fails on no sample of a test split"
        if without == "failures":
            logits = np.load(root / FOLD / "cache_states_test" / "logits.npy")
            right = np.flatnonzero(logits.argmax(1) == np.array(test["label"]))
            splits["test"] = test.select(right)
        splits.save_to_disk(root / "other")
        shutil.rmtree(folder)
        (root / "other").rename(folder)
        for step in range(2, 8):
            assert run_step(server, step, root, summary=False).status == 0
    finished = run_step(server, 10, root)
    assert finished.status == 2
    (line,) = finished.stderr.splitlines()
    assert words in line
    assert not (root / FOLD / "exp-fl-5-10_retrained.csv").exists()
