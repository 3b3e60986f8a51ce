"""The truths of a tiny fold, end to end: every file against the whole model and plain numpy.

The model runs in float64 through transformers; nothing of utils computes what is expected.
"""

import json
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pipeline
import pytest
import torch
from pipeline import NAME, SUMMARY
from safetensors.torch import load_file
from scipy.stats import kendalltau, spearmanr
from transformers import ViTForImageClassification

D, M = pipeline.SIZES["hidden_size"], pipeline.SIZES["intermediate_size"]
N = 2 * D * M
R = N // 100
TRUTHS = ("change", "pooled", "repair")
FFN = [
    "vit.encoder.layer.1.intermediate.dense.weight",
    "vit.encoder.layer.1.output.dense.weight",
]
SUMMARY_NAME = "digits_summary_fold0"


@pytest.fixture(scope="module")
def root(stages) -> Path:
    """The fold on which every step has run, the summary too."""
    return stages[SUMMARY].before.parent / "root"


@pytest.fixture(scope="module")
def results(root) -> Path:
    return root / "exp-fl-5" / NAME


@pytest.fixture(scope="module")
def summary(root) -> Path:
    return root / "exp-fl-5" / SUMMARY_NAME


@pytest.fixture(scope="module")
def weights(root) -> dict[str, np.ndarray]:
    """The ranked weights of M1, M2 and each replay, float64 (N,)."""
    training = root / f"out_vit_{NAME}"
    folders = {
        "m1": training / "checkpoint-10", "m2": training / "checkpoint-20",
        "1": training / "replay-1" / "checkpoint-20", "2": training / "replay-2" / "checkpoint-20",
    }  # fmt: skip
    found = {}
    for name, folder in folders.items():
        state = load_file(folder / "model.safetensors")
        found[name] = np.concatenate([state[key].double().numpy().ravel() for key in FFN])
    return found


class Net:
    """M1 in float64 with the two matrices as they are given."""

    def __init__(self, root: Path) -> None:
        folder = root / f"out_vit_{NAME}" / "checkpoint-10"
        self.model = ViTForImageClassification.from_pretrained(folder).double().eval()
        layer = self.model.vit.layers[-1].mlp
        self.matrices = layer.fc1.weight, layer.fc2.weight

    def put(self, values: np.ndarray) -> None:
        parts = values[: M * D].reshape(M, D), values[M * D :].reshape(D, M)
        with torch.no_grad():
            for matrix, part in zip(self.matrices, parts, strict=True):
                matrix.copy_(torch.from_numpy(part))

    def loss(self, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.model(pixels).logits, labels)

    def gradient(self, pixels: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
        found = torch.autograd.grad(self.loss(pixels, labels), self.matrices)
        return np.concatenate([part.numpy().ravel() for part in found])


@pytest.fixture(scope="module")
def tested(root) -> tuple[torch.Tensor, torch.Tensor]:
    rows = datasets.load_from_disk(str(root / "dataset" / NAME))["test"]
    pictures = np.stack([np.array(picture) for picture in rows["img"]])
    pixels = torch.from_numpy((pictures / 255 - 0.5) / 0.5)[:, None]
    return pixels, torch.tensor(rows["label"])


@pytest.fixture(scope="module")
def predicted(root, tested) -> np.ndarray:
    with torch.no_grad():
        return Net(root).model(tested[0]).logits.argmax(1).numpy()


@pytest.fixture(scope="module")
def settings(results) -> pd.DataFrame:
    table = pd.read_csv(results / "misclf_info" / "settings.csv")
    return table[table["status"] == "ok"]


def top(values: np.ndarray, k: int = R) -> set[int]:
    return set(np.argsort(-values, kind="stable")[:k])


def judged(results: Path, kind: str, truth: str) -> pd.DataFrame:
    suffix = "" if truth == "change" else f"_{truth}"
    return pd.read_csv(results / f"exp-fl-5-7_{kind}{suffix}.csv")


# Pooled


def test_pooled_is_the_mean_over_m2_and_the_replays(results, weights):
    changes = [np.abs(weights[name] - weights["m1"]) for name in ("m2", "1", "2")]
    folder = results / "ground_truth"
    for number, change in enumerate(changes[1:], 1):
        found = np.load(folder / f"replay{number}_abs_diff.npy")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, change, atol=1e-6)
    pooled = np.load(folder / "pooled_abs_diff.npy")
    assert pooled.dtype == np.float32 and pooled.shape == (N,)
    np.testing.assert_allclose(pooled, np.mean(changes, axis=0), atol=1e-6)


def test_agreement_is_of_every_pair(results, weights):
    changes = {name: np.abs(weights[key] - weights["m1"]).astype(np.float32)
               for name, key in (("0", "m2"), ("1", "1"), ("2", "2"))}  # fmt: skip
    table = pd.read_csv(results / "ground_truth" / "agreement.csv", dtype={"truth_a": str})
    assert list(table) == ["truth_a", "truth_b", "overlap@1%", "spearman"]
    pairs = list(zip(table["truth_a"], table["truth_b"].astype(str), strict=True))
    assert pairs == [("0", "1"), ("0", "2"), ("1", "2")]
    for (a, b), row in zip(pairs, table.to_dict("records"), strict=True):
        both = len(top(changes[a]) & top(changes[b]))
        assert row["overlap@1%"] == pytest.approx(both / R)
        assert row["spearman"] == pytest.approx(spearmanr(changes[a], changes[b])[0], rel=1e-6)


# The test split


def test_failing_test_samples_are_those_of_the_whole_model(results, settings, tested, predicted):
    true = tested[1].numpy()
    wrong = predicted != true
    for row in settings.itertuples():
        if row.misclf_type == "all":
            expected = wrong
        elif row.misclf_type == "src_tgt":
            expected = (predicted == row.pred_label) & (true == row.true_label)
        else:
            fp, fn = wrong & (predicted == row.tgt_label), wrong & (true == row.tgt_label)
            expected = {"fp": fp, "fn": fn}.get(row.fpfn, fp | fn)
        found = np.load(results / "misclf_info" / f"{row.setting}_neg_test.npy")
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, np.flatnonzero(expected))
        assert row.n_neg_test == len(found)
    assert settings["n_neg_test"].max() == 5 > settings["n_neg"].max()


def test_the_test_splits_states_are_the_models(root, results, tested, predicted):
    folder = results / "cache_states_test"
    logits = np.load(folder / "logits.npy")
    np.testing.assert_array_equal(logits.argmax(1), predicted)
    with torch.no_grad():
        expected = Net(root).model(tested[0]).logits.numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_array_equal(np.load(folder / "labels.npy"), tested[1].numpy())
    assert (folder / "proof.csv").is_file()


# Repair credit


@pytest.fixture(scope="module")
def credits(root, results, settings, weights, tested) -> dict[str, tuple]:
    """Per setting: credit by whole-model gradients, and the losses of M1 and the transplant."""
    net, change = Net(root), weights["m2"] - weights["m1"]
    nodes, shares = np.polynomial.legendre.leggauss(8)
    found = {}
    for setting in settings["setting"]:
        samples = np.load(results / "misclf_info" / f"{setting}_neg_test.npy")
        pixels, labels = tested[0][samples], tested[1][samples]
        total = np.zeros(N)
        for node, share in zip(nodes, shares, strict=True):
            net.put(weights["m1"] + (node + 1) / 2 * change)
            total += share / 2 * net.gradient(pixels, labels)
        losses = []
        for values in (weights["m1"], weights["m2"]):
            net.put(values)
            losses.append(float(net.loss(pixels, labels).detach()))
        found[setting] = (-change * total, *losses)
    return found


def test_repair_credit_is_the_whole_models(results, credits):
    for setting, (expected, _, _) in credits.items():
        found = np.load(results / setting / "repair_credit.npy")
        assert found.dtype == np.float32 and found.shape == (N,)
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
    assert min(values.min() for values, _, _ in credits.values()) < 0


def test_the_credits_sum_to_the_transplanted_models_loss(results, credits):
    table = pd.read_csv(results / "ground_truth" / "repair.csv").set_index("setting")
    assert list(table) == ["n_test", "loss_m1", "loss_transplanted", "credit", "gap",
                           "share_helping", "credit_in_top1%"]  # fmt: skip
    assert list(table.index) == list(credits)
    for setting, (expected, loss_m1, loss_m2) in credits.items():
        row = table.loc[setting]
        assert row["loss_m1"] == pytest.approx(loss_m1, rel=1e-5)
        assert row["loss_transplanted"] == pytest.approx(loss_m2, rel=1e-5)
        mended = loss_m1 - loss_m2
        assert row["credit"] == pytest.approx(mended, abs=1e-5)
        assert abs(row["gap"]) < 1e-5 < abs(mended)
        found = np.load(results / setting / "repair_credit.npy").astype(np.float64)
        assert row["share_helping"] == pytest.approx(np.mean(found > 0))
        assert row["credit_in_top1%"] == pytest.approx(np.sort(found)[-R:].sum(), rel=1e-5)
        assert row["n_test"] == len(np.load(results / "misclf_info" / f"{setting}_neg_test.npy"))
        assert expected.sum() == pytest.approx(mended, abs=1e-6)


# Tables of step 7


def test_lifts_by_each_truth_are_counts(results, settings):
    change = np.load(results / "ground_truth" / "abs_diff.npy")
    for truth in TRUTHS:
        table = judged(results, "scores", truth)
        table = table[table["n"].isna() & (table["level"] == "weight")]
        for setting in settings["setting"]:
            gain = {
                "change": change,
                "pooled": np.load(results / "ground_truth" / "pooled_abs_diff.npy"),
                "repair": np.load(results / setting / "repair_credit.npy"),
            }[truth]
            positive = top(gain)
            rows = table[(table["setting"] == setting)].set_index("method")
            for method in ("grad_loss", "bl"):
                score = np.load(results / setting / f"weight_{method}_score.npy")
                hits = len(top(score) & positive)
                assert rows.loc[method, "lift@1%"] == pytest.approx(hits / R / (R / N))
                assert rows.loc[method, "n_positives"] == R
            if truth == "repair" or setting == "all":
                assert rows.loc["random (expected)", "lift@1%"] == pytest.approx(1)


def test_the_optimizers_step_is_adams(root, results):
    folder = root / f"out_vit_{NAME}" / "checkpoint-10"
    state = torch.load(folder / "optimizer.pt", weights_only=True)
    model = ViTForImageClassification.from_pretrained(folder)
    decayed = [name for name, _ in model.named_parameters()
               if not name.endswith("bias") and "layernorm" not in name]  # fmt: skip
    parts = []
    for name in ("vit.layers.1.mlp.fc1.weight", "vit.layers.1.mlp.fc2.weight"):
        moments = state["state"][decayed.index(name)]
        first = moments["exp_avg"].double() / (1 - 0.9)  # one step was taken
        second = moments["exp_avg_sq"].double() / (1 - 0.999)
        parts.append((first.abs() / (second.sqrt() + 1e-8)).numpy().ravel())
    expected = np.concatenate(parts)
    found = np.load(results / "ground_truth" / "optimizer_step.npy")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    table = judged(results, "scores", "change").set_index("method")
    change = np.load(results / "ground_truth" / "abs_diff.npy")
    assert table.loc["optimizer step", "spearman"] == pytest.approx(
        spearmanr(found, change)[0], abs=1e-6
    )


def test_references_are_the_specified_ones(results):
    wanted = {
        "change": {"neuron oracle", "replays (ceiling)", "optimizer step"},
        "pooled": {"neuron oracle", "optimizer step"},
        "repair": {"neuron oracle", "optimizer step", "|change| x other gradient"},
    }
    known = set().union(*wanted.values())
    for truth in TRUTHS:
        table = judged(results, "scores", truth)
        assert set(table["method"]) & known == wanted[truth]
        others = table[table["method"].isin(known - {"neuron oracle"})]
        assert set(others["setting"]) == {"all"} and set(others["level"]) == {"weight"}


def test_the_control_is_the_change_times_a_shuffled_gradient(root, results, weights, tested):
    """Expected in float64: ranks of products that are nearly equal may differ."""
    table = judged(results, "scores", "repair").set_index("method")
    row = table.loc["|change| x other gradient"]
    net = Net(root)
    samples = np.load(results / "misclf_info" / "all_neg_test.npy")
    gradient = np.abs(net.gradient(tested[0][samples], tested[1][samples]))
    change = np.abs(weights["m2"] - weights["m1"])
    credit = np.load(results / "all" / "repair_credit.npy")
    gain = np.maximum(credit, 0)
    rng = np.random.default_rng(777)  # the fold's seed
    parts = gradient.astype(np.float32)[: N // 2], gradient.astype(np.float32)[N // 2 :]
    shuffled = np.concatenate([rng.permutation(part) for part in parts])
    assert row["spearman"] == pytest.approx(spearmanr(change * shuffled, gain)[0], abs=1e-3)


def test_specificity_is_every_ranking_against_every_truth(results, settings):
    table = pd.read_csv(results / "exp-fl-5-7_specificity.csv")
    assert list(table) == ["ds", "fold", "level", "method", "setting", "truth_setting", "lift@1%"]
    rows = table[table["method"] == "grad_loss"].set_index(["setting", "truth_setting"])["lift@1%"]
    for setting in settings["setting"]:
        score = np.load(results / setting / "weight_grad_loss_score.npy")
        for other in settings["setting"]:
            credit = np.load(results / other / "repair_credit.npy")
            hits = len(top(score) & top(credit))
            assert rows[setting, other] == pytest.approx(hits / R / (R / N))
    known = {"neuron oracle", "optimizer step", "|change| x other gradient", "random (expected)"}
    assert not known & set(table["method"])


# The summary


VERDICT = ["truth", "level", "method", "n_folds", "k", "lift", "null_mean", "null_sd", "z", "p",
           "p_adjusted", "share_of_ceiling", "share_of_neuron_oracle"]  # fmt: skip


@pytest.fixture(scope="module")
def verdict(summary) -> pd.DataFrame:
    return pd.read_csv(summary / "verdict.csv")


def test_the_verdict_is_of_the_methods_and_their_relabellings(results, verdict):
    assert list(verdict) == VERDICT
    assert list(dict.fromkeys(verdict["truth"])) == list(TRUTHS)
    for truth in TRUTHS:
        mine = verdict[verdict["truth"] == truth].set_index(["level", "method"])
        table = judged(results, "relabelled", truth)
        suffix = "" if truth == "change" else f"_{truth}"
        draws = np.load(results / f"exp-fl-5-7_relabelled{suffix}.npy")
        assert draws.dtype == np.float64
        assert set(mine.index) == set(zip(table["level"], table["method"], strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            z_null = (draws - table[["null_mean"]].to_numpy()) / table[["null_sd"]].to_numpy()
            z = (table["lift"] - table["null_mean"]) / table["null_sd"]
        real = (table["null_sd"] > 0).to_numpy()
        largest = np.abs(z_null[real]).max(axis=0)
        count = draws.shape[1] + 1
        for i, row in table.iterrows():
            found = mine.loc[(row["level"], row["method"])]
            assert found["lift"] == pytest.approx(row["lift"])
            assert (found["n_folds"], found["k"]) == (1, R)
            if not real[i]:
                assert found[["z", "p", "p_adjusted"]].isna().all()
                continue
            size = abs(z[i]) * (1 - 1e-9)
            assert found["z"] == pytest.approx(z[i])
            assert found["p"] == pytest.approx((1 + (np.abs(z_null[i]) >= size).sum()) / count)
            assert found["p_adjusted"] == pytest.approx((1 + (largest >= size).sum()) / count)


def test_shares_are_of_the_way_from_chance(results, verdict, summary):
    ends = {}
    for truth in TRUTHS:
        table = judged(results, "scores", truth)
        table = table[table["n"].isna()]
        for name in ("replays (ceiling)", "neuron oracle"):
            lifts = table.loc[table["method"] == name, "lift@1%"]
            ends[truth, name] = lifts.mean() if len(lifts) else np.nan
    for row in verdict.itertuples(index=False):
        for name, found in (("replays (ceiling)", row.share_of_ceiling),
                            ("neuron oracle", row.share_of_neuron_oracle)):  # fmt: skip
            best = ends[row.truth, name]
            if best > 1:
                assert found == pytest.approx((row.lift - 1) / (best - 1))
            else:
                assert np.isnan(found)
    assert ends["change", "replays (ceiling)"] > 1
    assert np.isnan(ends["pooled", "replays (ceiling)"])


def test_truths_are_compared_by_the_order_of_methods(verdict, summary):
    table = pd.read_csv(summary / "truths.csv")
    assert list(table) == ["truth_a", "truth_b", "n_methods", "kendall_tau"]
    pairs = list(zip(table["truth_a"], table["truth_b"], strict=True))
    assert pairs == [("change", "pooled"), ("change", "repair"), ("pooled", "repair")]
    lifts = {t: rows.set_index(["level", "method"])["lift"] for t, rows in verdict.groupby("truth")}
    for (a, b), row in zip(pairs, table.itertuples(index=False), strict=True):
        both = pd.concat([lifts[a], lifts[b]], axis=1, join="inner").to_numpy()
        assert row.n_methods == len(both)
        tau = kendalltau(both[:, 0], both[:, 1]).statistic
        assert row.kendall_tau == pytest.approx(tau, nan_ok=True)


def test_the_layer_is_asked_whether_it_matters(results, summary):
    row = pd.read_csv(summary / "layer.csv").iloc[0]
    repair = pd.read_csv(results / "ground_truth" / "repair.csv").set_index("setting").loc["all"]
    share = (repair["loss_m1"] - repair["loss_transplanted"]) / repair["loss_m1"]
    assert row["share_recovered"] == pytest.approx(share)
    assert (row["fold"], row["n_test"]) == (0, repair["n_test"])


def test_every_table_says_of_which_truth_it_is(summary):
    for name in ("verdict", "summary", "comparisons"):
        assert set(pd.read_csv(summary / f"{name}.csv")["truth"]) == set(TRUTHS), name
    times = pd.read_csv(summary / "times.csv")
    assert set(times["truth"].dropna()) == set(TRUTHS)
    at = times.set_index("method")["truth"]
    assert at["pooled"] == "pooled" and at["repair credit"] == "repair"
    assert at["ground_truth"].iloc[0] == "change" and pd.isna(at["weight/bl"].iloc[0])
    latex = (summary / "tables.tex").read_text(encoding="utf-8")
    for truth in TRUTHS:
        assert rf"\label{{tab:{truth}-weights}}" in latex


def test_figures_of_a_truth_lie_in_its_folder(summary):
    figures = summary / "figures"
    across = {path.stem for path in figures.glob("*.png")}
    assert across >= {"truths_1col", "ceiling_1col", "specificity_1col"}
    assert not list(figures.rglob("*_2col.*"))  # where no constant asks for it
    names = {truth: {path.name for path in (figures / truth).iterdir()} for truth in TRUTHS}
    assert names["change"] == names["pooled"] == names["repair"]
    assert {"metrics_at_k_1col.png", "locations_1col.pdf"} <= names["change"]
    captions = (figures / "captions.txt").read_text(encoding="utf-8")
    for name in ("truths: ", "ceiling: ", "specificity: ", "repair/settings: ", "pooled/time: "):
        assert f"\n\n{name}" in f"\n\n{captions}", name
    assert "{" not in captions


def test_results_have_no_files_that_are_not_specified(results):
    names = {path.name for path in (results / "ground_truth").iterdir()}
    assert names == {
        "abs_diff.npy", "ranking.npy", "top_n1.csv", "summary.csv", "hist_abs_diff.png",
        "hist_abs_diff.pdf", "replay1_abs_diff.npy", "replay2_abs_diff.npy", "pooled_abs_diff.npy",
        "agreement.csv", "optimizer_step.npy", "repair.csv",
    }  # fmt: skip
    tasks = json.loads((results / "provenance.json").read_text())["tasks"]
    recorded = {name for task in tasks.values() for name in task["outputs"]}
    present = {path.relative_to(results).as_posix() for path in results.rglob("*.*")
               if path.is_file() and path.name != ".hashes.json"}  # fmt: skip
    left = {name for name in present - recorded if not name.endswith("_time.csv")}
    assert left == {"provenance.json"}
