"""Refusals that whole runs seldom meet, each from the smallest thing that brings it."""

import argparse

import numpy as np
import pytest

from utils.data import idx, settings
from utils.data.setting_names import COLUMNS
from utils.errors import UserError
from utils.judge.rankings.files import of_another_ranking
from utils.judge.rankings.source import ScoreSource
from utils.model import tensors
from utils.ranking import RankingKey
from utils.run import arguments, devices, profile_rules, storage
from utils.run.paths import FoldPaths


@pytest.fixture
def paths(tmp_path) -> FoldPaths:
    found = FoldPaths(tmp_path, "x", 0)
    found.misclf_info.mkdir(parents=True)
    return found


def test_settings_without_the_one_of_all_samples(paths):
    row = ["tgt_top1" if name == "setting" else "ok" for name in COLUMNS]
    paths.settings.write_text(f"{','.join(COLUMNS)}\n{','.join(row)}\n")
    with pytest.raises(UserError, match=r"has no usable setting 'all'; run exp-fl-5-2.py again"):
        settings.read_settings(paths)


@pytest.mark.parametrize(
    ("neg", "pos", "said"),
    [
        ([1, 2], [2, 3], "and its pos share samples; run exp-fl-5-2.py"),
        ([1, 9], [2, 3], r"has samples outside 0\.\.4; run exp-fl-5-2.py"),
        ([2, 1], [3, 4], "is not an ascending list of at least 2 samples; run exp-fl-5-2.py"),
    ],
)
def test_samples_of_a_setting(paths, neg, pos, said):
    np.save(paths.neg("all"), np.array(neg))
    np.save(paths.pos("all"), np.array(pos))
    with pytest.raises(UserError, match=said):
        settings.read_samples(paths, "all", 5)


@pytest.mark.parametrize(
    ("failures", "said"),
    [([2, 1], "is not an ascending list of samples; run"), ([9], r"has samples outside 0\.\.4")],
)
def test_failures_of_the_test_split(paths, failures, said):
    np.save(paths.neg_test("all"), np.array(failures))
    with pytest.raises(UserError, match=said):
        settings.read_test_failures(paths, "all", 5)


def test_fortran_order(tmp_path):
    np.save(tmp_path / "a.npy", np.asfortranarray(np.ones((2, 3), np.float32)))
    with pytest.raises(UserError, match="is in Fortran order, expected C order; save it again"):
        storage.load_array(tmp_path / "a.npy", (np.float32,), (2, 3), "save it again")


def test_a_device_that_is_not_there():
    with pytest.raises(UserError, match="is not available here"):
        devices.pick_device("tpu9")


def test_a_profile_that_is_none():
    with pytest.raises(UserError, match=r"is 3; expected Profile\(\.\.\.\)"):
        profile_rules.check_profile("mine", 3)


def test_a_fold_given_twice():
    args = argparse.Namespace(ds="digits", fold=[0, 0])
    with pytest.raises(UserError, match="fold 0 is given twice; name each fold once"):
        arguments.check_arguments(1, args)


def test_a_tensor_under_two_names(tmp_path):
    import torch

    both = {"a.weight": torch.ones(2), "module.a.weight": torch.ones(2)}
    torch.save(both, tmp_path / "pytorch_model.bin")
    said = "has a.weight twice, under several prefixes; keep one"
    with pytest.raises(UserError, match=said), tensors.open_tensors(tmp_path):
        pass


def test_images_without_a_pixel(tmp_path):
    for name, magic, sizes in (
        ("train-images-idx3-ubyte", 0x803, (2, 0, 3)), ("train-labels-idx1-ubyte", 0x801, (2,))
    ):  # fmt: skip
        content = b"".join(number.to_bytes(4, "big") for number in (magic, *sizes))
        (tmp_path / name).write_bytes(content + bytes(2 * (len(sizes) == 1)))
    files = {kind: tmp_path / f"train-{kind}-idx{n}-ubyte" for kind, n in
             (("images", 3), ("labels", 1))}  # fmt: skip
    with pytest.raises(UserError, match="holds images without a pixel"):
        idx.read_split(files)


def test_a_ranking_of_other_scores(tmp_path):
    key = RankingKey("all", "weight", "bl")
    source = ScoreSource(key, tmp_path / "s.npy", tmp_path / "r.npy", 5)
    said = str(of_another_ranking(source, ValueError("row 3")))
    assert said.endswith(r"r.npy does not belong to s.npy (row 3); run exp-fl-5-5.py again")
