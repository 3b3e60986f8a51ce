"""Step 8 on one fold: M2's values in the first weights of every ranking (definitions 11)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from utils import ranking
from utils.data.setting_names import ALL, COLUMNS
from utils.data.settings import SETTINGS_STEP, read_test_failures
from utils.errors import UserError
from utils.judge.names import (
    CREDIT,
    JUDGED_STEP,
    LIFTED,
    NEURON,
    ORACLE,
    ORACLE_SCORES,
    RANDOM,
    TRANSPLANT_STEP,
    TRUTH_STEP,
    WEIGHT,
    shown_level,
)
from utils.judge.rankings.files import read_file, read_order, require_all
from utils.judge.rankings.source import ScoreSource
from utils.judge.transplant import walk as transplant
from utils.judge.transplant.walk import ELSEWHERE, PERCENTS, WHOLE
from utils.model import caches, checkpoints
from utils.model.caches import load_states, load_tail
from utils.model.inputs import M1, M2_FFN, Inputs
from utils.ranking import RankingKey
from utils.run import storage
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth.registry import CHANGE, REPAIR
from utils.truth.repair.fold import TEST, state_inputs

DRAWS = 10
Receive = Callable[[], transplant.Receiver]


@dataclass(frozen=True)
class Transplanted:
    """One ranking to be walked.

    key : the setting whose folder holds its rows; level and method as in the table.
    settings : whose failing samples it is measured by.
    source : its score file, None for what is no method.
    """

    key: RankingKey
    settings: tuple[str, ...]
    inputs: tuple[Path | tuple[Path, int], ...] = ()
    source: ScoreSource | None = None


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
) -> list[Transplanted]:
    """Every method's whole ranking of each setting, and what stands beside the methods.

    sources : the score files of the fold.

    Raises
    ------
    UserError : credits, truths or states of the test split are missing or stale.
    """
    paths, ledger = job.paths, inputs.ledger
    require_all(ledger, [*state_inputs(job), *((paths.neg_test(s), 2) for s in settings)])
    found = []
    for source in (source for source in sources if source.n is None):
        setting, level, name = source.key
        key = RankingKey(setting, shown_level(level), name)
        found.append(Transplanted(key, (setting,), tuple(source.inputs), source))
    everywhere = tuple(settings)
    files = {
        (WEIGHT, CHANGE): (paths.truth_ranking, TRUTH_STEP),
        (LIFTED, ORACLE): (paths.ranking(ALL, NEURON, ORACLE_SCORES), JUDGED_STEP),
    }
    for key, file in files.items():
        found.append(Transplanted(RankingKey(ALL, *key), everywhere, (file,)))
    for setting in settings_with_credit(job, settings):
        file = (paths.repair_credit(setting), JUDGED_STEP)
        found.append(Transplanted(RankingKey(setting, WEIGHT, CREDIT), (setting,), (file,)))
    found.append(Transplanted(RankingKey(ALL, WEIGHT, RANDOM), everywhere))
    require_all(ledger, [item for one in found for item in one.inputs])
    return found


def settings_with_credit(job: Job, settings: list[str]) -> list[str]:
    """The settings that step 7 makes a repair credit of."""
    table = storage.read_table(job.paths.settings, COLUMNS, SETTINGS_STEP)
    enough = table["n_neg_test"] >= job.constants["MIN_SAMPLES"]
    return [setting for setting in table.loc[enough, "setting"] if setting in settings]


def transplant_all(job: Job, inputs: Inputs, rankings: list[Transplanted]) -> None:
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
    job: Job, inputs: Inputs, one: Transplanted, ks: dict[float, int], receiver: Receive
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


def is_random(one: Transplanted) -> bool:
    return one.source is None and one.key.method == RANDOM


def orders(job: Job, inputs: Inputs, one: Transplanted) -> Iterator[np.ndarray]:
    """The ranking of the weights, int32 (N,), canonical indices; several of `random`."""
    m, d = inputs.m, inputs.d
    size = ranking.n_weights(m, d)
    if one.source is not None:
        order = read_order(one.source, read_file(one.source, m, size))
        yield transplant.neuron_weights(order, m, d) if one.key.level == LIFTED else order
    elif is_random(one):
        yield from transplant.random_orders(job.seed, DRAWS, size)
    elif one.key.method == CREDIT:
        ((path, step),) = one.inputs
        credit = storage.load_array(path, (np.float32,), (size,), storage.run_again(step))
        yield ranking.rank_by(np.asarray(credit))
    else:
        ((path, step),) = one.inputs
        length = m if one.key.level == LIFTED else size
        order = storage.load_array(path, (np.int32,), (length,), storage.run_again(step))
        yield (
            transplant.neuron_weights(order, m, d) if one.key.level == LIFTED else np.asarray(order)
        )


def write_table(job: Job, inputs: Inputs, rankings: list[Transplanted], parts: list[Path]) -> None:
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
