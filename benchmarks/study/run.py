"""Runs the study: base model, then steps 0 to 10 of every fold, two folds side by side.

Every step runs as a user runs it, in a process of its own. What a call took is kept in
ROOT/study_times.csv, one row a call that did something: step, fold, seconds on the clock,
processor seconds and peak resident MiB. Run again, it goes on where it was.

Run from the repository's root: python -m benchmarks.study.run --data-dir DIR [--root DIR]
"""

import argparse
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from benchmarks.bench_fold import run_process
from utils.run import storage
from utils.run.hashing import REPOSITORY
from utils.run.paths import FoldPaths
from utils.run.record import read_provenance
from utils.summary.folds.read_records import summary_paths

DS = "fashion"
FOLDS = (0, 1, 2, 3, 4)
STEPS = range(11)
# The steps whose second half is about all folds together.
WITH_SUMMARY = (7, 8, 9, 10)
SUMMARY = "summary"
TIME_COLUMNS = ["step", "fold", "seconds", "cpu_s", "peak_mib"]
ONE_AT_A_TIME = threading.Lock()


def times_file(root: Path) -> Path:
    return root / "study_times.csv"


def base_model(root: Path) -> Path:
    return root / f"base_vit_{DS}"


def step_command(step: int, fold: int, root: Path, data_dir: Path) -> list[str]:
    """What a user types for one step of one fold."""
    command = [f"exp-fl-5-{step}.py", "--ds", DS, "--fold", str(fold), "--root", str(root)]
    if step == 0:
        command += ["--data-dir", str(data_dir), "--base-model", str(base_model(root))]
    return command + ["--only-folds"] * (step in WITH_SUMMARY)


def summary_command(step: int, folds: list[int], root: Path) -> list[str]:
    """The second half of a step, of all folds."""
    given = [f"exp-fl-5-{step}.py", "--ds", DS, "--fold", *map(str, folds), "--root", str(root)]
    return [*given, "--only-summary"]


def timed(command: list[str], step: int, fold: int | str, paths: FoldPaths) -> None:
    """Run a command and keep what it took, if it changed the folder's record."""
    before = read_provenance(paths)["tasks"]
    took = run_process(command)
    if read_provenance(paths)["tasks"] == before:
        print(f"step {step}, fold {fold}: up to date", flush=True)
        return
    print(f"step {step}, fold {fold}: {took['cpu_s']:.0f} processor seconds", flush=True)
    with ONE_AT_A_TIME:
        add_time(times_file(paths.root), {"step": step, "fold": fold, **took})


def add_time(file: Path, row: dict[str, float | int | str]) -> None:
    """Add a row to the table of times."""
    rows = pd.DataFrame([row], columns=TIME_COLUMNS)
    if file.is_file():
        rows = pd.concat([pd.read_csv(file, dtype={"fold": str}), rows], ignore_index=True)
    storage.save_table(file, rows)


def run_fold(fold: int, root: Path, data_dir: Path) -> None:
    """All steps of one fold."""
    for step in STEPS:
        timed(step_command(step, fold, root, data_dir), step, fold, FoldPaths(root, DS, fold))


def run_study(folds: list[int], root: Path, data_dir: Path, jobs: int, steps: int | None) -> None:
    """Base model, folds and summary; raises RuntimeError with what a step said that failed.

    steps : of the base model's teaching; None for as many as `benchmarks.pretrain` takes.
    """
    base = ["-m", "benchmarks.pretrain", "--ds", DS, "--data-dir", str(data_dir)]
    base += ["--out", str(base_model(root)), *(["--steps", str(steps)] if steps else [])]
    if not base_model(root).exists():
        print("the base model is made", flush=True)
        add_time(times_file(root), {"step": "base", "fold": "all", **run_process(base)})
    with ThreadPoolExecutor(jobs) as pool:
        for ended in [pool.submit(run_fold, fold, root, data_dir) for fold in folds]:
            ended.result()
    for step in WITH_SUMMARY:
        summary = summary_paths([FoldPaths(root, DS, fold) for fold in folds])
        timed(summary_command(step, folds, root), step, SUMMARY, summary)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="IDX files")
    parser.add_argument("--root", type=Path, default=REPOSITORY, metavar="DIR")
    parser.add_argument("--fold", type=int, nargs="+", default=list(FOLDS))
    parser.add_argument("--jobs", type=int, default=2, help="folds side by side (default: 2)")
    parser.add_argument("--base-steps", type=int, help="of the base model's teaching")
    args = parser.parse_args()
    args.root.mkdir(parents=True, exist_ok=True)
    try:
        run_study(args.fold, args.root.resolve(), args.data_dir, args.jobs, args.base_steps)
    except (RuntimeError, subprocess.SubprocessError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
