"""Rankings that step 7 makes itself: random ones, and references that know the training.

A reference is no method: it stands in tables and figures to be compared with,
and in no family of tests (docs/definitions.md 9.4).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from utils import ranking
from utils.data.setting_names import ALL
from utils.data.settings import SETTINGS_STEP, read_test_failures
from utils.errors import UserError
from utils.judge.names import (
    CEILING,
    CONTROL,
    JUDGED_STEP,
    NEURON,
    OPTIMIZER_STEP,
    ORACLE,
    ORACLE_SCORES,
    RANDOM,
    TRUTH_STEP,
    WEIGHT,
)
from utils.judge.rankings.source import ScoreSource
from utils.judge.references.scores import other_gradient, random_scores
from utils.judge.scores.ground_truth import GroundTruth, oracle
from utils.judge.truth_files import TruthFiles
from utils.model import gradients, optimizer_state
from utils.model.caches import cache_inputs, load_states, load_tail
from utils.model.inputs import OPTIMIZER, Inputs
from utils.ranking import RankingKey
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth.pooled.mean import mean_change
from utils.truth.registry import CHANGE, REPAIR

TEST = "test"


def write_random(job: Job, inputs: Inputs) -> list[ScoreSource]:
    """The seeded random rankings of neurons and of weights under `all`; kept where they exist."""
    paths, m, d = job.paths, inputs.m, inputs.d
    found = []
    for stream, (level, size) in enumerate([(NEURON, m), (WEIGHT, ranking.n_weights(m, d))]):
        key = RankingKey(ALL, level, RANDOM)
        found.append(ScoreSource(key, paths.score(*key), None, JUDGED_STEP))
        task = inputs.ledger.task(
            f"{ALL}/{level}/{RANDOM}",
            constants=["SEED"],
            parameters={"size": size},
            makes=write_random,
        )
        if task.done:
            continue
        with task:
            watch = Stopwatch()
            scores = random_scores(job.seed, stream, size)
            order = ranking.rank_by(scores)
            task.time(f"{level}/{RANDOM}", watch.seconds, ALL)
            task.save_array(paths.score(*key), scores)
            task.save_array(paths.ranking(*key), order)
    return found


def write_oracle(job: Job, inputs: Inputs, truth: TruthFiles) -> None:
    """The ceiling of neuron-level methods under `change`: neurons by the positives they hold."""
    key = RankingKey(ALL, NEURON, ORACLE_SCORES)
    task = inputs.ledger.task(
        f"{ALL}/{NEURON}/{ORACLE_SCORES}",
        inputs=[(job.paths.abs_diff, TRUTH_STEP)],
        constants=["POSITIVE_PERCENT"],
        makes=write_oracle,
    )
    if task.done:
        return
    with task:
        scores = oracle(truth.read(ALL))
        order = ranking.rank_by(scores)
        task.save_array(job.paths.score(*key), scores)
        task.save_array(job.paths.ranking(*key), order)


def write_optimizer_step(job: Job, inputs: Inputs) -> list[tuple[Path, int]]:
    """What M1's optimizer would do next, where its state lies beside M1; else a line.

    Returns
    -------
    Its file with the step that makes it; none where there is none.
    """
    if not (inputs.pair.m1 / optimizer_state.OPTIMIZER_FILE).is_file():
        job.log.info("no reference '%s': %s has no optimizer.pt", OPTIMIZER_STEP, inputs.pair.m1)
        return []
    ledger = inputs.ledger
    try:
        task = ledger.task("optimizer_step", inputs=[OPTIMIZER], makes=write_optimizer_step)
        step = None if task.done else optimizer_state.adam_step(inputs.pair.m1)
    except UserError as error:
        job.warn(f"no reference '{OPTIMIZER_STEP}': {error}")
        ledger.drop("optimizer_step")
        return []
    if step is not None:
        with task:
            task.save_array(job.paths.optimizer_step, step)
    return [(job.paths.optimizer_step, JUDGED_STEP)]


def reference_sources(
    job: Job, inputs: Inputs, truth: TruthFiles, next_step: list[tuple[Path, int]]
) -> list[ScoreSource]:
    """The references that a truth is compared with, each where the fold has what it takes.

    next_step : of `write_optimizer_step`.
    """
    paths = job.paths
    where = truth.settings if truth.per_setting else (ALL,)
    found = [_source(RankingKey(setting, NEURON, ORACLE), oracle) for setting in where]
    changes = [(paths.replay_change(r), TRUTH_STEP) for r in inputs.replays if r > 0]
    changes = [item for item in changes if item[0].is_file()]
    if truth.name == CHANGE and changes:
        key = RankingKey(ALL, WEIGHT, CEILING)
        found.append(_source(key, partial(_mean_of, changes), changes))
    if ALL in truth.settings and next_step:
        key = RankingKey(ALL, WEIGHT, OPTIMIZER_STEP)
        found.append(_source(key, partial(_mean_of, next_step), next_step))
    if truth.name == REPAIR and ALL in truth.settings:
        made_from = [
            (paths.abs_diff, TRUTH_STEP),
            (paths.neg_test(ALL), SETTINGS_STEP),
            *cache_inputs(paths, TEST),
        ]
        key = RankingKey(ALL, WEIGHT, CONTROL)
        found.append(_source(key, partial(_control, job, inputs), made_from))
    return found


def _source(
    key: RankingKey,
    values: Callable[[GroundTruth], np.ndarray],
    made_from: list[tuple[Path, int]] = (),
) -> ScoreSource:
    return ScoreSource(key, None, None, JUDGED_STEP, values=values, made_from=tuple(made_from))


def _mean_of(files: list[tuple[Path, int]], _: GroundTruth) -> np.ndarray:
    return mean_change([np.load(path) for path, _ in files])


def _control(job: Job, inputs: Inputs, _: GroundTruth) -> np.ndarray:
    tail = load_tail(inputs.pair.m1)
    states = load_states(job.paths, tail, TEST)
    samples = read_test_failures(job.paths, ALL, states.n_samples)
    gradient = gradients.mean_loss_gradient(tail, states, samples)
    return other_gradient(np.load(job.paths.abs_diff), gradient, tail.m, tail.d, job.seed)
