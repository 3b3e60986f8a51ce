"""Step 9: faults planted where we know it: which methods find them?"""

import argparse

import pandas as pd

from utils.judge.planted.fold import (
    finding,
    of_methods_that_run,
    plant_fold,
    read_planted,
    require_ready,
)
from utils.methods import METHODS, own
from utils.model.opening import open_inputs
from utils.run import cli
from utils.summary.effects import summarise as effects
from utils.summary.page import refresh as report

STEP = 9


def require_states(job: cli.Job) -> None:
    """Refuse a fold whose states of either split are missing or stale."""
    require_ready(job, open_inputs(job), METHODS)


def work(job: cli.Job) -> pd.DataFrame:
    inputs = open_inputs(job)
    # Each fault is planted once; every method, and a user's own, then looks for its weights.
    plant_fold(job, inputs, METHODS)
    inputs.ledger.close(of_methods_that_run(job, METHODS))
    return read_planted(job.paths.planted_table)


def add_options(parser: argparse.ArgumentParser) -> None:
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
        ready=require_states,
        after=show,
    )
