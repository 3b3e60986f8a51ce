"""Step 10: does it help? M1 retrained where each ranking points, and nowhere else."""

import argparse

import pandas as pd

from utils.judge.rankings.fold import find_sources
from utils.judge.retrain.fold import finding, read_rows, retrain_fold
from utils.judge.retrain.rankings_of_fold import (
    Retrained,
    find_rankings,
    require_failures,
    require_own,
)
from utils.methods import METHODS, own
from utils.model.inputs import Inputs
from utils.model.opening import open_inputs
from utils.run import cli
from utils.run.devices import pick_device
from utils.summary.effects import summarise as effects
from utils.summary.page import refresh as report

STEP = 10


def rankings_of(job: cli.Job, inputs: Inputs) -> list[Retrained]:
    """Every ranking of each setting of RETRAIN_SETTINGS; refused where one is missing or stale."""
    require_failures(job, inputs)
    _, sources = find_sources(job, inputs, METHODS)  # ours, and those dropped in
    require_own(job, sources, METHODS)
    return find_rankings(job, inputs, sources)


def require_rankings(job: cli.Job) -> None:
    rankings_of(job, open_inputs(job))


def work(job: cli.Job) -> pd.DataFrame:
    inputs = open_inputs(job)
    rankings = rankings_of(job, inputs)  # methods, truths, random weights and neurons
    device = pick_device(job.args.device)
    inputs.ledger.device = str(device)
    retrain_fold(job, inputs, rankings, device)  # two optimisers each, judged on the test split
    inputs.ledger.close()
    return read_rows(job.paths.retrained_table)


def add_options(parser: argparse.ArgumentParser) -> None:
    cli.add_budget(parser)
    cli.add_device(parser)
    cli.add_halves(parser)
    own.add_option(parser)


def show(finished: list[tuple[cli.Job, pd.DataFrame]]) -> None:
    jobs = [job for job, _ in finished]
    print(effects.summarise(jobs))
    report.refresh(jobs)
    print(finding(pd.concat([found for _, found in finished])))


if __name__ == "__main__":
    cli.run(
        STEP,
        __doc__,
        work,
        add_options=add_options,
        needs=("training",),
        ready=require_rankings,
        after=show,
    )
