"""Step 8 on one fold: M2's values in the first weights of every ranking (definitions 11)."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from utils import ranking
from utils.data.setting_names import ALL
from utils.data.settings import SETTINGS_STEP, read_test_failures
from utils.errors import UserError
from utils.judge.names import (
    RANDOM,
    TRANSPLANT_STEP,
    WEIGHT,
)
from utils.judge.rankings.files import require_all
from utils.judge.rankings.source import ScoreSource
from utils.judge.rankings.weights_of_fold import WeightRanking, order_of_weights, weight_rankings
from utils.judge.transplant import walk as transplant
from utils.judge.transplant.walk import ELSEWHERE, PERCENTS, WHOLE
from utils.model import caches, checkpoints
from utils.model.caches import load_states, load_tail
from utils.model.inputs import M1, M2_FFN, Inputs
from utils.ranking import RankingKey
from utils.run import storage
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth.registry import REPAIR
from utils.truth.repair.fold import TEST, state_inputs

DRAWS = 10
Receive = Callable[[], transplant.Receiver]


def require_test_split(job: Job) -> None:
    """Refuse constants under which no step looks at the test split, and data without one."""
    if REPAIR not in job.constants["TRUTHS"]:
        raise UserError(
            "transplants are measured on the test split, which only the truth 'repair' needs; "
            "add it to TRUTHS in utils/constants.py and run exp-fl-5-2.py again"
        )
    caches.require_test_split(job.paths, TRANSPLANT_STEP)


def find_rankings(
    job: Job, inputs: Inputs, settings: list[str], sources: list[ScoreSource]
) -> list[WeightRanking]:
    """Every method's whole ranking of each setting, and what stands beside the methods.

    sources : the score files of the fold.

    Raises
    ------
    UserError : credits, truths or states of the test split are missing or stale.
    """
    paths, ledger = job.paths, inputs.ledger
    require_all(ledger, [*state_inputs(job), *((paths.neg_test(s), 2) for s in settings)])
    found = weight_rankings(job, settings, sources)
    found.append(WeightRanking(RankingKey(ALL, WEIGHT, RANDOM), tuple(settings)))
    require_all(ledger, [item for one in found for item in one.inputs])
    return found


def transplant_all(job: Job, inputs: Inputs, rankings: list[WeightRanking]) -> None:
    """Make the fold's table, ranking by ranking, or keep what is up to date."""
    ks = transplant.percents_of(
        list(PERCENTS), job.budgets(inputs.d, inputs.m), ranking.n_weights(inputs.m, inputs.d)
    )
    receiver = cache(lambda: read_receiver(job, inputs))  # read once, and only where it is needed
    write_ends(job, inputs, receiver)
    parts = []
    for one in tqdm(rankings, desc="transplants", unit="ranking"):
        parts.append(write_rows(job, inputs, one, ks, receiver))
    write_table(job, inputs, rankings, parts)


def read_receiver(job: Job, inputs: Inputs) -> transplant.Receiver:
    m1 = load_tail(inputs.pair.m1)
    m2 = checkpoints.read_ffn(inputs.pair.m2)
    return transplant.make_receiver(m1, *m2, load_states(job.paths, m1, TEST))


def write_ends(job: Job, inputs: Inputs, receiver: Receive) -> None:
    """M1, and M1 with both matrices of M2: where every ranking begins and ends."""
    paths = job.paths
    task = inputs.ledger.task(
        "ends",
        inputs=[M1, M2_FFN, *state_inputs(job), (paths.neg_test(ALL), SETTINGS_STEP)],
        makes=write_ends,
    )
    if task.done:
        return
    with task:
        given = receiver()
        order = np.arange(given.n_weights, dtype=np.int32)
        failing = read_test_failures(paths, ALL, len(given.labels))
        ends = {0.0: 0, float(WHOLE): given.n_weights}
        found = transplant.effects(given, order, ends, {ALL: (failing, set(ends))})
        task.save_table(paths.transplant_ends, found.assign(samples=len(given.labels)))


def write_rows(
    job: Job, inputs: Inputs, one: WeightRanking, ks: dict[float, int], receiver: Receive
) -> Path:
    """The rows of one ranking, in a file of its own: a killed step goes on with the next."""
    paths = job.paths
    path = paths.transplant(*one.key)
    failing = [(paths.neg_test(setting), SETTINGS_STEP) for setting in one.settings]
    elsewhere = [percent for percent in ks if percent == ELSEWHERE or percent not in PERCENTS]
    task = inputs.ledger.task(
        "/".join(one.key),
        inputs=[M1, M2_FFN, *state_inputs(job), *failing, *one.inputs],
        constants=["SEED"] if is_random(one) else [],
        parameters={"ks": [[percent, k] for percent, k in ks.items()]},
        makes=write_rows,
    )
    if task.done:
        return path
    with task:
        given = receiver()
        watch = Stopwatch()
        targets = {
            setting: (
                read_test_failures(paths, setting, len(given.labels)),
                set(ks) if setting == ALL else set(elsewhere),
            )
            for setting in one.settings
        }
        found = [
            transplant.effects(given, order, ks, targets) for order in orders(job, inputs, one)
        ]
        task.time(f"{one.key.level}/{one.key.method}", watch.seconds, one.key.setting)
        task.save_table(path, transplant.mean_effects(found))
    return path


def is_random(one: WeightRanking) -> bool:
    return one.source is None and one.key.method == RANDOM


def orders(job: Job, inputs: Inputs, one: WeightRanking) -> Iterator[np.ndarray]:
    """The ranking of the weights, int32 (N,), canonical indices; several of `random`."""
    if is_random(one):
        size = ranking.n_weights(inputs.m, inputs.d)
        yield from transplant.random_orders(job.seed, DRAWS, size)
    else:
        yield order_of_weights(inputs, one)


def write_table(job: Job, inputs: Inputs, rankings: list[WeightRanking], parts: list[Path]) -> None:
    """The table of the fold; the whole transplant, which is one for all, ends each ranking."""
    paths = job.paths
    task = inputs.ledger.task(
        "transplant",
        inputs=[(path, TRANSPLANT_STEP) for path in (paths.transplant_ends, *parts)],
        makes=write_table,
    )
    if task.done:
        return
    with task:
        ends = storage.read_table(paths.transplant_ends, ["loss", "samples"], TRANSPLANT_STEP)
        first, last = ends.iloc[[0]], ends.iloc[[1]]
        found = []
        for one, path in zip(rankings, parts, strict=True):
            rows = storage.read_table(path, ["setting", "k", "loss"], TRANSPLANT_STEP)
            whole = [last.drop(columns="samples")] if one.key.setting == ALL else []
            rows = pd.concat([rows, *whole], ignore_index=True)
            found.append(rows.assign(level=one.key.level, method=one.key.method))
        table = pd.concat(found, ignore_index=True)
        losses = [float(end["loss"].iloc[0]) for end in (first, last)]
        table = transplant.finish(table, paths.ds, paths.fold, int(ends["samples"][0]), *losses)
        table = transplant.in_order(table, list(dict.fromkeys(one.key.setting for one in rankings)))
        task.save_table(paths.transplants, table)
        if losses[1] >= losses[0]:
            job.log.warning(
                "M2's two matrices do not lower M1's loss on the test split (%.4f, then %.4f): "
                "there is no share of it to recover", *losses,
            )  # fmt: skip
    job.log.info("wrote %s", paths.transplants)


def read_transplants(path: Path) -> pd.DataFrame:
    """A fold's table, with the methods' own names."""
    table = storage.read_table(path, transplant.COLUMNS, TRANSPLANT_STEP)
    table["method"] = [storage.undefused(str(name)) for name in table["method"]]
    return table


def finding(rows: pd.DataFrame) -> str:
    """Loss recovered at 1% under `all`, mean over folds, as text for the terminal.

    rows : of `read_transplants`, of several folds.
    """
    rows = rows[(rows["setting"] == ALL) & (rows["k_percent"] == ELSEWHERE)]
    columns = ["loss_recovered", "share_recovered", "repaired", "broken"]
    mean = rows.groupby(["level", "method"], sort=False)[columns].mean()
    mean = mean.sort_values("loss_recovered", ascending=False, kind="stable").reset_index()
    text = mean.to_string(index=False, na_rep="-", float_format="{:.3f}".format)
    return (
        f"M1 with M2's values in the first {ELSEWHERE}% of the weights of each ranking, on the "
        f"test split, mean over folds:\n{text}\n"
        "A transplant needs M2: it checks a localisation, and is no method of repair."
    )
