"""What a workflow manager is told: what the ledger has on record, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pipeline
import pytest

from utils.run import stamps
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths

STEPS = range(11)


@pytest.fixture
def paths(tmp_path):
    """A fold with a record of two steps, a checkpoint and a user's scores."""
    paths = FoldPaths(tmp_path, "digits", 3)
    (paths.results / "all").mkdir(parents=True)
    (paths.results / "all" / "weight_bl_score.npy").write_bytes(b"ours")
    (paths.training / "checkpoint-5").mkdir(parents=True)
    (paths.training / "checkpoint-5" / "model.safetensors").write_bytes(b"weights")
    write_record(paths, 5, {"all/weight_bl_score.npy": "abc"}, SEED=1)
    write_record(paths, 7, {}, SEED=1)
    for step in STEPS:
        paths.stamp(step).parent.mkdir(exist_ok=True)
        paths.stamp(step).write_text(stamps.stamp_of(paths, step) + "\n")
    return paths


def write_record(paths, step, outputs, run="run-1", times=(), **constants):
    content = {"tasks": {}}
    if paths.provenance.is_file():
        content = json.loads(paths.provenance.read_text())
    recipe = {"inputs": {}, "constants": constants, "code": {}}
    task = {"step": step, "run": run, "recipe": recipe, "outputs": outputs, "times": list(times)}
    content["tasks"][f"{step}/a task"] = task
    paths.provenance.write_text(json.dumps(content))


def forgotten(paths):
    """The steps whose stamps are no longer true."""
    stamps.forget_untrue(paths, STEPS)
    return [step for step in STEPS if not paths.stamp(step).exists()]


def test_true_stamps_stay(paths):
    assert forgotten(paths) == []


def test_made_again_with_the_same_recipe_and_results_is_the_same(paths):
    write_record(paths, 5, {"all/weight_bl_score.npy": "abc"}, "run-2", [{"elapsed_s": 3}], SEED=1)
    assert forgotten(paths) == []


def test_another_recipe_or_result_is_another_stamp_of_that_step_alone(paths):
    write_record(paths, 7, {}, SEED=2)
    assert forgotten(paths) == [7]
    write_record(paths, 5, {"all/weight_bl_score.npy": "def"}, SEED=1)
    assert forgotten(paths) == [5, 7]


def test_a_result_that_was_taken_away_is_missed(paths):
    (paths.results / "all" / "weight_bl_score.npy").unlink()
    assert forgotten(paths) == [5]


def test_a_record_that_was_taken_away_is_missed(paths):
    paths.provenance.unlink()
    assert {5, 7} <= set(forgotten(paths))


def test_another_checkpoint_is_seen(paths):
    (paths.training / "checkpoint-5" / "model.safetensors").write_bytes(b"others!")
    os.utime(paths.training / "checkpoint-5" / "model.safetensors", ns=(1, 1))
    assert forgotten(paths) == [0]


def test_a_users_scores_are_seen_and_ours_are_known(paths):
    (paths.results / "all" / "weight_mine_score.npy").write_bytes(b"mine")
    assert forgotten(paths) == [7, 8, 10]


def test_a_summary_is_of_its_own_record(tmp_path):
    """The page, a task of step 7, is made anew by steps 8 to 10: that undoes no stamp."""
    paths = SummaryPaths(tmp_path, "digits", other_folds=(0, 1))
    paths.results.mkdir(parents=True)
    paths.stamp(7).parent.mkdir()
    for step in (7, 8, 9, 10):
        write_record(paths, 7, {}, SEED=step)
        paths.stamp(step).write_text(stamps.stamp_of(paths, step))
    there = {step for step in STEPS if step not in forgotten(paths)}
    assert there == {7, 8, 9, 10}
    write_record(paths, 7, {}, SEED=1)
    assert forgotten(paths) == list(STEPS)
    assert paths.stamp(7).name == "digits_summary_fold0_1_step7"


def test_constants_and_code_decide_whether_steps_are_called(tmp_path, monkeypatch):
    shutil.copytree(pipeline.ROOT / "utils", tmp_path / "utils")
    shutil.copy(pipeline.ROOT / "exp-fl-5-4.py", tmp_path)
    monkeypatch.setattr(stamps, "REPOSITORY", tmp_path)
    seen = {stamps.code_and_constants()}
    for name in ("utils/constants.py", "utils/judge/scores/metrics.py", "exp-fl-5-4.py"):
        path = tmp_path / name
        path.write_text(path.read_text() + "X = 1\n")
        seen.add(stamps.code_and_constants())
    assert len(seen) == 4
    mine = tmp_path / "mine.py"
    mine.write_text("nothing of ours")
    assert stamps.code_and_constants() in seen
    assert stamps.code_and_constants([mine]) not in seen


def test_the_command_prints_the_stamp(paths):
    done = subprocess.run(
        [sys.executable, "-S", "-m", "utils.run.stamps", "--root", str(paths.root),
         "--ds", "digits", "--fold", "3", "--step", "5"],
        cwd=pipeline.ROOT, capture_output=True, text=True,
    )  # fmt: skip
    # -S: no package is there, as in an environment that has Snakemake alone
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == paths.stamp(5).read_text()


SBATCH = pipeline.ROOT / "cluster" / "fold.sbatch"


def calls(folder: Path, *options: str, fails: str = "nothing", **environment: str):
    """The commands of the batch script, by a python that only notes what it is called with."""
    noting = folder / "python"
    noting.write_text(
        f'#!/bin/bash\necho "$OMP_NUM_THREADS $*" >> {folder}/calls\n[[ $1 != {fails} ]]\n'
    )
    noting.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "OMP"))}
    done = subprocess.run(
        ["bash", str(SBATCH), *options], capture_output=True, text=True,
        env=kept | {"PYTHON": str(noting)} | environment,
    )  # fmt: skip
    return done.returncode, (folder / "calls").read_text().splitlines()


def test_a_task_of_the_array_is_a_fold(tmp_path):
    where = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "4"}
    status, made = calls(tmp_path, "--ds", "digits", **where)
    wanted = [f"4 exp-fl-5-{step}.py --fold 3 --ds digits" for step in STEPS]
    wanted[7:] = [f"{line} --only-folds" for line in wanted[7:]]
    assert (status, made) == (0, wanted)


def test_without_an_array_it_is_the_summary(tmp_path):
    status, made = calls(tmp_path, "--ds", "digits", "--fold", "0", "1")
    steps = (7, 8, 9, 10)
    wanted = [f"1 exp-fl-5-{step}.py --ds digits --fold 0 1 --only-summary" for step in steps]
    assert (status, made) == (0, wanted)


def test_a_step_that_fails_ends_the_task(tmp_path):
    status, made = calls(tmp_path, fails="exp-fl-5-4.py", SLURM_ARRAY_TASK_ID="0")
    assert status == 1 and made[-1].startswith("1 exp-fl-5-4.py") and len(made) == 5


def test_the_batch_script_needs_no_package_and_may_be_sent_again():
    text = SBATCH.read_text()
    assert "#SBATCH --requeue" in text and "set -euo pipefail" in text


def test_profiles_leave_code_to_the_ledger():
    import yaml

    for name in ("local", "slurm"):
        path = pipeline.ROOT / "workflow" / "profiles" / name / "config.yaml"
        profile = yaml.safe_load(path.read_text())
        assert profile["rerun-triggers"] == ["mtime", "params", "input"]
        assert profile["rerun-incomplete"] is True
    assert profile["executor"] == "slurm" and profile["slurm-status-command"] == "squeue"
    assert profile["slurm-init-seconds-before-status-checks"] <= 10
