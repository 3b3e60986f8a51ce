"""Rankings that step 7 makes itself: random ones, and references that know the training.

A reference is no method: it stands in tables and figures to be compared with,
and in no family of tests (docs/definitions.md 9.4).
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np

from utils import ranking
from utils.data.setting_names import ALL
from utils.data.settings import SETTINGS_STEP, read_test_failures
from utils.errors import UserError
from utils.judge.scores import comparison, metrics
from utils.judge.scores.comparison import (
    CEILING,
    CONTROL,
    NEURON,
    OPTIMIZER_STEP,
    WEIGHT,
    FoldTruth,
)
from utils.judge.scores.comparison import ORACLE as NEURON_ORACLE
from utils.judge.sources import ORACLE, RANDOM, STEP, TRUTH_STEP, Source
from utils.judge.truths import TruthOfFold
from utils.model import gradients, optimizer_state
from utils.model.caches import cache_inputs, load_states, load_tail
from utils.model.inputs import OPTIMIZER, Inputs
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth import CHANGE, REPAIR, positives
from utils.truth.credit import other_gradient
from utils.truth.credit_of_fold import TEST
from utils.truth.pooled import mean_change


def write_random(job: Job, inputs: Inputs) -> None:
    """The seeded random rankings under `all`; kept where they exist."""
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


def write_oracle(job: Job, inputs: Inputs, truth: TruthOfFold) -> None:
    """The ceiling of neuron-level methods under `change`: neurons by the positives they hold."""
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
        scores = comparison.oracle(truth.read(ALL))
        order = ranking.rank_by(scores)
        task.save_array(paths.score(ALL, NEURON, ORACLE), scores)
        task.save_array(paths.ranking(ALL, NEURON, ORACLE), order)


def write_optimizer_step(job: Job, inputs: Inputs) -> bool:
    """What M1's optimizer would do next, where its state lies beside M1; else a line, and False."""
    if not (inputs.pair.m1 / optimizer_state.OPTIMIZER_FILE).is_file():
        job.log.info("no reference '%s': %s has no optimizer.pt", OPTIMIZER_STEP, inputs.pair.m1)
        return False
    ledger = inputs.ledger
    try:
        task = ledger.task("optimizer_step", inputs=[OPTIMIZER], code=[optimizer_state, ranking])
        step = None if task.done else optimizer_state.adam_step(inputs.pair.m1)
    except UserError as error:
        job.warn(f"no reference '{OPTIMIZER_STEP}': {error}")
        ledger.drop("optimizer_step")
        return False
    if step is not None:
        with task:
            task.save_array(job.paths.optimizer_step, step)
    return True


def reference_sources(
    job: Job, inputs: Inputs, truth: TruthOfFold, with_optimizer: bool
) -> list[Source]:
    """The references that a truth is compared with, each where the fold has what it takes.

    with_optimizer : whether `write_optimizer_step` made its file.
    """

    def source(setting, level, name, values, made_from=()) -> Source:  # noqa: ANN001
        return Source(setting, level, name, None, None, STEP, None, values, tuple(made_from))

    paths = job.paths
    where = truth.settings if truth.per_setting else (ALL,)
    found = [source(setting, NEURON, NEURON_ORACLE, comparison.oracle) for setting in where]
    changes = [(paths.replay_change(r), TRUTH_STEP) for r in inputs.replays if r > 0]
    changes = [item for item in changes if item[0].is_file()]
    if truth.name == CHANGE and changes:
        found.append(source(ALL, WEIGHT, CEILING, partial(_mean_of, changes), changes))
    if ALL in truth.settings and with_optimizer:
        step = (paths.optimizer_step, STEP)
        found.append(source(ALL, WEIGHT, OPTIMIZER_STEP, partial(_mean_of, [step]), [step]))
    if truth.name == REPAIR and ALL in truth.settings:
        made_from = [
            (paths.abs_diff, TRUTH_STEP),
            (paths.neg_test(ALL), SETTINGS_STEP),
            *cache_inputs(paths, TEST),
        ]
        found.append(source(ALL, WEIGHT, CONTROL, partial(_control, job, inputs), made_from))
    return found


def code_of(truth: TruthOfFold) -> tuple[ModuleType | Callable[..., object], ...]:
    """What decides the scores of the references that a truth is compared with."""
    made = (reference_sources, _mean_of, mean_change)
    return (*made, _control, other_gradient, gradients) if truth.name == REPAIR else made


def _mean_of(files: list, _: FoldTruth) -> np.ndarray:
    return mean_change([np.load(path) for path, _ in files])


def _control(job: Job, inputs: Inputs, _: FoldTruth) -> np.ndarray:
    tail = load_tail(inputs.pair.m1)
    states = load_states(job.paths, tail, TEST)
    samples = read_test_failures(job.paths, ALL, states.n_samples)
    gradient = gradients.mean_loss_gradient(tail, states, samples)
    return other_gradient(np.load(job.paths.abs_diff), gradient, tail.m, tail.d, job.seed)
