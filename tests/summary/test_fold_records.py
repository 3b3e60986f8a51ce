"""Folds of one summary are repetitions of one experiment, or are said not to be."""

import json
from dataclasses import replace

import folds_of_step7 as given
import pipeline
import pytest

from utils.data import repeats
from utils.errors import UserError
from utils.model import training
from utils.model.trainer_state import Recipe
from utils.run.paths import FoldPaths
from utils.summary import fold_records
from utils.summary.fold_records import FoldRecord


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Two folds on which step 7 has run, without trainings."""
    root = tmp_path_factory.mktemp("folds")
    with pytest.MonkeyPatch.context() as patch:
        given.without_models(patch)
        return given.make_folds(root, [0, 1])


CONFIG = {
    "model_type": "vit", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
    "transformers_version": "5.23.0",
}  # fmt: skip


@pytest.fixture
def trained(folds, tmp_path):
    """The jobs of the folds, with trainings that the test describes."""

    def train(*trainings, step_0=()):
        jobs = [replace(job, paths=replace(job.paths, training_root=tmp_path)) for job in folds]
        for i, (job, values) in enumerate(zip(jobs, trainings, strict=True)):
            steps, config = values.pop("steps", 10), values.pop("config", {})
            for number in (1, 2):
                folder = job.paths.training / f"checkpoint-{number * steps}"
                folder.mkdir(parents=True)
                (folder / "config.json").write_text(json.dumps(CONFIG | config))
                pipeline.write_state(folder, number, steps, **values)
            if i in step_0:
                training.save_record(job.paths, {"batch_size": 16})
        return fold_records.read_records(jobs)

    return train


DIFFERENT = {
    "batch": ({"train_batch_size": 32}, "training train_batch_size is 16 in fold 0 and 32 in fold"),
    "epochs": ({"num_train_epochs": 3}, "training num_train_epochs is 2 in fold 0 and 3 in fold 1"),
    "transformers": (
        {"config": {"transformers_version": "4.44.2"}},
        'training transformers is "5" in fold 0 and "4" in fold 1',
    ),
    "batches in a step": ({"steps": 5}, "training steps per epoch is 10 in fold 0 and 5 in fold 1"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_folds_of_other_recipes_are_refused(trained, name):
    values, said = DIFFERENT[name]
    records = trained({}, dict(values))
    with pytest.raises(UserError) as caught:
        fold_records.refuse_mixed(records)
    assert said in str(caught.value)
    assert "--mix-constants" in str(caught.value)
    (line,) = fold_records.remarks(records)[:1]
    assert said in line and "--mix-constants" in line


def test_the_sizes_of_folds_are_no_other_recipe(trained):
    """One image more can be one step more, and M1 and M2 are of other steps then."""
    records = trained({"steps": 287}, {"steps": 288})
    fold_records.refuse_mixed(records)
    assert not fold_records.remarks(records)


def test_another_release_is_said_and_not_refused(trained):
    records = trained({}, {"config": {"transformers_version": "5.22.1"}})
    fold_records.refuse_mixed(records)
    assert fold_records.remarks(records) == [
        "The release of transformers that wrote M2 is 5.23.0 in fold 0 and 5.22.1 in fold 1."
    ]


def test_step_0s_own_record_counts_where_it_trained_every_fold(trained):
    """There a batch is that of all devices together, in trainer_state.json that of one."""
    fold_records.refuse_mixed(trained({}, {"train_batch_size": 8}, step_0=(0, 1)))


def records_of(root, folds):
    """Records of folds {number: the number it was trained as}."""
    for fold, made_as in folds.items():
        paths = FoldPaths(root, "digits", fold)
        paths.training.mkdir(parents=True)
        constants = {"SEED": 777, "SPLIT_SEED": 777, "N_FOLDS": 5}
        training.save_record(paths, constants | repeats.split_record(777, made_as, 5))
        yield FoldRecord(paths.name, fold, fold_records.training_constants(paths), "")


def test_folds_of_several_repeats_are_one_experiment(tmp_path):
    fold_records.refuse_mixed(list(records_of(tmp_path, {0: 1, 4: 4, 5: 5, 19: 19})))


@pytest.mark.parametrize(("here", "made_as", "seed"), [(1, 5, 778), (5, 0, 776)])
def test_a_fold_that_was_trained_as_one_of_another_repeat_is_told(tmp_path, here, made_as, seed):
    records = list(records_of(tmp_path, {0: 0, here: made_as}))
    with pytest.raises(UserError, match=f"SPLIT_SEED is 777 in fold 0 and {seed} in fold {here}"):
        fold_records.refuse_mixed(records)


def test_a_fold_of_step_0_is_compared_with_a_foreign_one(trained):
    with pytest.raises(UserError, match="train_batch_size is 16 in fold 0 and 32 in fold 1"):
        fold_records.refuse_mixed(trained({}, {"train_batch_size": 32}, step_0=(0,)))


def test_folds_without_a_word_about_their_training_are_taken(folds):
    fold_records.refuse_mixed(fold_records.read_records(folds))


@pytest.mark.parametrize(
    ("steps", "differ"),
    [
        ([], False),
        ([100], False),
        ([1, 2], False),
        ([3, 4, 4], False),
        ([100, 109], False),
        ([100, 125, 100], True),
        ([1250, 2500], True),
        ([2, 4], True),
    ],
)
def test_a_step_more_is_the_size_a_quarter_more_the_recipe(steps, differ):
    assert fold_records.different_lengths(steps) == differ


def test_other_epochs_are_other_models(trained):
    records = [
        fold_records.with_training(FoldRecord(f"x_fold{k}", k, {}, ""), epochs, Recipe({}))
        for k, epochs in enumerate(([1.0, 2.0], [2.0, 3.0]))
    ]
    with pytest.raises(UserError, match=r"epochs of M1 and M2 is \[1.0, 2.0\] in fold 0 and \[2"):
        fold_records.refuse_mixed(records)


def test_steps_that_were_named_count_where_nothing_says_the_epoch():
    records = [
        fold_records.with_training(FoldRecord(f"x_fold{k}", k, {"M1_STEP": step}, ""), epochs, r)
        for k, step, epochs, r in ((0, 10, None, Recipe({})), (1, None, None, Recipe({})))
    ]
    with pytest.raises(UserError, match="M1_STEP is 10 in fold 0 and null in fold 1"):
        fold_records.refuse_mixed(records)
    same = [fold_records.with_training(r, [1.0, 2.0], Recipe({})) for r in records]
    fold_records.refuse_mixed(same)


def test_an_accepted_pair_is_no_difference_but_a_remark():
    records = [FoldRecord("x_fold0", 0, {}, "", "max_steps is 1 and 2"), FoldRecord("x", 1, {}, "")]
    fold_records.refuse_mixed(records)
    (line,) = fold_records.remarks(records)
    assert line.startswith("Fold 0: M1 and M2 are no neighbours")
    assert "(max_steps is 1 and 2)" in line and "--accept-pair" in line
