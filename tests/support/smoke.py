"""Every step on one fold of the digits, and the tests of the formulas beside it: `make smoke`.

    python tests/support/smoke.py TEST_FILE ...

So that it takes little more than a minute: 8 of the 24 methods, one replay, no PDFs, and each
summary once.

The fold lies in a temporary folder, which goes when everything is well and is named when not.
Exit status 1 if a step or a test fails.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Step and options: the folds of steps 7 to 9 first, then both summaries.
CALLS = (
    (0, "--replays", "1"),
    *((step,) for step in range(1, 7)),
    *((step, "--only-folds") for step in (7, 8, 9, 10)),
    *((step, "--only-summary") for step in (7, 10)),
)
METHODS = ("ig", "bl", "grad_loss", "magnitude", "fisher", "zero_out", "neuron/vdiff", "ochiai")
# A script, called as a user calls it, with fewer methods and formats.
FEWER = (
    f"import runpy, sys; from utils import constants; constants.METHODS_TO_RUN = {METHODS}; "
    "constants.FIGURE_FORMATS = ('png',); "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
EXPECTED = ("results.xlsx", "report.html", "overview.csv", "verdicts.csv", "tables.tex")


def run_steps(root: Path) -> str | None:
    """Run all steps; what failed, in words, or None."""
    for step, *more in CALLS:
        name = " ".join([f"step {step}", *more])
        log = root / f"{name}.log"
        script = [str(ROOT / f"exp-fl-5-{step}.py"), "--root", str(root)]
        options = ["--ds", "digits", "--fold", "0", *more]
        started = time.perf_counter()
        with open(log, "wb") as file:
            done = subprocess.run(
                [sys.executable, "-c", FEWER, *script, *options],
                cwd=ROOT, stdout=file, stderr=file, check=False,
            )  # fmt: skip
        if done.returncode:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            return f"{name} failed: {' '.join(last)}"
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    found = {path.name for path in (root / "exp-fl-5").glob("*_summary_fold0/*")}
    missing = sorted(set(EXPECTED) - found)
    return f"the summary lacks {', '.join(missing)}" if missing else None


def main() -> int:
    started = time.perf_counter()
    root = Path(tempfile.mkdtemp(prefix="exp-fl-5-smoke-"))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    tests = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sys.argv[1:]],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    fault = run_steps(root)
    said, _ = tests.communicate()
    if tests.returncode:
        print(said)
        fault = "; ".join(filter(None, [fault, "a test of the formulas failed"]))
    if fault:
        print(f"smoke: {fault}; everything is left in {root}", file=sys.stderr)
        return 1
    shutil.rmtree(root)
    print(f"smoke: all steps and formulas in {time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
