"""Snakemake with two cores on five folds of digits: the bytes of a loop in the shell.

Run by `make test-cluster`, with Snakemake in .venv-cluster.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pipeline
import pytest
import small_experiment
from small_experiment import shell

SNAKEMAKE = pipeline.ROOT / ".venv-cluster" / "bin" / "snakemake"
FOLDS = list(range(5))


def command(folds: list[int], *options: str) -> list[str]:
    listed = ",".join(map(str, folds))
    return [
        str(SNAKEMAKE), "-c", "2", "--profile", "workflow/profiles/local", *options,
        "--config", "ds=digits", f"folds=[{listed}]",
    ]  # fmt: skip


def snakemake(folder: Path, folds: list[int], *options: str) -> str:
    done = subprocess.run(
        command(folds, *options), cwd=folder, env=small_experiment.ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def stamps(folder: Path) -> list[Path]:
    found = (folder / "exp-fl-5" / ".stamps").glob("*_step?")
    return sorted(path for path in found if path.stat().st_size)


def tasks(folder: Path) -> dict[str, dict]:
    """When each task of the ledgers ran, by folder and name."""
    return {
        f"{path.parent.name}/{key}": (task["run"], task["start"])
        for path in (folder / "exp-fl-5").glob("*/provenance.json")
        for key, task in json.loads(path.read_text())["tasks"].items()
    }


def of_folds(digests: dict[str, str], folds: list[int]) -> dict[str, str]:
    names = tuple(f"digits_fold{fold}" for fold in folds)
    summary = f"exp-fl-5/digits_summary_fold{'_'.join(map(str, folds))}/"
    return {
        name: digest
        for name, digest in digests.items()
        if name.startswith(summary) or any(part.endswith(names) for part in Path(name).parts)
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Killed half-way with all its steps, and run again."""
    folder = small_experiment.copy_project(tmp_path_factory.mktemp("snakemake") / "project")
    process = subprocess.Popen(
        command(FOLDS), cwd=folder, env=small_experiment.ENVIRONMENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while len(stamps(folder)) < 23:
        assert process.poll() is None
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(stamps(folder))
    assert done < 50
    snakemake(folder, FOLDS, "--unlock")
    said = snakemake(folder, FOLDS)
    return folder, done, said


def test_killed_and_run_again_it_has_the_bytes_of_the_loop(reference, finished):
    folder, done, said = finished
    for step in (7, 8, 9):
        given = f"--ds digits --fold {' '.join(map(str, FOLDS))} --only-summary"
        shell(reference.folder, f".venv/bin/python exp-fl-5-{step}.py {given}")
    wanted = of_folds(small_experiment.digests(reference.folder), FOLDS)
    found = small_experiment.digests(folder)
    assert len(wanted) > 500
    assert small_experiment.differences(wanted, found) == []
    # What had its stamp was not called again.
    assert f"{53 - done} of {53 - done + 1} steps (" in said or f"{54 - done} of" in said


def test_nothing_is_left_to_do(finished):
    folder, *_ = finished
    before = pipeline.snapshot(folder / "exp-fl-5", ignore=())
    assert "Nothing to be done" in snakemake(folder, FOLDS)
    assert pipeline.snapshot(folder / "exp-fl-5", ignore=()) == before


def test_a_changed_constant_reruns_what_the_ledger_says(finished, tmp_path):
    """On two of the folds, by Snakemake and by the loop: the same tasks, and not all of them."""
    folders = [shutil.copytree(finished[0], tmp_path / name, symlinks=True) for name in "ab"]
    for folder in folders:
        snakemake(folder, [0, 1])
    before = [tasks(folder) for folder in folders]
    for folder in folders:
        small_experiment.set_constants(folder, PERMUTATION_DRAWS="77")
    assert "params" in snakemake(folders[0], [0, 1])
    shell(folders[1], small_experiment.loop_by_step([0, 1]))
    redone = [
        {key for key, when in tasks(folder).items() if old.get(key) != when}
        for folder, old in zip(folders, before, strict=True)
    ]
    assert redone[0] == redone[1]
    in_folds = {key for key in redone[0] if "_fold0/" in key or "_fold1/" in key}
    assert in_folds and all(key.split("/")[1] == "7" for key in in_folds)
    assert not any(key.startswith("digits_fold2/") for key in redone[0])
    assert small_experiment.differences(*map(small_experiment.digests, folders)) == []
    assert "Nothing to be done" in snakemake(folders[0], [0, 1])


def test_a_result_that_was_taken_away_is_made_again(finished, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "project", symlinks=True)
    before = small_experiment.digests(folder)
    (folder / "exp-fl-5" / "digits_fold1" / "exp-fl-5-7_scores.csv").unlink()
    assert "step_7" in snakemake(folder, FOLDS)
    assert small_experiment.differences(before, small_experiment.digests(folder)) == []
