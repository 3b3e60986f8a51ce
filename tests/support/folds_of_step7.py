"""Folds that hold what step 7 reads, written without a model, and step 7 run on them.

A fold may have replays, and a test split of which each setting's credits are given.
"""

import argparse
import importlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from utils import ranking
from utils.data.setting_names import COLUMNS
from utils.judge.references import fold as references
from utils.model.caches import CACHES
from utils.model.inputs import M1, M2_FFN, Inputs, Pair
from utils.run import cli, constant_rules
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths
from utils.truth.repair import fold as repair
from utils.truth.repair.credit import RepairCredit

D, M = 8, 40
N = 2 * D * M
SETTINGS = ("all", "tgt_top1", "tgt_top2")
OVERRIDES = {
    "REFERENCES": ("random", "B"),
    "PERMUTATION_DRAWS": 199,
    "BOOTSTRAP_DRAWS": 99,
    "POSITIVE_PERCENT": 5,
    "K_PERCENTS": (1, 5, 10),
    "COMPARED_METRICS": ("lift@5%", "lift_stratified@5%", "ap/random"),
}


def arguments(**given) -> argparse.Namespace:
    given = {"n": None, "force": False, "mix_constants": False, "jobs": 1, "fold": [0]} | given
    return argparse.Namespace(**given)


def job_of(root: Path, fold: int, args=None, **constants) -> cli.Job:
    args = args or arguments()
    values = constant_rules.constants_in_force(args) | OVERRIDES | constants
    log = logging.getLogger("test of step 7")
    return cli.Job(7, FoldPaths(root, "digits", fold), args, values, log)


def write_fold(
    root: Path,
    fold: int,
    change: np.ndarray | None = None,
    replays: Iterable[np.ndarray] = (),
    credits: Mapping[str, np.ndarray] | None = None,
    n_test: Mapping[str, int] | None = None,
) -> np.ndarray:
    """A truth, if none is given one whose changes cluster by neuron, and three settings.

    replays : |dW| of each replay, float32 (N,).
    credits : by setting, float32 (N,); with any the fold has a test split.
    n_test : failing test samples of a setting, if not 3 for each.

    Returns |dW|, float32 (N,).
    """
    job = job_of(root, fold)
    rng = np.random.default_rng(fold)
    if change is None:
        neurons = ranking.spread(rng.gamma(0.5, size=M), D)
        change = (neurons * rng.gamma(1.0, size=N) + 0.01 * rng.random(N)).astype(np.float32)
    ledger = Ledger(job.paths, 1, job.constants, {})
    with ledger.task("ground_truth", step=1) as task:
        task.save_array(job.paths.abs_diff, change)
    write_replays(job.paths, ledger, [change, *replays])
    table = pd.DataFrame({"setting": SETTINGS, "status": "ok", "n_neg": 4, "n_pos": 9})
    with ledger.task("misclf_info", step=2) as task:
        if credits is not None:
            sizes = [(n_test or {}).get(setting, 3) for setting in SETTINGS]
            table["n_neg_test"] = sizes
            for setting, size in zip(SETTINGS, sizes, strict=True):
                task.save_array(job.paths.neg_test(setting), np.arange(size))
        task.save_table(job.paths.settings, table.reindex(columns=COLUMNS))
    give_credits(job.paths, ledger, credits)
    for setting in SETTINGS:
        job.paths.setting(setting).mkdir(parents=True)
        np.save(job.paths.neg(setting), np.arange(4))
    job.paths.cache("intermediate").parent.mkdir()
    np.save(job.paths.cache("intermediate"), rng.normal(size=(13, M)).astype(np.float32))
    return change


def write_replays(paths: FoldPaths, ledger: Ledger, changes: list[np.ndarray]) -> None:
    if len(changes) == 1:
        return
    with ledger.task("pooled", step=1) as task:
        for number, change in enumerate(changes[1:], 1):
            task.save_array(paths.replay_change(number), change.astype(np.float32))
        task.save_array(paths.pooled_change, np.mean(changes, axis=0).astype(np.float32))


def give_credits(
    paths: FoldPaths, ledger: Ledger, credits: Mapping[str, np.ndarray] | None
) -> None:
    """What `GivenCredits` will find, and a test split's states that nobody reads."""
    if credits is None:
        return
    with ledger.task("forward_pass of the test split", step=3) as task:
        for name in CACHES:
            task.save_array(paths.cache(name, "test"), np.zeros(3, dtype=np.float32))
    for setting, values in credits.items():
        folder = paths.root / "given" / paths.name
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{setting}.npy", np.asarray(values, dtype=np.float32))


class GivenCredits:
    """In the place of utils.truth.repair.fold.PathToM2: credits as they were given.

    M1's loss is 2; the transplanted loss makes the gap 0.25.
    """

    def __init__(self, job: cli.Job, _: Inputs) -> None:
        self.paths = job.paths

    def samples(self, setting: str) -> np.ndarray:
        return np.load(self.paths.neg_test(setting))

    def losses(self, setting: str) -> tuple[float, float]:
        values = np.load(self.paths.root / "given" / self.paths.name / f"{setting}.npy")
        return 2.0, 2.25 - float(values.sum(dtype=np.float64))

    def credit(self, setting: str) -> RepairCredit:
        values = np.load(self.paths.root / "given" / self.paths.name / f"{setting}.npy")
        return RepairCredit(values, *self.losses(setting))


def drop_methods(root: Path, fold: int, change: np.ndarray) -> None:
    """A is the truth plus noise, B noise, bef prefers a matrix, H is a neuron score in one setting,
    P is only in the first two folds."""
    paths = FoldPaths(root, "digits", fold)
    for i, setting in enumerate(SETTINGS):
        rng = np.random.default_rng([fold, i, 1])
        noise = rng.random(N)
        scale = change.std()
        scores = {
            "weight_A": change + 0.5 * scale * rng.normal(size=N),
            "weight_B": noise,
            "weight_bef": np.r_[1 + noise[: N // 2], noise[N // 2 :]],
        }
        if setting == "all":
            by_neuron = ranking.neuron_sums(change, M, D)
            scores["neuron_=H_1%"] = np.round(by_neuron * 2) + rng.integers(0, 3, M)
        if fold < 2:
            scores["weight_P"] = rng.random(N)
        for name, values in scores.items():
            path = paths.setting(setting) / f"{name}_score.npy"
            np.save(path, np.asarray(values, dtype=np.float32))


def evaluate(root: Path, fold: int, args=None, **constants) -> cli.Job:
    """Step 7 on one fold with no method but the ones that were dropped in."""
    job = job_of(root, fold, args, **constants)
    models = {name: lambda _: "a model that nobody reads" for name in (M1, M2_FFN)}
    ledger = Ledger(job.paths, 7, job.constants, models, job.args.force)
    pair = Pair(job.paths.training / "checkpoint-1", job.paths.training / "checkpoint-2")
    numbers = [r for r in range(1, 9) if job.paths.replay_change(r).is_file()]
    replays = {r: job.paths.replay(r) for r in numbers}
    inputs = Inputs(pair, D, M, ledger, replays)
    importlib.import_module("exp-fl-5-7").evaluate(job, inputs, methods={})
    ledger.close()
    return job


def without_models(patch: pytest.MonkeyPatch) -> None:
    """The folds here have no model to make credits and gradients from."""
    patch.setattr(repair, "PathToM2", GivenCredits)
    patch.setattr(references, "_control", lambda job, *_: np.load(job.paths.abs_diff)[::-1].copy())


def make_folds(root: Path, folds) -> list[cli.Job]:
    jobs = []
    for fold in folds:
        drop_methods(root, fold, write_fold(root, fold))
        jobs.append(evaluate(root, fold))
    return jobs
