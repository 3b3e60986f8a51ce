"""Names too long for a file are refused where they enter: bytes count, with all suffixes."""

import argparse
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.methods import METHODS, own
from utils.methods.own.names import MOST_BYTES
from utils.run import arguments
from utils.run.paths import TEMPORARY_PREFIX, FoldPaths
from utils.run.summary_paths import LONGEST_LIST, SummaryPaths


def refused(**given) -> bool:
    try:
        arguments.check_lengths(argparse.Namespace(**given))
    except UserError as error:
        assert "bytes, and files here can have" in str(error) and "shorter" in str(error)
        return True
    return False


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u732b"])
def test_bytes_count(letter):
    size = len(letter.encode())
    fits = letter * (arguments.MOST_DS // size)
    assert not refused(ds=fits) and refused(ds=fits + letter)
    fits = letter * (255 // size)
    assert not refused(root=Path(fits)) and refused(root=Path("x", fits + letter, "y"))
    assert refused(methods=Path("/x") / f"{fits}.py") and not refused(fold=[1], methods=None)


def test_the_longest_names_that_are_taken_fit_with_all_around_them():
    ds, method, setting = "d" * arguments.MOST_DS, "m" * MOST_BYTES, "src_tgt_top1"
    fold, n = FoldPaths(Path("r"), ds, 99), 4096
    summary = SummaryPaths(Path("r"), ds, other_folds=tuple(range(1, 99, 2)))
    paths = [
        fold.dataset.with_name(f"{TEMPORARY_PREFIX}{fold.name}-12345678"),
        fold.training, fold.results, fold.lock, fold.stamp(10), fold.manager_log(10),
        fold.ranking(setting, "neuron", method, n), fold.score(setting, "neuron", method, n),
        fold.transplant(setting, "neuron", method),
        fold.planted_row("weights99", "neuron", method),
        fold.retrained(f"neuron_{method}_adamw_delta"),
        fold.retrained_rows(setting, "neuron", method), summary.results,
    ]  # fmt: skip
    assert max(len(path.name) for path in paths) <= 255
    assert LONGEST_LIST < 255 - arguments.MOST_DS


def test_methods_too_long_are_refused_by_bytes():
    assert own.why_no_name("weight", "m" * MOST_BYTES, METHODS) is None
    assert "at most 200 bytes" in own.why_no_name("weight", "\u00e9" * 101, METHODS)


@pytest.mark.parametrize("option", ["--ds", "--root", "--data-root", "--training-root"])
def test_a_step_refuses_a_long_name_in_a_line(server, tmp_path, option):
    done = server.run(1, tmp_path, option, "x" * 300)
    assert done.status == 2 and done.stderr.count("\n") == 1
    assert "has 300 bytes, and files here can have" in done.stderr
