"""Step 7: how well does each ranking find the weights that training changed?"""

import argparse

from utils.judge.scores import fold as tables
from utils.model.inputs import open_inputs
from utils.run import cli
from utils.summary import report, summarise

STEP = 7


def add_options(parser: argparse.ArgumentParser) -> None:
    cli.add_budget(parser)
    cli.add_halves(parser)


def work(job: cli.Job) -> None:
    inputs = open_inputs(job)
    tables.evaluate_fold(job, inputs)
    inputs.ledger.close()


def show(finished: list[tuple[cli.Job, None]]) -> None:
    jobs = [job for job, _ in finished]
    paths = summarise.summarise(jobs, jobs[0].args.mix_constants)
    report.refresh(jobs)
    print(summarise.finding(paths, jobs[0].constants))


if __name__ == "__main__":
    cli.run(
        STEP,
        __doc__,
        work,
        add_options=add_options,
        needs=("training",),
        ready=tables.require_rankings,
        after=show,
    )
