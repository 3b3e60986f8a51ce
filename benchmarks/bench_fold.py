"""Seconds and peak memory of steps 1 and 4 to 10 on one synthetic ViT-Base fold.

Run from the repository's root:
python -m benchmarks.bench_fold [--root DIR] [--d D] [--samples S] [--bert] [--until STEP]

Every step runs as a user runs it, in a process of its own; `peak_mib` is the
largest resident size of that process, mapped files included. Step 7 compares
every method, without n and with the default n. Step 8 leaves the blocks out, for
which the fold has no whole model; steps 8 to 10 do not count in the sum. With --bert the fold
is a BERT-Base's, whose head is evaluated by zero_out and care; what care took is said apart.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pandas as pd

from benchmarks.shapes import BERT_BASE, DS, FOLD, VIT_BASE, Shape
from utils.data.setting_names import ALL
from utils.data.settings import read_settings
from utils.run import storage
from utils.run.paths import FoldPaths

REPOSITORY = Path(__file__).resolve().parent.parent
OUTPUT = Path(__file__).parent / "results" / "bench_fold.csv"
STEPS = (1, 4, 5, 6, 7)
EFFECT_STEPS = (8, 9, 10)
LIMIT_S, LIMIT_MIB, LIMIT_BYTES = 420, 3 * 1024, 85
# A script with the constant that leaves step 8's blocks out.
WITHOUT_BLOCKS = (
    "import runpy, sys; from utils import constants; constants.LAYER_SAMPLES = 0; "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def run_process(arguments: list[str]) -> dict[str, float]:
    """Seconds, processor seconds and peak resident MiB of `python arguments...`.

    This process has to stay small: a child's peak starts from its parent's size.
    """
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=REPOSITORY, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{arguments} failed:\n{output.read().decode()[-4000:]}")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss: bytes there, KiB elsewhere
    cpu_s = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "cpu_s": cpu_s, "peak_mib": usage.ru_maxrss / unit}


def run_step(step: int, root: Path) -> dict[str, float | int]:
    """One numbered step on the synthetic fold."""
    where = ["--ds", DS, "--fold", str(FOLD), "--root", str(root)]
    script = [f"exp-fl-5-{step}.py", *where]
    found = run_process(["-c", WITHOUT_BLOCKS, *script] if step == 8 else script)
    print(
        f"step {step}: {found['seconds']:.0f} s, {found['cpu_s']:.0f} s of processors", flush=True
    )
    return {"step": step, **found}


def disk_use(paths: FoldPaths, n_weights: int) -> dict[str, float | list[str]]:
    """Bytes per weight and setting of the result folder, and files that are there twice.

    An array that docs/definitions.md 4 asks for under several settings (their sample
    lists, and what follows from equal ones) counts as one where it has at most
    one value per neuron or sample.
    """
    settings = read_settings(paths)
    files = [path for path in paths.results.rglob("*") if path.is_file()]
    by_content = defaultdict(list)
    for path in files:
        if path.stat().st_size >= n_weights:
            with path.open("rb") as file:
                by_content[hashlib.file_digest(file, "sha256").hexdigest()].append(path)
    twice = [
        " = ".join(str(path.relative_to(paths.results)) for path in same)
        for same in by_content.values()
        if len(same) > 1
    ]
    folders = {name: _size(paths.setting(name)) / n_weights for name in settings}
    return {
        "bytes per weight and setting": sum(folders.values()) / len(settings),
        f"bytes per weight, {ALL}": folders[ALL],
        "gib": sum(path.stat().st_size for path in files) / 2**30,
        "twice": twice,
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(root: Path, shape: Shape, until: int) -> tuple[pd.DataFrame, dict]:
    """Make the fold below `root` and run the steps: the table, and the use of the disk.

    Of the steps that do not count in the sum only those up to step `until` run.
    """
    paths = FoldPaths(root, DS, FOLD)
    sizes = ["--d", str(shape.d), "--samples", str(shape.samples)]
    sizes += ["--bert"] if shape.model == BERT_BASE.model else []
    run_process(["-m", "benchmarks.synthetic", str(root), *sizes])
    run_step(2, root)  # not timed: it is fed by the forward pass
    table = pd.DataFrame([run_step(step, root) for step in STEPS])
    total = {
        "step": "all",
        "seconds": table["seconds"].sum(),
        "cpu_s": table["cpu_s"].sum(),
        "peak_mib": table["peak_mib"].max(),
    }
    disk = disk_use(paths, shape.n_weights) | {"seconds of care": seconds_of(paths, "care")}
    effects = [run_step(step, root) for step in EFFECT_STEPS if step <= until]
    return pd.concat([table, pd.DataFrame([total, *effects])], ignore_index=True), disk


def seconds_of(paths: FoldPaths, method: str) -> float:
    """What a method took in all settings together."""
    times = pd.read_csv(paths.results / "exp-fl-5-5_time.csv")
    return float(times.loc[times["method"].str.contains(method), "elapsed_s"].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    base = VIT_BASE
    parser.add_argument("--bert", action="store_true", help="a BERT-Base of two classes")
    parser.add_argument("--d", type=int, default=base.d, help="hidden size; m = 4d")
    parser.add_argument("--samples", type=int, default=base.samples)
    parser.add_argument("--until", type=int, default=10, help="the last step to run, 7 or later")
    parser.add_argument("--root", type=Path, help="keep the fold in this empty folder")
    args = parser.parse_args()
    chosen = BERT_BASE if args.bert else base
    shape = replace(chosen, d=args.d, m=4 * args.d, samples=args.samples)
    if args.root is None:
        with tempfile.TemporaryDirectory(prefix="exp-fl-5-bench-") as folder:
            table, disk = measure(Path(folder), shape, args.until)
    else:
        args.root.mkdir(parents=True, exist_ok=True)
        table, disk = measure(args.root, shape, args.until)
    shown = table.round({"seconds": 2, "cpu_s": 2, "peak_mib": 0}).astype({"peak_mib": int})
    print(shown.to_string(index=False))
    print(f"targets: {LIMIT_S} s and {LIMIT_MIB} MiB for all steps of a ViT-Base fold")
    for name, value in disk.items():
        print(f"{name}: {value}" if name.startswith("seconds") else f"disk, {name}: {value}")
    if shape == base and args.until >= max(EFFECT_STEPS):
        storage.save_table(OUTPUT, shown.drop(columns="cpu_s"))


if __name__ == "__main__":
    main()
