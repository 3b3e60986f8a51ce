"""utils.data.fold: splits that are there are kept, and it is said where other code made them."""

import argparse
import json
import logging

import pytest

from utils.constants import PROFILES
from utils.data import folds
from utils.data.fold import ensure_splits
from utils.errors import UserError
from utils.run.cli import Job
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths

CONSTANTS = {"N_FOLDS": 5, "SPLIT_SEED": 777}


@pytest.fixture
def paths(tmp_path):
    """A fold that step 0 has made."""
    paths = FoldPaths(tmp_path, "digits", 0)
    paths.dataset.mkdir(parents=True)
    book = Ledger(paths, 0, CONSTANTS, {})
    with book.task("folds", constants=list(CONSTANTS), makes=folds.make_fold):
        pass
    return paths


def keep(paths, caplog, **constants) -> str:
    """What is said while the splits are kept."""
    constants = CONSTANTS | constants
    args = argparse.Namespace(data_dir=None)
    job = Job(0, paths, args, constants, logging.getLogger("test_fold"))
    caplog.clear()
    with caplog.at_level(logging.INFO, "test_fold"):
        assert ensure_splits(job, PROFILES["digits"], Ledger(paths, 0, constants, {})) is False
    return caplog.text


def test_splits_that_are_there_are_kept(paths, caplog):
    said = keep(paths, caplog)
    assert "kept as it is" in said and "code" not in said


def test_splits_made_by_other_code_are_kept_and_it_is_said(paths, caplog):
    content = json.loads(paths.provenance.read_text())
    ((module, digest),) = content["tasks"]["0/folds"]["recipe"]["code"].items()
    content["tasks"]["0/folds"]["recipe"]["code"][module] = "0" * 64
    content["code"]["0" * 64] = content["code"].pop(digest) | {"utils.data.saved": "another"}
    paths.provenance.write_text(json.dumps(content))
    said = keep(paths, caplog)
    assert "kept as it is" in said
    assert "its code has changed (utils.data.saved); move the folder away" in said


def test_splits_of_another_constant_are_refused(paths, caplog):
    with pytest.raises(UserError, match=r"SPLIT_SEED was 777, now 1\); put the old value back"):
        keep(paths, caplog, SPLIT_SEED=1)
