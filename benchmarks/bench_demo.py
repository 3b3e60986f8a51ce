"""Seconds of each step of `make demo`, from nothing, beside processor seconds and the commit.

Run from the repository's root: python -m benchmarks.bench_demo [--jobs N]

Every step runs as `make demo` runs it, in a process of its own, in a new folder
that goes afterwards. `seconds` are those of the clock, `cpu_s` those of all its
processes together; the last row is the sum.
"""

import argparse
import os
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.bench_fold import run_process
from utils.run import machine, storage

OUTPUT = Path(__file__).parent / "results" / "demo_steps.csv"
STEPS = range(11)
FOLDS = ("0", "1", "2", "3", "4")


def measure(root: Path, jobs: int) -> pd.DataFrame:
    """Columns step, jobs, seconds, cpu_s, peak_mib (of the largest process), commit."""
    commit = machine.describe()["git_commit"]
    rows = []
    for step in STEPS:
        options = ["--ds", "digits", "--fold", *FOLDS, "--root", str(root), "--jobs", str(jobs)]
        found = run_process([f"exp-fl-5-{step}.py", *options])
        rows.append({"step": str(step), "jobs": jobs, **found, "commit": commit})
        print(f"step {step}: {found['seconds']:.0f} s, {found['cpu_s']:.0f} s of processors")
    table = pd.DataFrame(rows)
    total = {"step": "all", "jobs": jobs, "commit": commit, "peak_mib": table["peak_mib"].max()}
    total |= table[["seconds", "cpu_s"]].sum().to_dict()
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--jobs", type=int, default=cores, help="folds at a time")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exp-fl-5-bench-demo-") as folder:
        table = measure(Path(folder), args.jobs)
    shown = table.round({"seconds": 1, "cpu_s": 1, "peak_mib": 0}).astype({"peak_mib": int})
    print(shown.drop(columns="commit").to_string(index=False))
    storage.save_table(OUTPUT, shown)


if __name__ == "__main__":
    main()
