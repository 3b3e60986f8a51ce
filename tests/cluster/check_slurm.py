"""Ten folds of digits on a Slurm cluster of one node: one job killed, the node drained and resumed.

Once by cluster/fold.sbatch, once by Snakemake's profile. Run by `make test-cluster`.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import small_experiment
from check_snakemake import SNAKEMAKE
from small_experiment import shell

CLUSTER = Path(__file__).parent / "slurm.sh"
HOURS = 3600
FOLDS = list(range(10))


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Sets SLURM_CONF for the clients."""
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([str(CLUSTER), "start", str(folder)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(small_experiment.ENVIRONMENT, "SLURM_CONF", str(folder / "slurm.conf"))
        yield folder
        shell(folder, "scancel --user=$(id -un)")
        subprocess.run([str(CLUSTER), "stop", str(folder)], check=True)


def wait_for(condition: Callable[[], bool], seconds: float = 2 * HOURS) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.5)


def steps_at_work(folder: Path) -> list[int]:
    """Process ids of steps that work in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            here = (entry / "cwd").readlink() == folder
        except OSError:
            continue
        if here and any(b"exp-fl-5-" in word for word in words[1:2]):
            found.append(int(entry.name))
    return found


def kill_one(folder: Path) -> None:
    """Kill a step that is at work with SIGKILL, as a lack of memory does."""
    while True:
        wait_for(lambda: bool(steps_at_work(folder)))
        try:
            return os.kill(steps_at_work(folder)[0], signal.SIGKILL)
        except (ProcessLookupError, IndexError):
            continue


def scored(folder: Path) -> int:
    """Folds that have their scores."""
    return len(list((folder / "exp-fl-5").glob("digits_fold*/exp-fl-5-7_scores.csv")))


def drain_and_resume(folder: Path) -> None:
    """No job begins on the node until those at work have ended; then all goes on."""
    node = socket.gethostname().split(".")[0]
    shell(folder, f"scontrol update NodeName={node} State=DRAIN Reason=maintenance")
    wait_for(lambda: "drained" in shell(folder, "sinfo --noheader --format=%T"))
    assert not steps_at_work(folder) and scored(folder) < len(FOLDS)
    shell(folder, f"scontrol update NodeName={node} State=RESUME")


def disturb(folder: Path) -> None:
    wait_for(lambda: scored(folder) >= 1)
    kill_one(folder)
    wait_for(lambda: scored(folder) >= 3)
    drain_and_resume(folder)


def require_same(reference, folder: Path) -> None:
    found = small_experiment.digests(folder)
    assert len(found) > 1000
    others = [name for name in reference.digests if "digits_summary_fold" in name]
    wanted = {name: d for name, d in reference.digests.items() if name not in others}
    assert small_experiment.differences(wanted, found) == []


def test_the_batch_script(reference, slurm, tmp_path):
    folder = small_experiment.copy_project(tmp_path / "project")
    given = "--cpus-per-task=1 --mem=3G"
    folds = shell(
        folder, f"sbatch --parsable --array=0-9 {given} cluster/fold.sbatch --ds digits"
    ).strip()
    every = " ".join(map(str, FOLDS))
    last = shell(
        folder,
        f"sbatch --parsable --dependency=afterok:{folds} {given} cluster/fold.sbatch "
        f"--ds digits --fold {every}",
    ).strip()
    disturb(folder)

    def over() -> bool:
        state = shell(folder, f"squeue --noheader --states=all --jobs={last} --format=%T,%r")
        assert "NeverSatisfied" not in state and "FAILED" not in state, state
        return "COMPLETED" in state

    wait_for(over)
    require_same(reference, folder)
    restarted = shell(folder, f"scontrol show job {folds}")
    assert "Restarts=1" in restarted


def test_the_profile_of_snakemake(reference, slurm, tmp_path):
    folder = small_experiment.copy_project(tmp_path / "project")
    process = subprocess.Popen(
        [str(SNAKEMAKE), "--profile", "workflow/profiles/slurm", "--config", "ds=digits"],
        cwd=folder, env=small_experiment.ENVIRONMENT, stdout=(folder / "said").open("w"),
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        disturb(folder)
        wait_for(lambda: process.poll() is not None)
    finally:
        process.terminate()
        process.wait()
    said = (folder / "said").read_text()
    assert process.returncode == 0, said[-4000:]
    assert said.count("Error in group") == 1, said[-4000:]
    require_same(reference, folder)
    # One job of Slurm a fold, one for the summary, and the killed one again.
    jobs = shell(folder, "squeue --noheader --states=all --array --format='%i %Z'").splitlines()
    assert sum(line.endswith(str(folder)) for line in jobs) == len(FOLDS) + 2
