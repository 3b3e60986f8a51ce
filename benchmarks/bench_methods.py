"""Seconds and memory of each method for the setting `all` of one synthetic ViT-Base fold.

Run from the repository's root: python -m benchmarks.bench_methods [--only METHOD ...]

Each method runs in a process of its own and has nothing that another one has left: what
methods share is charged to each of them. `cpu_s` adds up the threads and hardly depends
on what else the machine does; `peak_mib` is how much the process grew. zero_out and
care, whose cost grows with the classes, are measured with 1,000 of them as well.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bench import IG_POINTS, timed
from benchmarks.shapes import VIT_BASE, Shape
from benchmarks.synthetic import make_states
from utils.methods import METHODS
from utils.methods.evidence import Evidence
from utils.methods.method import Method
from utils.model.states import States
from utils.model.tail import Tail
from utils.pieces import cores, cpu_threads
from utils.run import storage

OUTPUT = Path(__file__).parent / "results" / "methods.csv"
MANY_CLASSES, BY_CLASSES = 1000, ("zero_out", "care")
FAILURES = 1500


def failures_and_others(states: States) -> tuple[np.ndarray, np.ndarray]:
    """FAILURES samples that M1 has wrong, or as many as there are, and all that it has right."""
    wrong = states.logits.argmax(1) != states.labels
    return np.flatnonzero(wrong)[:FAILURES], np.flatnonzero(~wrong)


def measure(
    tail: Tail, states: States, neg: np.ndarray, pos: np.ndarray, names: list[str]
) -> pd.DataFrame:
    """A row for each method that `names` has."""
    rows = []
    sizes = {"classes": tail.n_classes, "samples": states.n_samples, "n_neg": len(neg)}
    for (level, name), method in METHODS.items():
        if name not in names:
            continue
        evidence = Evidence(tail, states, neg, pos, 0, IG_POINTS, fold_memo={})
        cost = in_a_process(partial(cost_of, method, evidence))
        rows.append({"level": level, "method": name, "step": method.step, **sizes, **cost})
        print(f"{level}/{name}: " + ", ".join(f"{k} {v:.2f}" for k, v in cost.items()), flush=True)
    return pd.DataFrame(rows)


def in_a_process(function: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Call it in a fork, which has the states of its parent without a copy of them."""
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(function()))
    process.start()
    sender.close()
    found = receiver.recv()
    process.join()
    return found


def cost_of(method: Method, evidence: Evidence) -> dict[str, float]:
    with cpu_threads(1):  # threads take whole pieces (utils.pieces)
        began = time.process_time()
        found = timed(partial(method.function, evidence), 1)
        cpu_s = time.process_time() - began
    return {"seconds": found.seconds, "cpu_s": cpu_s, "peak_mib": found.peak_mib}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = list(dict.fromkeys(name for _, name in METHODS))
    parser.add_argument("--only", nargs="+", choices=every, default=every, metavar="METHOD")
    only = parser.parse_args().only
    print(f"{cores()} threads")
    tables = []
    for classes, names in ((VIT_BASE.classes, every), (MANY_CLASSES, list(BY_CLASSES))):
        wanted = [name for name in names if name in only]
        if wanted:
            tail, states = make_states(Shape(classes=classes))
            tables.append(measure(tail, states, *failures_and_others(states), wanted))
    table = pd.concat(tables, ignore_index=True).round({"seconds": 3, "cpu_s": 3, "peak_mib": 0})
    print(table.to_string(index=False))
    if only == every:
        storage.save_table(OUTPUT, table)


if __name__ == "__main__":
    main()
