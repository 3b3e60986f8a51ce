"""Two processes that talk through gloo train a fold together: M1 and M2 are whole."""

import json
import subprocess
import sys

import pipeline
import pytest
import safetensors.torch
import small_training
import torch
from small_training import SHAPE

from utils.model import checkpoints, configs, training
from utils.model.pair import find_pair, require_one_model
from utils.run.paths import FoldPaths

DRIVER = pipeline.ROOT / "tests" / "support" / "torchrun_step_0.py"
PROCESSES = 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("torchrun")
    small_training.make_source().save_to_disk(root / "source")
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={PROCESSES}",
            "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", str(DRIVER), "--ds", "digits",
            "--fold", "0", "--root", str(root), "--data-dir", str(root / "source"),
            "--replays", "0",
        ],
        capture_output=True, text=True, timeout=300,
        env=pipeline.ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return FoldPaths(root, "digits", 0), done


def test_both_checkpoints_are_whole(trained):
    paths, _ = trained
    training.require_finished(paths)
    pair = find_pair(paths)
    of_both = [configs.read_config(folder) for folder in (pair.m1, pair.m2)]
    require_one_model(pair, *of_both)
    states = []
    for folder in (pair.m1, pair.m2):
        weights = safetensors.torch.load_file(folder / "model.safetensors")
        assert all(torch.isfinite(values).all() for values in weights.values())
        optimizer = torch.load(folder / "optimizer.pt", weights_only=True)
        assert len(optimizer["state"]) == len(weights)
        # Each process goes on with random numbers of its own.
        assert len(list(folder.glob("rng_state_*.pth"))) == PROCESSES
        w_bef, w_aft = checkpoints.read_ffn(folder)
        d, m = SHAPE["hidden_size"], SHAPE["intermediate_size"]
        assert w_bef.shape == (m, d) and w_aft.shape == (d, m)
        states.append(weights)
    before, after = states
    assert before.keys() == after.keys()
    assert any((before[name] != after[name]).any() for name in before)
    assert not list(paths.root.rglob(".tmp-*"))


def test_the_processes_share_the_batches(trained):
    """40 images, each seen twice in an epoch, in batches of 8 as with one process: 4 for each."""
    paths, _ = trained
    pair = find_pair(paths)
    assert [folder.name for folder in (pair.m1, pair.m2)] == ["checkpoint-10", "checkpoint-20"]
    state = json.loads((pair.m2 / "trainer_state.json").read_text())
    assert state["global_step"] == state["max_steps"] == 20 and state["epoch"] == 2
    assert state["train_batch_size"] == 8 // PROCESSES


def test_one_process_speaks(trained):
    paths, done = trained
    assert done.stdout.count("exp-fl-5-0.py: digits_fold0") == 1
    assert paths.log(0).read_text().count("exp-fl-5-0.py: digits_fold0") == 1
