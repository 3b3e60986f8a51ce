"""The scores tables of step 7: every ranking of a fold compared with one of its truths."""

import os
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from utils.data.settings import SETTINGS_STEP
from utils.judge.rankings.files import of_another_ranking, read_ranked
from utils.judge.rankings.source import Rankings, ScoreSource, files_of
from utils.judge.rankings.users import report_users
from utils.judge.references.fold import reference_sources
from utils.judge.scores.comparison import WHOLE
from utils.judge.scores.ground_truth import GroundTruth
from utils.judge.scores.rows import Rows, finish, random_rows, rows_of
from utils.judge.scores.ties import NotARanking
from utils.judge.truth_files import TruthFiles, task_name
from utils.model.inputs import Inputs
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth.registry import CHANGE

# Rankings compared at once: each takes some 300 MiB at ViT-Base size.
MOST_THREADS = 4


def write_scores(job: Job, inputs: Inputs, truth: TruthFiles, rankings: Rankings) -> None:
    """The scores table, and what each method's mix of matrices alone would score."""
    paths, ns = job.paths, list(truth.ns)
    task = inputs.ledger.task(
        task_name("scores", truth.name),
        inputs=[*truth.inputs, (paths.settings, SETTINGS_STEP), *files_of(rankings.all)],
        constants=["POSITIVE_PERCENT", "K_PERCENTS", "WITH_KENDALL", "SEED"],
        parameters={"budgets": ns},
        makes=[write_scores, reference_sources],
    )
    scores, others = paths.judged("scores", truth.name), paths.judged("stratified", truth.name)
    if task.done:
        job.log.info("%s is up to date: kept", scores)
        return
    job.log.info(
        "compares %d score files of %d settings with the truth '%s'",
        len(rankings.methods), len(truth.settings), truth.name,
    )  # fmt: skip
    if truth.name == CHANGE:
        report_users(job, inputs, rankings.methods, list(truth.settings))
    sources = [*rankings.methods, *rankings.references]
    prefix = "" if truth.name == CHANGE else f"{truth.name}/"
    head = {"ds": paths.ds, "fold": paths.fold}
    rows, stratified = [], []
    bar = tqdm(total=len(sources), desc=f"truth '{truth.name}'", unit="ranking")
    # numpy works outside the interpreter's lock, so threads use the cores.
    with task, ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool, bar:
        for group in truth.groups:
            given = truth.read(group[0])

            def evaluate(source: ScoreSource, given: GroundTruth = given) -> tuple[Rows, float]:
                watch = Stopwatch()
                return compare(job, source, given, ns), watch.seconds

            here = [source for source in sources if source.key.setting in group]
            for source, (found, seconds) in zip(here, pool.map(evaluate, here), strict=True):
                rows, stratified = rows + found.scores, stratified + found.stratified
                name = f"{prefix}{source.key.level}/{source.key.method}"
                task.time(name, seconds, source.key.setting, source.n)
                bar.update()
            samples = [read_ranked(source, given) for source in rankings.random]
            rows += random_rows(samples, given, group, ns, job.constants["WITH_KENDALL"])
        settings, percents = list(truth.settings), job.constants["K_PERCENTS"]
        task.save_table(scores, finish([head | row for row in rows], settings, percents))
        null = finish([head | row for row in stratified], settings, percents)
        task.save_table(others, null.drop(columns=list(WHOLE)))
    job.log.info("wrote %s and %s", scores, others.name)


def compare(job: Job, source: ScoreSource, truth: GroundTruth, ns: list[int]) -> Rows:
    """The rows of one ranking."""
    try:
        return rows_of(read_ranked(source, truth), truth, ns, job.constants["WITH_KENDALL"])
    except NotARanking as error:
        raise of_another_ranking(source, error) from None
