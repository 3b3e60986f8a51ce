"""Step 10 on one fold: M1 retrained where each ranking points (definitions 15)."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from utils import ranking
from utils.data.settings import (
    ALL,
    read_samples,
    read_test_failures,
    setting_inputs,
)
from utils.errors import UserError
from utils.judge.names import (
    ALL_WEIGHTS,
    RETRAIN_STEP,
    file_level,
)
from utils.judge.retrain import effect, samples
from utils.judge.retrain.rankings_of_fold import (
    Retrained,
    first_weights,
    neg_test_inputs,
    shared_inputs,
)
from utils.judge.retrain.train import OPTIMIZERS, Trained, Trainer, make_trainer, retrain
from utils.judge.transplant import walk
from utils.model.caches import load_states, load_tail
from utils.model.inputs import M1, Inputs
from utils.ranking import RankingKey
from utils.run import shown, storage
from utils.run.cli import Job
from utils.run.paths import FoldPaths
from utils.run.stopwatch import Stopwatch
from utils.run.task import Task
from utils.truth.repair.fold import TEST

WHOLE = 100
# The percent of N of which the deltas are kept.
KEPT_PERCENT = 1
PASSED_OVER = "passed_over"


class Fold:
    """What all rankings of a fold share, read and made once, and only where it is needed."""

    def __init__(self, job: Job, inputs: Inputs, device: torch.device) -> None:
        self.paths = job.paths
        self.seed = job.seed
        self.tail = load_tail(inputs.pair.m1).to(device)
        self.repair = load_states(job.paths, self.tail)
        self.receiver = walk.make_receiver(
            self.tail,
            self.tail.w_bef.cpu().numpy(),  # nothing of M2's: what is put into it comes later
            self.tail.w_aft.cpu().numpy(),
            load_states(job.paths, self.tail, TEST),
        )
        self.loss = effect.loss_of_m1(self.receiver)
        self.trainer: Callable[[str], Trainer] = cache(self._trainer)

    def samples(self, setting: str) -> tuple[np.ndarray, np.ndarray]:
        """Fitted and held-out samples of the repair split, int64."""
        held_out, rest = samples.split_samples(self.repair.n_samples, self.seed)
        neg, pos = read_samples(self.paths, setting, self.repair.n_samples)
        return samples.fitted_samples(rest, neg, pos), held_out

    def _trainer(self, setting: str) -> Trainer:
        return make_trainer(self.tail, self.repair, *self.samples(setting))

    def target(self, setting: str) -> np.ndarray:
        return read_test_failures(self.paths, setting, len(self.receiver.labels))


def retrain_fold(job: Job, inputs: Inputs, rankings: list[Retrained], device: torch.device) -> None:
    """Make the fold's table, ranking by ranking, or keep what is up to date.

    rankings : of `find_rankings`.
    """
    shared = cache(lambda: Fold(job, inputs, device))
    settings = list(dict.fromkeys(one.setting for one in rankings))
    for setting in settings:
        write_samples(job, inputs, setting, shared)
        say_no_failures(job, setting)
    parts = []
    for one in tqdm(rankings, desc="retraining", unit="ranking"):
        part = write_rows(job, inputs, one, shared)
        parts += [] if part is None else [part]
    write_table(job, inputs, parts)


def write_samples(job: Job, inputs: Inputs, setting: str, shared: Callable[[], Fold]) -> None:
    """Which samples of a setting are fitted, and which are held out: the same under each."""
    paths, states = job.paths, [M1, *shared_inputs(job)]
    recipe = {"constants": ["SEED"], "makes": write_samples}
    task = inputs.ledger.task("samples/held_out", inputs=states, **recipe)
    if not task.done:
        with task:
            task.save_array(paths.retrained("held_out"), shared().samples(setting)[1])
    states += setting_inputs(paths, setting)
    task = inputs.ledger.task(f"samples/{setting}", inputs=states, **recipe)
    if task.done:
        return
    fitted, held_out = shared().samples(setting)
    if not len(fitted) or not len(held_out):
        raise UserError(
            f"{paths.name} has too few samples to retrain under {setting}: {len(fitted)} to train "
            f"on and {len(held_out)} held out; take it out of RETRAIN_SETTINGS in "
            "utils/constants.py, or leave step 10 out"
        )
    with task:
        task.save_array(paths.retrained(f"{setting}_fit"), fitted)


def say_no_failures(job: Job, setting: str) -> None:
    """A line, in every run, where M1 fails on no sample that is fitted, or on none held out."""
    paths, remedy = job.paths, storage.run_again(RETRAIN_STEP)
    logits, labels = (np.load(paths.cache(n), mmap_mode="r") for n in ("logits", "labels"))
    for name, words in ((f"{setting}_fit", "trained on"), ("held_out", "held out")):
        chosen = storage.load_array(paths.retrained(name), (np.int64,), (None,), remedy)
        if (logits[chosen].argmax(axis=1) == labels[chosen]).all():
            job.log.warning("%s: M1 fails on none of the samples that are %s", setting, words)


def write_rows(job: Job, inputs: Inputs, one: Retrained, shared: Callable[[], Fold]) -> Path | None:
    """The rows of one ranking, in a file of its own; None where it has fewer than K weights."""
    paths, key = job.paths, one.key
    path = paths.retrained_rows(*key)
    n_weights = ranking.n_weights(inputs.m, inputs.d)
    percents = [WHOLE] if key.method == ALL_WEIGHTS else job.constants["RETRAIN_PERCENTS"]
    ks = {percent: ranking.share_of(percent, n_weights) for percent in percents}
    task = inputs.ledger.task(
        "/".join(key),
        inputs=[
            M1,
            *shared_inputs(job),
            *setting_inputs(paths, one.setting),
            *neg_test_inputs(job, [one.setting]),
            *one.ranking.inputs,
        ],
        constants=["SEED"],
        parameters={"ks": [[percent, k] for percent, k in ks.items()]},
        makes=write_rows,
    )
    if task.done:
        return path
    orders = list(first_weights(job, inputs, one, max(ks.values())))
    if min(map(len, orders)) < max(ks.values()):
        job.log.warning("%s is left out: it ranks fewer than K weights", "/".join(key))
        inputs.ledger.drop("/".join(key))
        return None
    with task:
        watch, rows = Stopwatch(), []
        for percent, k in ks.items():
            found = [retrained_effects(shared(), one.setting, order[:k]) for order in orders]
            if len(found) == 1 and one.setting == ALL and percent == KEPT_PERCENT:
                save_deltas(task, paths, key, found[0])
            rows += [
                {"optimizer": name, "k_percent": percent, "k": k}
                | effect.mean_effect([draw[name][1] for draw in found])
                | {PASSED_OVER: sum(draw[name][0].passed_over for draw in found)}
                for name in OPTIMIZERS
            ]
        task.time(f"{key.level}/{key.method}", watch.seconds, one.setting)
        target = len(shared().target(one.setting))
        head = dict(key._asdict()) | {"target_samples": target}
        table = pd.DataFrame([head | row for row in rows])
        task.save_table(path, table.assign(samples=len(shared().receiver.labels)))
    return path


def retrained_effects(
    shared: Fold, setting: str, weights: np.ndarray
) -> dict[str, tuple[Trained, dict[str, float]]]:
    """By optimiser what it keeps for some weights, and what that does to the test split."""
    target = shared.target(setting)
    return {
        name: (kept, effect.effect(shared.receiver, weights, kept, target, shared.loss))
        for name, kept in retrain(shared.trainer(setting), weights).items()
    }


def save_deltas(
    task: Task, paths: FoldPaths, key: RankingKey, found: dict[str, tuple[Trained, object]]
) -> None:
    for name, (kept, _) in found.items():
        stem = f"{file_level(key.level)}_{key.method}_{name}_delta"
        task.save_array(paths.retrained(stem), kept.delta)


def write_table(job: Job, inputs: Inputs, parts: list[Path]) -> None:
    """The table of the fold, in the order of settings and rankings."""
    paths = job.paths
    task = inputs.ledger.task(
        "retrained", inputs=[(path, RETRAIN_STEP) for path in parts], makes=write_table
    )
    rows = pd.concat([read_rows(path) for path in parts], ignore_index=True)
    if not task.done:
        with task:
            whole = rows.assign(ds=paths.ds, fold=paths.fold)
            task.save_table(paths.retrained_table, whole[effect.COLUMNS])
        job.log.info("wrote %s", paths.retrained_table)
    if passed_over := int(rows[PASSED_OVER].sum()):
        job.log.warning(
            "%d choices of speed and steps were passed over: their loss or their weights were "
            "no longer finite", passed_over,
        )  # fmt: skip


def read_rows(path: Path) -> pd.DataFrame:
    """Rows of a table of this step, with the methods' own names."""
    table = storage.read_table(path, ["setting", "level", "method", "optimizer"], RETRAIN_STEP)
    table["method"] = [storage.undefused(str(name)) for name in table["method"]]
    return table


def finding(rows: pd.DataFrame) -> str:
    """Loss mended under `all` at 1%, mean over folds, as text for the terminal.

    rows : of `read_rows`, the tables of several folds.
    """
    at_one = rows["k_percent"].eq(KEPT_PERCENT) | rows["method"].eq(ALL_WEIGHTS)
    rows = rows[(rows["setting"] == ALL) & at_one]
    if not len(rows):
        return f"No ranking was retrained under '{ALL}' at {KEPT_PERCENT}%."
    mean = rows.pivot_table(
        index=["level", "method"], columns="optimizer", values=["loss_mended", "net"], sort=False
    )
    mean.columns = [f"{what} ({optimizer})" for what, optimizer in mean.columns]
    return (
        "A ranking of weights is to be compared with random weights, one of neurons with random "
        "neurons.\n"
        f"M1 retrained where only the first {KEPT_PERCENT}% of the weights of a ranking may move: "
        f"loss mended on the test split, and samples repaired less those broken, mean over "
        f"folds:\n{shown.as_text(mean.reset_index())}"
    )
