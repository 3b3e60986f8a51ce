"""Folds that hold what step 7 reads, written without a model, and step 7 run on them."""

import argparse
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from utils import ranking
from utils.data.settings import COLUMNS
from utils.judge import sources, tables
from utils.model.inputs import Inputs
from utils.model.pair import Pair
from utils.run import cli, constant_rules
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths

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
    return argparse.Namespace(**{"n": None, "force": False, "mix_constants": False} | given)


def job_of(root: Path, fold: int, args=None, **constants) -> cli.Job:
    args = args or arguments()
    values = constant_rules.constants_in_force(args) | OVERRIDES | constants
    log = logging.getLogger("test of step 7")
    return cli.Job(7, FoldPaths(root, "digits", fold), args, values, log)


def write_fold(root: Path, fold: int, change: np.ndarray | None = None) -> np.ndarray:
    """A truth, if none is given one whose changes cluster by neuron, and three settings.

    Returns |dW|, float32 (N,).
    """
    job = job_of(root, fold)
    rng = np.random.default_rng(fold)
    if change is None:
        neurons = ranking.lift(rng.gamma(0.5, size=M), D)
        change = (neurons * rng.gamma(1.0, size=N) + 0.01 * rng.random(N)).astype(np.float32)
    ledger = Ledger(job.paths, 1, job.constants, {})
    with ledger.task("ground_truth", step=1) as task:
        task.save_array(job.paths.abs_diff, change)
    table = pd.DataFrame({"setting": SETTINGS, "status": "ok", "n_neg": 4, "n_pos": 9})
    with ledger.task("misclf_info", step=2) as task:
        task.save_table(job.paths.settings, table.reindex(columns=COLUMNS))
    for setting in SETTINGS:
        job.paths.setting(setting).mkdir(parents=True)
        np.save(job.paths.neg(setting), np.arange(4))
    job.paths.cache("intermediate").parent.mkdir()
    np.save(job.paths.cache("intermediate"), rng.normal(size=(13, M)).astype(np.float32))
    return change


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
    ledger = Ledger(job.paths, 7, job.constants, {}, job.args.force)
    pair = Pair(job.paths.training / "checkpoint-1", job.paths.training / "checkpoint-2")
    tables.evaluate_fold(job, Inputs(pair, D, M, ledger))
    ledger.close()
    return job


def without_own_methods(patch: pytest.MonkeyPatch) -> None:
    """The folds here hold no scores of ours."""
    patch.setattr(sources, "METHODS", {})


def make_folds(root: Path, folds) -> list[cli.Job]:
    jobs = []
    for fold in folds:
        drop_methods(root, fold, write_fold(root, fold))
        jobs.append(evaluate(root, fold))
    return jobs
