"""Step 8: does it work? What M2's values in the first weights of each ranking do to M1."""

import argparse

import pandas as pd

from utils.judge.layers.fold import swap_blocks
from utils.judge.rankings.fold import find_sources
from utils.judge.rankings.weights_of_fold import WeightRanking
from utils.judge.transplant.fold import (
    find_rankings,
    finding,
    read_transplants,
    transplant_all,
)
from utils.methods import METHODS
from utils.model.caches import require_test_split
from utils.model.inputs import Inputs
from utils.model.opening import open_inputs
from utils.run import cli
from utils.summary.effects import summarise as effects
from utils.summary.page import refresh as report

STEP = 8


def find(job: cli.Job, inputs: Inputs) -> list[WeightRanking]:
    """Every ranking to be walked; refused where one, a credit or a state is missing or stale."""
    require_test_split(job.paths, STEP)
    settings, sources = find_sources(job, inputs, METHODS)
    return find_rankings(job, inputs, settings, sources)  # methods, truths, random weights


def work(job: cli.Job) -> tuple[pd.DataFrame, pd.DataFrame]:
    inputs = open_inputs(job)
    transplant_all(job, inputs, find(job, inputs))  # M2's values in the first K weights; and back
    swap_blocks(job, inputs)  # and in each block of the whole network
    inputs.ledger.close()
    return read_transplants(job.paths.transplants), read_transplants(job.paths.transplants_back)


def add_options(parser: argparse.ArgumentParser) -> None:
    cli.add_budget(parser)
    cli.add_device(parser)
    cli.add_halves(parser)


def show(finished: list[tuple[cli.Job, tuple[pd.DataFrame, pd.DataFrame]]]) -> None:
    forth, back = zip(*(tables for _, tables in finished), strict=True)
    jobs = [job for job, _ in finished]
    print(effects.summarise(jobs))
    report.refresh(jobs)
    print(finding(pd.concat(forth), pd.concat(back)))


if __name__ == "__main__":
    cli.run(
        STEP,
        __doc__,
        work,
        add_options=add_options,
        needs=("training",),
        ready=lambda job: find(job, open_inputs(job)),
        after=show,
    )
