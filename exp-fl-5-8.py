"""Step 8: does it work? What M2's values in the first weights of each ranking do to M1."""

import argparse

import pandas as pd

from utils.judge.layers import fold as layered
from utils.judge.transplant import fold as transplants
from utils.model.inputs import open_inputs
from utils.run import cli
from utils.summary import effects, report

STEP = transplants.STEP


def work(job: cli.Job) -> pd.DataFrame:
    inputs = open_inputs(job)
    found = transplants.transplant_fold(job, inputs)
    layered.swap_blocks(job, inputs)
    inputs.ledger.close()
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    cli.add_budget(parser)
    cli.add_device(parser)
    cli.add_halves(parser)


def show(finished: list[tuple[cli.Job, pd.DataFrame]]) -> None:
    print(transplants.finding(pd.concat([found for _, found in finished])))
    jobs = [job for job, _ in finished]
    print(effects.summarise(jobs))
    report.refresh(jobs)


if __name__ == "__main__":
    cli.run(
        STEP,
        __doc__,
        work,
        add_options=add_options,
        needs=("training",),
        ready=transplants.require_ready,
        after=show,
    )
