"""Step 7 on one fold: read every ranking, ours and the user's, and compare it with the truth."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from tqdm import tqdm

from utils import ranking
from utils.data.settings import ALL, SETTINGS_STEP, read_settings
from utils.errors import UserError
from utils.judge import comparison, details, metrics, nulls, permutation
from utils.judge.comparison import LIFTED, NEURON, WEIGHT, FoldTruth
from utils.methods import METHODS
from utils.model.inputs import Inputs
from utils.run import storage
from utils.run.cli import Job
from utils.run.paths import FoldPaths
from utils.run.provenance import Ledger, Stopwatch, Task
from utils.summary import fold_tables
from utils.truth import change

STEP = 7
# Rankings compared at once: each takes some 300 MiB at ViT-Base size.
MOST_THREADS = 4
TRUTH_STEP = 1
RANDOM, ORACLE = "random", "oracle"
# Names of rows that are no files; a user's file of that name could not be told from them.
RESERVED = (
    RANDOM, comparison.RANDOM_EXPECTED, comparison.RANDOM_SAMPLED, fold_tables.ORACLE,
    details.IDEAL, details.TRUTH,
)  # fmt: skip
CODE: tuple[ModuleType, ...] = (comparison, details, metrics, nulls, ranking)


@dataclass(frozen=True)
class Source:
    """Where the scores of one method in one setting are.

    step : the step that makes them, None for a user's file.
    n : None, or the budget of scores that depend on it.
    """

    setting: str
    level: str
    method: str
    score: Path
    order: Path | None
    step: int | None
    n: int | None = None

    @property
    def levels(self) -> tuple[str, ...]:
        """Where it is compared; the oracle, made of positives, is a ceiling among weights only."""
        if self.level == WEIGHT:
            return (WEIGHT,)
        return (LIFTED,) if self.step == STEP and self.method == ORACLE else (NEURON, LIFTED)

    @property
    def inputs(self) -> list[Path | tuple[Path, int]]:
        if self.step is None:
            return [self.score]
        paths = [self.score] if self.order is None else [self.score, self.order]
        return [(path, self.step) for path in paths]


def built_in_sources(paths: FoldPaths, settings: list[str], ns: list[int]) -> Iterator[Source]:
    """Every file of our own methods, in the order of settings and of the dictionary."""
    for setting in settings:
        for (level, name), method in METHODS.items():
            if not (method.per_setting or setting == ALL):
                continue
            yield Source(
                setting, level, name, paths.score(setting, level, name),
                paths.ranking(setting, level, name), method.step,
            )  # fmt: skip
            if method.with_budget:
                for n in ns:
                    path = paths.score(setting, level, name, n)
                    yield Source(setting, level, name, path, None, method.step, n)


def user_sources(paths: FoldPaths, settings: list[str]) -> Iterator[Source]:
    """Score files that are not ours: SPEC section 7 makes each a method like the others.

    Raises
    ------
    UserError : a file has a name that stands for something else in our tables.
    """
    for setting in settings:
        for path in paths.user_scores(setting):
            found = comparison.user_method(path)
            if found is None or is_ours(*found, setting):
                continue
            level, name = found
            taken = found in METHODS or found == (NEURON, ORACLE) or name in RESERVED
            if taken or re.search(r"^random \(stratified|\(n=\d+\)$", name):
                raise UserError(
                    f"{path} has a name that step 7 uses for a ranking of its own; "
                    f"rename it to {level}_<another name>_score.npy, or take it away"
                )
            yield Source(setting, level, name, path, None, None)


def is_ours(level: str, name: str, setting: str) -> bool:
    """Whether steps 4 to 7 write `<level>_<name>_score.npy` into the folder of `setting`."""
    if name == RANDOM or (level, name) == (NEURON, ORACLE):
        return setting == ALL
    method = METHODS.get((level, name))
    if method is None:  # a method of ours with a budget, maybe another one than today's
        method = METHODS.get((level, re.sub(r"_n\d+$", "", name)))
        return method is not None and method.with_budget is not None
    return method.per_setting or setting == ALL


def read_scores(source: Source, truth: FoldTruth) -> np.ndarray:
    """Scores of a method, checked: length, dtype, no NaN or infinite value."""
    remedy = (
        f"run exp-fl-5-{source.step}.py again" if source.step else "save it again, or take it away"
    )
    size = truth.m if source.level == NEURON else len(truth.weights.gain)
    scores = storage.load_array(source.score, (np.float32, np.float64), (size,), remedy)
    return storage.require_finite(np.asarray(scores), source.score, remedy)


def read_order(source: Source, scores: np.ndarray) -> np.ndarray:
    if source.order is None:
        return ranking.rank_by(scores)
    remedy = f"run exp-fl-5-{source.step}.py again"
    return np.asarray(storage.load_array(source.order, (np.int32,), scores.shape, remedy))


def evaluate_source(
    source: Source, truth: FoldTruth, ns: list[int], kendall: bool
) -> tuple[list[dict], list[dict]]:
    """Rows of one method in one setting: the whole ranking, then cut at each budget.

    A whole ranking has columns @n where there is one budget; with several they
    would mean another K than in the next row, and only the cut rankings have them.

    Returns
    -------
    The rows of the scores table, and for those at weight level the rows of a
    random ranking that mixes the two matrices as this one does.
    """
    scores = read_scores(source, truth)
    order = read_order(source, scores)
    whole = ns if source.n is None else [source.n]
    make = {
        WEIGHT: lambda: _groups(comparison.weight_groups, source, scores, order, truth, whole),
        NEURON: lambda: _groups(comparison.neuron_groups, source, scores, order, truth, whole),
        LIFTED: lambda: metrics.group_neurons(scores, truth.by_neuron),
    }
    rows, stratified = [], []
    for level in source.levels:
        found = make[level]()
        row = {"setting": source.setting, "level": level, "method": source.method}
        if source.n is None:
            values = comparison.compare(found, truth, level, only(ns))
            if kendall and level != NEURON:
                shown = scores if level == WEIGHT else ranking.lift(scores, truth.d)
                values["kendall"] = metrics.kendall(shown, truth.weights.gain)
            elif level == NEURON:
                values["kendall"] = metrics.kendall(scores, truth.neurons.gain)
            rows.append(row | values)
        if level != NEURON:
            limit = None if source.n is None else cut_size(level, source.n, truth)
            null = details.stratified(found, truth, source.n or only(ns), limit)
            stratified.append(row | {"n": source.n} | null)
        for n in ns if source.n is None else [source.n]:
            if _has_cut(source):
                limit = cut_size(level, n, truth)
                rows.append(row | {"n": n} | comparison.compare(found, truth, level, n, limit))
    return rows, stratified


def only(ns: list[int]) -> int | None:
    """The one budget there is, or None."""
    return ns[0] if len(ns) == 1 else None


def _groups(make, source, scores, order, truth, ns) -> metrics.TieGroups:  # noqa: ANN001
    try:
        return make(scores, order, truth, ns)
    except ValueError as error:
        raise UserError(
            f"{source.order} does not belong to {source.score.name} ({error}); "
            f"run exp-fl-5-{source.step}.py again"
        ) from None


def _has_cut(source: Source) -> bool:
    """A method whose scores depend on n has its rows with n from those scores."""
    method = METHODS.get((source.level, source.method))
    return source.n is not None or method is None or method.with_budget is None


def cut_size(level: str, n: int, truth: FoldTruth) -> int:
    """Items in a ranking cut at budget n: n neurons, their 2dn weights, or 8 n^2 weights."""
    if level == NEURON:
        return n
    return 2 * truth.d * n if level == LIFTED else ranking.weight_budget(n, len(truth.weights.gain))


def write_random(job: Job, inputs: Inputs) -> None:
    """The seeded random rankings under `all`, and the oracle's; kept where they exist."""
    paths, m, d = job.paths, inputs.m, inputs.d
    for offset, (level, size) in enumerate([(NEURON, m), (WEIGHT, ranking.n_weights(m, d))]):
        task = inputs.ledger.task(
            f"{ALL}/{level}/{RANDOM}",
            constants=["SEED"],
            parameters={"size": size},
            code=[ranking, random_scores],
        )
        if task.done:
            continue
        with task:
            watch = Stopwatch()
            scores = random_scores(job.seed, offset, size)
            order = ranking.rank_by(scores)
            task.time(f"{level}/{RANDOM}", watch.seconds, ALL)
            task.save_array(paths.score(ALL, level, RANDOM), scores)
            task.save_array(paths.ranking(ALL, level, RANDOM), order)


def random_scores(seed: int, stream: int, size: int) -> np.ndarray:
    """Uniform random scores, float32 (size,), of an independent stream of the fold's seed."""
    return np.random.default_rng([seed, stream]).random(size, dtype=np.float32)


def write_oracle(job: Job, inputs: Inputs, read: Callable[[], FoldTruth]) -> None:
    """The ceiling of neuron-level methods: neurons by the positives they hold."""
    paths = job.paths
    task = inputs.ledger.task(
        f"{ALL}/{NEURON}/{ORACLE}",
        inputs=[(paths.abs_diff, TRUTH_STEP)],
        constants=["POSITIVE_PERCENT"],
        code=CODE,
    )
    if task.done:
        return
    with task:
        scores = comparison.oracle(read())
        order = ranking.rank_by(scores)
        task.save_array(paths.score(ALL, NEURON, ORACLE), scores)
        task.save_array(paths.ranking(ALL, NEURON, ORACLE), order)


def read_truth(job: Job, inputs: Inputs, ns: list[int]) -> FoldTruth:
    paths = job.paths
    remedy = storage.run_again(TRUTH_STEP)
    size = ranking.n_weights(inputs.m, inputs.d)
    abs_diff = storage.load_array(paths.abs_diff, (np.float32,), (size,), remedy)
    storage.require_finite(abs_diff, paths.abs_diff, remedy)
    return comparison.prepare_truth(
        np.asarray(abs_diff),
        inputs.m,
        inputs.d,
        tuple(job.constants["K_PERCENTS"]),
        job.constants["POSITIVE_PERCENT"],
        ns,
    )


def evaluate_fold(job: Job, inputs: Inputs) -> None:
    """Make the tables of the job's fold, or keep them where nothing has changed.

    exp-fl-5-7_scores.csv has every method in every setting; the others feed the
    summary across folds, the last three from the setting `all` alone.
    """
    paths, ledger = job.paths, inputs.ledger
    ledger.require(paths.settings, SETTINGS_STEP)
    settings = read_settings(paths)
    ns = job.budgets(inputs.d, inputs.m)
    sources = [*built_in_sources(paths, settings, ns), *user_sources(paths, settings)]
    require_all(ledger, [(paths.abs_diff, TRUTH_STEP), *(i for s in sources for i in s.inputs)])
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
        code=(*CODE, change, evaluate_source, random_rows, finish),
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
        positives = truth.weights.n_positives
        percent = f"{job.constants['POSITIVE_PERCENT']:g}%"
        tops = {percent: positives}
        tops |= {f"n{n}": ranking.weight_budget(n, truth.weights.n_items) for n in ns}
        bins = details.neuron_bins(truth)
        head = {"ds": paths.ds, "fold": paths.fold, "setting": ALL}
        of_truth = details.truth_rows(truth, positives)
        located = [
            head | {"level": WEIGHT, "method": details.TRUTH} | row
            for row in details.location_rows(of_truth, bins, truth.d)
        ]
        tested = []
        for source in tqdm(sources, desc="permutation test", unit="ranking"):
            scores = read_scores(source, truth)
            row = head | {"level": details.shown_level(source.level), "method": shown_name(source)}
            for top, k in tops.items():
                mine = details.method_rows(scores, source.level, truth, k)
                theirs = of_truth if k == positives else details.truth_rows(truth, k)
                test = details.permutation_row(mine, theirs, k, relabellings)
                tested.append(row | {"top": top} | test)
                if top == percent:
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


def shown_name(source: Source) -> str:
    """The method's name in tables; the seeded sample is one of two random rows."""
    sampled = source.method == RANDOM and source.step == STEP
    return comparison.RANDOM_SAMPLED if sampled else source.method


def require_all(ledger: Ledger, inputs: Iterable[Path | tuple[Path, int]]) -> None:
    """Refuse stale or missing files before anything is written."""
    for item in inputs:
        if isinstance(item, tuple):
            ledger.require(*item)


def random_rows(job: Job, truth: FoldTruth, settings: list[str], ns: list[int]) -> list[dict]:
    """The two random rows at each level, under every setting.

    They do not depend on the setting: each setting shows the fold's one sample.
    With several budgets there are rows for each, as of the methods.
    """
    rows = []
    for level in (NEURON, WEIGHT):
        source = Source(ALL, level, RANDOM, job.paths.score(ALL, level, RANDOM), None, STEP)
        found, _ = evaluate_source(source, truth, ns, job.constants["WITH_KENDALL"])
        sampled = [row for row in found if row["level"] == level]
        expected = [comparison.random_expected(truth, level, only(ns))]
        if level == WEIGHT and not job.constants["WITH_KENDALL"]:
            expected[0]["kendall"] = np.nan
        for n in ns:
            cut = comparison.random_expected(truth, level, n, cut_size(level, n, truth))
            expected.append({"n": n} | cut)
        shown = 1 if len(ns) == 1 else 1 + len(ns)
        for setting in settings:
            head = {"setting": setting, "level": level}
            for one, other in zip(expected[:shown], sampled[:shown], strict=True):
                rows.append(one | head | {"method": comparison.RANDOM_EXPECTED})
                rows.append(other | head | {"method": comparison.RANDOM_SAMPLED})
    return rows


def finish(job: Job, truth: FoldTruth, rows: list[dict], settings: list[str]) -> pd.DataFrame:
    """Add the columns that say what was compared; sort by setting, then as evaluated."""
    for row in rows:
        side = truth.truth(row["level"])
        row |= {
            "ds": job.paths.ds,
            "fold": job.paths.fold,
            "n_items": side.n_items,
            "n_positives": side.n_positives,
        }
    table = comparison.scores_table(rows, job.constants["K_PERCENTS"])
    place = {setting: i for i, setting in enumerate(settings)}
    return table.sort_values(
        "setting", key=lambda s: s.map(place), kind="stable", ignore_index=True
    )


def from_another_truth(ledger: Ledger, source: Source) -> bool:
    """Whether a user's file was compared with another ground truth before, and is as it was."""
    known = ledger.content["tasks"].get(f"{STEP}/scores", {"recipe": {"inputs": {}}})
    before = known["recipe"]["inputs"]
    names = [ledger.relative(path) for path in (source.score, ledger.paths.abs_diff)]
    now = [ledger.hashes.get(path) for path in (source.score, ledger.paths.abs_diff)]
    return before.get(names[0]) == now[0] and before.get(names[1], now[1]) != now[1]


def report_users(
    job: Job, ledger: Ledger, sources: list[Source], settings: list[str], truth: FoldTruth
) -> None:
    """Check every file before any is compared, and say in one line what is odd about a user's."""
    for path in (path for setting in settings for path in job.paths.user_scores(setting)):
        if comparison.user_method(path) is None:
            job.log.warning(
                "%s is not compared: its name has to begin with neuron_ or weight_", path
            )
    found: dict[tuple[str, str], list[str]] = {}
    for source in sources:
        if source.step is not None:
            continue
        scores = read_scores(source, truth)
        if scores.min() == scores.max():
            job.log.warning(
                "%s is constant: it ranks nothing, its values are those of chance and its "
                "correlations do not exist", source.score,
            )  # fmt: skip
        if from_another_truth(ledger, source):
            job.log.warning(
                "%s is as it was when the ground truth was another one: make it again if it was "
                "made from the old M1", source.score,
            )  # fmt: skip
        found.setdefault((source.level, source.method), []).append(source.setting)
    for (level, method), where in found.items():
        job.log.info("your method %s (%s) is compared in %d settings", method, level, len(where))
        absent = [setting for setting in settings if setting not in where]
        if absent:
            job.log.warning(
                "your method %s (%s) has no file in %d of %d settings (%s): "
                "it is compared where it has one",
                method, level, len(absent), len(settings), ", ".join(absent),
            )  # fmt: skip
