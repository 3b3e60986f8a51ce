"""File systems that lack something: the step goes on, gives the same, and says once what lacks."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pipeline
import pytest

from utils.data import images
from utils.run import file_systems

RESULTS = Path("exp-fl-5") / pipeline.NAME
# The step runs with one call of the operating system that answers as such a file system does.
LAME = """
import errno, fcntl, mmap, os, runpy, sys

def refuse(*_, **__):
    raise OSError(errno.{code}, os.strerror(errno.{code}))

class NoMap(mmap.mmap):
    def __new__(cls, *_, **__):
        refuse()

import pathlib
{change}
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_without(change: str, code: str, step: int, root: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", LAME.format(change=change, code=code),
         *pipeline.command(step, root)],
        cwd=pipeline.ROOT, env=pipeline.ENVIRONMENT | {"PYTHONPATH": str(pipeline.ROOT)},
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ("os.fsync = refuse", "EINVAL", "has no fsync (Invalid argument): a power cut can lose"),
        ("os.fsync = refuse", "ENOSYS", "has no fsync"),
        ("os.fsync = refuse", "ENOTSUP", "has no fsync"),
        ("os.chmod = pathlib.Path.chmod = refuse", "EPERM", "has no chmod (Operation not permi"),
        ("os.chmod = pathlib.Path.chmod = refuse", "ENOSYS", "has no chmod"),
        ("fcntl.flock = refuse", "ENOLCK", "has no file locks (No locks available); going on"),
        ("fcntl.flock = refuse", "EINVAL", "has no file locks"),
        ("fcntl.flock = refuse", "EPERM", "has no file locks"),
        ("mmap.mmap = NoMap", "ENODEV", "has no mmap (No such device): files are read whole"),
        ("mmap.mmap = NoMap", "EINVAL", "has no mmap"),
    ],
)
def test_a_step_goes_on_and_says_once_what_is_not_guaranteed(stages, tmp_path, change, code, said):
    root = shutil.copytree(stages[1].before, tmp_path / "root")
    if "mmap" in said:  # where the ranking that step 1 keeps is cut for its table
        change += "; import numpy"
    done = run_without(change, code, 1, root)
    assert done.returncode == 0, done.stderr
    if "mmap" not in said or said in done.stdout:
        assert done.stdout.count(said) == 1, done.stdout
    for name in ("abs_diff.npy", "ranking.npy", "summary.csv"):
        path = RESULTS / "ground_truth" / name
        assert (root / path).read_bytes() == stages[1].after[str(path)]
