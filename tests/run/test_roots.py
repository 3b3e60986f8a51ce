"""Inputs that lie elsewhere, or that may only be read; which pair is taken; what messages say."""

import argparse
import json
import shutil
from pathlib import Path

import pipeline
import pytest
from pipeline import NAME, STAGES, run_stage

from utils.run import cli, log
from utils.run.paths import FoldPaths

RESULTS = Path("exp-fl-5") / NAME
TRAINING = Path(f"out_vit_{NAME}")
STEPS = STAGES[:-1]


def runs(root: Path) -> list[dict]:
    return list(json.loads((root / RESULTS / "provenance.json").read_text())["runs"].values())


# -- folders -----------------------------------------------------------------------------------


@pytest.fixture
def apart(stages, tmp_path) -> Path:
    """A fold whose data, training and results have a root each."""
    whole = stages[1].before
    shutil.copytree(whole / "dataset", tmp_path / "data disk" / "dataset")
    shutil.copytree(whole / TRAINING, tmp_path / "training" / TRAINING)
    (tmp_path / "root").mkdir()
    return tmp_path


def roots(apart: Path) -> list[str]:
    return ["--data-root", str(apart / "data disk"), "--training-root", str(apart / "training")]


def test_data_and_training_may_have_roots_of_their_own(server, stages, apart):
    root = apart / "root"
    for step in STEPS:
        done = run_stage(server, step, root, *roots(apart))
        assert done.status == 0, done.stderr
    assert pipeline.results(root) == stages[7].after
    assert [path.name for path in root.iterdir()] == ["exp-fl-5"]
    assert (apart / "training" / TRAINING / "logs" / "exp-fl-5-1.log").is_file()
    assert runs(root)[0]["folders"] == {
        "dataset": str(apart / "data disk" / "dataset" / NAME),
        "training": str(apart / "training" / TRAINING),
    }


def test_nothing_is_redone_where_the_inputs_have_moved(server, stages, apart):
    root = shutil.copytree(stages[pipeline.SUMMARY].before, apart / "whole")
    shutil.rmtree(root / "dataset")
    shutil.rmtree(root / TRAINING)
    for step in (1, 2, 5, 7):
        done = run_stage(server, step, root, *roots(apart))
        assert done.status == 0, done.stderr
        written = [p for p in done.points if p.startswith("rename ")]
        assert all(point.endswith((".hashes.json", "_time.csv")) for point in written)


def test_step_0_makes_its_folders_below_their_roots(server, apart):
    shutil.rmtree(apart / "data disk" / "dataset")
    done = server.run(0, apart / "root", *roots(apart))
    assert done.status == 0, done.stderr
    assert (apart / "data disk" / "dataset" / NAME / "repair").is_dir()
    assert [path.name for path in (apart / "root").iterdir()] == ["exp-fl-5"]


@pytest.mark.parametrize("option", ["--data-root", "--training-root"])
def test_a_root_that_is_no_folder_is_refused(server, apart, option):
    done = server.run(2, apart / "root", *roots(apart), option, str(apart / "absent"))
    assert done.status == 2
    (line,) = done.stderr.splitlines()
    assert f"absent is not a folder; {option} names the one" in line


def test_a_message_has_the_whole_command(server, apart):
    """As it can be typed: with every root, and the pair for the steps that have one."""
    done = server.run(4, apart / "root", *roots(apart), "--m1", "10", "--m2", "20", "--accept-pair")
    assert done.status == 2
    (line,) = done.stderr.splitlines()
    command = (
        f"run exp-fl-5-2.py --ds digits --fold 0 --root {apart / 'root'} "
        f"--data-root '{apart / 'data disk'}' --training-root {apart / 'training'} "
        "--m1 10 --m2 20 --accept-pair first"
    )
    assert line.endswith(command)
    for step in (10, 20):
        shutil.rmtree(apart / "training" / TRAINING / f"checkpoint-{step}")
    done = server.run(1, apart / "root", *roots(apart), "--accept-pair")
    assert f"--training-root {apart / 'training'} again" in done.stderr
    assert "run exp-fl-5-0.py --ds digits --fold 0 --root" in done.stderr
    assert "--accept-pair" not in done.stderr


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ({}, ""),
        ({"root": Path("a b")}, " --root 'a b'"),
        ({"data_root": Path("d")}, " --data-root d"),
        ({"root": Path("r"), "training_root": Path("t")}, " --root r --training-root t"),
        ({"m1_step": 0, "m2_step": None}, " --m1 0"),
    ],
)
def test_options_that_were_not_given_are_not_added(given, added):
    args = argparse.Namespace(**{"root": Path()} | given)
    said = cli.whole_commands("is old; run exp-fl-5-4.py again", FoldPaths(Path(), "c100", 3), args)
    assert said == f"is old; run exp-fl-5-4.py --ds c100 --fold 3{added} again"


# -- folders that may only be read -------------------------------------------------------------


def test_inputs_that_may_only_be_read_are_enough(server, stages, apart, read_only):
    root = apart / "root"
    for folder in [p for p in apart.rglob("*") if p.is_dir() and root not in (p, *p.parents)]:
        read_only(folder)
    for step in STEPS:
        done = run_stage(server, step, root, *roots(apart))
        assert done.status == 0, done.stderr
        file = root / RESULTS / "logs" / f"exp-fl-5-{step}.log"
        assert f"this log is {file}" in done.stdout
        assert f"exp-fl-5-{step}.py: {NAME}" in file.read_text()
    assert pipeline.results(root) == stages[7].after
    assert not (apart / "training" / TRAINING / "logs").exists()


def test_a_log_that_cannot_be_written_anywhere_is_a_mistake(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(log, "LogFile", refuse)
    with pytest.raises(log.UserError, match=r"cannot write the log .*second: Permission denied"):
        log.open_log(tmp_path / "first", tmp_path / "second")


# -- the pair ----------------------------------------------------------------------------------


@pytest.fixture
def strangers(stages, tmp_path) -> Path:
    """A fold with a third checkpoint, two epochs after the first."""
    root = shutil.copytree(stages[1].before, tmp_path / "root")
    model = pipeline.make_model()
    pipeline.nudge(model, 9)
    model.save_pretrained(root / TRAINING / "checkpoint-30")
    for epoch, step in enumerate((10, 20, 30), 1):
        pipeline.write_state(root / TRAINING / f"checkpoint-{step}", epoch)
    return root


def test_the_pair_that_is_named_is_taken_and_recorded(server, stages, strangers):
    for step in STEPS:
        done = run_stage(server, step, strangers, "--m1", "10", "--m2", "20")
        assert done.status == 0, done.stderr
    assert pipeline.results(strangers) == stages[7].after
    last = runs(strangers)[-1]["constants"]
    assert (last["M1_STEP"], last["M2_STEP"]) == (10, 20)
    done = run_stage(server, 6, strangers)
    assert done.status == 2
    assert "checkpoint M1 has changed (it is checkpoint-20 now)" in done.stderr
    done = run_stage(server, 7, strangers, "--m1", "10", "--m2", "20", "--force")
    assert done.status == 0


def test_a_pair_that_is_no_neighbours_is_taken_on_purpose_only(server, strangers):
    options = ("--m1", "10", "--m2", "30")
    reason = "they are 2 epochs apart (1 and 3)"
    done = run_stage(server, 1, strangers, *options)
    assert done.status == 2
    (line,) = done.stderr.splitlines()
    assert "checkpoint-10 and checkpoint-30 in " in line
    assert f" are no neighbours: {reason}; name two that are with --m1 and --m2, or" in line
    assert not (strangers / RESULTS).exists()
    for stage in STAGES:
        done = run_stage(server, stage, strangers, *options, "--accept-pair")
        assert done.status == 0, done.stderr
    known = json.loads((strangers / RESULTS / "provenance.json").read_text())
    assert known["tasks"]["1/ground_truth"]["recipe"]["constants"]["accepted pair"] == reason
    assert runs(strangers)[0]["constants"]["accepted pair"] == reason
    notes = (strangers / "exp-fl-5" / "digits_summary_fold0" / "notes.txt").read_text()
    assert f"Fold 0: M1 and M2 are no neighbours in one training ({reason}); taken with" in notes
    # The flag is no part of what was made: without it the pair is refused again.
    done = run_stage(server, 7, strangers, *options)
    assert done.status == 2 and "--accept-pair" in done.stderr


def test_the_flag_changes_nothing_for_neighbours(server, stages, tmp_path):
    root = shutil.copytree(stages[pipeline.SUMMARY].before, tmp_path / "root")
    for epoch, step in enumerate((10, 20), 1):
        pipeline.write_state(root / TRAINING / f"checkpoint-{step}", epoch)
    for step in (1, 2, 7):
        done = run_stage(server, step, root, "--accept-pair")
        assert done.status == 0, done.stderr
        written = [p for p in done.points if p.startswith("rename ")]
        assert all(point.endswith((".hashes.json", "_time.csv")) for point in written)


def test_what_was_passed_over_and_what_was_not_checked_is_logged(server, stages, tmp_path):
    root = shutil.copytree(stages[1].before, tmp_path / "root")
    (root / TRAINING / "checkpoint-100").symlink_to("nowhere")
    (root / TRAINING / "tmp-checkpoint-150").mkdir()
    shutil.copytree(root / TRAINING / "checkpoint-10", root / TRAINING / "checkpoint-5")
    done = run_stage(server, 1, root)
    assert done.status == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("passed over")]
    for words in ("checkpoint-5 (another step)", "checkpoint-100 (a link to nothing)",
                  "tmp-checkpoint-150 (left by a save that did not end)"):  # fmt: skip
        assert words in line
    assert "no trainer_state.json in checkpoint-10 and checkpoint-20" in done.stdout
    done = run_stage(server, 2, root)
    assert "passed over" not in done.stdout
    assert line in (root / TRAINING / "logs" / "exp-fl-5-2.log").read_text()
