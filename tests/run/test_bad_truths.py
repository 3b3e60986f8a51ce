"""What is wrong with replays, the test split or the optimizer: a line, and the rest goes on.

Each test damages a copy of a fold on which every step has run. What was made of the
damaged input goes, the other truths stay to the byte; mended, all of it is as it was.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pipeline
import pytest
import torch
from pipeline import NAME, QUICK, SUMMARY, run_stage
from safetensors.torch import load_file, save_file

RESULTS = Path("exp-fl-5") / NAME
TRAINING = Path(f"out_vit_{NAME}")
M1 = TRAINING / "checkpoint-10"
REPLAY = TRAINING / "replay-2" / "checkpoint-20"
TEST = Path("dataset") / NAME / "test"
GROUND_TRUTH = RESULTS / "ground_truth"
FFN = "vit.encoder.layer.1.intermediate.dense.weight"
POOLED, REPAIR, STEP_OF_ADAM = "no truth 'pooled'", "no truth 'repair'", "no reference 'optimizer"
Damage = Callable[[Path], None]


@pytest.fixture
def root(stages, tmp_path) -> Path:
    """A copy of a fold on which all steps have run."""
    return shutil.copytree(stages[SUMMARY].before, tmp_path / "root")


def run(server, step: int, root: Path, **more) -> str:
    """Run a step that has nothing to refuse; what it said."""
    done = run_stage(server, step, root, **more)
    assert (done.status, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def line_with(said: str, *words: str) -> str:
    """The one line that holds all words in this order."""
    pattern = ".*".join(map(re.escape, words))
    (line,) = (line for line in said.splitlines() if re.search(pattern, line))
    return line


def refused(done: pipeline.Finished, *words: str) -> None:
    assert done.status == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert re.search(".*".join(map(re.escape, words)), line), line
    assert not [point for point in done.points if point.startswith("rename ")]


def scores(root: Path, truth: str = "") -> pd.DataFrame:
    return pd.read_csv(root / RESULTS / f"exp-fl-5-7_scores{truth}.csv")


def without(found: dict[str, bytes], *words: str) -> dict[str, bytes]:
    return {k: v for k, v in found.items() if not any(word in k for word in words)}


# -- replays -----------------------------------------------------------------------------------


def tensors(change: Callable[[dict], None]) -> Damage:
    def damage(root: Path) -> None:
        state = load_file(root / REPLAY / "model.safetensors")
        change(state)
        save_file(state, root / REPLAY / "model.safetensors", metadata={"format": "pt"})

    return damage


def poisoned(state: dict) -> None:
    state[FFN][3, 2] = float("nan")


def of_another_record(root: Path) -> None:
    record = {"M1": "0" * 64, "seed": 777, "data_seed": 2777}
    (root / REPLAY.parent / "replay.json").write_text(json.dumps(record))
    (root / TRAINING / "training.json").write_text("{}")  # step 0 trained this fold


def of_another_history(root: Path) -> None:
    pipeline.write_state(root / M1, 1)
    pipeline.write_state(root / TRAINING / "checkpoint-20", 2)
    log = [{"step": 10, "epoch": 1.0, "eval_loss": 0.123}]
    pipeline.write_state(root / REPLAY, 2, log_history=log)


def of_another_shape(root: Path) -> None:
    pipeline.make_model(intermediate_size=16).save_pretrained(root / REPLAY)


def half_a_file(root: Path) -> None:
    path = root / REPLAY / "model.safetensors"
    os.truncate(path, path.stat().st_size // 2)


BAD_REPLAYS: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "another M1 on record": (of_another_record, ("began at another M1", "exp-fl-5-0.py --ds")),
    "another history": (of_another_history, ("began at another M1", "docs/replays.md says how")),
    "another shape": (of_another_shape, ("intermediate_size 16", "checkpoint-10 32")),
    "NaN": (tensors(poisoned), ("NaN",)),
    "half a file": (half_a_file, ("replay-2", "cannot be read")),
    "no matrix": (tensors(lambda state: state.pop(FFN)), ("intermediate.dense.weight",)),
    "no config": (lambda root: (root / REPLAY / "config.json").unlink(), ("config.json",)),
}


@pytest.mark.parametrize("name", BAD_REPLAYS)
def test_a_bad_replay_is_left_out(server, stages, root, name):
    damage, words = BAD_REPLAYS[name]
    damage(root)
    said = run(server, 1, root)
    line_with(said, "replay 2 is left out: ", *words)
    assert said.count("is left out") == 1
    assert not (root / GROUND_TRUTH / "replay2_abs_diff.npy").exists()
    changes = [np.load(root / GROUND_TRUTH / f"{n}abs_diff.npy") for n in ("", "replay1_")]
    pooled = np.load(root / GROUND_TRUTH / "pooled_abs_diff.npy")
    np.testing.assert_allclose(pooled, np.mean(changes, axis=0), rtol=1e-6)
    assert len(pd.read_csv(root / GROUND_TRUTH / "agreement.csv")) == 1
    run(server, 7, root)
    ceiling = scores(root).set_index("method").loc["replays (ceiling)"]
    tops = [set(np.argsort(-change, kind="stable")[:5]) for change in changes]
    assert ceiling["overlap@1%"] == pytest.approx(len(tops[0] & tops[1]) / 5)
    assert without(pipeline.results(root), "pooled", "replay", "agreement", *JUDGED) == without(
        stages[7].after, "pooled", "replay", "agreement", *JUDGED
    )


# The tables in which the ceiling stands.
JUDGED = tuple(f"7_{kind}.csv" for kind in ("scores", "stratified", "permutation", "curves",
                                            "locations"))  # fmt: skip


def test_a_replay_that_was_taken_away(server, stages, root):
    """What was pooled is out of date, and step 1 says so before it is remade."""
    shutil.rmtree(root / REPLAY.parent)
    done = run_stage(server, 7, root)
    refused(done, "pooled_abs_diff.npy is out of date: FFN of replay 2 is missing",
            "run exp-fl-5-1.py --ds digits --fold 0", " again")  # fmt: skip
    run(server, 1, root)
    run(server, 7, root)
    fewer = pipeline.results(root)
    fresh = root.parent / "fresh"
    shutil.copytree(root, fresh, ignore=shutil.ignore_patterns("exp-fl-5"))
    for step in range(1, 8):
        run(server, step, fresh)
    assert pipeline.results(fresh) == fewer
    assert not [name for name in fewer if "replay2" in name]


def test_another_replay_is_another_pooled_truth(server, root):
    model = pipeline.make_model()
    pipeline.nudge(model, 99)
    model.save_pretrained(root / REPLAY)
    refused(run_stage(server, 7, root), "pooled_abs_diff.npy", "FFN of replay 2 has changed")
    assert "pooled_abs_diff.npy" in run(server, 1, root)
    run(server, 7, root)


def test_without_a_usable_replay_there_is_no_pooled_truth(server, stages, root):
    shutil.rmtree(root / TRAINING / "replay-1")
    of_another_record(root)
    line_with(run(server, 1, root), "replay 2 is left out")
    line_with(run(server, 7, root), POOLED, "--replays")
    found = pipeline.results(root)
    assert not [name for name in found if re.search("pooled|replay|agreement", name)]
    assert "replays (ceiling)" not in set(scores(root)["method"])
    assert without(found, "relabelled", *JUDGED) == without(
        stages[7].after, "relabelled", "pooled", "replay", "agreement", *JUDGED
    )
    (root / REPLAY.parent / "replay.json").unlink()
    shutil.copytree(stages[1].before / TRAINING / "replay-1", root / TRAINING / "replay-1")
    run(server, 1, root)
    run(server, 7, root)
    assert pipeline.results(root) == stages[7].after


def test_a_replay_with_two_checkpoints_is_refused(server, root):
    shutil.copytree(root / REPLAY, root / REPLAY.parent / "checkpoint-30")
    refused(run_stage(server, 1, root), "replay-2 holds 2 checkpoints")


# -- the test split ----------------------------------------------------------------------------


def rows(change: Callable[[datasets.Dataset], datasets.Dataset]) -> Damage:
    """Another test split; the others keep their files."""

    def damage(root: Path) -> None:
        changed = change(datasets.load_from_disk(str(root / TEST)))
        changed.save_to_disk(str(root / "other"))
        shutil.rmtree(root / TEST)
        (root / "other").rename(root / TEST)

    return damage


def labels(values: Callable[[list[int]], list[int | None]]) -> Damage:
    def change(split: datasets.Dataset) -> datasets.Dataset:
        new = values(list(split["label"]))
        kind = datasets.Value("int64")
        return split.remove_columns("label").add_column("label", new, feature=kind)

    return rows(change)


def broken_picture(split: datasets.Dataset) -> datasets.Dataset:
    raw = split.cast_column("img", datasets.Image(decode=False))
    images = [{"bytes": row["img"]["bytes"], "path": None} for row in raw]
    images[7]["bytes"] = images[7]["bytes"][:30]
    return datasets.Dataset.from_dict(
        {"img": images, "label": list(split["label"])}, features=split.features
    )


def absent(root: Path) -> None:
    index = root / TEST.parent / "dataset_dict.json"
    index.write_text(json.dumps({"splits": ["train", "repair"]}))
    shutil.rmtree(root / TEST)


BAD_SPLITS: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "absent": (absent, ("test",)),
    "no labels": (rows(lambda split: split.remove_columns("label")), ("test", "label")),
    "labels of -1": (labels(lambda found: [-1] * len(found)), ("test", "label -1 of row 0")),
    "one label of -1": (labels(lambda found: [*found[:-1], -1]), ("test", "label -1 of row 59")),
    "a label too high": (labels(lambda found: [*found[:-1], 4]), ("test", "label 4 of row 59")),
    "a missing label": (labels(lambda found: [None, *found[1:]]), ("1 labels",)),
    "no rows": (rows(lambda split: split.select([])), ("'test' is empty",)),
    "a broken picture": (rows(broken_picture), ("image 7", "test")),
}


@pytest.mark.parametrize("name", BAD_SPLITS)
def test_without_a_test_split_the_change_is_compared(server, stages, root, name):
    damage, words = BAD_SPLITS[name]
    damage(root)
    refused(run_stage(server, 7, root), "test split", "run exp-fl-5-")
    for step in (2, 3):
        line_with(run(server, step, root), REPAIR, "needs the test split: ", *words)
    assert not (root / RESULTS / "cache_states_test").exists()
    assert not list((root / RESULTS).rglob("*_neg_test.npy"))
    table = pd.read_csv(root / RESULTS / "misclf_info" / "settings.csv")
    assert table["n_neg_test"].isna().all()
    line_with(run(server, 7, root), REPAIR, "failing samples of the test split")
    found = pipeline.results(root)
    gone = ("repair_credit", "repair.csv", "_repair.", "specificity", "_test", "settings.csv")
    assert found.keys() == without(stages[7].after, *gone[:-1]).keys()
    assert without(found, *gone) == without(stages[7].after, *gone)


@pytest.mark.parametrize("name", ["absent", "a broken picture"])
def test_with_a_test_split_again_all_is_as_it_was(server, stages, root, name):
    shutil.copytree(root / TEST.parent, root / "as it was")
    BAD_SPLITS[name][0](root)
    for step in (2, 3, 7):
        run(server, step, root)
    assert pipeline.results(root).keys() != stages[7].after.keys()
    shutil.rmtree(root / TEST.parent)
    (root / "as it was").rename(root / TEST.parent)
    for step in (2, 3, 7):
        run(server, step, root)
    assert pipeline.results(root) == stages[7].after


def test_a_test_split_of_other_samples_is_noticed(server, root):
    labels(lambda found: [(x + 1) % 4 for x in found])(root)
    refused(run_stage(server, 7, root), "test split has changed", "run exp-fl-5-")
    run(server, 2, root)
    said = run(server, 7, root)
    assert "exp-fl-5-7_scores.csv is up to date" not in said  # settings.csv has other counts
    credit = pd.read_csv(root / GROUND_TRUTH / "repair.csv").set_index("setting")
    assert credit.loc["all", "n_test"] > 50


def test_a_setting_with_too_few_failing_test_samples(server, stages, root):
    """Of class pairs that the test split does not have there is no repair truth."""
    names = pd.read_csv(root / RESULTS / "misclf_info" / "settings.csv")
    row = names.set_index("setting").loc["src_tgt_top1"]
    logits = np.load(root / RESULTS / "cache_states_test" / "logits.npy")
    source, target = int(row["pred_label"]), int(row["true_label"])
    other = next(c for c in range(4) if c not in (source, target))
    predicted = logits.argmax(1)

    def spoiled(_: list[int]) -> list[int]:
        found = predicted.copy()
        at = np.flatnonzero(predicted == source)
        found[at[:6]], found[at[6]] = other, target
        return [int(x) for x in found]

    labels(spoiled)(root)
    run(server, 2, root)
    said = run(server, 7, root)
    line_with(said, "src_tgt_top1 has no repair truth: 1 failing test samples, 2 are needed")
    assert not (root / RESULTS / "src_tgt_top1" / "repair_credit.npy").exists()
    present = set(scores(root, "_repair")["setting"])
    assert "all" in present and "src_tgt_top1" not in present
    assert "src_tgt_top1" in set(scores(root)["setting"])
    assert run_stage(server, SUMMARY, root).status == 0


# -- the optimizer -----------------------------------------------------------------------------


def state(change: Callable[[dict], object]) -> Damage:
    def damage(root: Path) -> None:
        path = root / M1 / "optimizer.pt"
        found = torch.load(path, weights_only=True)
        change(found)
        torch.save(found, path)

    return damage


def nan_moment(found: dict) -> None:
    for moments in found["state"].values():
        moments["exp_avg"].fill_(float("nan"))


def half_a_state(root: Path) -> None:
    path = root / M1 / "optimizer.pt"
    os.truncate(path, path.stat().st_size // 2)


BAD_STATES: dict[str, tuple[Damage, str]] = {
    "half a file": (half_a_state, "cannot be read"),
    "empty": (lambda root: (root / M1 / "optimizer.pt").write_bytes(b""), "cannot be read"),
    "of another model": (
        lambda root: pipeline.save_optimizer(pipeline.make_model(hidden_size=4), root / M1),
        "moments of shape",
    ),
    "NaN": (state(nan_moment), "NaN or infinite moments"),
    "no moments": (state(lambda found: found["state"].clear()), "is not the AdamW state"),
    "of another kind": (state(lambda found: found.clear()), "is not the AdamW state"),
    "gone": (lambda root: (root / M1 / "optimizer.pt").unlink(), "has no optimizer.pt"),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_a_broken_optimizer_is_a_line(server, stages, root, name):
    damage, words = BAD_STATES[name]
    damage(root)
    line_with(run(server, 7, root), STEP_OF_ADAM, words)
    assert not (root / GROUND_TRUTH / "optimizer_step.npy").exists()
    for truth in ("", "_pooled", "_repair"):
        assert "optimizer step" not in scores(root, truth).set_index("method").index
    tables = ("7_scores", "7_stratified", "7_permutation", "7_curves", "7_locations")
    assert without(pipeline.results(root), *tables) == without(
        stages[7].after, "optimizer_step", *tables
    )


def test_with_the_optimizers_state_again_all_is_as_it_was(server, stages, root):
    (root / M1 / "optimizer.pt").unlink()
    run(server, 7, root)
    assert pipeline.results(root) != stages[7].after
    shutil.copy(stages[1].before / M1 / "optimizer.pt", root / M1)
    run(server, 7, root)
    assert pipeline.results(root) == stages[7].after


def test_code_in_an_optimizers_state_does_not_run(server, root):
    class Exploit:
        def __reduce__(self):
            return Path.write_text, (root / "pwned.txt", "code ran")

    torch.save({"state": Exploit()}, root / M1 / "optimizer.pt")
    line_with(run(server, 7, root), STEP_OF_ADAM, "cannot be read")
    assert not (root / "pwned.txt").exists()


# -- truths that are not asked for -------------------------------------------------------------


def test_the_change_alone(server, stages, tmp_path):
    """TRUTHS = ("change",): a test split is not missed; asked for later, all are as ever."""
    root = shutil.copytree(stages[1].before, tmp_path / "root")
    absent(root)
    alone = {"constants": QUICK | {"TRUTHS": ["change"]}}
    for step in range(1, 8):
        said = run(server, step, root, **alone)
        assert "test split" not in said and "truth 'repair'" not in said
    found = pipeline.results(root)
    assert not [name for name in found if re.search("specificity|_test|_repair\\.|credit", name)]
    assert not [name for name in found if "7_" in name and "pooled" in name]
    assert run_stage(server, SUMMARY, root, **alone).status == 0
    summary = root / "exp-fl-5" / "digits_summary_fold0"
    assert set(pd.read_csv(summary / "verdict.csv")["truth"]) == {"change"}
    assert not (summary / "layer.csv").exists()
    assert {path.name for path in (summary / "figures").iterdir() if path.is_dir()} == {"change"}
    shutil.rmtree(summary)
    shutil.rmtree(root / TEST.parent)
    shutil.copytree(stages[1].before / TEST.parent, root / TEST.parent)
    for step in range(1, 8):
        run(server, step, root)
    assert pipeline.results(root) == stages[7].after


def test_fewer_truths_leave_nothing_in_the_summary(server, stages, root):
    run_stage(server, SUMMARY, root)
    summary = root / "exp-fl-5" / "digits_summary_fold0"
    assert (summary / "layer.csv").exists() and (summary / "figures" / "repair").is_dir()
    fewer = QUICK | {"TRUTHS": ["change"]}
    assert run_stage(server, SUMMARY, root, constants=fewer).status == 0
    left = {path.relative_to(summary).as_posix() for path in summary.rglob("*") if path.is_file()}
    assert not [name for name in left if re.search("layer|specificity|repair|pooled|truths_", name)]
