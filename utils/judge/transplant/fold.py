"""Step 8 on one fold: M2's values in the first weights of every ranking (definitions 11)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from utils import pieces, ranking
from utils.data.setting_names import ALL, COLUMNS
from utils.data.settings import SETTINGS_STEP, read_test_failures
from utils.errors import UserError
from utils.judge.scores.comparison import LIFTED, NEURON, ORACLE, WEIGHT
from utils.judge.scores.fold import find_sources
from utils.judge.sources import ORACLE as ORACLE_FILE
from utils.judge.sources import STEP as JUDGED_STEP
from utils.judge.sources import TRUTH_STEP, Source, read_file, read_order, require_all
from utils.judge.transplant import walk as transplant
from utils.model import caches, checkpoints, states, tail
from utils.model.inputs import M1, M2_FFN, Inputs, open_inputs
from utils.run import storage
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth import CHANGE, REPAIR
from utils.truth.credit_of_fold import TEST, state_inputs

STEP = 8
# K in percent of the weights under `all`; elsewhere 1% and the budget.
PERCENTS = (0.01, 0.1, 0.5, 1, 2, 5, 10, 25, 50)
ELSEWHERE = 1
WHOLE = 100
RANDOM, CREDIT = "random", "repair credit"
DRAWS = 10
CODE = (transplant, ranking, states, tail, pieces, checkpoints)


@dataclass(frozen=True)
class Transplanted:
    """One ranking to be walked.

    setting : whose folder holds its rows. settings : whose failing samples it is measured by.
    level, method : as in the table. source : its score file, None for `random`;
        for `change` and the oracle their ranking alone.
    """

    setting: str
    settings: tuple[str, ...]
    level: str
    method: str
    inputs: tuple[Path | tuple[Path, int], ...] = ()
    source: Source | None = None


def require_ready(job: Job) -> None:
    """Refuse a fold whose rankings, credits or states of the test split are missing or stale."""
    caches.require_test_split(job.paths, STEP)
    find_rankings(job, open_inputs(job))


def find_rankings(job: Job, inputs: Inputs) -> list[Transplanted]:
    """Every method's whole ranking of each setting, and what stands beside the methods."""
    if REPAIR not in job.constants["TRUTHS"]:
        raise UserError(
            "transplants are measured on the test split, which only the truth 'repair' needs; "
            "add it to TRUTHS in utils/constants.py and run exp-fl-5-2.py again"
        )
    settings, sources = find_sources(job, inputs)
    paths, ledger = job.paths, inputs.ledger
    require_all(ledger, [*state_inputs(job), *((paths.neg_test(s), 2) for s in settings)])
    found = [
        Transplanted(
            source.setting, (source.setting,), LIFTED if source.level == NEURON else WEIGHT,
            source.method, tuple(source.inputs), source,
        )
        for source in sources
        if source.n is None
    ]  # fmt: skip
    everywhere = tuple(settings)
    files = {
        (WEIGHT, CHANGE): (paths.truth_ranking, TRUTH_STEP),
        (LIFTED, ORACLE): (paths.ranking(ALL, NEURON, ORACLE_FILE), JUDGED_STEP),
    }
    for (level, name), file in files.items():
        found.append(Transplanted(ALL, everywhere, level, name, (file,)))
    for setting in settings_with_credit(job, settings):
        file = (paths.repair_credit(setting), JUDGED_STEP)
        found.append(Transplanted(setting, (setting,), WEIGHT, CREDIT, (file,)))
    found.append(Transplanted(ALL, everywhere, WEIGHT, RANDOM))
    require_all(ledger, [item for one in found for item in one.inputs])
    return found


def settings_with_credit(job: Job, settings: list[str]) -> list[str]:
    """The settings that step 7 makes a repair credit of."""
    table = storage.read_table(job.paths.settings, COLUMNS, SETTINGS_STEP)
    enough = table["n_neg_test"] >= job.constants["MIN_SAMPLES"]
    return [setting for setting in table.loc[enough, "setting"] if setting in settings]


def transplant_fold(job: Job, inputs: Inputs) -> pd.DataFrame:
    """Make the fold's table, ranking by ranking, or keep what is up to date.

    Returns
    -------
    The rows of the table under `all` at 1%, for the terminal.
    """
    rankings = find_rankings(job, inputs)
    ks = transplant.percents_of(
        list(PERCENTS), job.budgets(inputs.d, inputs.m), ranking.n_weights(inputs.m, inputs.d)
    )
    receiver = cache(lambda: read_receiver(job, inputs))
    write_ends(job, inputs, receiver)
    parts = []
    for one in tqdm(rankings, desc="transplants", unit="ranking"):
        parts.append(write_rows(job, inputs, one, ks, receiver))
    table = write_table(job, inputs, rankings, parts)
    at = (table["setting"] == ALL) & (table["k_percent"] == ELSEWHERE)
    return table[at]


def read_receiver(job: Job, inputs: Inputs) -> transplant.Receiver:
    m1 = caches.load_tail(inputs.pair.m1)
    m2 = checkpoints.read_ffn(inputs.pair.m2)
    return transplant.make_receiver(m1, *m2, caches.load_states(job.paths, m1, TEST))


def write_ends(job: Job, inputs: Inputs, receiver: cache) -> None:
    """M1, and M1 with both matrices of M2: where every ranking begins and ends."""
    paths = job.paths
    task = inputs.ledger.task(
        "ends",
        inputs=[M1, M2_FFN, *state_inputs(job), (paths.neg_test(ALL), SETTINGS_STEP)],
        code=CODE,
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
    job: Job, inputs: Inputs, one: Transplanted, ks: dict[float, int], receiver: cache
) -> Path:
    """The rows of one ranking, in a file of its own: a killed step goes on with the next."""
    paths = job.paths
    path = paths.transplant(one.setting, one.level, one.method)
    failing = [(paths.neg_test(setting), SETTINGS_STEP) for setting in one.settings]
    elsewhere = [percent for percent in ks if percent == ELSEWHERE or percent not in PERCENTS]
    task = inputs.ledger.task(
        f"{one.setting}/{one.level}/{one.method}",
        inputs=[M1, M2_FFN, *state_inputs(job), *failing, *one.inputs],
        constants=["SEED"] if one.method == RANDOM and one.source is None else [],
        parameters={"ks": [[percent, k] for percent, k in ks.items()]},
        code=(*CODE, orders),
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
        task.time(f"{one.level}/{one.method}", watch.seconds, one.setting)
        task.save_table(path, transplant.mean_effects(found))
    return path


def orders(job: Job, inputs: Inputs, one: Transplanted) -> Iterator[np.ndarray]:
    """The ranking of the weights, int32 (N,), canonical indices; several of `random`."""
    m, d = inputs.m, inputs.d
    size = ranking.n_weights(m, d)
    if one.source is not None:
        order = read_order(one.source, read_file(one.source, m, size))
        yield transplant.neuron_weights(order, m, d) if one.level == LIFTED else order
    elif one.method == RANDOM:
        yield from transplant.random_orders(job.seed, DRAWS, size)
    elif one.method == CREDIT:
        ((path, step),) = one.inputs
        credit = storage.load_array(path, (np.float32,), (size,), storage.run_again(step))
        yield ranking.rank_by(np.asarray(credit))
    else:
        ((path, step),) = one.inputs
        length = m if one.level == LIFTED else size
        order = storage.load_array(path, (np.int32,), (length,), storage.run_again(step))
        yield transplant.neuron_weights(order, m, d) if one.level == LIFTED else np.asarray(order)


def write_table(
    job: Job, inputs: Inputs, rankings: list[Transplanted], parts: list[Path]
) -> pd.DataFrame:
    """The table of the fold; the whole transplant, which is one for all, ends each ranking."""
    paths = job.paths
    task = inputs.ledger.task(
        "transplant",
        inputs=[(path, STEP) for path in (paths.transplant_ends, *parts)],
        code=(transplant, write_table),
    )
    if not task.done:
        with task:
            ends = storage.read_table(paths.transplant_ends, ["loss", "samples"], STEP)
            first, last = ends.iloc[[0]], ends.iloc[[1]]
            found = []
            for one, path in zip(rankings, parts, strict=True):
                rows = storage.read_table(path, ["setting", "k", "loss"], STEP)
                whole = [last.drop(columns="samples")] if one.setting == ALL else []
                rows = pd.concat([rows, *whole], ignore_index=True)
                found.append(rows.assign(level=one.level, method=one.method))
            table = pd.concat(found, ignore_index=True)
            losses = [float(end["loss"].iloc[0]) for end in (first, last)]
            table = transplant.finish(table, paths.ds, paths.fold, int(ends["samples"][0]), *losses)
            table = in_order(table, list(dict.fromkeys(one.setting for one in rankings)))
            task.save_table(paths.transplants, table)
            if losses[1] >= losses[0]:
                job.log.warning(
                    "M2's two matrices do not lower M1's loss on the test split (%.4f, then %.4f): "
                    "there is no share of it to recover", *losses,
                )  # fmt: skip
        job.log.info("wrote %s", paths.transplants)
    return read_transplants(paths.transplants)


def read_transplants(path: Path) -> pd.DataFrame:
    """A fold's table, with the methods' own names."""
    table = storage.read_table(path, transplant.COLUMNS, STEP)
    table["method"] = [storage.undefused(str(name)) for name in table["method"]]
    return table


def in_order(table: pd.DataFrame, settings: list[str]) -> pd.DataFrame:
    """Sorted by setting, then by ranking as they come, then by K."""
    place = {setting: i for i, setting in enumerate(settings)}
    return table.sort_values(
        "setting", key=lambda s: s.map(place), kind="stable", ignore_index=True
    )


def finding(rows: pd.DataFrame) -> str:
    """Loss recovered at 1% under `all`, mean over folds, as text for the terminal."""
    columns = ["loss_recovered", "share_recovered", "repaired", "broken"]
    mean = rows.groupby(["level", "method"], sort=False)[columns].mean()
    mean = mean.sort_values("loss_recovered", ascending=False, kind="stable").reset_index()
    text = mean.to_string(index=False, na_rep="-", float_format="{:.3f}".format)
    return (
        f"M1 with M2's values in the first {ELSEWHERE}% of the weights of each ranking, on the "
        f"test split, mean over folds:\n{text}\n"
        "A transplant needs M2: it checks a localisation, and is no method of repair."
    )
