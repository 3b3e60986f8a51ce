"""A reference for every check here: the same small experiment, made by a loop in a shell."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import small_experiment


@dataclass(frozen=True)
class Reference:
    """folder : of the project and its results. digests : of every file."""

    folder: Path
    digests: dict[str, str]


@pytest.fixture(scope="session")
def reference(tmp_path_factory) -> Reference:
    """Ten folds; in CLUSTER_REFERENCE, where it is named, from one call to the next."""
    named = os.environ.get("CLUSTER_REFERENCE")
    folder = Path(named) if named else tmp_path_factory.mktemp("reference") / "project"
    if not folder.exists():
        small_experiment.copy_project(folder)
    small_experiment.shell(folder, small_experiment.loop_by_step(list(range(10))))
    return Reference(folder, small_experiment.digests(folder))
