"""Step 7: how well does each ranking find the weights that training changed?"""

import argparse

from utils.judge.details.fold import write_curves, write_permutations
from utils.judge.rankings.fold import find_sources, require_references
from utils.judge.rankings.misplaced_of_fold import report_misplaced
from utils.judge.rankings.source import Rankings
from utils.judge.rankings.users import record_given_seconds
from utils.judge.references.fold import (
    reference_sources,
    write_optimizer_step,
    write_oracle,
    write_random,
)
from utils.judge.scores.fold import write_scores
from utils.judge.truth_files import find_truths, require_truths
from utils.judge.verdict.fold import write_relabelled
from utils.methods import METHODS
from utils.methods.chosen import Methods
from utils.model.inputs import Inputs
from utils.model.opening import open_inputs
from utils.run import cli
from utils.summary.page import refresh as report
from utils.summary.scores import summarise
from utils.truth import CHANGE, REPAIR
from utils.truth.repair.fold import require_credit_inputs, write_credits

STEP = 7


def require_rankings(job: cli.Job) -> None:
    """Refuse a fold whose truths, settings or rankings are missing or out of date."""
    require_references(job, METHODS)
    inputs = open_inputs(job)
    find_sources(job, inputs, METHODS)
    require_truths(job, inputs)
    if REPAIR in job.constants["TRUTHS"]:
        require_credit_inputs(job, inputs)


def work(job: cli.Job) -> None:
    inputs = open_inputs(job)
    evaluate(job, inputs, METHODS)
    inputs.ledger.close()


def evaluate(job: cli.Job, inputs: Inputs, methods: Methods) -> None:
    """Make the tables of the job's fold, or keep them where nothing has changed."""
    settings, sources = find_sources(job, inputs, methods)  # ours, and those dropped in
    report_misplaced(job, inputs.ledger, settings)
    random = write_random(job, inputs)
    next_step = write_optimizer_step(job, inputs)
    credited = write_credits(job, inputs) if REPAIR in job.constants["TRUTHS"] else []
    truths = find_truths(job, inputs, settings, credited)
    for truth in truths:
        compared = [source for source in sources if source.key.setting in truth.settings]
        references = reference_sources(job, inputs, truth, next_step)
        rankings = Rankings(compared, references, random)
        write_scores(job, inputs, truth, rankings)  # every metric of every ranking
        if truth.name == CHANGE:
            write_oracle(job, inputs, truth)
        write_permutations(job, inputs, truth, rankings)  # and where the top 1% lies
        write_curves(job, inputs, truth, rankings)  # cumulative gain
        truth.forget()
    write_relabelled(job, inputs, truths, sources)  # the fold's part of the verdict
    record_given_seconds(job, inputs.ledger, settings, sources)


def add_options(parser: argparse.ArgumentParser) -> None:
    cli.add_budget(parser)
    cli.add_halves(parser)


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
        ready=require_rankings,
        after=show,
    )
