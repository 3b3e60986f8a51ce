"""The rankings that step 7 makes itself: seeded random ones and the neuron oracle."""

from collections.abc import Callable

import numpy as np

from utils import ranking
from utils.data.settings import ALL
from utils.judge import comparison, metrics
from utils.judge.comparison import NEURON, WEIGHT, FoldTruth
from utils.judge.sources import ORACLE, RANDOM, TRUTH_STEP
from utils.model.inputs import Inputs
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth import positives


def write_random(job: Job, inputs: Inputs) -> None:
    """The seeded random rankings under `all`, and the oracle's; kept where they exist."""
    paths, m, d = job.paths, inputs.m, inputs.d
    for offset, (level, size) in enumerate([(NEURON, m), (WEIGHT, ranking.n_weights(m, d))]):
        task = inputs.ledger.task(
            f"{ALL}/{level}/{RANDOM}",
            constants=["SEED"],
            parameters={"size": size},
            code=[ranking, random_scores],
        )
        if task.done:
            continue
        with task:
            watch = Stopwatch()
            scores = random_scores(job.seed, offset, size)
            order = ranking.rank_by(scores)
            task.time(f"{level}/{RANDOM}", watch.seconds, ALL)
            task.save_array(paths.score(ALL, level, RANDOM), scores)
            task.save_array(paths.ranking(ALL, level, RANDOM), order)


def random_scores(seed: int, stream: int, size: int) -> np.ndarray:
    """Uniform random scores, float32 (size,), of an independent stream of the fold's seed."""
    return np.random.default_rng([seed, stream]).random(size, dtype=np.float32)


def write_oracle(job: Job, inputs: Inputs, read: Callable[[], FoldTruth]) -> None:
    """The ceiling of neuron-level methods: neurons by the positives they hold."""
    paths = job.paths
    task = inputs.ledger.task(
        f"{ALL}/{NEURON}/{ORACLE}",
        inputs=[(paths.abs_diff, TRUTH_STEP)],
        constants=["POSITIVE_PERCENT"],
        code=[comparison, metrics, positives, ranking],
    )
    if task.done:
        return
    with task:
        scores = comparison.oracle(read())
        order = ranking.rank_by(scores)
        task.save_array(paths.score(ALL, NEURON, ORACLE), scores)
        task.save_array(paths.ranking(ALL, NEURON, ORACLE), order)
