"""A copy of the project with an experiment so small that ten digits folds take minutes.

What is copied is what a user has: scripts, utils, cluster and workflow. The
constants of the copy have ten folds, three methods and a small net.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pipeline
import soak

CONSTANTS = {
    "DEFAULT_DS": '"digits"',
    "FOLDS": "tuple(range(10))",
    "N_FOLDS": "10",
    "METHODS_TO_RUN": '("grad_loss", "bl", "vdiff")',
    "TOP_RANKS": "1",
    "PERMUTATION_DRAWS": "99",
    "BOOTSTRAP_DRAWS": "99",
    "PLANTED_FAULTS": "1",
    "LAYER_SAMPLES": "0",
}
PROFILE = {
    "replays=3": "replays=0",
    "batch_size=8": "batch_size=32",
    '"hidden_size": 192': '"hidden_size": 48',
    '"intermediate_size": 768': '"intermediate_size": 192',
}
PARTS = ("utils", "cluster", "workflow")
# One thread each, as many jobs share the cores.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}


def copy_project(folder: Path, **constants: str) -> Path:
    """The project in `folder`, with `constants` (as they are written) besides CONSTANTS."""
    for part in PARTS:
        shutil.copytree(
            pipeline.ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
        )
    for script in pipeline.ROOT.glob("exp-fl-5-*.py"):
        shutil.copy(script, folder)
    (folder / ".venv").symlink_to((pipeline.ROOT / ".venv").resolve())
    set_constants(folder, **CONSTANTS | constants)
    path = folder / "utils" / "constants.py"
    text = path.read_text()
    at = text.index('    "digits": Profile(')
    for old, new in PROFILE.items():
        where = text.index(old, at)
        text = text[:where] + new + text[where + len(old) :]
    path.write_text(text)
    return folder


def set_constants(folder: Path, **constants: str) -> None:
    path = folder / "utils" / "constants.py"
    lines = path.read_text().splitlines()
    for name, value in constants.items():
        (at,) = (i for i, line in enumerate(lines) if line.startswith(f"{name} = "))
        lines[at] = f"{name} = {value}"
    path.write_text("\n".join(lines) + "\n")


def digests(folder: Path) -> dict[str, str]:
    """Hash of every file that two runs have to agree on, seconds left out."""
    return {name: d for name, d in soak.digests(folder).items() if ".stamps" not in name}


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """Names of files that are not the same."""
    return sorted(n for n in {*wanted, *found} if wanted.get(n) != found.get(n))


def loop_by_step(folds: list[int]) -> str:
    """A shell loop: each step on all folds."""
    return f"for step in {' '.join(map(str, range(10)))}; do {_call(folds)} || exit $?; done"


def loop_by_fold(folds: list[int]) -> str:
    """A shell loop: all steps on a fold, then the next fold; the summary at the end."""
    each = " ".join(map(str, folds))
    one = _call(["$fold"])
    return (
        f"for fold in {each}; do for step in 0 1 2 3 4 5 6; do {one} || exit $?; done; "
        f"for step in 7 8 9; do {one} --only-folds || exit $?; done; done; "
        f"for step in 7 8 9; do {_call(folds)} --only-summary || exit $?; done"
    )


def _call(folds: list) -> str:
    return f".venv/bin/python exp-fl-5-$step.py --ds digits --fold {' '.join(map(str, folds))}"


def shell(folder: Path, command: str) -> str:
    """What a command prints that has to end well."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=ENVIRONMENT,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout
