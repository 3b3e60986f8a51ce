"""Step 7 makes the truth 'repair': the credit of every setting that has failing test samples."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from utils import ranking
from utils.data.setting_names import COLUMNS
from utils.data.settings import SETTINGS_STEP, read_test_failures
from utils.model import caches, checkpoints, gradients, states, tail
from utils.model.inputs import M1, M2_FFN, Inputs
from utils.run import storage
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth import credit as repair

TEST = "test"
CODE = (repair, gradients, states, tail, ranking, checkpoints)


def write_credits(job: Job, inputs: Inputs) -> list[str]:
    """Make <setting>/repair_credit.npy and repair.csv, or keep them where nothing has changed.

    Returns
    -------
    The settings that have credits, in the order of settings.csv.
    """
    settings = settings_with_failures(job)
    if not settings:
        return []
    paths, ledger = job.paths, inputs.ledger
    source = cache(lambda: Source(job, inputs))
    for setting in tqdm(settings, desc="repair credit", unit="setting"):
        task = ledger.task(
            f"{setting}/repair_credit",
            inputs=[M1, M2_FFN, *state_inputs(job), (paths.neg_test(setting), SETTINGS_STEP)],
            code=CODE,
        )
        if task.done:
            continue
        with task:
            watch = Stopwatch()
            found = source().credit(setting)
            task.time("repair credit", watch.seconds, setting)
            task.save_array(paths.repair_credit(setting), found.credit)
    write_table(job, inputs, settings, source)
    return settings


def settings_with_failures(job: Job) -> list[str]:
    """Settings with at least MIN_SAMPLES failing test samples; a line for each other."""
    table = storage.read_table(job.paths.settings, COLUMNS, SETTINGS_STEP)
    table = table[table["status"] == "ok"]
    if table["n_neg_test"].isna().all():
        return []
    least = job.constants["MIN_SAMPLES"]
    few = table[table["n_neg_test"] < least]
    for row in few.itertuples(index=False):
        job.log.info(
            "%s has no repair truth: %d failing test samples, %d are needed",
            row.setting, int(row.n_neg_test), least,
        )  # fmt: skip
    return [str(name) for name in table.loc[table["n_neg_test"] >= least, "setting"]]


def credit_inputs(job: Job) -> list[tuple[Path, int]]:
    """The files that credits are made from, with their steps; none where there will be none."""
    settings = settings_with_failures(job)
    return [
        *(state_inputs(job) if settings else ()),
        *((job.paths.neg_test(setting), SETTINGS_STEP) for setting in settings),
    ]


def state_inputs(job: Job) -> list[tuple[Path, int]]:
    return [
        (job.paths.cache(name, TEST), caches.CACHE_STEP)
        for name in ("hidden_before_layernorm", "labels")
    ]


class Source:
    """M1's tail, M2's matrices and the test split's states of a fold, read once."""

    def __init__(self, job: Job, inputs: Inputs) -> None:
        self.paths = job.paths
        self.tail = caches.load_tail(inputs.pair.m1)
        self.m2 = checkpoints.read_ffn(inputs.pair.m2)
        self.states = caches.load_states(job.paths, self.tail, TEST)

    def samples(self, setting: str) -> np.ndarray:
        return read_test_failures(self.paths, setting, self.states.n_samples)

    def credit(self, setting: str) -> repair.RepairCredit:
        return repair.repair_credit(self.tail, *self.m2, self.states, self.samples(setting))

    def losses(self, setting: str) -> tuple[float, float]:
        """Mean loss of M1 and of M1 with M2's matrices over the setting's failing samples."""
        return repair.losses(self.tail, *self.m2, self.states, self.samples(setting))


def write_table(job: Job, inputs: Inputs, settings: list[str], source: cache) -> None:
    paths = job.paths
    task = inputs.ledger.task(
        "repair",
        inputs=[
            M1,
            M2_FFN,
            *state_inputs(job),
            *((paths.neg_test(setting), SETTINGS_STEP) for setting in settings),
            *((paths.repair_credit(setting), job.step) for setting in settings),
        ],
        constants=["POSITIVE_PERCENT"],
        code=CODE,
    )
    if task.done:
        return
    with task:
        rows = []
        for setting in settings:
            credit = np.asarray(read_credit(job, inputs, setting))
            found = repair.RepairCredit(credit, *source().losses(setting))
            n_top = ranking.share_of(job.constants["POSITIVE_PERCENT"], len(credit))
            n_test = len(source().samples(setting))
            rows.append(repair.repair_row(setting, found, n_test, n_top))
        task.save_table(paths.repair_table, pd.DataFrame(rows, columns=repair.COLUMNS))
    job.log.info("wrote %s", paths.repair_table)


def read_credit(job: Job, inputs: Inputs, setting: str) -> np.ndarray:
    size = ranking.n_weights(inputs.m, inputs.d)
    remedy = storage.run_again(job.step)
    path = job.paths.repair_credit(setting)
    return storage.load_array(path, (np.float32,), (size,), remedy)
