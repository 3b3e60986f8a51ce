"""Step 7 on one fold: every ranking compared with every truth, and the tables of it."""

import os
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

from tqdm import tqdm

from utils import ranking
from utils.data.setting_names import ALL
from utils.data.settings import SETTINGS_STEP, read_settings
from utils.judge.details import curves as details
from utils.judge.details.fold import write_curves, write_permutations
from utils.judge.given_seconds import record_given_seconds
from utils.judge.references import (
    code_of,
    reference_sources,
    write_optimizer_step,
    write_oracle,
    write_random,
)
from utils.judge.scores import comparison, metrics, nulls
from utils.judge.scores.comparison import NEURON, WEIGHT
from utils.judge.scores.rows import evaluate_source, finish, random_rows
from utils.judge.sources import (
    RANDOM,
    STEP,
    TRUTH_STEP,
    Source,
    built_in_sources,
    report_users,
    require_all,
    require_references,
    usable_user_sources,
)
from utils.judge.truths import TruthOfFold, find_truths, require_truths
from utils.judge.verdict.fold import write_relabelled
from utils.model.inputs import Inputs, open_inputs
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.run.task import Task
from utils.truth import CHANGE, positives

# Rankings compared at once: each takes some 300 MiB at ViT-Base size.
MOST_THREADS = 4
CODE: tuple[ModuleType, ...] = (comparison, details, metrics, nulls, positives, ranking)


def require_rankings(job: Job) -> None:
    """Refuse a fold whose truths, settings or rankings are missing or out of date."""
    require_references(job)
    inputs = open_inputs(job)
    find_sources(job, inputs)
    require_truths(job, inputs)


def find_sources(job: Job, inputs: Inputs) -> tuple[list[str], list[Source]]:
    """Settings of the fold, and every score file, ours after its record was checked."""
    inputs.ledger.require(job.paths.settings, SETTINGS_STEP)
    settings = read_settings(job.paths)
    ns = job.budgets(inputs.d, inputs.m)
    size = ranking.n_weights(inputs.m, inputs.d)
    sources = [
        *built_in_sources(job.paths, settings, ns, job.constants),
        *usable_user_sources(job, inputs.ledger, settings, inputs.m, size),
    ]
    files = (path for source in sources for path in source.inputs)
    require_all(inputs.ledger, [(job.paths.abs_diff, TRUTH_STEP), *files])
    return settings, sources


def evaluate_fold(job: Job, inputs: Inputs) -> None:
    """Make the tables of the job's fold, or keep them where nothing has changed.

    A table of scores per truth has every method in every setting; the others
    feed the summary across folds.
    """
    settings, sources = find_sources(job, inputs)
    ns = job.budgets(inputs.d, inputs.m)
    write_random(job, inputs)
    with_optimizer = write_optimizer_step(job, inputs)
    truths = find_truths(job, inputs, settings, ns)
    for truth in truths:
        references = reference_sources(job, inputs, truth, with_optimizer)
        compare_with(job, inputs, truth, settings, sources, references, ns)
    write_relabelled(job, inputs, truths, sources)
    record_given_seconds(job, inputs.ledger, settings, sources)


def compare_with(
    job: Job,
    inputs: Inputs,
    truth: TruthOfFold,
    settings: list[str],
    sources: list[Source],
    references: list[Source],
    ns: list[int],
) -> None:
    """The tables of one truth."""
    paths, ledger = job.paths, inputs.ledger
    random = [
        Source(ALL, level, RANDOM, paths.score(ALL, level, RANDOM), None, STEP)
        for level in (NEURON, WEIGHT)
    ]
    compared = [source for source in sources if source.setting in truth.settings]
    code = (*CODE, *code_of(truth))
    task = ledger.task(
        task_name("scores", truth.name),
        inputs=[
            *truth.inputs,
            (paths.settings, SETTINGS_STEP),
            *(path for source in [*compared, *references, *random] for path in source.inputs),
        ],
        constants=["POSITIVE_PERCENT", "K_PERCENTS", "WITH_KENDALL", "SEED"],
        parameters={"budgets": ns},
        code=(*code, evaluate_source, random_rows, finish),
    )
    table = paths.judged("scores", truth.name)
    if task.done:
        job.log.info("%s is up to date: kept", table)
    else:
        job.log.info(
            "compares %d score files of %d settings with the truth '%s'",
            len(compared), len(truth.settings), truth.name,
        )  # fmt: skip
        if truth.name == CHANGE:
            report_users(job, ledger, sources, settings, truth.read(ALL))
        write_scores(job, task, truth, [*compared, *references], ns)
    if truth.name == CHANGE:
        write_oracle(job, inputs, truth)
    ranked = [s for s in [*compared, *references, *random] if s.setting == ALL and s.n is None]
    write_permutations(job, inputs, truth, ranked, ns, code)
    write_curves(job, inputs, truth, ranked, ns, code)
    truth.forget()


def task_name(kind: str, truth: str) -> str:
    """The ledger's name of a table of one truth."""
    return kind if truth == CHANGE else f"{kind}/{truth}"


def write_scores(
    job: Job, task: Task, truth: TruthOfFold, sources: list[Source], ns: list[int]
) -> None:
    """The scores table, and what each method's mix of matrices alone would score."""
    paths = job.paths
    prefix = "" if truth.name == CHANGE else f"{truth.name}/"
    with task:
        rows, stratified = [], []
        bar = tqdm(total=len(sources), desc=f"truth '{truth.name}'", unit="ranking")
        # numpy works outside the interpreter's lock, so threads use the cores.
        with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool, bar:
            for group in truth.groups:
                given = truth.read(group[0])

                def evaluate(source: Source, given=given) -> tuple[list[dict], list[dict], float]:  # noqa: ANN001
                    watch = Stopwatch()
                    kendall = job.constants["WITH_KENDALL"]
                    return *evaluate_source(source, given, ns, kendall), watch.seconds

                here = [source for source in sources if source.setting in group]
                for source, (found, null, seconds) in zip(
                    here, pool.map(evaluate, here), strict=True
                ):
                    rows, stratified = rows + found, stratified + null
                    name = f"{prefix}{source.level}/{source.method}"
                    task.time(name, seconds, source.setting, source.n)
                    bar.update()
                rows += random_rows(job, given, list(group), ns)
        settings = list(truth.settings)
        scores, others = paths.judged("scores", truth.name), paths.judged("stratified", truth.name)
        task.save_table(scores, finish(job, rows, settings))
        null = finish(job, stratified, settings)
        task.save_table(others, null.drop(columns=list(comparison.WHOLE)))
    job.log.info("wrote %s and %s", scores, others.name)
