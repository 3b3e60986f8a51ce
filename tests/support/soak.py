"""All steps on the real digits, killed at random times, until the time is up: `make soak`.

An undisturbed run comes first. Then rounds: in an empty folder every step from 0
to 7 is started, killed with SIGKILL after a random time (its worker processes
too) and started again until it gets through; at the end of a round every result
has to hold the bytes of the undisturbed run. What has to differ is left out:
times of day, and what shows measured seconds.

    python tests/support/soak.py [--minutes 10] [--fold 0 1] [--seed 0]

Exit status 1 if a file differs or a step fails otherwise than by our kill.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pipeline

STEPS = range(11)
# A kill comes after a uniform share of the undisturbed seconds; above 1 some runs get through.
LATEST_SHARE = 1.3
# After so many kills in one step it may finish: a round is to cover the later steps too.
MOST_KILLS_PER_STEP = 6
# Of a checkpoint: the model itself. The Trainer's own state holds times.
CHECKPOINT_FILES = ("model.safetensors", "config.json", "preprocessor_config.json")
# Of the summary across folds, what shows measured seconds.
SHOWS_SECONDS = ("times.csv", "results.xlsx", "report.html", "tables.tex", "time_")


@dataclass
class Tally:
    """What the soak has seen, over all rounds."""

    rounds: int = 0
    kills: dict[int, int] = field(default_factory=lambda: dict.fromkeys(STEPS, 0))
    faults: list[str] = field(default_factory=list)


def start(step: int, root: Path, folds: list[str]) -> subprocess.Popen:
    """One step in a process group of its own, so that its workers die with it."""
    return subprocess.Popen(
        [sys.executable, *pipeline.command(step, root, "--fold", *folds)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=pipeline.ENVIRONMENT,
        start_new_session=True,
    )


def undisturbed(root: Path, folds: list[str]) -> dict[int, float]:
    """Run every step once; seconds of each."""
    seconds = {}
    for step in STEPS:
        began = time.perf_counter()
        process = start(step, root, folds)
        _, error = process.communicate()
        if process.returncode:
            raise RuntimeError(f"step {step} fails undisturbed: {error.decode()[-2000:]}")
        seconds[step] = time.perf_counter() - began
        print(f"undisturbed: step {step} took {seconds[step]:.1f} s", flush=True)
    return seconds


def survive(
    step: int, root: Path, folds: list[str], usual_s: float, rng: random.Random, tally: Tally
) -> bool:
    """Start a step until it gets through; False if it fails by itself."""
    kills = 0
    while True:
        process = start(step, root, folds)
        wait = None if kills == MOST_KILLS_PER_STEP else rng.uniform(0, LATEST_SHARE * usual_s)
        try:
            _, error = process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            _, error = process.communicate()
            if process.returncode == -signal.SIGKILL:
                kills += 1
                tally.kills[step] += 1
                continue
        if process.returncode:
            tally.faults.append(f"step {step} failed: {error.decode()[-2000:]}")
        return not process.returncode


def digests(root: Path) -> dict[str, str]:
    """Hash of every file below `root` that two runs have to agree on."""
    found = {}
    for name, content in pipeline.results(root).items():
        if Path(name).name == "overview.csv":
            content = without_seconds(root / name)
        if not Path(name).name.startswith(SHOWS_SECONDS):
            found[name] = hashlib.sha256(content).hexdigest()
    inputs = [
        *(root / "dataset").rglob("*.arrow"),
        *(p for p in root.glob("out_vit_*/checkpoint-*/*") if p.name in CHECKPOINT_FILES),
        *root.glob("out_vit_*/training.json"),
    ]
    for path in inputs:
        found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def without_seconds(path: Path) -> bytes:
    return pd.read_csv(path).drop(columns="seconds").to_csv().encode()


def leftovers(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob(".tmp-*")]


def compare(wanted: dict[str, str], root: Path) -> list[str]:
    """What a finished round has that it should not have, or lacks."""
    found = digests(root)
    names = sorted({*wanted, *found})
    return [
        *(f"{name} differs" for name in names if wanted.get(name) != found.get(name)),
        *(f"{name} was left behind" for name in leftovers(root)),
    ]


def soak(folder: Path, folds: list[str], minutes: float, seed: int) -> Tally:
    """Rounds until `minutes` after the undisturbed run; the last one is finished."""
    first = folder / "undisturbed"
    first.mkdir()
    usual_s, wanted = undisturbed(first, folds), digests(first)
    print(f"{len(wanted)} files have to come out the same", flush=True)
    rng, tally = random.Random(seed), Tally()
    deadline = time.monotonic() + 60 * minutes
    while time.monotonic() < deadline and not tally.faults:
        root = folder / f"round{tally.rounds}"
        root.mkdir()
        before = sum(tally.kills.values())
        if all(survive(step, root, folds, usual_s[step], rng, tally) for step in STEPS):
            tally.faults += compare(wanted, root)
        tally.rounds += 1
        killed = sum(tally.kills.values()) - before
        state = "FAULTS" if tally.faults else "the same bytes"
        print(f"round {tally.rounds}: {killed} kills, {state}", flush=True)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--fold", nargs="+", default=["0", "1"])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exp-fl-5-soak-") as folder:
        tally = soak(Path(folder), args.fold, args.minutes, args.seed)
    print("\n".join(tally.faults))
    by_step = ", ".join(f"step {step}: {count}" for step, count in tally.kills.items())
    print(f"kills survived: {sum(tally.kills.values())} in {tally.rounds} rounds ({by_step})")
    raise SystemExit(bool(tally.faults))


if __name__ == "__main__":
    main()
