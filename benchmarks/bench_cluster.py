"""What Snakemake costs: ten small folds of digits by `snakemake -c 2` and by loops in a shell.

Run from the repository's root by `make bench-cluster`. Each way works in a copy of
the project of its own (tests/support/small_experiment.py); all end with the same
bytes, which is checked. `cpu_s` are seconds of the processor, of every process.
"""

import resource
import subprocess
import tempfile
import time
from pathlib import Path

import pandas as pd
import small_experiment

REPOSITORY = Path(__file__).resolve().parent.parent
OUTPUT = Path(__file__).parent / "results" / "cluster.csv"
FOLDS = list(range(10))
SNAKEMAKE = (
    f"{REPOSITORY}/.venv-cluster/bin/snakemake -c {{cores}} "
    "--profile workflow/profiles/local --config ds=digits"
)
WAYS = {
    "loop, fold by fold": small_experiment.loop_by_fold(FOLDS),
    "loop, step by step": small_experiment.loop_by_step(FOLDS),
    "snakemake -c 1": SNAKEMAKE.format(cores=1),
    "snakemake -c 2": SNAKEMAKE.format(cores=2),
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
    rows, digests = [], {}
    with tempfile.TemporaryDirectory(prefix="exp-fl-5-cluster-") as root:
        for number, (name, command) in enumerate(WAYS.items()):
            folder = small_experiment.copy_project(Path(root) / str(number))
            first = measure(folder, command)
            again = measure(folder, command)
            digests[name] = small_experiment.digests(folder)
            again = {f"{key} again": value for key, value in again.items()}
            rows.append({"way": name, **first, **again})
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table["of the first"] = table["seconds"] / table["seconds"][0]
    table["cpu_s of the first"] = table["cpu_s"] / table["cpu_s"][0]
    table.to_csv(OUTPUT, index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format="{:.3g}".format))
    first, *others = digests.values()
    for other in others:
        if names := small_experiment.differences(first, other):
            raise RuntimeError(f"not the same bytes: {', '.join(names[:5])}")


if __name__ == "__main__":
    main()
