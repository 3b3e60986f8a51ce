"""The scripts, figures drawn: step 0 from data and a model on disk, then steps 1 to 7.

Step 0 runs as a user runs it; the others in forks, with the constants as a user finds them, some
methods left out. The files are checked against the whole model and plain numpy, not against utils.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import openpyxl
import pandas as pd
import pipeline
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.model_selection import KFold
from transformers import ViTConfig, ViTForImageClassification

from utils import constants

ROOT = Path(__file__).resolve().parent.parent
CLASSES = ["apple", "bear", "=cat", "dög"]
D, M = 16, 64
N = 2 * D * M
K_LABELS = ["0.1%", "0.5%", "1%", "2%", "5%", "10%", "n"]
AT_K = ["precision", "recall", "f1", "overlap", "lift", "lift_stratified", "ndcg", "mass"]
LAST = [
    "ap",
    "auc",
    "spearman",
    "kendall",
    "first_hit",
    "first_hit_best",
    "first_hit_worst",
    "exam",
]


def run(step: int, root: Path, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / f"exp-fl-5-{step}.py"),
            *("--ds", "c100", "--root", str(root), *options),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )


def coloured_pictures(n: int, seed: int) -> datasets.Dataset:
    """Noisy pictures whose brightest channel or darkness gives the class away, in c100's format."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(CLASSES), n)
    pixels = rng.integers(0, 160, (n, 8, 8, 3))
    for i, label in enumerate(labels):
        if label < 3:
            pixels[i, :, :, label] += 60
    features = datasets.Features(
        {"img": datasets.Image(), "fine_label": datasets.ClassLabel(names=CLASSES)}
    )
    pictures = [Image.fromarray(p.astype(np.uint8)) for p in pixels]
    return datasets.Dataset.from_dict(
        {"img": pictures, "fine_label": labels.tolist()}, features=features
    )


def run_in_a_fork(server, step: int, root: Path, *options: str, **more) -> pipeline.Finished:
    """The same without a cold start, with draws, cuts and metrics as a user finds them."""
    kept = {name: getattr(constants, name) for name in pipeline.QUICK}
    return server.run(step, root, "--ds", "c100", *options, constants=kept, **more)


@pytest.fixture(scope="module")
def root(server, tmp_path_factory) -> Path:
    """Folds 0 and 1 of a tiny CIFAR-like data set, all steps run."""
    root = tmp_path_factory.mktemp("pipeline")
    source = datasets.DatasetDict(
        {"train": coloured_pictures(300, 0), "test": coloured_pictures(20, 1)}
    )
    source.save_to_disk(root / "source")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=D,
        intermediate_size=M,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    )
    ViTForImageClassification(config).save_pretrained(root / "base")
    options = ["--data-dir", str(root / "source"), "--base-model", str(root / "base")]
    done = run(0, root, "--fold", "0", "1", *options)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for step in range(1, 8):
        done = run_in_a_fork(server, step, root, "--fold", "0", "1", draw=True)
        assert (done.status, done.stderr) == (0, "")
    return root


@pytest.fixture(scope="module")
def results(root) -> Path:
    return root / "exp-fl-5" / "c100_fold0"


@pytest.fixture(scope="module")
def checkpoints(root) -> list[Path]:
    found = (root / "out_vit_c100_fold0").glob("checkpoint-*")
    return sorted(found, key=lambda folder: int(folder.name.split("-")[1]))


def flat_ffn(checkpoint: Path) -> np.ndarray:
    state = load_file(checkpoint / "model.safetensors")
    names = [
        "vit.encoder.layer.1.intermediate.dense.weight",
        "vit.encoder.layer.1.output.dense.weight",
    ]
    return np.concatenate([state[name].numpy().ravel() for name in names])


def pixel_values(rows: datasets.Dataset) -> torch.Tensor:
    """The standard ViT preprocessing, mean and std 0.5, written out."""
    pixels = np.stack([np.array(picture.convert("RGB")) for picture in rows["img"]])
    return torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).float()


@pytest.fixture(scope="module")
def repair(root) -> datasets.Dataset:
    return datasets.load_from_disk(str(root / "dataset" / "c100_fold0"))["repair"]


@pytest.fixture(scope="module")
def settings(results) -> pd.DataFrame:
    return pd.read_csv(results / "misclf_info" / "settings.csv")


@pytest.fixture(scope="module")
def scores(results) -> pd.DataFrame:
    return pd.read_csv(results / "exp-fl-5-7_scores.csv")


def test_folds_are_those_of_kfold(root):
    source = datasets.load_from_disk(str(root / "source"))["train"]
    parts = list(KFold(5, shuffle=True, random_state=777).split(np.arange(300)))
    for k in (0, 1):
        fold = datasets.load_from_disk(str(root / "dataset" / f"c100_fold{k}"))
        assert sorted(fold) == ["repair", "test", "train"]
        for split, indices in zip(("train", "repair"), parts[k], strict=True):
            expected = [np.array(source[int(i)]["img"]) for i in indices]
            assert all(
                np.array_equal(np.array(row["img"]), picture)
                for row, picture in zip(fold[split], expected, strict=True)
            )


def test_ground_truth_is_the_change_of_the_last_ffn(results, checkpoints):
    assert len(checkpoints) == 2
    first, second = flat_ffn(checkpoints[0]), flat_ffn(checkpoints[1])
    abs_diff = np.load(results / "ground_truth" / "abs_diff.npy")
    order = np.load(results / "ground_truth" / "ranking.npy")
    assert abs_diff.dtype == np.float32 and order.dtype == np.int32
    np.testing.assert_array_equal(abs_diff, np.abs(second - first))
    np.testing.assert_array_equal(order, np.lexsort((np.arange(N), -abs_diff)))
    top = pd.read_csv(results / "ground_truth" / "top_n2.csv")
    assert list(top) == ["rank", "matrix", "row", "col", "w_m1", "w_m2", "diff", "abs_diff"]
    assert len(top) == 8 * 2**2
    matrices = {"W_bef": first[: M * D].reshape(M, D), "W_aft": first[M * D :].reshape(D, M)}
    for row in top.itertuples():
        assert row.w_m1 == pytest.approx(matrices[row.matrix][row.row, row.col], rel=1e-6)
    np.testing.assert_allclose(top["abs_diff"], abs_diff[order[:32]], rtol=1e-6)
    assert (results / "ground_truth" / "hist_abs_diff.png").read_bytes()[:4] == b"\x89PNG"


def test_predictions_and_caches_are_those_of_the_whole_model(results, checkpoints, repair):
    model = ViTForImageClassification.from_pretrained(checkpoints[0]).eval()
    with torch.no_grad():
        logits = model(pixel_values(repair)).logits.numpy()
    table = pd.read_csv(results / "misclf_info" / "predictions.csv")
    assert table["pred_label"].tolist() == logits.argmax(1).tolist()
    assert table["true_label"].tolist() == list(repair["fine_label"])
    cache = results / "cache_states_repair"
    np.testing.assert_allclose(np.load(cache / "logits.npy"), logits, atol=1e-5)
    shapes = {name: np.load(cache / f"{name}.npy").shape for name in
              ("hidden_before_layernorm", "intermediate", "output", "labels")}  # fmt: skip
    s = len(repair)
    assert shapes == {"hidden_before_layernorm": (s, D), "intermediate": (s, M),
                      "output": (s, D), "labels": (s,)}  # fmt: skip


def test_settings_hold_the_samples_they_name(results, settings):
    table = pd.read_csv(results / "misclf_info" / "predictions.csv")
    wrong = table["correct"] == 0
    assert len(settings) == 13
    for row in settings[settings["status"] == "ok"].itertuples():
        neg, pos = (np.load(results / "misclf_info" / f"{row.setting}_{side}.npy")
                    for side in ("neg", "pos"))  # fmt: skip
        assert (len(neg), len(pos)) == (row.n_neg, row.n_pos)
        if row.misclf_type == "src_tgt":
            expected = (table["pred_label"] == row.pred_label) & (
                table["true_label"] == row.true_label
            )
        elif row.misclf_type == "all":
            expected = wrong
        else:
            fp = wrong & (table["pred_label"] == row.tgt_label)
            fn = wrong & (table["true_label"] == row.tgt_label)
            expected = {"fp": fp, "fn": fn}.get(row.fpfn, fp | fn)
        np.testing.assert_array_equal(neg, np.flatnonzero(expected))


def test_gradient_loss_is_the_whole_models_gradient(results, checkpoints, repair):
    model = ViTForImageClassification.from_pretrained(checkpoints[0]).double().eval()
    neg = np.load(results / "misclf_info" / "all_neg.npy")
    loss = torch.nn.functional.cross_entropy(
        model(pixel_values(repair.select(neg)).double()).logits,
        torch.tensor(repair["fine_label"])[neg],
    )
    layer = model.vit.layers[-1].mlp
    grads = torch.autograd.grad(loss, [layer.fc1.weight, layer.fc2.weight])
    expected = np.concatenate([grad.numpy().ravel() for grad in grads])
    saved = np.load(results / "all" / "grad_loss.npy")
    np.testing.assert_allclose(saved, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


def test_every_ranking_orders_its_scores_and_every_cut_is_its_beginning(results, settings):
    seen = set()
    for setting in settings.loc[settings["status"] == "ok", "setting"]:
        for path in sorted((results / setting).glob("*_score.npy")):
            score = np.load(path)
            stem = path.name.removesuffix("_score.npy")
            level = stem.split("_")[0]
            size = {"neuron": M, "weight": N}[level]
            assert score.shape == (size,) and score.dtype == np.float32
            order = np.lexsort((np.arange(size), -score))
            if not stem.endswith("_n2"):
                ranking = np.load(results / setting / f"{stem}_ranking.npy")
                assert ranking.dtype == np.int32
                np.testing.assert_array_equal(ranking, order, err_msg=str(path))
                seen.add(stem)
            cut = results / setting / f"{stem.removesuffix('_n2')}_n2_ranking.npy"
            by_budget = stem == "weight_vdiff+mean_act+grad_loss"
            if cut.exists() and not by_budget:
                length = 2 if level == "neuron" else 8 * 2**2
                np.testing.assert_array_equal(np.load(cut), order[:length])
                assert len(pd.read_csv(cut.with_suffix(".csv"))) == length
    assert {"neuron_ig", "weight_bl", "neuron_vdiff", "neuron_vdiff+mean_act"} <= seen
    assert {"weight_vdiff", "weight_vdiff+mean_act+grad_loss"} <= seen
    assert {"weight_random", "neuron_random"} <= seen


def test_scores_have_the_specified_columns_and_rows(scores, settings):
    head = ["ds", "fold", "setting", "level", "method", "n", "n_items", "n_positives"]
    assert list(scores) == head + [f"{a}@{k}" for k in K_LABELS for a in AT_K] + LAST
    assert not scores.duplicated(["setting", "level", "method", "n"]).any()
    for level in ("weight", "neuron"):
        rows = scores[scores["level"] == level]
        assert {"random (expected)", "random (sampled)"} <= set(rows["method"])
    assert set(scores["setting"]) == set(settings.loc[settings["status"] == "ok", "setting"])
    assert scores["kendall"][scores["level"] == "weight"].isna().all()


def test_scores_agree_with_a_count_by_hand(results, scores):
    abs_diff = np.load(results / "ground_truth" / "abs_diff.npy")
    truth = np.lexsort((np.arange(N), -abs_diff))
    for setting, method in [("all", "bl"), ("all", "vdiff"), ("all", "vdiff+mean_act+grad_loss")]:
        score = np.load(results / setting / f"weight_{method}_score.npy").astype(float)
        score -= 1e-12 * np.arange(N)  # no ties left: what follows is exact
        order = np.argsort(-score)
        rows = scores[(scores["setting"] == setting) & (scores["method"] == method)
                      & (scores["level"] == "weight")]  # fmt: skip
        row = rows[rows["n"].isna()].iloc[0]
        positives = set(truth[: int(0.01 * N)])
        k = int(0.1 * N)
        hits = len(positives & set(order[:k]))
        assert row["precision@10%"] == pytest.approx(hits / k, abs=1 / k)
        assert row["overlap@10%"] == pytest.approx(
            len(set(order[:k]) & set(truth[:k])) / k, abs=2 / k
        )
        assert row["mass@10%"] == pytest.approx(
            abs_diff[order[:k]].sum() / abs_diff.sum(), rel=1e-2
        )
        cut = rows[rows["n"] == 2].iloc[0]
        assert np.isnan(cut["precision@10%"]) and np.isnan(cut["ap"])  # 205 > 32 weights
        assert not np.isnan(cut["precision@n"])


def test_the_stratified_null_is_as_long_as_the_ranking(results):
    """Beyond the first 8n² of scores made for n there is nothing to compare with."""
    keys = ["setting", "level", "method", "n"]
    scores = pd.read_csv(results / "exp-fl-5-7_scores.csv").set_index(keys)
    null = pd.read_csv(results / "exp-fl-5-7_stratified.csv").set_index(keys)
    columns = [name for name in null if name.startswith(("precision@", "mass@"))]
    cut = null[null.index.get_level_values("n").notna()]
    assert len(cut) and cut[columns].isna().any(axis=None)
    pd.testing.assert_frame_equal(null[columns].isna(), scores.loc[null.index, columns].isna())


def test_class_names_that_look_like_formulas_are_defused(results):
    text = (results / "misclf_info" / "class_metrics.csv").read_text(encoding="utf-8")
    assert "'=cat" in text and "dög" in text


def contents(folder: Path) -> dict[str, bytes]:
    """All results but those that hold times of day."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.name.endswith(("_time.csv", ".hashes.json", "provenance.json"))
    }


def test_the_workbook_says_of_which_truth_it_is(root):
    (path,) = (root / "exp-fl-5").glob("c100_summary*/results.xlsx")
    book = openpyxl.load_workbook(path)
    assert book.sheetnames[0] == "Overview"
    for sheet in ("Verdict", "Summary", "Comparisons", "Scores", "Settings", "Times"):
        assert "truth" in [cell.value for cell in book[sheet][1]], sheet


def test_running_again_changes_nothing_and_mends_what_is_missing(server, root, results):
    before = contents(results)
    (results / "all" / "weight_bl_score.npy").unlink()
    (results / "tgt_top1" / "neuron_vdiff_n2_ranking.csv").write_text("half a fi")
    for step in (5, 6, 7):
        half = ["--only-folds"] if step == 7 else []  # the summary shows the new seconds
        done = run_in_a_fork(server, step, root, "--fold", "0", *half)
        assert done.status == 0, done.stderr
    assert contents(results) == before
    provenance = json.loads((results / "provenance.json").read_text())
    steps = [run["step"] for run in provenance["runs"].values()]
    assert steps.count(5) == 2 and steps.count(4) == 1


def test_a_new_seed_is_noticed_by_the_comparison(server, root, results, tmp_path):
    copy = tmp_path / "project"
    shutil.copytree(ROOT / "utils", copy / "utils")
    shutil.copy(ROOT / "exp-fl-5-7.py", copy)
    edited = copy / "utils" / "constants.py"
    edited.write_text(edited.read_text().replace("\nSEED = 777", "\nSEED = 778"))
    before = contents(results)
    done = run_in_a_fork(server, 7, root, "--fold", "0", tree=str(copy))
    assert done.status == 2
    assert "SEED was 777, now 778" in done.stderr and "exp-fl-5-4.py" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert contents(results) == before
