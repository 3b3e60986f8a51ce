"""File systems that lack something: the step goes on, gives the same, and says once what lacks."""

import errno
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pipeline
import pytest
import safetensors.torch
import torch

from utils.data import images, saved
from utils.model import checkpoints, tensors
from utils.run import file_systems, storage

RESULTS = Path("exp-fl-5") / pipeline.NAME
# The step runs with one call of the operating system that answers as such a file system does.
LAME = """
import errno, fcntl, mmap, os, pathlib

def refuse(*_, **__):
    raise OSError(errno.{code}, os.strerror(errno.{code}))

class NoMap(mmap.mmap):
    def __new__(cls, *_, **__):
        refuse()

{change}
"""


def run_without(server, change: str, code: str, step: int, root: Path) -> pipeline.Finished:
    return server.run(step, root, change=LAME.format(change=change, code=code))


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
def test_a_step_goes_on_and_says_once_what_is_not_guaranteed(
    server, stages, tmp_path, change, code, said
):
    root = shutil.copytree(stages[1].before, tmp_path / "root")
    done = run_without(server, change, code, 1, root)
    assert done.status == 0, done.stderr
    assert done.stdout.count(said) == 1, done.stdout
    for name in ("abs_diff.npy", "ranking.npy", "summary.csv"):
        path = RESULTS / "ground_truth" / name
        assert (root / path).read_bytes() == stages[1].after[str(path)]


def test_a_full_disk_is_no_file_system_that_lacks_something():
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        file_systems.if_it_can("fsync", file_systems.NO_FLUSH, full)


@pytest.fixture
def no_maps(monkeypatch, capsys):
    """A file system whose files no library can map; what is said of it."""
    import datasets
    import safetensors

    def refuse(*_, **__):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    load, from_file = torch.load, datasets.Dataset.from_file

    def load_unmapped(*args, mmap=False, **more):
        if mmap:
            raise RuntimeError("unable to mmap 8 bytes from file: No such device (19)")
        return load(*args, **more)

    def read(name, in_memory=False, **more):
        return from_file(name, in_memory=True, **more) if in_memory else refuse()

    monkeypatch.setattr(safetensors, "safe_open", refuse)
    monkeypatch.setattr(torch, "load", load_unmapped)
    monkeypatch.setattr(datasets.Dataset, "from_file", read)
    monkeypatch.setattr(np, "memmap", refuse)
    file_systems.say_once.cache_clear()
    yield lambda: capsys.readouterr().out.count("the file system has no mmap (No such device)")
    file_systems.say_once.cache_clear()


def test_checkpoints_are_read_whole_where_nothing_can_be_mapped(stages, tmp_path, no_maps):
    checkpoint = stages[1].before / f"out_vit_{pipeline.NAME}" / "checkpoint-10"
    pickled = shutil.copytree(checkpoint, tmp_path / "checkpoint-10")
    state = safetensors.torch.load((checkpoint / "model.safetensors").read_bytes())
    (pickled / "model.safetensors").unlink()
    torch.save(state, pickled / "pytorch_model.bin")
    for folder in (checkpoint, pickled):
        with tensors.open_tensors(folder) as found:
            assert set(found) == set(state)
            assert all(torch.equal(found[name].read(), state[name]) for name in state)
        assert "state_dict" in checkpoints.source_of(folder)  # transformers maps no file either
    assert no_maps() == 1


def test_rows_and_arrays_are_read_whole_where_nothing_can_be_mapped(stages, tmp_path, no_maps):
    split = stages[1].before / "dataset" / pipeline.NAME / "repair"
    assert len(saved.read_split(split)) == 60
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    storage.save_array(tmp_path / "a.npy", values)
    assert (storage.load_array(tmp_path / "a.npy", (np.float32,), (3, 4), "") == values).all()
    assert no_maps() == 1


@pytest.mark.parametrize(
    ("left", "workers"), [(None, 2), (2**30, 2), (98304, 2), (98303, 0), (0, 0)]
)
def test_workers_need_shared_memory(monkeypatch, capsys, left, workers):
    """2 workers x 2 batches x 8 images x 3 x 16 x 16 float32 values: 98,304 bytes."""
    monkeypatch.setattr(images, "shared_memory_left", lambda: left)
    file_systems.say_once.cache_clear()
    for _ in range(2):
        assert images.workers_that_fit(2, 8, (3, 16, 16)) == workers
    said = capsys.readouterr().out
    assert said.count("/dev/shm has") == (workers == 0)
    assert workers or f"{left:,} bytes left, 2 worker processes share up to 98,304" in said
    assert images.workers_that_fit(0, 8, (3, 16, 16)) == 0


def test_a_folder_of_shared_memory_that_is_not_there_has_none(monkeypatch, tmp_path):
    monkeypatch.setattr(file_systems, "SHARED_MEMORY", tmp_path / "absent")
    monkeypatch.setattr(sys, "platform", "linux")
    assert file_systems.shared_memory_left() == 0
    monkeypatch.setattr(file_systems, "SHARED_MEMORY", tmp_path)
    assert file_systems.shared_memory_left() > 0
    monkeypatch.setattr(sys, "platform", "darwin")
    assert file_systems.shared_memory_left() is None


def test_step_2_goes_on_without_workers_where_shared_memory_is_small(server, stages, tmp_path):
    root = shutil.copytree(stages[2].before, tmp_path / "root")
    change = (
        "from utils import constants; constants.PREPROCESSING_WORKERS = 2; "
        "from utils.run import file_systems; "
        "shutil = type('', (), {'disk_usage': lambda _: type('', (), {'free': 64})}); "
        "file_systems.shutil = shutil"
    )
    done = run_without(server, change, "ENOSYS", 2, root)
    assert done.status == 0, done.stderr
    assert done.stdout.count("/dev/shm has 64 bytes left, 2 worker processes share") == 1
    path = RESULTS / "misclf_info" / "predictions.csv"
    assert (root / path).read_bytes() == stages[2].after[str(path)]
