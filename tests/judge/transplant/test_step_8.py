"""Step 8 on a tiny fold: which rows there are, what is kept, and what is refused."""

import math
import shutil
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pipeline
import pytest
import torch

from utils.judge.layers import swap as layers
from utils.judge.transplant import fold as transplants
from utils.judge.transplant import walk as transplant
from utils.model import forward

FOLD = Path("exp-fl-5") / pipeline.NAME


@pytest.fixture(scope="module")
def done(stages, server, tmp_path_factory):
    """A fold after step 8."""
    root = tmp_path_factory.mktemp("step8") / "root"
    shutil.copytree(stages[pipeline.SUMMARY].before, root)
    finished = server.run(8, root)
    assert finished.status == 0, finished.stderr
    return root, finished


@pytest.fixture
def root(done, tmp_path):
    return shutil.copytree(done[0], tmp_path / "root")


def table_of(root):
    return pd.read_csv(root / FOLD / "exp-fl-5-8_transplant.csv")


def test_rows_and_columns(done):
    root, finished = done
    table = table_of(root)
    assert list(table.columns) == transplant.COLUMNS
    settings = pd.read_csv(root / FOLD / "misclf_info" / "settings.csv", encoding="utf-8-sig")
    usable = list(settings.loc[settings["status"] == "ok", "setting"])
    assert list(dict.fromkeys(table["setting"])) == usable
    expected = {("weight", "change"), ("weight (from neuron)", "neuron oracle")}
    expected |= {("weight", "random")}
    lifted = {"weight": "weight", "neuron": "weight (from neuron)"}
    expected |= {(lifted[level], name) for level, name in pipeline.few_methods()}
    every = table[table["setting"] == "all"]
    found = set(zip(every["level"], every["method"], strict=True))
    assert expected <= found <= expected | {("weight", "repair credit")}
    for _, rows in every.groupby(["level", "method"]):
        assert set(rows["k_percent"]) == {*transplants.PERCENTS, 100} | {budget_percent(table)}
        assert rows["k"].is_monotonic_increasing and rows["k"].iloc[-1] == table["k"].max()
    other = table[table["setting"] != "all"]
    assert set(other["k_percent"]) == {1, budget_percent(table)}
    free = {name for (_, name), method in pipeline.few_methods().items() if not method.per_setting}
    assert not free & set(other["method"]) and {"bl", "change", "random"} <= set(other["method"])
    assert table["k"].max() == 2 * 8 * 32
    assert "A transplant needs M2" in finished.stdout


def budget_percent(table):
    (percent,) = set(table["k_percent"]) - {*transplants.PERCENTS, 100}
    return percent


def test_the_whole_ends_every_ranking_and_shares_follow(done):
    table = table_of(done[0])
    whole = table[table["k_percent"] == 100]
    assert whole["loss"].nunique() == 1
    ends = pd.read_csv(done[0] / FOLD / "exp-fl-5-8_ends.csv")
    recovered = ends["loss"][0] - ends["loss"][1]
    assert whole["loss_recovered"].to_numpy() == pytest.approx(recovered)
    if recovered > 0:
        assert whole["share_recovered"].to_numpy() == pytest.approx(1)
        assert table["share_recovered"].to_numpy() == pytest.approx(
            table["loss_recovered"].to_numpy() / recovered
        )
    else:
        assert table["share_recovered"].isna().all()
    assert table["loss_recovered"].to_numpy() == pytest.approx(ends["loss"][0] - table["loss"])


def models_of(root):
    """M1 and M2 in float64, and the test split's pixels and labels."""
    training = root / f"out_vit_{pipeline.NAME}"
    found = [forward.load_model(training / f"checkpoint-{n}").double() for n in (10, 20)]
    split = datasets.load_from_disk(root / "dataset" / pipeline.NAME)["test"]
    images = np.stack([np.asarray(image) for image in split["img"]])
    pixels = torch.from_numpy((images / 255 - 0.5) / 0.5).double()[:, None]
    return *found, pixels, np.array(split["label"])


def test_the_way_back_is_that_of_the_whole_m2_with_m1s_values(done):
    """Real M2, all of its layers its own: not M2's two matrices on M1's states."""
    root = done[0]
    back, forth = read_back(root), table_of(root)
    assert list(back.columns) == transplant.COLUMNS and set(back["setting"]) == {"all"}
    under_all = forth[forth["setting"] == "all"].reset_index(drop=True)
    for name in ("level", "method", "k_percent", "k", "samples", "target_samples"):
        assert back[name].equals(under_all[name])
    m1, m2, pixels, labels = models_of(root)
    matrices = [model.vit.layers[-1].mlp for model in (m1, m2)]
    m1_flat, m2_flat = (
        torch.cat([mlp.fc1.weight.ravel(), mlp.fc2.weight.ravel()]).detach() for mlp in matrices
    )
    m = len(matrices[0].fc1.bias)

    @torch.no_grad()
    def judged(flat):
        half = len(flat) // 2
        matrices[1].fc1.weight.copy_(flat[:half].view(m, -1))
        matrices[1].fc2.weight.copy_(flat[half:].view(-1, m))
        logits = m2(pixel_values=pixels).logits
        loss = float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)))
        return loss, logits.argmax(1).numpy() == labels

    own, right = judged(m2_flat)
    whole = judged(m1_flat)[0]
    order = np.load(root / FOLD / "ground_truth" / "ranking.npy")
    rows = back[(back["method"] == "change") & (back["k"] > 0)]
    assert len(rows) == 11
    failing = np.load(root / FOLD / "misclf_info" / "all_neg_test.npy")
    for row in rows.itertuples():
        flat = m2_flat.clone()
        flat[order[: row.k].astype(int)] = m1_flat[order[: row.k].astype(int)]
        loss, now = judged(flat)
        assert row.loss == pytest.approx(loss, rel=1e-4)
        assert row.loss_recovered == pytest.approx(loss - own, abs=1e-4)
        assert row.repaired == (now & ~right).sum() and row.broken == (right & ~now).sum()
        assert row.target_repaired == now[failing].sum()
        if whole > own:
            assert row.share_recovered == pytest.approx((loss - own) / (whole - own), abs=1e-3)
        else:
            assert math.isnan(row.share_recovered)
    states = np.load(root / FOLD / "cache_states_test" / "hidden_before_layernorm.npy")
    m2_states = np.load(root / FOLD / "cache_states_test_m2" / "hidden_before_layernorm.npy")
    assert m2_states.shape == states.shape and not np.allclose(states, m2_states, atol=1e-3)


def read_back(root):
    return pd.read_csv(root / FOLD / "exp-fl-5-8_transplant_back.csv")


def test_without_the_truth_repair_there_are_no_rows_of_the_credit(done, server, tmp_path):
    root = shutil.copytree(done[0], tmp_path / "root")
    constants = pipeline.QUICK | {"TRUTHS": ("change",)}
    for step in (7, 8):
        finished = server.run(step, root, constants=constants, summary=False)
        assert finished.status == 0, finished.stderr
    for table, before in (
        (table_of(root), table_of(done[0])),
        (read_back(root), read_back(done[0])),
    ):
        kept = before[before["method"] != "repair credit"].reset_index(drop=True)
        assert table.equals(kept) and len(kept) < len(before)


def test_layers_are_put_in_and_put_back(done, stages, server, tmp_path):
    table = pd.read_csv(done[0] / FOLD / "exp-fl-5-8_layers.csv")
    assert list(table.columns) == layers.COLUMNS and len(table) == 2 * 6
    assert set(table["direction"]) == {"into_m1", "back_to_m1"}
    assert set(table["samples"]) == {60}  # digits: every image of the test split
    assert list(table["layer"].dropna()) == 2 * [0, 0, 1, 1]
    root = shutil.copytree(stages[pipeline.SUMMARY].before, tmp_path / "root")
    assert server.run(8, root, constants={"LAYER_SAMPLES": 0}).status == 0
    assert not list((root / FOLD).glob("*layers*"))


def test_running_again_makes_nothing_and_anew_the_same_bytes(root, server):
    before = pipeline.results(root)
    again = server.run(8, root)
    assert again.status == 0 and not [p for p in again.points if "transplant" in p]
    assert pipeline.results(root) == before
    for path in (root / FOLD).rglob("*transplant*.csv"):
        path.unlink()
    assert server.run(8, root).status == 0
    assert pipeline.results(root) == before


def test_a_users_method_is_transplanted_and_the_others_are_kept(root, server):
    size = table_of(root)["k"].max()
    scores = np.random.default_rng(0).random(size, dtype=np.float32)
    np.save(root / FOLD / "all" / "weight_=mine_score.npy", scores)
    finished = server.run(8, root)
    assert finished.status == 0, finished.stderr
    made = {p for p in finished.points if p.startswith("rename") and "_transplant" in p}
    made = {p for p in made if "summary" not in p}
    assert len(made) == 4  # its rows, and the table, of each way
    assert "=mine" in finished.stdout and (table_of(root)["method"] == "'=mine").sum() == 11


def test_a_users_bad_file_is_left_out_and_the_others_go_on(root, server):
    np.save(root / FOLD / "all" / "weight_short_score.npy", np.zeros(3, np.float32))
    finished = server.run(8, root)
    assert finished.status == 2 and "weight_short_score.npy has shape" in finished.stderr
    assert "short" not in set(table_of(root)["method"])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("all/weight_bl_ranking.npy", "exp-fl-5-5.py"),
        ("cache_states_test/hidden_before_layernorm.npy", "exp-fl-5-3.py"),
        ("all/neuron_oracle_ranking.npy", "exp-fl-5-7.py"),
    ],
)
def test_a_missing_or_changed_file_is_refused_in_one_line(root, server, path, words):
    (root / FOLD / "exp-fl-5-8_transplant.csv").unlink()
    values = np.array(np.load(root / FOLD / path))
    for change in (lambda f: np.save(f, values[::-1]), Path.unlink):
        change(root / FOLD / path)
        finished = server.run(8, root)
        assert finished.status == 2
        (line,) = finished.stderr.splitlines()
        assert path in line and words in line
        assert not any("_transplant.csv" in point for point in finished.points)


def test_rankings_of_another_m1_are_refused(root, server):
    model = pipeline.make_model(seed=5)
    model.save_pretrained(root / f"out_vit_{pipeline.NAME}" / "checkpoint-10")
    finished = server.run(8, root)
    assert finished.status == 2
    (line,) = finished.stderr.splitlines()
    assert "M1 has changed" in line and "run exp-fl-5-" in line


def test_folds_that_were_trained_differently_are_refused(root, server):
    """Fold 1 is fold 0 again, trained with other batches as its checkpoints say."""
    for fold, batch in ((1, 8), (0, 16)):
        training = root / f"out_vit_digits_fold{fold}"
        if fold:
            shutil.copytree(root / "out_vit_digits_fold0", training)
            shutil.copytree(root / f"dataset/{pipeline.NAME}", root / "dataset/digits_fold1")
        for number in (1, 2):
            state = training / f"checkpoint-{10 * number}"
            pipeline.write_state(state, number, train_batch_size=batch)
    more = {"constants": pipeline.QUICK, "summary": False}
    for step in (1, 2, 3, 4, 5, 6, 7):
        assert server.run(step, root, "--fold", "1", **more).status == 0
    known = pipeline.results(root)
    finished = server.run(8, root, "--fold", "0", "1", constants=pipeline.QUICK)
    assert finished.status == 2
    (line,) = finished.stderr.splitlines()
    assert "train_batch_size is 16 in fold 0 and 8 in fold 1" in line and "--mix-constants" in line
    assert not [name for name in set(pipeline.results(root)) - set(known) if "summary" in name]
    mixed = server.run(8, root, "--fold", "0", "1", "--mix-constants", constants=pipeline.QUICK)
    assert mixed.status == 0, mixed.stderr


def test_a_table_that_is_out_of_date_is_left_out_of_the_summary(root, server):
    """Step 9 after a new seed: what step 8 found is of the old one."""
    constants = pipeline.QUICK | {"SEED": 5}
    finished = server.run(9, root, constants=constants)
    assert finished.status == 0, finished.stderr
    lines = [line for line in finished.stdout.splitlines() if line.startswith("left out: ")]
    (line,) = [line for line in lines if "exp-fl-5-8_transplant.csv" in line]
    assert "SEED was 777, now 5" in line and "run exp-fl-5-8.py --ds digits --fold 0" in line
    assert not list((root / "exp-fl-5").glob("digits_summary*/transplant.csv"))
