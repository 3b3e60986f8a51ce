"""How often the verdict calls a ranking that knows nothing, with one relabelling for all folds
and with one for each fold (docs/definitions.md 10).

Run from the repository's root: python -m benchmarks.relabelling_level [--repetitions R]

In each of 5 folds the truth's heavy neurons and the ranking's are drawn by chance, so that
every call is a false one. Where the neurons are shared, as in folds that are fine-tuned from
one base model, a neuron is about as heavy in every fold, in the truth and in the ranking;
where they are not, the folds have nothing in common. `rejected` is the share of repetitions
with p <= 0.05 for the mean lift@5% over folds.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from utils import ranking
from utils.judge.details.permutation import draw_relabellings
from utils.judge.names import WEIGHT
from utils.judge.verdict.relabelling import membership, overlap_matrix, positive_rows, relabel
from utils.run import storage

OUTPUT = Path(__file__).parent / "results" / "relabelling_level.csv"
M, D, FOLDS, PERCENT = 96, 12, 5, 5
DRAWS, LEVEL = 199, 0.05
SPREAD = 1.0  # sd of the logarithm of a neuron's weight in truth and ranking
OF_FOLD = 0.3  # sd of what a fold adds to it where neurons are shared


def scores_of(heaviness: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scores of the weights, float64 (N,), whose neurons are as heavy as exp(heaviness), (m,)."""
    return ranking.spread(np.exp(heaviness), D) * rng.exponential(size=ranking.n_weights(M, D))


def overlaps_of_folds(shared: bool, rng: np.random.Generator) -> list[np.ndarray]:
    """C (m, m) of each fold, of a truth and a ranking that know nothing of each other."""
    size = ranking.n_weights(M, D)
    k = ranking.share_of(PERCENT, size)
    common = SPREAD * rng.normal(size=(2, M))
    found = []
    for _ in range(FOLDS):
        if shared:
            heaviness = common + OF_FOLD * rng.normal(size=(2, M))
        else:
            heaviness = SPREAD * rng.normal(size=(2, M))
        truth, method = (scores_of(one, rng) for one in heaviness)
        positives = positive_rows(ranking.top_membership(truth, k) > 0, M, D)
        found.append(overlap_matrix([(membership(method, WEIGHT, M, D, k), positives)], size, k))
    return found


def p_of(overlaps: list[np.ndarray], relabellings: list[np.ndarray]) -> float:
    """Two-sided p of the mean lift over folds; one (m, draws) of relabellings per fold."""
    found = [relabel(c, own) for c, own in zip(overlaps, relabellings, strict=True)]
    mean = np.mean([one.null_mean for one in found])
    lift, null = np.mean([one.lift for one in found]), np.mean([one.null for one in found], axis=0)
    reached = np.abs(null - mean) >= abs(lift - mean) * (1 - 1e-9)
    return (1 + np.count_nonzero(reached)) / (len(null) + 1)


def level(shared: bool, repetitions: int) -> dict[str, float]:
    """Share of repetitions that are called, with one relabelling for all folds and with five."""
    joint = [draw_relabellings(M, DRAWS, 0)] * FOLDS
    apart = [draw_relabellings(M, DRAWS, seed) for seed in range(FOLDS)]
    p = {"joint": [], "separate": []}
    for repetition in range(repetitions):
        overlaps = overlaps_of_folds(shared, np.random.default_rng([repetition, shared]))
        p["joint"].append(p_of(overlaps, joint))
        p["separate"].append(p_of(overlaps, apart))
    return {name: float(np.mean(np.array(values) <= LEVEL)) for name, values in p.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=400)
    count = parser.parse_args().repetitions
    rows = [
        {"neurons": "shared" if shared else "not shared", "relabelling": name, "folds": FOLDS,
         "repetitions": count, "level": LEVEL, "rejected": rejected,
         "standard_error": np.sqrt(rejected * (1 - rejected) / count),
         "p_of_level": stats.binomtest(round(rejected * count), count, LEVEL).pvalue}
        for shared in (True, False)
        for name, rejected in level(shared, count).items()
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    OUTPUT.parent.mkdir(exist_ok=True)
    storage.save_table(OUTPUT, table.round(4))
    print(table.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
