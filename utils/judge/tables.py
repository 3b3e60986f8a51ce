"""Step 7 on one fold: every ranking compared with the truth, and the tables of it."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType

import numpy as np
import pandas as pd
from tqdm import tqdm

from utils import ranking
from utils.data.settings import ALL, SETTINGS_STEP, read_settings
from utils.judge import comparison, details, metrics, nulls, permutation
from utils.judge.comparison import NEURON, WEIGHT, FoldTruth
from utils.judge.references import write_oracle, write_random
from utils.judge.scoring import evaluate_source, finish, random_rows
from utils.judge.sources import (
    ORACLE,
    RANDOM,
    STEP,
    TRUTH_STEP,
    Source,
    built_in_sources,
    read_order,
    read_scores,
    report_users,
    require_all,
    shown_name,
    user_sources,
)
from utils.model.inputs import Inputs, open_inputs
from utils.run import storage
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.run.task import Task
from utils.truth import positives

# Rankings compared at once: each takes some 300 MiB at ViT-Base size.
MOST_THREADS = 4
CODE: tuple[ModuleType, ...] = (comparison, details, metrics, nulls, positives, ranking)


def require_rankings(job: Job) -> None:
    """Refuse a fold whose truth, settings or rankings are missing or out of date."""
    find_sources(job, open_inputs(job))


def find_sources(job: Job, inputs: Inputs) -> tuple[list[str], list[Source]]:
    """Settings of the fold, and every score file, ours after its record was checked."""
    inputs.ledger.require(job.paths.settings, SETTINGS_STEP)
    settings = read_settings(job.paths)
    ns = job.budgets(inputs.d, inputs.m)
    sources = [*built_in_sources(job.paths, settings, ns), *user_sources(job.paths, settings)]
    files = (path for source in sources for path in source.inputs)
    require_all(inputs.ledger, [(job.paths.abs_diff, TRUTH_STEP), *files])
    return settings, sources


def read_truth(job: Job, inputs: Inputs, ns: list[int]) -> FoldTruth:
    """The truth of the fold; says where ties leave fewer positives than wanted.

    Raises
    ------
    UserError : the file is not what step 1 wrote, or no item of a level is positive.
    """
    paths = job.paths
    remedy = storage.run_again(TRUTH_STEP)
    size = ranking.n_weights(inputs.m, inputs.d)
    abs_diff = storage.load_array(paths.abs_diff, (np.float32,), (size,), remedy)
    storage.require_finite(abs_diff, paths.abs_diff, remedy)
    truth = comparison.prepare_truth(
        np.asarray(abs_diff),
        inputs.m,
        inputs.d,
        tuple(job.constants["K_PERCENTS"]),
        job.constants["POSITIVE_PERCENT"],
        ns,
    )
    positives.require_positives(truth.borders, str(paths.abs_diff))
    for items, border in truth.borders.items():
        if line := border.shortfall(items):
            job.log.warning("%s: %s", paths.abs_diff.name, line)
    return truth


def evaluate_fold(job: Job, inputs: Inputs) -> None:
    """Make the tables of the job's fold, or keep them where nothing has changed.

    exp-fl-5-7_scores.csv has every method in every setting; the others feed the
    summary across folds, the last three from the setting `all` alone.
    """
    paths, ledger = job.paths, inputs.ledger
    settings, sources = find_sources(job, inputs)
    ns = job.budgets(inputs.d, inputs.m)
    write_random(job, inputs)
    random = [
        Source(ALL, level, RANDOM, paths.score(ALL, level, RANDOM), None, STEP)
        for level in (NEURON, WEIGHT)
    ]
    task = ledger.task(
        "scores",
        inputs=[
            (paths.abs_diff, TRUTH_STEP),
            (paths.settings, SETTINGS_STEP),
            *(path for source in [*sources, *random] for path in source.inputs),
        ],
        constants=["POSITIVE_PERCENT", "K_PERCENTS", "WITH_KENDALL", "SEED"],
        parameters={"budgets": ns},
        code=(*CODE, evaluate_source, random_rows, finish),
    )
    read = cache(lambda: read_truth(job, inputs, ns))
    oracle = Source(
        ALL, NEURON, ORACLE, paths.score(ALL, NEURON, ORACLE),
        paths.ranking(ALL, NEURON, ORACLE), STEP,
    )  # fmt: skip
    done = task.done and paths.stratified_table.is_file()
    if done:
        job.log.info("%s is up to date: kept", paths.scores_table)
    else:
        job.log.info(
            "compares %d score files of %d settings with %s",
            len(sources),
            len(settings),
            paths.abs_diff,
        )
        report_users(job, ledger, sources, settings, read())
    write_oracle(job, inputs, read)
    if not done:
        write_scores(job, task, [*sources, oracle], settings, read(), ns)
    ranked = [s for s in [*sources, oracle, *random] if s.setting == ALL and s.n is None]
    write_permutations(job, inputs, ranked, read, ns)
    write_curves(job, inputs, ranked, read, ns)


def write_scores(
    job: Job,
    task: Task,
    sources: list[Source],
    settings: list[str],
    truth: FoldTruth,
    ns: list[int],
) -> None:
    """The scores table, and what each method's mix of matrices alone would score."""
    paths = job.paths
    with task:
        rows, stratified = [], []

        def evaluate(source: Source) -> tuple[list[dict], list[dict], float]:
            watch = Stopwatch()
            found, null = evaluate_source(source, truth, ns, job.constants["WITH_KENDALL"])
            return found, null, watch.seconds

        # numpy works outside the interpreter's lock, so threads use the cores.
        with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
            results = tqdm(
                pool.map(evaluate, sources),
                total=len(sources),
                desc=f"step {STEP}",
                unit="ranking",
            )
            for source, (found, null, seconds) in zip(sources, results, strict=True):
                rows, stratified = rows + found, stratified + null
                task.time(f"{source.level}/{source.method}", seconds, source.setting, source.n)
        rows += random_rows(job, truth, settings, ns)
        task.save_table(paths.scores_table, finish(job, truth, rows, settings))
        null = finish(job, truth, stratified, settings)
        task.save_table(paths.stratified_table, null.drop(columns=list(comparison.WHOLE)))
    job.log.info("wrote %s and %s", paths.scores_table, paths.stratified_table.name)


def write_permutations(
    job: Job, inputs: Inputs, sources: list[Source], read: Callable[[], FoldTruth], ns: list[int]
) -> None:
    """Neuron-permutation tests of each method under `all`, and where its top 1% lies."""
    paths = job.paths
    task = inputs.ledger.task(
        "permutation",
        inputs=[(paths.abs_diff, TRUTH_STEP), *(path for s in sources for path in s.inputs)],
        constants=["POSITIVE_PERCENT", "K_PERCENTS", "SEED", "PERMUTATION_DRAWS"],
        parameters={"budgets": ns},
        code=(*CODE, permutation),
    )
    if task.done:
        return
    with task:
        truth = read()
        draws = job.constants["PERMUTATION_DRAWS"]
        relabellings = permutation.draw_relabellings(truth.m, draws, job.seed)
        percent = job.constants["POSITIVE_PERCENT"]
        n_weights = truth.weights.n_items
        whole = f"{percent:g}%"
        tops = {whole: ranking.share_of(percent, n_weights)}
        tops |= {f"n{n}": ranking.weight_budget(n, n_weights) for n in ns}
        theirs = {k: details.truth_rows(truth, k) for k in set(tops.values())}
        bins = details.neuron_bins(truth)
        head = {"ds": paths.ds, "fold": paths.fold, "setting": ALL}
        located = [
            head | {"level": WEIGHT, "method": details.TRUTH} | row
            for row in details.location_rows(details.positive_rows(truth), bins, truth.d)
        ]
        tested = []
        for source in tqdm(sources, desc="permutation test", unit="ranking"):
            scores = read_scores(source, truth)
            row = head | {"level": details.shown_level(source.level), "method": shown_name(source)}
            for top, k in tops.items():
                mine = details.method_rows(scores, source.level, truth, k)
                test = details.permutation_row(mine, theirs[k], k, relabellings)
                tested.append(row | {"top": top} | test)
                if top == whole:
                    where = details.location_rows(mine, bins, truth.d)
                    located += [row | place for place in where]
        table = pd.DataFrame(tested, columns=details.PERMUTATION_COLUMNS)
        task.save_table(paths.permutation_table, table)
        table = pd.DataFrame(located, columns=details.LOCATION_COLUMNS)
        task.save_table(paths.locations_table, table)
    job.log.info("wrote %s and %s", paths.permutation_table, paths.locations_table.name)


def write_curves(
    job: Job, inputs: Inputs, sources: list[Source], read: Callable[[], FoldTruth], ns: list[int]
) -> None:
    """Cumulative gain of each method under `all`, from the first weight to the last."""
    paths = job.paths
    task = inputs.ledger.task(
        "curves",
        inputs=[(paths.abs_diff, TRUTH_STEP), *(path for s in sources for path in s.inputs)],
        constants=["POSITIVE_PERCENT", "K_PERCENTS"],
        parameters={"budgets": ns},
        code=CODE,
    )
    if task.done:
        return
    with task:
        truth = read()
        ks = details.curve_ks(truth.weights.n_items)
        curves = {(WEIGHT, details.IDEAL): details.ideal_curve(truth, ks)}
        for source in tqdm(sources, desc="cumulative gain", unit="ranking"):
            scores = read_scores(source, truth)
            order = read_order(source, scores) if source.level == WEIGHT else None
            key = details.shown_level(source.level), shown_name(source)
            curves[key] = details.method_curve(scores, order, source.level, truth, ks)
        percents = 100 * ks / truth.weights.n_items
        tables = [
            pd.DataFrame({"percent": percents, "k": ks, **curve}).assign(level=level, method=method)
            for (level, method), curve in curves.items()
        ]
        table = pd.concat(tables, ignore_index=True)
        table = table.assign(ds=paths.ds, fold=paths.fold, setting=ALL)
        task.save_table(paths.curves_table, table[details.CURVE_COLUMNS])
    job.log.info("wrote %s", paths.curves_table)
