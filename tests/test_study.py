"""The base model: IDX files, benchmarks.pretrain and step 0 through the scripts, 600 pictures."""

import json
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pipeline
import pytest
import torch
from idx_files import pictures, write_split
from safetensors.torch import load_file
from transformers import ViTForImageClassification, ViTImageProcessor

from benchmarks import pretrain
from benchmarks.study import check, collect
from benchmarks.study import run as study
from benchmarks.study.page import read
from utils.constants import PROFILES
from utils.errors import UserError
from utils.model import checkpoints, configs, finetuning
from utils.model.training import BASE_CONTENT
from utils.run.hashing import HashCache, hash_file
from utils.run.paths import FoldPaths
from utils.run.storage import save_table

ROOT = Path(__file__).resolve().parent.parent
FASHION = PROFILES["fashion"]
STEPS = 3
COMMIT = "c" * 40


# A method of each kind, few draws, one fault of either kind: each by itself is tested elsewhere.
METHODS = ("grad_loss", "bl", "magnitude", "ig", "vdiff")
LESS = pipeline.QUICK | {
    "METHODS_TO_RUN": METHODS,
    "PLANTED_FAULTS": 1,
    "LAYER_SAMPLES": 16,
    "TOP_RANKS": 1,
}


def in_forks(server, root: Path, command: list[str]) -> dict[str, float]:
    """For `bench_fold.run_process`, without the cold start of each script; made-up memory."""
    step = int(command[0].removeprefix("exp-fl-5-").removesuffix(".py"))
    started = time.perf_counter()
    done = server.run(step, root, *command[1:], cwd=str(root), constants=LESS, draw=True)
    if done.status:
        raise RuntimeError(done.stderr)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "cpu_s": 2 * seconds, "peak_mib": 100.0 + step}


OF_BASE = ("--ds", "fashion", "--data-dir", "idx")


def pretrain_here(monkeypatch, capsys, root: Path, *options: str) -> tuple[int, str, str]:
    """Exit status and both outputs of benchmarks.pretrain."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["pretrain", *OF_BASE, *options])
    return pretrain.main(), *capsys.readouterr()


@pytest.fixture(scope="module")
def root(server, tmp_path_factory) -> Path:
    """600 pictures, the base model made of them, and fold 0 trained from it."""
    root = tmp_path_factory.mktemp("fashion")
    write_split(root / "idx", "train", *pictures(600, 0), packed=True)
    write_split(root / "idx", "t10k", *pictures(40, 1), packed=True)
    steps = ["--steps", str(STEPS), "--patch", "7"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pretrain", *OF_BASE, *steps], cwd=root,
        env=pipeline.ENVIRONMENT | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"base_vit_fashion: {STEPS} steps with seed 777 on 540 pictures" in done.stdout
    from_base = ["--base-model", str(root / "base_vit_fashion"), "--fold", "0", "--replays", "1"]
    in_forks(server, root, ["exp-fl-5-0.py", *OF_BASE, *from_base])
    return root


@pytest.fixture(scope="module")
def base(root) -> Path:
    return root / "base_vit_fashion"


def test_the_record_says_how_the_base_was_made(base):
    record = json.loads((base / "pretrain.json").read_text())
    assert (record["seed"], record["steps"]) == (777, STEPS)
    assert (record["pictures"], record["held_out_pictures"]) == (540, 60)
    assert record["sha256"] == hash_file(base / "model.safetensors")
    assert 0 <= record["accuracy_on_held_out"] <= 1


def test_a_classifier_of_other_classes_is_made_from_the_base(base):
    model, feeding = finetuning.build_model(FASHION, str(base), ["a", "b", "c"])
    config = model.config
    assert (config.hidden_size, config.intermediate_size, config.num_hidden_layers) == (128, 512, 4)
    assert model.classifier.weight.shape == (3, 128)
    kept = load_file(base / "model.safetensors")
    loaded = ViTForImageClassification.from_pretrained(base, num_labels=3).vit
    for one in (model.vit, loaded):  # by the values: names in files are those of 4.x
        found = sorted(float(p.double().abs().sum()) for p in one.parameters())
        assert found == sorted(float(t.double().abs().sum()) for t in kept.values())
    assert feeding.saved.size == ViTImageProcessor.from_pretrained(base).size
    assert list(feeding.saved.image_mean) == [0.5]


def test_step_0_trains_a_fold_of_idx_files_from_the_base(root, base):
    fold = datasets.load_from_disk(str(root / "dataset" / "fashion_fold0"))
    assert {split: len(rows) for split, rows in fold.items()} == {
        "train": 480, "repair": 120, "test": 40,
    }  # fmt: skip
    assert fold["test"].features["label"].names == list(FASHION.class_names)
    training = root / "out_vit_fashion_fold0"
    steps = -(-480 // FASHION.batch_size)
    for name in (f"checkpoint-{steps}", f"checkpoint-{2 * steps}"):
        assert configs.class_names(configs.read_config(training / name)) == list(
            FASHION.class_names
        )
    assert (training / "replay-1").is_dir()


def test_step_0_records_what_the_base_was(root, base):
    (record,) = (
        json.loads(file.read_text())
        for file in (root / "out_vit_fashion_fold0").glob("*.json")
        if BASE_CONTENT in file.read_text()
    )
    hashes = HashCache(root / "hashes")
    assert record[BASE_CONTENT] == checkpoints.hash_checkpoint(base, hashes)
    assert record["base_model"] == FASHION.base_model


def test_a_base_that_is_there_is_kept_and_another_is_refused(monkeypatch, capsys, root, base):
    def pretrained(*options: str) -> tuple[int, str, str]:
        return pretrain_here(monkeypatch, capsys, root, *options)

    before = (base / "model.safetensors").stat().st_mtime_ns
    assert "kept as it is" in pretrained("--steps", str(STEPS), "--patch", "7")[1]
    status, out, err = pretrained("--steps", "4", "--patch", "7")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "was made otherwise (steps was 3, now 4)" in err
    status, _, err = pretrained("--out", "idx")
    assert status == 2 and "no readable pretrain.json" in err
    assert (base / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ds", "fashoin"], "--ds is fashoin; expected c100"),
        (["--steps", "0"], "give a number of at least 1"),
        (["--patch", "5"], "give a divisor of 28"),
        (["--data-dir", "broken"], "cut short"),
        (["--data-dir", "nowhere"], "is not a folder"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(monkeypatch, capsys, root, options, message):
    write_split(root / "broken", "train", *pictures(6, 0))
    file = root / "broken" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:999])
    before = sorted(root.iterdir())
    status, _, err = pretrain_here(monkeypatch, capsys, root, "--out", "new", *options)
    assert status == 2 and err.startswith("pretrain: ") and err.count("\n") == 1, err
    assert message in err
    assert sorted(root.iterdir()) == before


def weights(tmp_path: Path, train, test, seed: int = 777) -> bytes:
    """The weight file of a base of two steps."""
    folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
    (folder / "base").mkdir(parents=True)
    write_split(folder / "idx", "train", *train)
    write_split(folder / "idx", "t10k", *test)
    pretrain.make_base("fashion", folder / "idx", 2, seed, 7, folder / "base")
    return (folder / "base" / "model.safetensors").read_bytes()


def test_seed_and_training_pictures_alone_decide_the_bytes(tmp_path):
    images, labels = pictures(100, 0)
    first = weights(tmp_path, (images, labels), pictures(9, 1))
    assert weights(tmp_path, (images, labels[::-1].copy()), pictures(9, 2)) == first
    assert weights(tmp_path, (images, labels), pictures(9, 1), seed=778) != first
    assert weights(tmp_path, (images[::-1].copy(), labels), pictures(9, 1)) != first


def test_turned_pictures_are_quarter_turns():
    pixels = torch.rand(3, 1, 5, 5)
    seen, turns = pretrain.turned(pixels)
    assert seen.shape == (12, 1, 5, 5)
    for image, turn, number in zip(seen, turns.tolist(), range(12), strict=True):
        wanted = pixels[number % 3, 0].numpy()
        for _ in range(turn):  # row i of a turned picture is column -1 - i
            wanted = np.array([wanted[:, 4 - i] for i in range(5)])
        assert np.array_equal(image[0].numpy(), wanted)
    assert sorted(turns.tolist()) == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


@pytest.mark.parametrize("steps", [1, 2, 9, 100])
def test_the_learning_rate_rises_to_one_and_falls(steps):
    shares = [pretrain.share_of_rate(step, steps) for step in range(steps)]
    peak = int(np.argmax(shares))
    assert max(shares) == 1
    assert (np.diff(shares[: peak + 1]) > 0).all()
    assert (np.diff(shares[peak + 1 :]) < 0).all()
    assert min(shares) > 0


def test_turns_are_learned():
    """Pictures with a bar at the top: which side it is on tells the turn."""
    torch.manual_seed(0)
    pixels = torch.from_numpy(pictures(200, 0)[0] / np.float32(127.5) - 1)[:, None]
    model = pretrain.TurnTeller(
        pretrain.ViTConfig(**pretrain.SHAPE | {"num_hidden_layers": 1, "patch_size": 7})
    )
    assert pretrain.accuracy(model, pixels[150:]) < 0.5
    losses = pretrain.pretrain(model, pixels[:150], 40, torch.Generator().manual_seed(0))
    assert len(losses) == 40
    assert pretrain.accuracy(model, pixels[150:]) > 0.9


# The rest of the study: steps 1 to 10, its tables, and the comparison with a fresh run.


@pytest.fixture(scope="module")
def studied(server, root) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "run_process", partial(in_forks, server, root))
        study.run_study([0], root, root / "idx", jobs=1, steps=None)
    return root


@pytest.fixture(scope="module")
def tables(studied, tmp_path_factory) -> Path:
    """What would be docs/study/ of one fold."""
    out = tmp_path_factory.mktemp("docs") / "study"
    collect.collect(studied, [0], COMMIT, out)
    return out


def test_every_step_of_the_study_has_its_times(studied):
    times = pd.read_csv(studied / "study_times.csv", dtype={"fold": str})
    done = list(zip(times["step"], times["fold"], strict=True))
    # Of step 0 it had the second replay to make.
    assert done[:11] == [(step, "0") for step in range(11)]
    assert {fold for _, fold in done[11:]} == {"summary"}
    assert (times["cpu_s"] == 2 * times["seconds"]).all()
    assert (times["peak_mib"] == 100 + times["step"]).all()


def test_the_tables_are_those_of_the_results(studied, tables):
    copied = set(collect.COPIED)
    if not (studied / "exp-fl-5" / "fashion_summary_fold0" / "planted.csv").exists():
        copied.remove("planted")
    assert {path.stem for path in tables.glob("*.csv")} == {
        *copied, "training", "failures", "layers", "times", "base",
    }  # fmt: skip
    assert {path.stem for path in tables.glob("*.png")} == set(collect.FIGURES)
    for file in tables.glob("*.csv"):
        assert set(read(file)["commit"]) == {COMMIT}
    fold = FoldPaths(studied, "fashion", 0)
    (training,) = read(tables / "training.csv").to_dict("records")
    state = json.loads((fold.training / "checkpoint-16" / "trainer_state.json").read_text())
    logged = [entry["eval_accuracy"] for entry in state["log_history"] if "eval_loss" in entry]
    assert [training["m1_accuracy"], training["m2_accuracy"]] == logged
    (failures,) = read(tables / "failures.csv").to_dict("records")
    labels, logits = (np.load(fold.cache(name)) for name in ("labels", "logits"))
    assert failures["repair_images"] == 120
    assert failures["repair_failures"] == (logits.argmax(1) != labels).sum()
    methods = read(tables / "verdicts.csv")
    assert set(methods["method"]) == set(METHODS) and methods["retrained (adam)"].notna().all()
    layers = read(tables / "layers.csv")
    assert len(layers) == 2 * (2 * 4 + 2)  # both directions; 4 layers, embeddings and head


def test_a_fresh_run_agrees_with_itself_and_not_with_another(studied, tables, tmp_path):
    fresh = collect.gather(studied, [0])
    for name in fresh.keys() & set(check.COMPARED):
        committed = read(tables / f"{name}.csv")
        save_table(tmp_path / f"{name}.csv", fresh[name])
        now = read(tmp_path / f"{name}.csv")
        compared, off = check.compare(committed, now)
        assert off == [] and compared > 0, name
    moved = read(tables / "verdicts.csv")
    moved.loc[3, "repair"] += 0.06 + 0.05 * abs(moved.loc[3, "repair"])
    _, (line,) = check.compare(moved, read(tmp_path / "verdicts.csv"))
    assert line.startswith("repair ") and moved.loc[3, "method"] in line
    _, (line,) = check.compare(moved, read(tmp_path / "verdicts.csv").drop(columns="repair"))
    assert line == "no column repair"


def test_results_of_several_commits_or_of_changed_files_are_refused(studied, tmp_path):
    paths = FoldPaths(
        shutil.copytree(studied / "exp-fl-5", tmp_path / "exp-fl-5").parent, "fashion", 0
    )
    record = json.loads(paths.provenance.read_text())

    def refused(**changes) -> bool:
        for run_ in record["runs"].values():
            run_.update(git_commit="a" * 40, git_dirty=False)
        last = [run_ for run_ in record["runs"].values() if run_["step"] > 0][-1]
        last.update(changes)
        paths.provenance.write_text(json.dumps(record))
        try:
            return collect.require_one_commit([paths]) != "a" * 40
        except UserError as error:
            return "not of one commit without changes" in str(error)

    assert not refused()
    assert refused(git_dirty=True) and refused(git_commit="b" * 40) and refused(git_commit=None)
