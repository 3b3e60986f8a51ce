"""The truth `repair` of a fold: the credit of every setting that has failing test samples."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from utils import ranking
from utils.data.setting_names import COLUMNS
from utils.data.settings import SETTINGS_STEP, read_test_failures
from utils.model import checkpoints
from utils.model.caches import CACHE_STEP, load_states, load_tail
from utils.model.inputs import M1, M2_FFN, Inputs
from utils.run import storage
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth.repair import credit as repair

TEST = "test"


def write_credits(job: Job, inputs: Inputs) -> list[str]:
    """Make <setting>/repair_credit.npy and repair.csv, or keep them where nothing has changed.

    They are results of step 7, which calls this where TRUTHS has the truth.

    Returns
    -------
    The settings that have credits, in the order of settings.csv.
    """
    settings = settings_with_failures(job)
    if not settings:
        return []
    paths, ledger = job.paths, inputs.ledger
    path = cache(lambda: PathToM2(job, inputs))  # read once, and only where it is needed
    for setting in tqdm(settings, desc="repair credit", unit="setting"):
        task = ledger.task(
            f"{setting}/repair_credit",
            inputs=[M1, M2_FFN, *state_inputs(job), (paths.neg_test(setting), SETTINGS_STEP)],
            makes=write_credits,
        )
        if task.done:
            continue
        with task:
            watch = Stopwatch()
            found = path().credit(setting)
            task.time("repair credit", watch.seconds, setting)
            task.save_array(paths.repair_credit(setting), found.credit)
    write_table(job, inputs, settings, path)
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


def require_credit_inputs(job: Job, inputs: Inputs) -> None:
    """Refuse a fold of which what its credits are made from is out of date."""
    settings = settings_with_failures(job)
    for item in [
        *(state_inputs(job) if settings else ()),
        *((job.paths.neg_test(setting), SETTINGS_STEP) for setting in settings),
    ]:
        inputs.ledger.require(*item)


def state_inputs(job: Job) -> list[tuple[Path, int]]:
    return [
        (job.paths.cache(name, TEST), CACHE_STEP) for name in ("hidden_before_layernorm", "labels")
    ]


class PathToM2:
    """M1's tail, the matrices of M2 that the path ends at, and the test split's states."""

    def __init__(self, job: Job, inputs: Inputs) -> None:
        self.paths = job.paths
        self.tail = load_tail(inputs.pair.m1)
        self.m2 = checkpoints.read_ffn(inputs.pair.m2)
        self.states = load_states(job.paths, self.tail, TEST)

    def samples(self, setting: str) -> np.ndarray:
        return read_test_failures(self.paths, setting, self.states.n_samples)

    def credit(self, setting: str) -> repair.RepairCredit:
        return repair.repair_credit(self.tail, *self.m2, self.states, self.samples(setting))

    def losses(self, setting: str) -> tuple[float, float]:
        """Mean loss of M1 and of M1 with M2's matrices over the setting's failing samples."""
        return repair.losses(self.tail, *self.m2, self.states, self.samples(setting))


def write_table(
    job: Job, inputs: Inputs, settings: list[str], path: Callable[[], PathToM2]
) -> None:
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
        makes=write_table,
    )
    if task.done:
        return
    with task:
        rows = []
        for setting in settings:
            credit = np.asarray(read_credit(job, inputs, setting))
            found = repair.RepairCredit(credit, *path().losses(setting))
            n_top = ranking.share_of(job.constants["POSITIVE_PERCENT"], len(credit))
            n_test = len(path().samples(setting))
            rows.append(repair.repair_row(setting, found, n_test, n_top))
        task.save_table(paths.repair_table, pd.DataFrame(rows, columns=repair.COLUMNS))
    job.log.info("wrote %s", paths.repair_table)


def read_credit(job: Job, inputs: Inputs, setting: str) -> np.ndarray:
    size = ranking.n_weights(inputs.m, inputs.d)
    remedy = storage.run_again(job.step)
    path = job.paths.repair_credit(setting)
    return storage.load_array(path, (np.float32,), (size,), remedy)
