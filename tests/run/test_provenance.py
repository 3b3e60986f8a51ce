"""What was made from what: nothing that changed goes unnoticed, nothing that did not is redone."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pipeline
import pytest
from pipeline import NAME, STAGES, SUMMARY, run_stage

from utils.errors import UserError
from utils.run import hashing, machine
from utils.run.code import is_plumbing
from utils.run.hashing import HashCache
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths

RESULTS = Path("exp-fl-5") / NAME
TRAINING = Path(f"out_vit_{NAME}")
M1, M2 = TRAINING / "checkpoint-10", TRAINING / "checkpoint-20"
REPAIR = Path("dataset") / NAME / "repair"
STEPS = STAGES[:-1]
NOTHING: dict[int, set[str]] = {step: set() for step in STEPS}


@pytest.fixture
def root(stages, tmp_path) -> Path:
    """A copy of a fold on which all steps have run."""
    return shutil.copytree(stages[SUMMARY].before, tmp_path / "root")


def made(done: pipeline.Finished) -> set[str]:
    """The results that a run has written."""
    assert done.status == 0, done.stderr
    written = (p.split(" ", 1)[1] for p in done.points if p.startswith("rename "))
    return {str(Path(p).relative_to(RESULTS)) for p in written if not p.endswith(pipeline.TIMED)}


def refused(done: pipeline.Finished, *said: str) -> None:
    assert done.status == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    for words in said:
        assert words in line, line
    assert not [p for p in done.points if p.startswith("rename ")]


def rerun(server, root: Path, steps: tuple[int, ...] = STEPS, **more) -> dict[int, set[str]]:
    return {step: made(run_stage(server, step, root, **more)) for step in steps}


def fresh(server, root: Path, folder: Path, **more) -> dict[str, bytes]:
    """The results of all steps on the same inputs, made from nothing."""
    again = folder / "fresh"
    shutil.copytree(root, again, ignore=shutil.ignore_patterns("exp-fl-5"))
    rerun(server, again, **more)
    return pipeline.results(again)


# -- what has not changed ----------------------------------------------------------------------


def test_nothing_is_redone_where_nothing_has_changed(server, root):
    before = pipeline.snapshot(root / RESULTS)
    assert rerun(server, root) == NOTHING
    after = pipeline.snapshot(root / RESULTS)
    assert {k: v for k, v in after.items() if not k.endswith(".hashes.json")} == {
        k: v for k, v in before.items() if not k.endswith(".hashes.json")
    }


def test_another_machine_keeps_the_results(server, root):
    """Other inodes, times and no hash cache: what counts is the content."""
    (root / RESULTS / ".hashes.json").unlink()
    for path in root.rglob("*"):
        os.utime(path, (1, 1))
    assert rerun(server, root) == NOTHING


def test_a_checkpoint_that_is_copied_again_is_the_same(server, root):
    shutil.copytree(root / M1, root / "copy")
    shutil.rmtree(root / M1)
    shutil.copytree(root / "copy", root / TRAINING / "checkpoint-9")
    assert rerun(server, root) == NOTHING


def test_force_redoes_every_file_with_the_same_bytes(server, stages, root):
    for stage in STEPS:
        done = run_stage(server, stage, root, "--force")
        new = {str(RESULTS / name) for name in made(done)}
        # Step 2 makes the caches too, where step 3 is not run before it.
        assert new >= set(stages[stage].after) - set(stages[stage - 1].after if stage > 1 else ())
    assert pipeline.results(root) == stages[7].after


# -- what has changed --------------------------------------------------------------------------


def new_m1(root: Path) -> None:
    """Another M1, on which other settings come out: all mistakes are of one kind here."""
    model = pipeline.make_model()
    pipeline.nudge(model, 7, 0.05)
    model.save_pretrained(root / M1)


def test_a_new_m1_is_noticed_by_every_step(server, root, tmp_path):
    new_m1(root)
    for step in (4, 5, 6, 7):
        refused(run_stage(server, step, root), "checkpoint M1 has changed", "exp-fl-5-2.py")
    assert "ground_truth/abs_diff.npy" in made(run_stage(server, 1, root))
    for step in (4, 5, 6, 7):
        refused(run_stage(server, step, root), "checkpoint M1 has changed")
    assert "cache_states_repair/logits.npy" in made(run_stage(server, 2, root))
    refused(run_stage(server, 7, root), "exp-fl-5-4.py")
    rerun(server, root, (3, 4, 5))
    refused(run_stage(server, 7, root), "exp-fl-5-6.py")
    rerun(server, root, (6, 7))
    assert pipeline.results(root) == fresh(server, root, tmp_path)


def test_a_new_m2_is_noticed_by_the_comparison(server, root):
    model = pipeline.make_model()
    pipeline.nudge(model, 8)
    model.save_pretrained(root / M2)
    refused(run_stage(server, 7, root), "FFN of M2 has changed", "exp-fl-5-1.py")
    redone = rerun(server, root)
    assert {step for step, files in redone.items() if files} == {1, 7}


def test_a_new_epoch_moves_m1_and_m2(server, root):
    model = pipeline.make_model()
    pipeline.nudge(model, 9)
    model.save_pretrained(root / TRAINING / "checkpoint-30")
    refused(run_stage(server, 7, root), "checkpoint M1 has changed")
    refused(run_stage(server, 5, root), "checkpoint M1 has changed")


def test_another_config_is_another_checkpoint(server, root):
    for path in (root / M1 / "config.json", root / M2 / "config.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_act": "relu"}))
    refused(run_stage(server, 6, root), "checkpoint M1 has changed", "exp-fl-5-2.py")


def test_image_preprocessing_belongs_to_the_checkpoint(server, root):
    (root / M1 / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "ViTImageProcessor", "image_mean": [0.4],
                    "image_std": [0.5], "size": {"height": 4, "width": 4}})
    )  # fmt: skip
    refused(run_stage(server, 4, root), "checkpoint M1 has changed")
    assert "cache_states_repair/intermediate.npy" in made(run_stage(server, 3, root))


def test_new_data_is_noticed(server, root, tmp_path):
    images = pipeline.make_images(60, 3)
    labels = pipeline.spoil(pipeline.predict(pipeline.make_model(), images), 4, 5)
    shutil.rmtree(root / "dataset")
    pipeline.save_dataset(root / "dataset" / NAME, images, labels)
    for step in (4, 5, 6, 7):
        refused(run_stage(server, step, root), "repair split has changed", "exp-fl-5-2.py")
    redone = rerun(server, root)
    assert not redone[1]
    assert pipeline.results(root) == fresh(server, root, tmp_path)


def test_other_labels_of_the_same_data_are_noticed(server, root):
    """The profile's column decides what a mistake is, though the data set stays as it is."""
    import datasets

    found = datasets.load_from_disk(str(root / "dataset" / NAME))
    fine = found["repair"]
    coarse = [(label + (i % 3 == 0)) % 4 for i, label in enumerate(fine["label"])]
    found["repair"] = fine.add_column("coarse", coarse, feature=fine.features["label"])
    found.save_to_disk(str(root / "other"))
    shutil.rmtree(root / "dataset" / NAME)
    (root / "other").rename(root / "dataset" / NAME)
    rerun(server, root)
    profile = {"label_column": "coarse"}
    done = run_stage(server, 4, root, profile=profile)
    refused(done, "label_column was label, now coarse", "exp-fl-5-2.py")
    redone = made(run_stage(server, 2, root, profile=profile))
    assert {"cache_states_repair/labels.npy", "misclf_info/predictions.csv"} <= redone


PROOFS = {f"cache_states_{split}/proof.csv" for split in ("repair", "test")}


def test_a_new_seed_redoes_what_is_random_and_no_more(server, root):
    constants = pipeline.QUICK | {"SEED": 778}
    done = run_stage(server, 7, root, constants=constants)
    refused(done, "SEED was 777, now 778", "exp-fl-5-4.py")
    redone = rerun(server, root, constants=constants)
    assert {step for step, files in redone.items() if files} == {4, 5, 7}
    assert {Path(name).name.removeprefix("neuron_")[:3] for name in redone[4]} == {"eg_", "exp"}
    assert {Path(name).name.split("_")[1] for name in redone[5]} == {"bl", "pos", "mask"}
    tables = {Path(name).name for name in redone[7] if "exp-fl-5-7_" in name}
    kinds = ("scores", "stratified", "permutation", "locations", "curves", "relabelled")
    assert tables == {"exp-fl-5-7_specificity.csv", "exp-fl-5-7_replay_lifts.csv"} | {
        f"exp-fl-5-7_{kind}{truth}{suffix}"
        for kind in kinds
        for truth in ("", "_pooled", "_repair")
        for suffix in ((".csv", ".npy") if kind == "relabelled" else (".csv",))
    }
    assert {Path(name).name for name in redone[7]} - tables == {
        "neuron_random_score.npy", "neuron_random_ranking.npy", "weight_random_score.npy",
        "weight_random_ranking.npy",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "steps"),
    [
        ("IG_POINTS", 10, {4, 7}),
        ("POSITIVE_PERCENT", 2, {1, 7}),
        ("K_PERCENTS", [1, 5], {7}),
        ("INFERENCE_PRECISION", "bf16", {2, 4, 5, 6, 7}),
    ],
)
def test_a_new_constant_redoes_the_steps_that_depend_on_it(server, root, name, value, steps):
    redone = rerun(server, root, constants=pipeline.QUICK | {name: value})
    found = {step for step, files in redone.items() if files - PROOFS}
    # What bf16 changes in the caches may leave the table of settings as it was.
    assert found == steps


def test_settings_that_are_gone_leave_nothing_behind(server, root, tmp_path):
    """Fewer settings than before: no file of the others stays where it could be taken for new."""
    (root / RESULTS / "tgt_top2" / "neuron_mine_score.npy").write_bytes(
        (root / RESULTS / "tgt_top2" / "neuron_vdiff_score.npy").read_bytes()
    )
    constants = pipeline.QUICK | {"TOP_RANKS": 1}
    rerun(server, root, constants=constants)
    expected = fresh(server, root, tmp_path, constants=constants)
    found = pipeline.results(root)
    assert set(found) - set(expected) == {str(RESULTS / "tgt_top2" / "neuron_mine_score.npy")}
    assert all(found[name] == content for name, content in expected.items())


def test_another_budget_adds_to_what_is_there(server, stages, root):
    before = pipeline.results(root)
    redone = rerun(server, root, (4, 5, 6))
    assert not any(redone.values())
    for step in (1, 4, 5, 6):
        done = run_stage(server, step, root, "--n", "2", "1")
        assert all("_n2" in name for name in made(done))
    refused(run_stage(server, 7, root, "--n", "3"), "exp-fl-5-6.py")
    assert "exp-fl-5-7_scores.csv" in made(run_stage(server, 7, root, "--n", "1", "2"))
    found = pipeline.results(root)
    assert all(found[k] == v for k, v in before.items() if "exp-fl-5-7" not in k)


def test_budgets_of_another_m1_are_not_left(server, root):
    assert run_stage(server, 6, root, "--n", "2").status == 0
    old = root / RESULTS / "all" / "weight_vdiff_n2_ranking.npy"
    assert old.exists()
    new_m1(root)
    rerun(server, root)
    assert not old.exists()


# -- files that are not what the record says ---------------------------------------------------


def test_a_file_of_another_run_is_replaced_or_refused(server, root, stages, tmp_path):
    """A whole file of the right shape, made with another seed, in place of ours."""
    other = shutil.copytree(root, tmp_path / "other")
    rerun(server, other, (5,), constants=pipeline.QUICK | {"SEED": 5})
    name = RESULTS / "all" / "weight_bl_score.npy"
    shutil.copy(other / name, root / name)
    refused(run_stage(server, 7, root), "weight_bl_score.npy has changed since step 5")
    assert "all/weight_bl_score.npy" in made(run_stage(server, 5, root))
    assert pipeline.results(root) == stages[7].after
    assert not made(run_stage(server, 7, root))


def test_a_whole_folder_of_another_fold_is_not_taken(server, root, tmp_path):
    pipeline.make_fold(tmp_path / "second", seed=4)
    shutil.copytree(root / RESULTS, tmp_path / "second" / RESULTS)
    refused(run_stage(server, 7, tmp_path / "second"), "has changed")
    redone = rerun(server, tmp_path / "second")
    assert all(redone[step] for step in (1, 2, 4, 5, 6, 7))


def test_results_of_another_fold_number_are_refused(server, root):
    """The seed of a fold is SEED + its number: what was drawn for fold 0 is not fold 1's."""
    for folder in ("dataset", "exp-fl-5"):
        shutil.copytree(root / folder / NAME, root / folder / "digits_fold1")
    shutil.copytree(root / TRAINING, root / "out_vit_digits_fold1")
    for step in STEPS:
        done = server.run(step, root, "--fold", "1", summary=False, constants=pipeline.QUICK)
        refused(done, "was made as fold 0 of digits", "move the folder away")


def test_the_hash_of_an_ffn_does_not_depend_on_its_history(server, root):
    """M2's weights were replaced once; with the memory of hashes gone nothing is out of date."""
    model = pipeline.make_model()
    pipeline.nudge(model, 8)
    model.save_pretrained(root / "other")
    shutil.copy(root / "other" / "model.safetensors", root / M2 / "model.safetensors")
    assert rerun(server, root)[1]
    (root / RESULTS / ".hashes.json").unlink()
    assert rerun(server, root) == NOTHING


def test_the_code_behind_every_task_is_on_record(root):
    content = json.loads((root / RESULTS / "provenance.json").read_text())

    def modules(key: str) -> set[str]:
        digests = content["tasks"][key]["recipe"]["code"].values()
        return set().union(*(content["code"][digest] for digest in digests))

    everything = set().union(*map(modules, content["tasks"]))
    assert {"utils.methods.arachne", "utils.methods.evidence", "utils.model.tail"} <= modules(
        "5/all/weight/bl"
    )
    assert "utils.model.checkpoints" in modules("1/ground_truth")
    assert {"utils.model.forward", "utils.data.images"} <= modules("3/forward_pass")
    assert {"utils.judge.scores.metrics", "utils.ranking"} <= modules("7/scores")
    assert not [name for name in everything if is_plumbing(name)]
    # What no task is made by any more leaves the table.
    assert content["code"].keys() == {
        digest for task in content["tasks"].values() for digest in task["recipe"]["code"].values()
    }


def in_the_old_form(root: Path) -> None:
    """The record as it was before code was found from imports: names listed by hand, no table."""
    path = root / RESULTS / "provenance.json"
    content = json.loads(path.read_text())
    del content["code"]
    for task in content["tasks"].values():
        task["recipe"]["code"] = {"utils.judge.scoring:cut_size": "0" * 64, "utils.ranking": "1"}
    path.write_text(json.dumps(content))


def test_results_from_before_say_that_their_code_has_changed(server, stages, root):
    in_the_old_form(root)
    for step in (4, 5, 6, 7):
        refused(
            run_stage(server, step, root),
            "its code has changed", "run exp-fl-5-2.py --ds digits --fold 0 --root",
        )  # fmt: skip
    redone = rerun(server, root)
    assert all(redone.values())
    assert pipeline.results(root) == stages[7].after
    assert rerun(server, root) == NOTHING


def test_what_makes_a_result_is_on_record(root):
    content = json.loads((root / RESULTS / "provenance.json").read_text())

    def modules(task):
        code = content["tasks"][task]["recipe"]["code"]
        return set().union(*(content["code"][digest] for digest in code.values()))

    assert {"utils.truth.change.tables", "utils.model.checkpoints"} <= modules("1/ground_truth")
    assert {
        "utils.judge.scores.rows", "utils.judge.truth_files", "utils.judge.rankings.source",
        "utils.truth.positives", "utils.judge.references.scores", "utils.model.gradients",
    } <= modules("7/scores")  # fmt: skip
    assert "utils.judge.verdict.relabelling" in modules("7/relabelled")
    assert "utils.judge.verdict.relabelling" not in modules("7/scores")
    every = {task for task in content["tasks"] if task.startswith(("1/", "7/"))}
    # adding a method makes no truth and no comparison stale
    assert not {name for task in every for name in modules(task) if name.endswith("arachne")}
    assert not {name for task in every for name in modules(task) if name.startswith("utils.run")}


def test_a_users_score_from_before_a_new_m1_is_pointed_at(server, root):
    mine = root / RESULTS / "all" / "neuron_mine_score.npy"
    np.save(mine, np.arange(pipeline.SIZES["intermediate_size"], dtype=np.float32))
    words = "as it was when the ground truth was another one"
    assert words not in run_stage(server, 7, root).stdout
    new_m1(root)
    rerun(server, root, (1, 2, 3, 4, 5, 6))
    assert words in run_stage(server, 7, root).stdout


def test_an_edited_record_is_not_believed(server, root, stages):
    path = root / RESULTS / "provenance.json"
    content = json.loads(path.read_text())
    task = content["tasks"]["6/all/neuron/vdiff"]
    task["outputs"] = dict.fromkeys(task["outputs"], "0" * 64)
    path.write_text(json.dumps(content))
    assert "all/neuron_vdiff_score.npy" in made(run_stage(server, 6, root))
    assert pipeline.results(root) == stages[7].after


@pytest.mark.parametrize("name", ["../../precious.txt", "/tmp/precious.txt"])
def test_a_record_cannot_name_files_elsewhere(server, root, name):
    """Files that a task does not make any more are deleted: only inside the folder."""
    (root / "precious.txt").write_text("keep me")
    path = root / RESULTS / "provenance.json"
    content = json.loads(path.read_text())
    outputs = content["tasks"]["6/all/neuron/vdiff"]["outputs"]
    outputs[name] = hashlib.sha256(b"keep me").hexdigest()
    path.write_text(json.dumps(content))
    refused(run_stage(server, 6, root, "--force"), "provenance.json is not readable")
    assert (root / "precious.txt").exists()


def test_a_record_that_goes_in_a_circle(server, root):
    path = root / RESULTS / "provenance.json"
    content = json.loads(path.read_text())
    recipe = content["tasks"]["2/misclf_info"]["recipe"]
    recipe["inputs"] = {"misclf_info/settings.csv": "0" * 64}
    path.write_text(json.dumps(content))
    refused(run_stage(server, 4, root), "goes in a circle", "exp-fl-5-2.py")


# -- the record itself -------------------------------------------------------------------------


def test_the_record_says_what_a_reader_needs(stages, root):
    content = json.loads((root / RESULTS / "provenance.json").read_text())
    assert (content["ds"], content["fold"]) == ("digits", 0)
    assert [run["step"] for run in content["runs"].values()] == list(STEPS)
    for run in content["runs"].values():
        assert run["seed"] == 777 and run["constants"]["IG_POINTS"] == 20
        assert run["device"] == "cpu" and run["threads"] == 1
        assert run["packages"]["torch"] == importlib.metadata.version("torch")
        assert run["packages"]["numpy"] == np.__version__
        assert datetime.fromisoformat(run["start"]) <= datetime.fromisoformat(run["end"])
        assert {"git_commit", "git_dirty", "platform", "python", "command"} <= set(run)
    names = {name for task in content["tasks"].values() for name in task["outputs"]}
    found = {k for k in stages[7].after if "exp-fl-5-7_" not in k or k.endswith((".csv", ".npy"))}
    assert names == {str(Path(k).relative_to(RESULTS)) for k in found}
    for task in content["tasks"].values():
        assert task["run"] in content["runs"] and task["recipe"]["code"]
        for name, digest in task["outputs"].items():
            assert hashlib.sha256((root / RESULTS / name).read_bytes()).hexdigest() == digest
        for name, digest in task["recipe"]["inputs"].items():
            path = root / RESULTS / name
            if path.exists():
                assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_times_are_one_row_per_timed_thing(root):
    for step in STEPS:
        table = pd.read_csv(root / RESULTS / f"exp-fl-5-{step}_time.csv")
        assert list(table) == ["ds", "fold", "setting", "method", "n", "elapsed_s", "device"]
        assert (table["elapsed_s"] >= 0).all() and len(table)
        if step < 7:  # which makes and compares its own rankings, under one name
            assert not table.duplicated(["setting", "method", "n"]).any()


def test_git_says_whether_the_tree_was_dirty(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", *who, "-C", str(tmp_path), *arguments], capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    git("init", "-q")
    (tmp_path / "a.py").write_text("1")
    git("add", ".")
    git("commit", "-qm", "x")
    monkeypatch.setattr(machine, "REPOSITORY", tmp_path)
    clean = machine._git()
    assert clean == {"git_commit": git("rev-parse", "HEAD"), "git_dirty": False}
    (tmp_path / "a.py").write_text("2")
    assert machine._git()["git_dirty"] is True
    monkeypatch.setattr(machine, "REPOSITORY", tmp_path / "absent")
    assert machine._git() == {"git_commit": None, "git_dirty": None}


# -- hashes ------------------------------------------------------------------------------------


def rewrite(path: Path, content: bytes) -> None:
    """Until the file system's clock has ticked: it is what a HashCache goes by."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.write_bytes(content)


def test_a_file_is_hashed_once_until_it_changes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"one")
    calls = []

    def compute(p: Path) -> str:
        calls.append(p)
        return hashing.hash_file(p)

    hashes = HashCache(tmp_path / ".hashes.json")
    first = hashes.get(path, compute=compute)
    assert first == hashlib.sha256(b"one").hexdigest()
    hashes.save()
    again = HashCache(tmp_path / ".hashes.json")
    assert again.get(path, compute=compute) == first and len(calls) == 1
    rewrite(path, b"two")  # the same size
    assert again.get(path, compute=compute) == hashlib.sha256(b"two").hexdigest()
    stat = path.stat()
    rewrite(path, b"six")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # and a forged time
    assert again.get(path, compute=compute) == hashlib.sha256(b"six").hexdigest()
    (tmp_path / "new").write_bytes(b"ten")
    (tmp_path / "new").replace(path)
    assert again.get(path, compute=compute) == hashlib.sha256(b"ten").hexdigest()


def test_a_file_that_changes_while_it_is_hashed_is_hashed_again(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"one")

    def disturbed(p: Path) -> str:
        digest = hashing.hash_file(p)
        rewrite(path, b"two")
        return digest

    hashes = HashCache(tmp_path / ".hashes.json")
    hashes.get(path, compute=disturbed)
    assert hashes.get(path) == hashlib.sha256(b"two").hexdigest()


def open_ledger(tmp_path: Path, **constants) -> Ledger:
    paths = FoldPaths(tmp_path, "digits", 0)
    return Ledger(paths, 6, constants, {"data": lambda _: (tmp_path / "data").read_text()})


def test_a_change_is_noticed_through_any_number_of_tasks(tmp_path):
    """Four tasks in a row, each made from the one before: the last knows of the first."""
    (tmp_path / "data").write_text("old")

    def run(upto: int, **constants) -> Ledger:
        book = open_ledger(tmp_path, **constants)
        for i in range(upto):
            inputs = [(book.paths.results / f"{i - 1}.txt", 6)] if i else ["data"]
            with book.task(str(i), inputs=inputs, constants=["A"] if i == 1 else []) as task:
                task.save_bytes(book.paths.results / f"{i}.txt", str(i).encode())
        return book

    last = run(4, A=1).paths.results / "3.txt"
    assert open_ledger(tmp_path, A=1).require(last, 6)
    with pytest.raises(UserError, match=r"3\.txt is out of date: .*A was 1, now 2"):
        open_ledger(tmp_path, A=2).require(last, 6)
    (last.parent / "0.txt").write_text("x")
    with pytest.raises(UserError, match=r"0\.txt has changed"):
        open_ledger(tmp_path, A=1).require(last, 6)
    run(1, A=1)
    (tmp_path / "data").write_text("new")
    with pytest.raises(UserError, match="the data has changed"):
        open_ledger(tmp_path, A=1).require(last, 6)


def test_a_task_that_fails_leaves_no_record(tmp_path):
    (tmp_path / "data").write_text("x")
    book = open_ledger(tmp_path)
    task = book.task("t", inputs=["data"])
    with pytest.raises(ZeroDivisionError), task:
        task.save_bytes(book.paths.results / "a.txt", b"1")
        raise ZeroDivisionError
    again = open_ledger(tmp_path)
    assert not again.task("t", inputs=["data"]).done
    with pytest.raises(UserError, match="no record of what it was made from"):
        again.require(book.paths.results / "a.txt", 6)


# -- the summary -------------------------------------------------------------------------------


def test_a_summary_of_other_folds_has_its_own_folder(server, root):
    """The one of the usual folds stays as it was."""
    usual = pipeline.QUICK | {"FOLDS": [0]}
    assert run_stage(server, SUMMARY, root, constants=usual).status == 0
    before = {k: v for k, v in pipeline.results(root).items() if "digits_summary/" in k}
    assert before
    other = pipeline.QUICK | {"FOLDS": [0, 1], "COMPARED_METRICS": ["ap/random"]}
    done = run_stage(server, SUMMARY, root, constants=other)
    assert "digits_summary_fold0" in done.stdout and "replaced" not in done.stdout
    after = pipeline.results(root)
    assert {k: v for k, v in after.items() if "digits_summary/" in k} == before
    assert any("digits_summary_fold0/" in k for k in after)


# -- determinism -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_a_byte(server, stages, tmp_path, workers):
    root = shutil.copytree(stages[1].before, tmp_path / "root")
    constants = {"PREPROCESSING_WORKERS": workers}
    rerun(server, root, (1, 2), constants=pipeline.QUICK | constants)
    assert pipeline.results(root) == stages[2].after


@pytest.mark.parametrize("size", [8, 24])
def test_batches_of_whole_pieces_do_not_change_a_byte(server, stages, tmp_path, size):
    root = shutil.copytree(stages[1].before, tmp_path / "root")
    rerun(server, root, (1, 2), constants=pipeline.QUICK | {"INFERENCE_BATCH_SIZE": size})
    assert pipeline.results(root) == stages[2].after


@pytest.mark.parametrize(
    ("classes", "d", "m"), [(7, 48, 101), (100, 100, 333)], ids=["7 classes", "100 classes"]
)
def test_threads_do_not_change_a_byte(server, tmp_path, classes, d, m):
    """Settings of 2 to 20 failing samples: products of a few rows are what MKL adds up anew."""
    once, again = tmp_path / "one thread", tmp_path / "four threads"
    names = tuple(f"class {i}" for i in range(classes))
    sizes = {"hidden_size": d, "intermediate_size": m, "num_attention_heads": 4}
    pipeline.make_fold(once, samples=300, names=names, mistakes=(20, 7, 5, 3, 2, 10), **sizes)
    shutil.copytree(once, again)
    few = pipeline.QUICK | {"METHODS_TO_RUN": ["ig", "bl"], "PLANTED_FAULTS": 1}
    for root, threads in ((once, 1), (again, 4)):
        rerun(server, root, (2, 3, 4, 5, 6), threads=threads)
        for step in (1, 7, 8, 9) if classes < 10 else ():
            done = run_stage(server, step, root, threads=threads, constants=few)
            assert done.status == 0, done.stderr
    expected, found = pipeline.results(once), pipeline.results(again)
    assert len(expected) > 150
    assert {name for name in expected if found.get(name) != expected[name]} == set()
    settings = pd.read_csv(once / RESULTS / "misclf_info" / "settings.csv", encoding="utf-8-sig")
    assert settings["n_neg"].between(2, 20).sum() > 3


def test_numpy_and_scipy_add_up_on_one_thread():
    """Their OpenBLAS splits a sum of 10,000 numbers and more; step 7 has such sums."""
    code = (
        "from utils.run import cli; cli.fix_order_of_sums()\n"
        "import scipy.linalg, threadpoolctl\n"
        "found = [x for x in threadpoolctl.threadpool_info() if x['internal_api'] == 'openblas']\n"
        "print([x['num_threads'] for x in found])"
    )
    threads = {"OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": "4"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=pipeline.ROOT, env={**pipeline.ENVIRONMENT, **threads},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[1, 1]", done.stderr
