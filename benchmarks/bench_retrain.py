"""Seconds and memory of retraining one ranking, both optimisers, on a synthetic ViT-Base fold.

Run from the repository's root: python -m benchmarks.bench_retrain [--d D] [--samples S] [--whole]

The first 1% of weights drawn at random, of the weights of some of the neurons (what a
method's ranking looks like), of whole neurons, and with --whole all weights. Each in a
process of its own, whose largest resident size is `peak_mib`. `judging_cpu_s` is what the
test split costs.
"""

import argparse
import resource
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bench import timed
from benchmarks.bench_methods import in_a_process
from benchmarks.shapes import VIT_BASE, Shape
from benchmarks.synthetic import make_states
from utils import ranking
from utils.judge.retrain import effect, samples, train
from utils.judge.transplant.walk import make_receiver, neuron_weights
from utils.model.states import States
from utils.model.tail import Tail
from utils.pieces import cores
from utils.run import storage

OUTPUT = Path(__file__).parent / "results" / "retrain.csv"
PERCENT = 1
SOME_NEURONS = 0.3  # of the layer: the first 1% of the digits' methods lies in about as many


def rankings(m: int, d: int, whole: bool) -> dict[str, np.ndarray]:
    """By name the weights to train, int32 (K,)."""
    rng = np.random.default_rng(0)
    size = ranking.n_weights(m, d)
    k = ranking.share_of(PERCENT, size)
    neurons = neuron_weights(rng.permutation(m).astype(np.int32), m, d)
    some = neurons[: int(SOME_NEURONS * size)]
    found = {
        "random weights": rng.permutation(size).astype(np.int32)[:k],
        "in some neurons": rng.permutation(some)[:k],
        "whole neurons": neurons[:k],
    }
    return found | ({"all weights": np.arange(size, dtype=np.int32)} if whole else {})


def samples_of(states: States) -> tuple[np.ndarray, np.ndarray]:
    """Fitted and held-out samples of the setting `all`."""
    wrong = states.logits.argmax(1) != states.labels
    held_out, rest = samples.split_samples(states.n_samples, 0)
    fitted = samples.fitted_samples(rest, np.flatnonzero(wrong), np.flatnonzero(~wrong))
    return fitted, held_out


def cost_of(tail: Tail, states: States, weights: np.ndarray) -> dict[str, float]:
    """Of one ranking; the repair split serves as the test split too."""
    receiver = make_receiver(tail, tail.w_bef.numpy(), tail.w_aft.numpy(), states)
    trainer = train.make_trainer(tail, states, *samples_of(states))
    began = time.process_time()
    found = timed(partial(train.retrain, trainer, weights), 1)
    trained = time.process_time()
    target = np.flatnonzero(~receiver.right)
    for kept in found.value.values():
        effect.effect(receiver, weights, kept, target, 0.0)
    return {
        "seconds": found.seconds,
        "cpu_s": trained - began,
        "judging_cpu_s": time.process_time() - trained,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """Largest resident size of this process so far."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(tail: Tail, states: States, whole: bool = False) -> pd.DataFrame:
    """A row for each kind of ranking."""
    rows = []
    for name, weights in rankings(tail.m, tail.d, whole).items():
        cost = in_a_process(partial(cost_of, tail, states, weights))
        rows.append({"ranking": name, "k": len(weights), **cost})
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--d", type=int, default=VIT_BASE.d, help="hidden size; m = 4d")
    parser.add_argument("--samples", type=int, default=VIT_BASE.samples)
    parser.add_argument("--whole", action="store_true", help="all weights as well")
    args = parser.parse_args()
    shape = Shape(d=args.d, m=4 * args.d, samples=args.samples)
    table = measure(*make_states(shape), args.whole)
    print(f"{cores()} threads\n{table.round(2).to_string(index=False)}")
    if shape == VIT_BASE and args.whole:
        storage.save_table(OUTPUT, table.round(2))


if __name__ == "__main__":
    main()
