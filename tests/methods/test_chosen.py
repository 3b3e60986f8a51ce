"""METHODS_TO_RUN: which methods run, under which settings, and what cannot be meant."""

import shutil

import numpy as np
import pandas as pd
import pipeline
import pytest
from pipeline import NAME, SUMMARY, run_stage

from utils.errors import UserError
from utils.methods import METHODS
from utils.methods.chosen import chosen_methods, stands_under

RESULTS = f"exp-fl-5/{NAME}"


def chosen(*names):
    return chosen_methods(METHODS, {"METHODS_TO_RUN": names})


def test_all_is_every_method():
    assert chosen_methods(METHODS, {"METHODS_TO_RUN": "all"}) == METHODS


def test_a_name_stands_for_every_level_unless_it_says_one():
    assert list(chosen("vdiff")) == [("neuron", "vdiff"), ("weight", "vdiff")]
    assert list(chosen("weight/vdiff")) == [("weight", "vdiff")]
    assert list(chosen("bl", "ig")) == [("neuron", "ig"), ("weight", "bl")]  # their own order
    assert chosen() == {}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("ochia",), "'ochia', which is no method of ours; is 'ochiai' meant"),
        (("neuron/bl",), "'neuron/bl', which is no method of ours"),
        (("xyz",), "'xyz', which is no method of ours; README.md"),
        (("vdiff+mean_act+grad_loss",), r"made from neuron/vdiff\+mean_act; name that too"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(names, said):
    with pytest.raises(UserError, match=said) as error:
        chosen(*names)
    assert "METHODS_TO_RUN in utils/constants.py" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_method_stands_where_its_samples_matter_and_where_its_constant_lets_it():
    everywhere, mask, ig = (
        METHODS["neuron", name] for name in ("grad_act", "mask", "ig")
    )  # fmt: skip
    for constant in (False, True):
        constants = {"MASK_IN_EVERY_SETTING": constant}
        found = [stands_under(m, "tgt_top1", constants) for m in (everywhere, mask, ig)]
        assert found == [True, constant, False]
        assert all(stands_under(m, "all", constants) for m in METHODS.values())


# -- the steps -----------------------------------------------------------------------------------


@pytest.fixture
def root(stages, tmp_path):
    """A copy of a fold on which all steps have run with every method."""
    return shutil.copytree(stages[SUMMARY].before, tmp_path / "root")


def methods_in(path):
    return {str(name).split("/")[-1] for name in pd.read_csv(path)["method"]}


def test_a_method_that_does_not_run_is_in_no_table_and_its_files_matter_to_none(server, root):
    few = ["bl", "grad_loss", "ochiai"]
    constants = pipeline.QUICK | {"METHODS_TO_RUN": few}
    left = root / RESULTS / "all" / "neuron_grad_act_score.npy"
    left.write_bytes(left.read_bytes()[:-4] + b"\0\0\0\0")  # not as it was written
    for stage in (4, 5, 6, 7, SUMMARY):
        done = run_stage(server, stage, root, constants=constants)
        assert done.status == 0, done.stderr
        if stage == 4:
            assert "METHODS_TO_RUN has no method of step 4" in done.stderr + done.stdout
    ours = {name for _, name in METHODS} - set(few)
    tables = sorted((root / "exp-fl-5").rglob("*.csv"))
    tables = [path for path in tables if "method" in pd.read_csv(path, nrows=0).columns]
    assert {path.parent.name for path in tables} == {NAME, "digits_summary_fold0"}
    for path in tables:
        assert not ours & methods_in(path), path
    assert set(few) <= methods_in(root / RESULTS / "exp-fl-5-7_scores.csv")
    assert not (root / RESULTS / "exp-fl-5-4_time.csv").exists()
    assert left.exists()


def test_what_runs_again_is_what_it_was(server, stages, root):
    """A round of one method, and the others again: no file differs, and nothing is redone."""
    for names in (["bl"], pipeline.FEW):
        constants = pipeline.QUICK | {"METHODS_TO_RUN": names}
        for step in (5, 7):
            done = run_stage(server, step, root, constants=constants)
            assert done.status == 0, done.stderr
            if step == 5:
                assert not [p for p in done.points if p.endswith("_score.npy")]
    assert pipeline.results(root) == stages[7].after


@pytest.mark.parametrize(
    ("step", "names", "said"),
    [
        (4, ["ochia"], "'ochia', which is no method of ours; is 'ochiai' meant"),
        (7, ["ochia"], "'ochia', which is no method of ours; is 'ochiai' meant"),
        (7, ["ochiai"], "REFERENCES in utils/constants.py names 'bl', which METHODS_TO_RUN"),
        (1, "bl", "METHODS_TO_RUN in utils/constants.py is 'bl'; expected \"all\", or names"),
    ],
)
def test_a_slip_costs_one_line_and_no_work(server, root, step, names, said):
    before = pipeline.snapshot(root, ignore=(".log", ".lock"))
    done = run_stage(server, step, root, constants=pipeline.QUICK | {"METHODS_TO_RUN": names})
    assert done.status == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert pipeline.snapshot(root, ignore=(".log", ".lock")) == before


def test_mask_runs_under_every_setting_where_its_constant_says_so(server, root):
    scores = root / RESULTS / "tgt_top1" / "neuron_mask_score.npy"
    assert not scores.exists() and (root / RESULTS / "all" / scores.name).exists()
    for constant in (True, False):
        constants = pipeline.QUICK | {"MASK_IN_EVERY_SETTING": constant}
        for step in (5, 7):
            done = run_stage(server, step, root, constants=constants)
            assert done.status == 0, done.stderr
        assert np.load(scores).max() > 0
        table = pd.read_csv(root / RESULTS / "exp-fl-5-7_scores.csv")
        found = set(table.loc[table["method"] == "mask", "setting"])
        assert ("tgt_top1" in found) == constant
        times = pd.read_csv(root / RESULTS / "exp-fl-5-5_time.csv")
        assert ("tgt_top1" in set(times.loc[times["method"] == "neuron/mask", "setting"])) == (
            constant
        )
