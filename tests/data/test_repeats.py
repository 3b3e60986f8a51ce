"""Repeated K-fold: each repeat is a partition of its own, and no fold depends on REPEATS."""

import argparse
from pathlib import Path

import datasets
import numpy as np
import pytest
from sklearn.model_selection import KFold

from utils import constants
from utils.data import folds, repeats
from utils.errors import UserError
from utils.run import cli, constant_rules
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths, runs_of

K, SEED, ITEMS = 3, 40, 11


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Nine folds of eleven items, three repeats of three."""
    datasets.disable_progress_bars()
    root = tmp_path_factory.mktemp("repeats")
    source = datasets.DatasetDict(
        train=datasets.Dataset.from_dict({"item": range(ITEMS)}),
        test=datasets.Dataset.from_dict({"item": [100, 101]}),
    )
    for fold in range(9):
        folds.make_fold(FoldPaths(root, "x", fold), source, "test", K, SEED)
    return root


def items(root, fold, split):
    return folds.load_split(FoldPaths(root, "x", fold), split)["item"][:]


@pytest.mark.parametrize("repeat", [0, 1, 2])
def test_each_repeat_partitions_the_data_as_its_own_seed_says(made, repeat):
    expected = KFold(K, shuffle=True, random_state=SEED + repeat).split(np.arange(ITEMS))
    held = []
    for fold, (train, repair) in zip(range(K * repeat, K * repeat + K), expected, strict=True):
        assert items(made, fold, "train") == train.tolist()
        assert items(made, fold, "repair") == repair.tolist()
        assert items(made, fold, "test") == [100, 101]
        held += items(made, fold, "repair")
    assert sorted(held) == list(range(ITEMS))


def test_repeats_split_differently(made):
    held = [frozenset(items(made, fold, "repair")) for fold in range(9)]
    assert len(set(held)) == 9


def test_what_a_fold_is_follows_from_its_number():
    assert [repeats.repeat_of(fold, 5) for fold in (0, 4, 5, 19)] == [0, 0, 1, 3]
    assert [repeats.seed_of_split(777, fold, 5) for fold in (0, 4, 5, 19)] == [777, 777, 778, 780]
    assert repeats.repeats_of([9, 0, 5], 5).tolist() == [1, 0, 1]


def test_folds_in_words():
    assert repeats.describe(range(5), 5) == repeats.describe([6, 7], 5) == ""
    assert repeats.describe(range(20), 5) == "4 repeats of 5 folds"
    assert (
        repeats.describe([14, 0, 1, 2, 3, 4, 10], 5)
        == "2 repeats of 5 folds, of which repeat 2 has 2 here"
    )


# -- which folds there are --------------------------------------------------------------------


def arguments(*numbers):
    return argparse.Namespace(
        ds="digits", fold=list(numbers), root=Path(), data_root=None, training_root=None
    )


def test_fold_takes_the_numbers_of_all_repeats(monkeypatch):
    cli.check_arguments(1, arguments(0, 4))
    with pytest.raises(UserError, match=r"takes 0 to 4; REPEATS = 2 has fold 5$"):
        cli.check_arguments(1, arguments(5))
    monkeypatch.setattr(constants, "REPEATS", 4)
    cli.check_arguments(1, arguments(0, 19))
    with pytest.raises(UserError, match=r"fold 20 does not exist; --fold takes 0 to 19; REPEATS"):
        cli.check_arguments(1, arguments(20))
    with pytest.raises(UserError, match=r"fold -1 does not exist; --fold takes 0 to 19$"):
        cli.check_arguments(1, arguments(-1))


def test_the_constants_name_folds_of_all_repeats(monkeypatch):
    monkeypatch.setattr(constants, "FOLDS", tuple(range(10)))
    with pytest.raises(UserError, match=r"has 9; .* N_FOLDS, which is 5; REPEATS = 2 has fold 9"):
        constant_rules.check_constants()
    monkeypatch.setattr(constants, "REPEATS", 2)
    constant_rules.check_constants()
    monkeypatch.setattr(constants, "FOLDS", (10,))
    with pytest.raises(UserError, match="folds below REPEATS x N_FOLDS, which is 10"):
        constant_rules.check_constants()
    monkeypatch.setattr(constants, "REPEATS", 0)
    with pytest.raises(UserError, match=r"REPEATS .* is 0; expected a whole number of at least 1"):
        constant_rules.check_constants()


def test_a_summary_of_many_folds_has_a_name_that_fits():
    assert runs_of((0, 1, 2, 5, 7, 8)) == ["0-2", "5", "7-8"]
    few = SummaryPaths(Path(), "digits", other_folds=(0, 1, 2, 4))
    many = SummaryPaths(Path(), "digits", other_folds=(*range(99), 100))
    assert few.name == "digits_summary_fold0_1_2_4"
    assert many.name == "digits_summary_fold0-98_100"
