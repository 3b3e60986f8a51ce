"""Step 7: how well does each ranking find the weights that training changed?"""

import argparse

from utils import cli, evaluation, summary
from utils.inputs import open_inputs

STEP = 7


def add_options(parser: argparse.ArgumentParser) -> None:
    cli.add_budget(parser)
    parser.add_argument(
        "--mix-constants",
        action="store_true",
        help="summarise folds even if they were made with different constants",
    )


def work(job: cli.Job) -> None:
    inputs = open_inputs(job)
    evaluation.evaluate_fold(job, inputs)
    inputs.ledger.close()


def summarise(finished: list[tuple[cli.Job, None]]) -> None:
    jobs = [job for job, _ in finished]
    paths = summary.summarise(jobs, jobs[0].args.mix_constants)
    print(summary.finding(paths, jobs[0].constants))


if __name__ == "__main__":
    cli.run(STEP, __doc__, work, add_options=add_options, needs=("training",), after=summarise)
