"""Step 9: faults planted where we know it: which methods find them?"""

import argparse

import pandas as pd

from utils.judge.planted import fault as faults
from utils.judge.planted import fold as planting
from utils.methods import own
from utils.model.inputs import open_inputs
from utils.run import cli
from utils.summary import effects, report

STEP = faults.STEP


def work(job: cli.Job) -> pd.DataFrame:
    inputs = open_inputs(job)
    found = planting.plant_fold(job, inputs)
    inputs.ledger.close()
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    cli.add_halves(parser)
    own.add_option(parser)


def show(finished: list[tuple[cli.Job, pd.DataFrame]]) -> None:
    print(planting.finding(pd.concat([found for _, found in finished])))
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
        ready=planting.require_ready,
        after=show,
    )
