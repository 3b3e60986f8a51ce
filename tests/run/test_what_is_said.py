"""Lines on the terminal: how long it takes, and nothing that did not happen."""

import re
import shutil
from pathlib import Path

import pipeline
import pytest

from utils.model.forward import time_left
from utils.run.stopwatch import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (41.6, "42 s"), (99, "99 s"), (150, "2 min"), (5400, "90 min"),
     (6000, "1 h 40 min"), (36059, "10 h 1 min")],
)  # fmt: skip
def test_seconds_in_words(seconds, words):
    assert in_words(seconds) == words


def test_the_batch_that_warms_up_does_not_count():
    assert time_left([9.0, 10.0, 11.0, 12.0], 40) == pytest.approx(36)
    assert time_left([9.0], 2) == pytest.approx(9)


def test_steps_2_and_3_say_how_long_they_take(server, stages, tmp_path):
    root = shutil.copytree(stages[2].before, tmp_path / "root")
    constants = pipeline.QUICK | {"INFERENCE_BATCH_SIZE": 2}
    done = server.run(2, root, constants=constants)
    assert done.status == 0, done.stderr
    about = r"the forward pass takes about \d+ s more\n\d+ samples per second\n"
    assert len(re.findall(about, done.stdout)) == done.stdout.count("runs checkpoint-10 on") > 0
    done = server.run(3, root, constants=constants)
    assert done.status == 0, done.stderr
    about = (
        r"compares the caches of 60 images with checkpoint-10, run on 16 of them: takes about \d"
    )
    assert re.search(about, done.stdout), done.stdout


def written(root: Path, text: str) -> list[str]:
    """What a step says it wrote; the names behind the first stand without their folder."""
    return [name for line in re.findall(r"wrote (.*)", text) for name in re.split(", | and ", line)]


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6, 7])
def test_what_is_said_to_be_written_is_written_and_only_then(server, stages, step, tmp_path):
    root = shutil.copytree(stages[step].before, tmp_path / "root")
    first = pipeline.run_stage(server, step, root)
    assert first.status == 0, first.stderr
    names = written(root, first.stdout)
    assert names
    for name in names:
        assert Path(name).exists() or list(root.rglob(name)), name
    before = pipeline.snapshot(root, pipeline.TIMED)
    again = pipeline.run_stage(server, step, root)
    assert again.status == 0, again.stderr
    assert not written(root, again.stdout), again.stdout
    assert not re.search(r"\b(runs|reads the FFN|takes about|compares)\b", again.stdout)
    assert "kept" in again.stdout
    assert step != 3 or again.stdout.count("proof.csv is up to date: kept") == 2
    assert pipeline.snapshot(root, pipeline.TIMED) == before
