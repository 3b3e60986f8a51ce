"""Step 9 on a small fold: its table and files, what is kept, and the line where there is none."""

import shutil
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pipeline
import pytest

from utils.judge.planted import fault as faults
from utils.model import checkpoints
from utils.ranking import flatten

FOLD = Path("exp-fl-5") / pipeline.NAME
# Some faults of it can be planted, and some cannot.
SIZES = {"hidden_size": 16, "intermediate_size": 128, "samples": 120}


@pytest.fixture(scope="module")
def before(server, tmp_path_factory):
    """A fold after step 3 whose test split has as many samples as the repair split."""
    root = tmp_path_factory.mktemp("step9") / "root"
    pipeline.make_fold(root, **SIZES)
    folder = root / "dataset" / pipeline.NAME
    splits = datasets.DatasetDict(dict(datasets.load_from_disk(folder)))
    splits["test"] = splits["repair"]
    splits.save_to_disk(root / "other")
    shutil.rmtree(folder)
    (root / "other").rename(folder)
    for step in (1, 2, 3):
        assert server.run(step, root).status == 0
    return root


@pytest.fixture(scope="module")
def done(before, server, tmp_path_factory):
    root = shutil.copytree(before, tmp_path_factory.mktemp("done") / "root")
    finished = server.run(9, root)
    assert finished.status == 0, finished.stderr
    return root, finished


def table_of(root):
    return pd.read_csv(root / FOLD / "exp-fl-5-9_planted.csv")


def test_rows_and_files(done):
    root, finished = done
    table = table_of(root)
    assert list(table.columns) == faults.COLUMNS
    assert set(table["kind"]) == {"neurons", "weights"}
    w_m1 = flatten(*checkpoints.read_ffn(root / f"out_vit_{pipeline.NAME}" / "checkpoint-10"))
    for (kind, number), rows in table.groupby(["kind", "fault"]):
        assert list(rows["method"]) == [name for _, name in pipeline.few_methods()]
        weights = np.load(root / FOLD / "planted" / f"{kind}{number}_weights.npy")
        delta = np.load(root / FOLD / "planted" / f"{kind}{number}_delta.npy")
        assert (weights.dtype, delta.dtype) == (np.int32, np.float32)
        assert len(weights) == len(delta) == rows["n_weights"].iloc[0]
        assert (np.diff(weights) > 0).all() and np.abs(delta).max() > 0
        assert np.abs(w_m1[weights] + delta).max() <= np.abs(w_m1).max()
        assert (rows[["n_neg", "n_pos"]] >= 2).all(axis=None)
        found = rows["precision@R"] * len(w_m1) / len(weights)
        assert rows["lift@R"].to_numpy() == pytest.approx(found.to_numpy())
    assert "lift@R of the planted weights" in finished.stdout


def test_a_fault_that_cannot_be_planted_has_one_line_and_no_rows(done, server):
    root, finished = done
    lines = [line for line in finished.stdout.splitlines() if line.startswith(f"{pipeline.NAME}: ")]
    assert any("could not be planted: after 600 steps of training" in line for line in lines)
    assert any(f"{pipeline.NAME}: no method is asked for fault" in line for line in lines)
    assert any("are right still; 2 of each are needed" in line for line in lines)
    planted = table_of(root).groupby(["kind", "fault"]).ngroups
    assert planted + len(lines) == 2 * pipeline.QUICK["PLANTED_FAULTS"]
    again = server.run(9, root)
    assert all(line in again.stdout for line in lines)


def test_running_again_makes_nothing_and_anew_the_same_bytes(done, server, tmp_path):
    root = shutil.copytree(done[0], tmp_path / "root")
    known = pipeline.results(root)
    again = server.run(9, root)
    assert again.status == 0 and not [p for p in again.points if "planted" in p]
    shutil.rmtree(root / FOLD / "planted")
    assert server.run(9, root).status == 0
    assert pipeline.results(root) == known


def test_a_killed_step_goes_on_and_ends_the_same(before, done, server, tmp_path):
    root = shutil.copytree(before, tmp_path / "root")
    for _ in range(2):
        assert server.run(9, root, mode="kill", at=len(done[1].points) // 3).status == -9
    assert server.run(9, root).status == 0
    assert pipeline.results(root) == pipeline.results(done[0])


def test_more_faults_keep_the_ones_there_are(done, server, tmp_path):
    root = shutil.copytree(done[0], tmp_path / "root")
    finished = server.run(9, root, constants={"PLANTED_FAULTS": 3})
    assert finished.status == 0
    made = {p.split("/")[-1] for p in finished.points if p.startswith("rename") and "planted/" in p}
    assert {"neurons2_fault.csv", "weights2_fault.csv"} <= made
    assert all(name.startswith(("neurons2_", "weights2_")) for name in made)


def test_other_percents_have_files_of_their_own_and_keep_the_ones_there_are(done, server, tmp_path):
    root = shutil.copytree(done[0], tmp_path / "root")
    known = pipeline.results(root)
    finished = server.run(9, root, constants={"PLANTED_PERCENTS": (1, 2.5)})
    assert finished.status == 0, finished.stderr
    found, table = pipeline.results(root), table_of(root)
    summary = "digits_summary"
    changed = {n for n in known if found[n] != known[n] and summary not in n}
    assert {name.split("/")[-1] for name in changed} == {"exp-fl-5-9_planted.csv"}
    new = {name.split("/")[-1] for name in set(found) - set(known) if summary not in name}
    assert new and all("_2.5%_" in name for name in new)
    assert list(table.columns[2:5]) == ["kind", "percent", "fault"]
    before = table_of(done[0])
    assert (
        table[table["percent"] == 1]
        .reset_index(drop=True)
        .equals(before.astype({"percent": float}))
    )
    sizes = {"neurons": 3 * 2 * 16, "weights": int(0.025 * 2 * 16 * 128)}  # 2.5% of 128 neurons: 3
    planted = sorted((root / FOLD / "planted").glob("*_2.5%_weights.npy"))
    assert planted
    for path in planted:
        assert len(np.load(path)) == sizes[path.name[:7]]
    assert "2.5% of the" in finished.stdout and "1% of the neurons" in finished.stdout
    finished = server.run(9, root, constants={"PLANTED_PERCENTS": (0,)})
    assert finished.status == 2 and "PLANTED_PERCENTS" in finished.stderr


def test_without_the_truth_repair_it_is_the_same(before, done, server, tmp_path):
    root = shutil.copytree(before, tmp_path / "root")
    alone = {"constants": {"TRUTHS": ("change",)}}
    shutil.rmtree(root / FOLD)
    for step in (1, 2, 3, 9):
        finished = server.run(step, root, **alone)
        assert finished.status == 0, finished.stderr
    assert table_of(root).equals(table_of(done[0]))


def test_only_the_methods_that_run_are_asked(done, server, tmp_path):
    root = shutil.copytree(done[0], tmp_path / "root")
    few = ["ochiai", "neuron/vdiff"]
    finished = server.run(9, root, constants={"METHODS_TO_RUN": few})
    assert finished.status == 0, finished.stderr
    assert set(table_of(root)["method"]) == {"ochiai", "vdiff"}
    finished = server.run(9, root, constants={"METHODS_TO_RUN": []})
    assert finished.status == 2 and "METHODS_TO_RUN" in finished.stderr
    assert server.run(9, root).status == 0
    assert table_of(root).equals(table_of(done[0]))


def test_no_states_of_the_test_split_is_one_line(done, server, tmp_path):
    root = shutil.copytree(done[0], tmp_path / "root")
    shutil.rmtree(root / FOLD / "cache_states_test")
    finished = server.run(9, root)
    assert finished.status == 2
    (line,) = finished.stderr.splitlines()
    assert "cache_states_test" in line and "run exp-fl-5-3.py" in line


OWN = """
from utils.methods.own import fl_method

@fl_method("weight", "size")
def size(e):
    return abs(flat(e.tail))

@fl_method("neuron", "bad")
def bad(e):
    return e.states.a.mean(axis=0) * float("nan")

def flat(tail):
    from utils.ranking import flatten
    return flatten(tail.w_bef.numpy(), tail.w_aft.numpy())
"""


def test_a_users_methods_are_asked_too(done, server, tmp_path):
    root, mine = shutil.copytree(done[0], tmp_path / "root"), tmp_path / "mine.py"
    mine.write_text(OWN)
    finished = server.run(9, root, "--methods", str(mine))
    assert finished.status == 2
    (line,) = finished.stderr.splitlines()
    assert "neuron/bad of mine.py returned 128 of 128 scores that are NaN" in line
    assert "(fault neurons" in line and " more); mend the function" in line
    table, before = table_of(root), table_of(done[0])
    assert table[table["method"] != "size"].reset_index(drop=True).equals(before)
    ours = table[table["method"] == "magnitude"].drop(columns="method")
    own = table[table["method"] == "size"].drop(columns="method")
    assert len(own) and own.reset_index(drop=True).equals(ours.reset_index(drop=True))
    made = [p for p in finished.points if p.startswith("rename") and "planted/" in p]
    assert made and all(p.endswith("_weight_size.csv") for p in made)  # ours are kept
    # Later calls have its rows until its file, or M1, is another one.
    known = pipeline.results(root)
    again = server.run(9, root)
    assert again.status == 0 and pipeline.results(root) == known
    mine.write_text(OWN.replace("abs(flat(e.tail))", "-abs(flat(e.tail))"))
    assert server.run(9, root, "--methods", str(mine)).status == 2
    other = table_of(root)
    assert not other[other["method"] == "size"].equals(own)
    few = {"METHODS_TO_RUN": []}
    mine.write_text(OWN.split('@fl_method("neuron"')[0] + OWN[OWN.index("def flat") :])
    assert server.run(9, root, "--methods", str(mine), constants=few).status == 0
    assert set(table_of(root)["method"]) == {"size"}


def test_a_file_of_methods_that_cannot_be_run_costs_one_line_and_no_work(done, server, tmp_path):
    root, mine = shutil.copytree(done[0], tmp_path / "root"), tmp_path / "mine.py"
    mine.write_text("1 / 0")
    before = pipeline.snapshot(root)
    finished = server.run(9, root, "--methods", str(mine))
    assert finished.status == 2 and "cannot be run: ZeroDivisionError" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1 and pipeline.snapshot(root) == before
