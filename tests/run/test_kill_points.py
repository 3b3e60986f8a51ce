"""Killed or out of disk at any write, then run again: the same bytes, and no work done twice.

Every step is killed with SIGKILL at one write after another and resumed until
it gets through (`tests/support/kill_at.py` says what a write is), so that most kills hit
a run that is itself a resumption. After each kill every file has to be whole.
At the end all results are compared byte by byte with an undisturbed run, apart
from what holds times of day: *_time.csv, provenance.json, .hashes.json, logs,
and the three speeds in proof.csv.
"""

import errno
import fcntl
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pipeline
import pytest
from filelock import FileLock
from pipeline import EFFECTS, STAGES, SUMMARY, Stage, run_stage

from utils.errors import UserError
from utils.run import cli
from utils.run.paths import FoldPaths

FOLD = Path("exp-fl-5") / pipeline.NAME
# The writes of a step at which it is stopped, one in so many: a sample; `make soak` asks for each.
SAMPLE = 24
EVERY = int(os.environ.get("KILL_EVERY", SAMPLE))
FULL_EVERY = 2 * EVERY
# Steps that find the disk full: all write in the same way.
FULL = (1, 2, 4, 7) if EVERY >= SAMPLE else STAGES + EFFECTS
# Fewer of steps with a thousand writes, and of what is one task of seconds.
SLOWER = {4: 3, 5: 6, 6: 6, 7: 4, SUMMARY: 16, 8: 24, 9: 10, 10: 16}


def kind(point: str) -> str:
    """What is done to what sort of file: "rename .npy", "write .tmp-"."""
    what, path = point.split(" ", 1)
    name = Path(path).name
    return f"{what} {'.tmp-' if name.startswith('.tmp-') else Path(name).suffix or name}"


def temporaries(root: Path) -> list[Path]:
    return list((root / "exp-fl-5").rglob(".tmp-*"))


def require_whole(root: Path, stage: Stage) -> None:
    """No file is partial, whatever happened."""
    for name, content in pipeline.results(root).items():
        if not Path(name).name.startswith(".tmp-"):
            old = stage.before / name  # as a step before left it
            whole = content == stage.after[name] or (old.is_file() and content == old.read_bytes())
            assert whole, f"{name} is not whole"
    for path in (root / "exp-fl-5").rglob("*.json"):
        json.loads(path.read_text())
    for path in (root / "exp-fl-5").rglob("*_time.csv"):
        assert len(pd.read_csv(path))


def recorded(root: Path) -> set[str]:
    """Results that a finished task has on record."""
    found = set()
    for path in (root / "exp-fl-5").rglob("provenance.json"):
        for task in json.loads(path.read_text())["tasks"].values():
            found |= {str((path.parent / name).relative_to(root)) for name in task["outputs"]}
    return found


def written(points: list[str]) -> set[str]:
    return {point.removeprefix("rename ") for point in points if point.startswith("rename ")}


def march(server, stage: int | str, root: Path, known: Stage, mode: str, stride: int) -> list[str]:
    """Stop a step at one write after another, until it gets through.

    While nothing gets finished, each run goes `stride` writes further than the
    one before; when a task got finished, the next one is stopped from its
    beginning. So with stride 1 the step is stopped at every write it makes.

    Returns
    -------
    The writes at which it was stopped.
    """
    start = next(i for i, point in enumerate(known.points, 1) if "/.tmp-" in point)
    rng = random.Random(f"{stage} {mode}")
    at = rng.randint(1, min(stride, len(known.points) // 2))
    stopped = []
    anew = recorded(known.before) & written(known.points)  # of step 8's summary, by step 9
    while True:
        finished = recorded(root)
        done = run_stage(server, stage, root, mode=mode, at=at)
        again = written(done.points) & (finished - anew)
        assert not again, f"made again: {sorted(again)}"
        if done.status == 0:
            return stopped
        require_stopped(done, mode)
        stopped.append(done.points[at - 1])
        require_whole(root, known)
        at = start + rng.randrange(stride) if recorded(root) != finished else at + stride


def require_stopped(done: pipeline.Finished, mode: str) -> None:
    if mode == "kill":
        assert done.status == -9, done.stderr
        return
    assert done.status == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "No space left on device" in line
    assert re.search(r"cannot write (the log )?/.+?( \([\d,]+ bytes\))?: No space", line), line
    assert " bytes)" in line or ".lock:" in line or ".log:" in line, line


def require_same_end(server, stage: int | str, root: Path, known: Stage) -> None:
    """All results are those of the undisturbed run, and running again makes none of them."""
    assert pipeline.results(root) == known.after
    assert not temporaries(root)
    done = run_stage(server, stage, root)
    assert done.status == 0
    assert all(name.endswith(("_time.csv", ".hashes.json")) for name in written(done.points))


@pytest.fixture
def known(request, stage) -> Stage:
    """What the undisturbed run of the stage in question did."""
    return request.getfixturevalue("effects" if stage in EFFECTS else "stages")[stage]


def test_there_are_at_least_40_kill_points(stages, effects):
    every = stages | effects
    points = [len(known.points) // (EVERY * SLOWER.get(s, 1)) for s, known in every.items()]
    assert sum(points) >= 40 and min(points) >= 1


@pytest.mark.parametrize("stage", STAGES + EFFECTS)
def test_killed_again_and_again_a_step_ends_with_the_same_bytes(server, known, stage, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(known.before, root)
    stride = EVERY * SLOWER.get(stage, 1)
    killed = march(server, stage, root, known, "kill", stride)
    assert len(killed) >= len(known.points) // stride
    require_same_end(server, stage, root, known)


@pytest.mark.parametrize("stage", STAGES[:-1])
def test_killed_at_each_kind_of_write_a_step_is_resumed(server, stages, stage, tmp_path):
    """From untouched trees: at the last write of every kind that no stage before has."""
    old = {kind(p) for s in STAGES[: STAGES.index(stage)] for p in stages[s].points}
    last = {kind(p): at for at, p in enumerate(stages[stage].points, 1) if kind(p) not in old}
    known = stages[stage]
    for i, at in enumerate(last.values()):
        root = tmp_path / f"at_{at}"
        shutil.copytree(known.before, root)
        done = run_stage(server, stage, root, mode="kill", at=at)
        assert done.status == -9 and len(done.points) == at
        require_whole(root, known)
        if i % 2 == 0:
            run_stage(server, stage, root, mode="kill", at=20)
            require_whole(root, known)
        done = run_stage(server, stage, root)
        assert done.status == 0, done.stderr
        assert pipeline.results(root) == known.after and not temporaries(root)
        shutil.rmtree(root)


@pytest.mark.parametrize("stage", FULL)
def test_a_full_disk_leaves_the_old_files_and_says_what_is_needed(server, known, stage, tmp_path):
    """ENOSPC from one write on, wherever that is; with room again the step goes on."""
    root = tmp_path / "root"
    shutil.copytree(known.before, root)
    stopped = march(server, stage, root, known, "full", FULL_EVERY * SLOWER.get(stage, 1))
    assert stopped
    require_same_end(server, stage, root, known)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = sys.platform == "linux" and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("no right to mount a small file system here; ENOSPC is injected above")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("stage", [1, 2, 5])
def test_a_disk_that_is_really_full(server, stages, stage, small_disk):
    known, root = stages[stage], small_disk / "root"
    shutil.copytree(known.before, root)
    ballast = small_disk / "ballast"
    refused = 0
    for free in (0, 4096, 12288, 32768, 65536):
        ballast.write_bytes(b"")
        room = os.statvfs(small_disk).f_bavail * 4096
        ballast.write_bytes(bytes(max(room - free, 0)))
        before = pipeline.snapshot(root, ignore=(".log", ".lock", "_time.csv", ".json"))
        done = run_stage(server, stage, root)
        ballast.unlink()
        if done.status == 0:
            continue
        refused += 1
        assert done.status == 2
        (line,) = done.stderr.splitlines()
        assert "No space left on device" in line and "cannot write" in line
        require_whole(root, known)
        after = pipeline.snapshot(root)
        assert all(after[name] == digest for name, digest in before.items())
    assert refused >= 3
    assert run_stage(server, stage, root).status == 0
    require_same_end(server, stage, root, known)


@pytest.mark.parametrize("stage", [2, 5])
def test_started_twice_at_once_a_step_is_done_once(server, stages, stage, tmp_path):
    known, root = stages[stage], tmp_path / "root"
    shutil.copytree(known.before, root)
    both = server.run_together(2, stage, root)
    assert [done.status for done in both] == [0, 0]
    made = [written(done.points) & set(known.after) for done in both]
    assert not made[0] & made[1]
    require_same_end(server, stage, root, known)


def test_a_second_start_waits_for_the_first(server, stages, tmp_path):
    """Longer than the same step takes on another fold."""
    root, other = tmp_path / "root", tmp_path / "other"
    for copy in (root, other):
        shutil.copytree(stages[4].before, copy)
    lock = FileLock(root / "exp-fl-5" / f".{pipeline.NAME}.lock")
    with lock:
        process = subprocess.Popen(
            [sys.executable, "-u", *pipeline.command(4, root)],
            stdout=subprocess.PIPE, text=True, env=pipeline.ENVIRONMENT,
        )  # fmt: skip
        line = process.stdout.readline()
        assert "another step is at work on this fold" in line and lock.lock_file in line
        assert run_stage(server, 4, other).status == 0
        assert process.poll() is None
        assert not (root / FOLD / "all").exists()
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert pipeline.results(root) == stages[4].after


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_mount_without_locks_is_gone_on_with(monkeypatch, capsys, tmp_path, number):
    """An empty lock file from before is there: it must not be taken for somebody's lock."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    paths = FoldPaths(tmp_path, "digits", 0)
    paths.lock.parent.mkdir()
    paths.lock.touch()
    monkeypatch.setattr(fcntl, "flock", flock)
    lock = cli.lock_fold(paths)
    lock.release()
    (line,) = capsys.readouterr().out.splitlines()
    assert str(paths.lock.parent) in line and "no file locks" in line and "no other step" in line


def test_a_lock_that_fails_otherwise_is_refused(monkeypatch, tmp_path):
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match=r"cannot write .*lock"):
        cli.lock_fold(FoldPaths(tmp_path, "digits", 0))


def test_a_step_killed_in_a_process_of_its_own(stages, tmp_path):
    """The same without the server: a cold start, killed by the clock, ends with the same bytes."""
    root = tmp_path / "root"
    shutil.copytree(stages[4].before, root)
    process = subprocess.Popen(
        [sys.executable, *pipeline.command(4, root)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=pipeline.ENVIRONMENT,
    )  # fmt: skip
    results = root / FOLD / "all"
    deadline = time.monotonic() + 120
    while not list(results.glob("neuron_ig_*")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert process.returncode == -9
    require_whole(root, stages[4])
    done = pipeline.run(4, root)
    assert done.status == 0, done.stderr
    assert pipeline.results(root) == stages[4].after
