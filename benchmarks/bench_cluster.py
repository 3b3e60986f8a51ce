"""What Snakemake costs: ten small folds of digits by `snakemake -c 2` and by loops in a shell.

Run from the repository's root by `make bench-cluster` (three quarters of an hour), or with fewer
folds and the ways that are compared: PYTHONPATH=tests/support python -m benchmarks.bench_cluster
--folds 3 --ways "loop, fold by fold" "snakemake -c 1" --once. Each way works in a copy of
the project of its own (tests/support/small_experiment.py); all end with the same
bytes, which is checked. `cpu_s` are seconds of the processor, of every process.
"""

import argparse
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import pandas as pd
import small_experiment

REPOSITORY = Path(__file__).resolve().parent.parent
OUTPUT = Path(__file__).parent / "results" / "cluster.csv"
SNAKEMAKE = (
    f"{REPOSITORY}/.venv-cluster/bin/snakemake -c {{cores}} "
    "--profile workflow/profiles/local --config ds=digits 'folds={folds}'"
)


def ways(folds: list[int]) -> dict[str, str]:
    """The shell commands that are compared, by name."""
    shown = str(folds).replace(" ", "")
    return {
        "loop, fold by fold": small_experiment.loop_by_fold(folds),
        "loop, step by step": small_experiment.loop_by_step(folds),
        "snakemake -c 1": SNAKEMAKE.format(cores=1, folds=shown),
        "snakemake -c 2": SNAKEMAKE.format(cores=2, folds=shown),
    }


def measure(folder: Path, command: str) -> dict[str, float]:
    """Seconds on the clock and of the processor that a command takes in `folder`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=small_experiment.ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stdout[-4000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_s": cpu_s}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, default=10, help="how many (default: %(default)s)")
    parser.add_argument("--ways", nargs="+", choices=ways([]), default=list(ways([])))
    parser.add_argument("--once", action="store_true", help="not again with nothing to do")
    args = parser.parse_args()
    rows, digests = [], {}
    with tempfile.TemporaryDirectory(prefix="exp-fl-5-cluster-") as root:
        for number, name in enumerate(args.ways):
            command = ways(list(range(args.folds)))[name]
            folder = small_experiment.copy_project(Path(root) / str(number))
            first = measure(folder, command)
            again = {} if args.once else measure(folder, command)
            digests[name] = small_experiment.digests(folder)
            again = {f"{key} again": value for key, value in again.items()}
            rows.append({"way": name, **first, **again})
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table["of the first"] = table["seconds"] / table["seconds"][0]
    table["cpu_s of the first"] = table["cpu_s"] / table["cpu_s"][0]
    if args.folds == parser.get_default("folds"):
        table.to_csv(OUTPUT, index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format="{:.3g}".format))
    first, *others = digests.values()
    for other in others:
        if names := small_experiment.differences(first, other):
            raise RuntimeError(f"not the same bytes: {', '.join(names[:5])}")


if __name__ == "__main__":
    main()
