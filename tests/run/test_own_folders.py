"""Folders of a user's own, as they are: no profile, other splits, data that do not agree."""

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pipeline
import pytest

DS = "mine"
NAME = f"{DS}_fold0"


def change(root: Path, edit) -> None:
    """Save the fold's DatasetDict again as `edit` makes it."""
    folder = root / "dataset" / NAME
    found = edit(datasets.DatasetDict.load_from_disk(str(folder)))
    found.save_to_disk(str(root / "other"))
    shutil.rmtree(folder)
    (root / "other").rename(folder)


def renamed(**names: str):
    """Splits under other names."""
    return lambda found: datasets.DatasetDict({names.get(k, k): v for k, v in found.items()})


def without(*splits: str):
    return lambda found: datasets.DatasetDict({k: v for k, v in found.items() if k not in splits})


def with_names(split: str, names):
    kind = datasets.ClassLabel(names=list(names)) if names else datasets.Value("int64")

    def edit(found):
        labels = list(found[split]["label"])
        plain = found[split].remove_columns("label")
        return datasets.DatasetDict(
            {**found, split: plain.add_column("label", labels, feature=kind)}
        )

    return edit


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A fold of a data set that has no profile; no image is in two of its splits."""
    root = tmp_path_factory.mktemp("mine") / "root"
    pipeline.make_fold(root, replays=0)
    (root / "dataset" / pipeline.NAME).rename(root / "dataset" / NAME)
    (root / f"out_vit_{pipeline.NAME}").rename(root / f"out_vit_{NAME}")
    model = pipeline.make_model()
    images = pipeline.make_images(20, 9)

    def other_train(found):
        pipeline.save_dataset(root / "train", images, pipeline.predict(model, images))
        rows = datasets.DatasetDict.load_from_disk(str(root / "train"))["repair"]
        return datasets.DatasetDict({**found, "train": rows})

    change(root, other_train)
    shutil.rmtree(root / "train")
    return root


@pytest.fixture
def root(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "root")


def run(server, step, root, *options):
    return server.run(step, root, "--ds", DS, *options, constants=pipeline.QUICK, summary=False)


def refusal(server, step, root, *options) -> str:
    before = pipeline.snapshot(root)
    done = run(server, step, root, *options)
    assert done.status == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert pipeline.snapshot(root) == before
    return line


def steps(server, root, *options, upto: int = 3) -> str:
    """What steps 1 to `upto` say; they have to end well."""
    said = ""
    for step in range(1, upto + 1):
        done = run(server, step, root, *options)
        assert (done.status, done.stderr) == (0, ""), f"step {step}: {done.stderr}"
        said += done.stdout
    return said


# -- no profile --------------------------------------------------------------------------------


def test_folders_are_enough_without_a_profile(server, root):
    said = steps(server, root, upto=7)
    assert "takes the columns 'img' and 'label': there is no profile to name others" in said
    for doubt in ("above chance", "as well", "as 'repair'"):
        assert doubt not in said


def test_step_0_needs_a_profile_and_says_so(server, root):
    line = refusal(server, 0, root)
    assert f"{DS!r} has none in PROFILES of utils/constants.py; steps 1 to 10 take its" in line


def test_a_missing_folder_is_named_with_the_place_that_was_searched(server, root):
    line = refusal(server, 1, root, "--ds", "absent")
    assert f"there is no out_vit_absent_fold0 in {root.resolve()} (--root)" in line
    line = refusal(server, 1, root, "--ds", "../mine")
    assert "unknown data set '../mine'" in line
    shutil.rmtree(root / "dataset" / NAME)
    line = refusal(server, 2, root)
    assert f"{NAME} does not exist in {root.resolve() / 'dataset'}; put the folder there" in line
    assert "--root" in line and "exp-fl-5-0.py" not in line


def test_a_column_that_cannot_be_told_is_to_be_named_in_a_profile(server, root):
    def twice(found):
        rows = found["repair"]
        more = rows.add_column("tone", list(rows["label"]), feature=rows.features["label"])
        return datasets.DatasetDict({**found, "repair": more})

    change(root, twice)
    assert "label and tone could be meant; name it as label_column in a profile" in refusal(
        server, 2, root
    )


def test_too_few_checkpoints_of_an_own_training_are_not_sent_to_step_0(server, root):
    shutil.rmtree(root / f"out_vit_{NAME}" / "checkpoint-10")
    line = refusal(server, 1, root)
    assert "add the checkpoint of another epoch" in line and "exp-fl-5-0.py" not in line


# -- splits of other names ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev", "eval", "Validation"])
def test_the_split_that_is_called_otherwise_is_taken_and_said(server, root, name):
    change(root, renamed(repair=name))
    steps(server, root, upto=1)
    done = run(server, 2, root)
    assert done.status == 0, done.stderr
    assert f"takes the split {name!r} as 'repair'" in done.stdout


def test_of_several_splits_one_is_named(server, root):
    change(root, renamed(repair="dev", train="validation"))
    line = refusal(server, 2, root)
    assert (
        "has the splits validation, dev, test; expected 'repair', where validation and dev" in line
    )
    assert line.endswith("with --repair-split") and "away" not in line
    assert "takes the split 'dev' as 'repair'" in steps(server, root, "--repair-split", "dev")
    done = run(server, 4, root, "--repair-split", "dev")
    assert done.status == 0, done.stderr


def test_a_split_that_is_named_has_to_be_there(server, root):
    line = refusal(server, 2, root, "--repair-split", "held_out")
    assert "has the splits train, repair, test; expected 'held_out': name the one" in line
    change(root, renamed(repair="held out"))
    assert "expected 'repair': name the one" in refusal(server, 2, root)
    steps(server, root, "--repair-split", "held out", upto=2)


def test_without_a_train_split_nothing_is_missed(server, root):
    change(root, without("train"))
    steps(server, root)


def test_without_a_test_split_the_line_says_what_there_is(server, root):
    change(root, without("test"))
    said = steps(server, root, upto=7)
    assert "has the splits train, repair; expected 'test': add it to the data set" in said
    for step in (8, 9):
        line = refusal(server, step, root)
        assert f"train, repair and no 'test', on which step {step} measures; add one" in line
        assert "run exp-fl-5" not in line


# -- data that do not agree --------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "repair", "test"])
@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("=one", "zero", "zwei", "drei"), "another order: class 0 is"),
        (("zero", "=one", "zwei", "vier"), "is in one of them only"),
    ],
)
def test_splits_that_disagree_about_the_classes_are_refused(server, root, split, names, said):
    change(root, with_names(split, names))
    line = refusal(server, 2, root)
    assert said in line and f"{split!r}" in line and "same classes in the same order" in line
    steps(server, root, upto=1)


def test_a_test_split_that_changes_its_classes_later_is_refused(server, root):
    steps(server, root)
    change(root, with_names("test", pipeline.CLASSES[::-1]))
    assert "another order: class 0 is 'zero' and 'drei'" in refusal(server, 2, root)


def test_integers_beside_classes_sorted_as_text_are_refused(server, root):
    names = {str(i): name for i, name in enumerate(("0", "1", "10", "2"))}
    for step in (10, 20):
        path = root / f"out_vit_{NAME}" / f"checkpoint-{step}" / "config.json"
        config = json.loads(path.read_text()) | {"id2label": names}
        path.write_text(json.dumps(config))
    for split in ("train", "repair", "test"):
        change(root, with_names(split, None))
    line = refusal(server, 2, root)
    assert "(id2label) class 2 is called '10'" in line and "datasets.ClassLabel" in line


def test_an_accuracy_at_chance_is_said(server, root):
    def shuffled(found):
        labels = np.random.default_rng(0).permutation(found["repair"]["label"]).tolist()
        plain = found["repair"].remove_columns("label")
        rows = plain.add_column("label", labels, feature=found["repair"].features["label"])
        return datasets.DatasetDict({**found, "repair": rows})

    change(root, shuffled)
    steps(server, root, upto=1)
    said = run(server, 2, root).stdout
    assert "checkpoint-10 is not above chance on the split 'repair' (accuracy 0." in said


def test_images_that_two_splits_share_are_said(server, root):
    def shared(found):
        more = datasets.concatenate_datasets([found["test"], found["repair"].select([4, 7])])
        return datasets.DatasetDict({**found, "test": more})

    change(root, shared)
    said = steps(server, root, upto=2)
    assert "2 of the images of 'test' are in 'repair' as well (the first: image 60)" in said
