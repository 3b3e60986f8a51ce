"""Replays of the last epoch: the same order gives M2's bytes, another order another model."""

import argparse
import json
import logging
import shutil

import datasets
import numpy as np
import pytest
from small_training import CONSTANTS, PROFILE, make_fold, make_source

from utils.errors import UserError
from utils.model import checkpoints, finetuning, replaying, replays, training
from utils.run.cli import Job
from utils.run.hashing import HashCache
from utils.run.ledger import Ledger

LOG = logging.getLogger("test of replays")


@pytest.fixture(scope="module", autouse=True)
def quiet():
    datasets.disable_progress_bars()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A fold with M1, M2 and, made by step 0's own function, two replays."""
    paths = make_fold(tmp_path_factory.mktemp("trained"), make_source())
    finetuning.train_fold(paths, PROFILE, 777, None, 0, None, LOG)
    assert replaying.make_replays(job_of(paths), PROFILE, ledger_of(paths), 2) == [1, 2]
    return paths


def job_of(paths):
    constants = CONSTANTS | {"PREPROCESSING_WORKERS": 0}
    return Job(0, paths, argparse.Namespace(jobs=1, fold=[0]), constants, LOG)


def ledger_of(paths):
    return Ledger(paths, 0, CONSTANTS, {})


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def copy_of(paths, tmp_path):
    shutil.copytree(paths.root, tmp_path / "copy")
    return type(paths)(tmp_path / "copy", paths.ds, paths.fold)


def test_replays_differ_from_m2_and_from_each_other(trained):
    m1, m2 = training.complete_checkpoints(trained)
    found = replays.find_replays(trained)
    assert list(found) == [1, 2]
    assert {path.name for path in found.values()} == {m2.name}
    assert len({weights(path) for path in [m1, m2, *found.values()]}) == 4
    assert not list(trained.training.glob(".tmp-*"))


def test_replays_begin_at_m1(trained):
    """One epoch of so small a rate stays near M1, and far from a model of its own."""
    first = np.concatenate(
        [w.ravel() for w in checkpoints.read_ffn(trained.training / "checkpoint-10")]
    )
    for path in replays.find_replays(trained).values():
        again = np.concatenate([w.ravel() for w in checkpoints.read_ffn(path)])
        assert np.corrcoef(first, again)[0, 1] > 0.5


def test_the_same_order_gives_the_bytes_of_m2(trained, tmp_path):
    m1, m2 = training.complete_checkpoints(trained)
    device = finetuning.replay_epoch(trained, PROFILE, 777, 777, m1, tmp_path, 0)
    assert device == "cpu"
    assert weights(tmp_path / m2.name) == weights(m2)
    assert not (tmp_path / m2.name / "optimizer.pt").exists()


def test_finished_replays_are_kept_and_one_that_was_killed_is_made_again(trained, tmp_path):
    paths = copy_of(trained, tmp_path)
    assert replaying.make_replays(job_of(paths), PROFILE, ledger_of(paths), 2) == []
    before = weights(replays.find_replays(paths)[2])
    shutil.rmtree(replays.find_replays(paths)[2])  # its record is there, its checkpoint is not
    assert replaying.make_replays(job_of(paths), PROFILE, ledger_of(paths), 2) == [2]
    assert weights(replays.find_replays(paths)[2]) == before


def test_training_that_does_not_repeat_is_refused(trained, tmp_path, monkeypatch):
    paths = copy_of(trained, tmp_path)
    shutil.rmtree(paths.replay(1))
    shutil.rmtree(paths.results)
    m2 = training.complete_checkpoints(paths)[-1]
    other = bytearray(weights(m2))
    other[-1] ^= 1
    (m2 / "model.safetensors").write_bytes(other)
    with pytest.raises(UserError, match="does not give the weights of checkpoint-20"):
        replaying.make_replays(job_of(paths), PROFILE, ledger_of(paths), 1)
    assert list(replays.find_replays(paths)) == [2]
    assert not paths.replay_check.exists()


def test_what_a_gpu_computes_in_another_order_is_kept(trained, tmp_path, monkeypatch):
    """A GPU is stood in for by a function that gives another model and says cuda."""
    paths = copy_of(trained, tmp_path)
    m1, m2 = training.complete_checkpoints(paths)

    def on_a_gpu(data_seed, destination):
        destination.mkdir()
        shutil.copytree(m1, destination / m2.name)
        return "cuda:0"

    ledger = Ledger(paths, 0, CONSTANTS, {}, force=True)
    replaying.check_order_zero(job_of(paths), ledger, m1, m2, on_a_gpu)
    assert list(replays.find_replays(paths)) == [0, 1, 2]


def test_an_order_that_is_m2s_own_is_refused(trained, monkeypatch, tmp_path):
    m1 = training.complete_checkpoints(trained)[0]
    monkeypatch.setattr(finetuning, "first_batch", lambda trainer, epoch: [3, 1])
    with pytest.raises(UserError, match="begins as M2's training"):
        finetuning.replay_epoch(trained, PROFILE, 777, 1777, m1, tmp_path, 0)


def test_a_replay_of_another_m1_is_refused(trained, tmp_path):
    paths = copy_of(trained, tmp_path)
    m1 = training.complete_checkpoints(paths)[0]
    (found, _) = replays.find_replays(paths).values()
    hashes = HashCache(tmp_path / "hashes")
    replays.require_same_m1(paths, 1, found, m1, hashes)
    record = json.loads(paths.replay_record(1).read_text())
    paths.replay_record(1).write_text(json.dumps(record | {"M1": "another"}))
    with pytest.raises(UserError, match="replay-1 began at another M1"):
        replays.require_same_m1(paths, 1, found, m1, hashes)
    paths.replay_record(1).write_text("{")
    with pytest.raises(UserError, match=r"replay\.json is not readable"):
        replays.require_same_m1(paths, 1, found, m1, hashes)


def test_without_a_record_the_history_of_the_training_decides(trained, tmp_path):
    paths = copy_of(trained, tmp_path)
    m1 = training.complete_checkpoints(paths)[0]
    found = replays.find_replays(paths)[1]
    paths.replay_record(1).unlink()
    hashes = HashCache(tmp_path / "hashes")
    replays.require_same_m1(paths, 1, found, m1, hashes)
    state = json.loads((found / "trainer_state.json").read_text())
    state["log_history"][0]["epoch"] += 1
    (found / "trainer_state.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match="began at another M1"):
        replays.require_same_m1(paths, 1, found, m1, hashes)


def test_two_checkpoints_in_one_replay_are_refused(trained, tmp_path):
    paths = copy_of(trained, tmp_path)
    (paths.replay(1) / "checkpoint-99").mkdir()
    with pytest.raises(UserError, match="replay-1 holds 2 checkpoints"):
        replays.find_replays(paths)


def test_a_training_from_elsewhere_has_no_replays_to_make(trained, tmp_path):
    paths = copy_of(trained, tmp_path)
    (paths.training / "checkpoint-10" / "optimizer.pt").unlink()
    shutil.rmtree(paths.replay(1))
    with pytest.raises(UserError, match=r"replayed from .*checkpoint-10 \(no optimizer\.pt\)"):
        replaying.make_replays(job_of(paths), PROFILE, ledger_of(paths), 1)
