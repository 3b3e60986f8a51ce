"""Steps 7 to 9 in two halves: the folds, then the summary of folds on which all is done."""

import shutil

import pipeline
import pytest
import small_experiment
from pipeline import NAME, QUICK


@pytest.fixture(scope="module")
def scored(server, stages, tmp_path_factory):
    """A fold with --only-folds of each step, and what each wrote."""
    root = tmp_path_factory.mktemp("halves") / "root"
    shutil.copytree(stages[7].before, root)
    seen = {}
    for step in (7, 8, 9):
        done = server.run(step, root, "--only-folds", constants=QUICK)
        assert done.status == 0, done.stderr
        seen[step] = done
    return root, seen


@pytest.fixture
def copy(scored, tmp_path):
    return shutil.copytree(scored[0], tmp_path / "root")


def only_summary(server, step, root, *options, **constants):
    return server.run(step, root, "--only-summary", *options, constants=QUICK | constants)


def untouched(root):
    """Everything but logs, which every call begins, and remembered hashes."""
    return pipeline.snapshot(root, ignore=(".log", ".lock", ".hashes.json"))


def test_the_folds_alone_have_no_summary(scored):
    root, seen = scored
    assert [path.name for path in (root / "exp-fl-5").iterdir() if path.is_dir()] == [NAME]
    assert all("summary" not in point for done in seen.values() for point in done.points)


def test_both_halves_give_the_bytes_of_the_whole(server, effects, copy):
    """The second half writes nothing in the fold."""
    before = untouched(copy / "exp-fl-5" / NAME)
    for step in (7, 8, 9):
        done = only_summary(server, step, copy)
        assert done.status == 0, done.stderr
    assert untouched(copy / "exp-fl-5" / NAME) == before
    wanted, found = map(small_experiment.digests, (effects[10].before, copy))
    assert small_experiment.differences(wanted, found) == []
    for name in ("scores", "summary", "comparisons", "verdict", "verdicts", "planted"):
        assert any(path.endswith(f"{name}.csv") for path in wanted)


@pytest.mark.parametrize("step", [7, 8, 9])
def test_a_line_for_each_fold_that_is_not_scored(server, stages, copy, step):
    """Fold 1 has no training; fold 0's table is gone."""
    table = {7: "7_scores", 8: "8_transplant", 9: "9_planted"}[step]
    (copy / "exp-fl-5" / NAME / f"exp-fl-5-{table}.csv").unlink()
    before = untouched(copy)
    done = only_summary(server, step, copy, "--fold", "0", "1")
    assert done.status == 2
    first, second = done.stderr.splitlines()
    assert f"exp-fl-5-{table}.csv is missing" in first
    command = f"run exp-fl-5-{step}.py --only-folds --ds digits --fold 0 --root {copy} first"
    assert first.endswith(command)
    assert f"out_vit_digits_fold1 does not exist in {copy}; run exp-fl-5-0.py" in second
    assert untouched(copy) == before


def test_a_fold_that_was_never_scored(server, stages, tmp_path):
    root = shutil.copytree(stages[7].before, tmp_path / "root")
    done = only_summary(server, 7, root)
    (line,) = done.stderr.splitlines()
    assert done.status == 2 and "of step 7 is not made yet; run exp-fl-5-7.py --only-folds" in line
    assert not (root / "exp-fl-5" / "digits_summary_fold0").exists()


@pytest.mark.parametrize(
    ("step", "constants", "said"),
    [
        (7, {"PERMUTATION_DRAWS": 50}, "PERMUTATION_DRAWS was 49, now 50"),
        (7, {"TRUTHS": ["change"]}, "of step 7 is out of date"),
        (8, {"LAYER_SAMPLES": 7}, "LAYER_SAMPLES was 256, now 7"),
        (9, {"PLANTED_FAULTS": 3}, "'neurons2' of step 9 is not made yet"),
    ],
)
def test_a_fold_that_is_out_of_date(server, copy, step, constants, said):
    done = only_summary(server, step, copy, **constants)
    (line,) = done.stderr.splitlines()
    assert done.status == 2 and said in line and f"run exp-fl-5-{step}.py" in line


def test_another_budget_is_another_scoring(server, copy):
    done = only_summary(server, 7, copy, "--n", "2")
    (line,) = done.stderr.splitlines()
    assert done.status == 2 and "run exp-fl-5-" in line


def test_a_users_new_scores_are_not_in_the_table_yet(server, copy):
    import numpy as np

    d, m = pipeline.SIZES["hidden_size"], pipeline.SIZES["intermediate_size"]
    scores = np.arange(2 * d * m, dtype=np.float32)
    np.save(copy / "exp-fl-5" / NAME / "all" / "weight_mine_score.npy", scores)
    done = only_summary(server, 7, copy)
    (line,) = done.stderr.splitlines()
    assert done.status == 2 and "all/weight_mine_score.npy is new" in line


def test_what_is_left_out_is_named_by_the_summary_too(server, copy):
    (copy / "exp-fl-5" / NAME / "all" / "weight_bad_score.npy").write_bytes(b"no array")
    done = only_summary(server, 7, copy)
    (line,) = done.stderr.splitlines()
    assert done.status == 2 and "left out" in line and "weight_bad_score.npy" in line
    assert list((copy / "exp-fl-5").glob("digits_summary*/overview.csv"))


def test_force_makes_the_summary_alone_anew(server, copy):
    assert only_summary(server, 7, copy).status == 0
    before = untouched(copy / "exp-fl-5" / NAME)
    done = only_summary(server, 7, copy, "--force")
    assert done.status == 0 and any("overview.csv" in point for point in done.points)
    assert untouched(copy / "exp-fl-5" / NAME) == before


def test_the_halves_exclude_each_other(server, copy):
    done = only_summary(server, 7, copy, "--only-folds")
    assert done.status == 2 and len(done.stderr.splitlines()) == 1
