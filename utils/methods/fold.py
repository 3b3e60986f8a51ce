"""Run the methods of one step on every setting of a fold, from the caches alone."""

import argparse
import logging
from collections import Counter
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from utils import ranking
from utils.data.setting_names import ALL
from utils.data.settings import SETTINGS_STEP, read_samples, read_settings, setting_inputs
from utils.errors import UserError
from utils.methods import METHODS, own
from utils.methods.chosen import chosen_methods, stands_under
from utils.methods.evidence import Evidence
from utils.methods.method import Method
from utils.model.caches import cache_inputs, load_states, load_tail
from utils.model.inputs import M1, Inputs, open_inputs
from utils.model.tail import activation_function
from utils.pieces import cpu_threads
from utils.run.cli import Job, add_budget, add_device, run
from utils.run.devices import pick_device
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths
from utils.run.stopwatch import Stopwatch
from utils.run.task import Task


def main(step: int, description: str) -> NoReturn:
    """A script whose methods are all in the dictionary, or a user's own: run those of its step."""
    run(
        step,
        description,
        run_methods,
        add_options=add_own_options if step == own.STEP else add_options,
        needs=("training",),
        ready=require_caches,
        after=show,
    )


def methods_of(step: int, setting: str, constants: dict[str, Any]) -> dict[tuple[str, str], Method]:
    """The methods of a step that run and stand under `setting`."""
    return {
        key: method
        for key, method in chosen_methods(METHODS, constants).items()
        if method.step == step and stands_under(method, setting, constants)
    }


def require_caches(job: Job) -> Inputs:
    """Refuse a fold whose settings or cached states are missing or out of date.

    METHODS_TO_RUN that cannot be meant, and a file of methods that cannot be run or would
    overwrite a score file of the user's, are refused before.
    """
    chosen_methods(METHODS, job.constants)
    methods = own.methods_of(job.args)
    inputs = open_inputs(job)
    for path, step in [(job.paths.settings, SETTINGS_STEP), *cache_inputs(job.paths)]:
        inputs.ledger.require(path, step)
    for setting in read_settings(job.paths) if methods else ():
        for level, name in methods:
            require_free(job.paths, inputs.ledger, setting, level, name)
    return inputs


def require_free(paths: FoldPaths, ledger: Ledger, setting: str, level: str, name: str) -> None:
    """Refuse to write over a score file that no step made: it has no ranking beside it."""
    score = paths.score(setting, level, name)
    alone = not paths.ranking(setting, level, name).exists()
    if score.exists() and alone and ledger.producer(ledger.relative(score)) is None:
        raise UserError(
            f"{score} is a file of your own, and --methods has a method of that name; rename one "
            "of them"
        )


def run_methods(job: Job) -> pd.DataFrame:
    """All methods of the job's step on all settings of its fold.

    Returns
    -------
    The finding for the terminal: seconds per method, summed over settings.
    """
    inputs = require_caches(job)
    ledger, paths = inputs.ledger, job.paths
    mine = own.methods_of(job.args)
    methods = {
        s: methods_of(job.step, s, job.constants) | own.standing_under(mine, s)
        for s in read_settings(paths)
    }
    for setting, found in methods.items():
        for key in mine.keys() - found.keys():  # its file says now that it stands under `all` alone
            forget(ledger, setting, *key, job.budgets(inputs.d, inputs.m))
    methods = {setting: found for setting, found in methods.items() if found}
    count = localise_all(job, inputs, methods)
    made_now = {(s, f"{level}/{name}") for s, found in methods.items() for level, name in found}
    ours = {f"{level}/{name}" for level, name in METHODS}

    def shown(row: dict[str, Any]) -> bool:
        """A row of a method of ours that METHODS_TO_RUN leaves out is not."""
        return (row["setting"], row["method"]) in made_now or row["method"] not in ours

    ledger.close(shown)
    if not methods:
        job.log.info("METHODS_TO_RUN has no method of step %d", job.step)
    job.log.info(
        "made %d rankings and %d cut at n, kept %d and %d that are up to date%s",
        count["whole", True], count["cut", True], count["whole", False], count["cut", False],
        f"; wrote {paths.results}" if count["whole", True] + count["cut", True] else "",
    )  # fmt: skip
    return time_table(ledger.times(shown))


def localise_all(
    job: Job, inputs: Inputs, methods: dict[str, dict[tuple[str, str], Method]]
) -> Counter[tuple[str, bool]]:
    """Run the methods of each setting; how many rankings there are, by (whole or cut, made now).

    A user's method that fails is left out with one line, and the others go on.
    """
    ledger, paths = inputs.ledger, job.paths
    ns = job.budgets(inputs.d, inputs.m)
    device = pick_device(job.args.device)
    ledger.device = str(device)
    tail = load_tail(inputs.pair.m1).to(device)
    states = load_states(paths, tail)
    job.log.info(
        "reads cache_states_repair/ (%d samples), the tail of %s, %d settings; n: %s; device: %s",
        states.n_samples, inputs.pair.m1.name, len(methods), ns, device,
    )  # fmt: skip
    fold_memo: dict = {}
    count: Counter[tuple[str, bool]] = Counter()
    failures: dict[tuple[str, str], dict[str, str]] = {}  # by setting
    with logging_redirect_tqdm([job.log]):
        for setting in tqdm(methods, desc=f"step {job.step}", unit="setting"):
            samples = read_samples(paths, setting, states.n_samples)
            evidence = Evidence(
                tail, states, *samples, job.seed, job.constants["IG_POINTS"], fold_memo
            )
            for (level, name), method in methods[setting].items():
                try:
                    made = localise(job, ledger, evidence, setting, level, name, method)
                except own.MethodFailed as error:
                    failures.setdefault((level, name), {})[setting] = str(error)
                    forget(ledger, setting, level, name, ns)
                    continue
                count["whole", made] += 1
                for n in ns:
                    count["cut", cut(job, inputs, setting, level, name, method, n)] += 1
    for found in failures.values():
        job.leave_out(own.failures_in_words(found))
    return count


def localise(
    job: Job,
    ledger: Ledger,
    evidence: Evidence,
    setting: str,
    level: str,
    name: str,
    method: Method,
) -> bool:
    """Score and rank with one method; False if that was done before."""
    paths = job.paths
    samples = setting_inputs(paths, setting) if method.per_setting else []
    task = ledger.task(
        f"{setting}/{level}/{name}",
        inputs=[M1, *cache_inputs(paths), *samples],
        **method.recipe | {"code": (*method.recipe["code"], localise)},
    )
    if task.done:
        return False
    activation_function(evidence.tail.activation)  # its import is nobody's running time
    with task:
        watch, saved = Stopwatch(), evidence.saved_s
        with cpu_threads(1):  # threads take whole pieces (utils.pieces)
            scores = method.function(evidence)
        order = scores.ranking if scores.ranking is not None else ranking.rank_by(scores.score)
        seconds = watch.seconds + evidence.saved_s - saved
        task.time(f"{level}/{name}", seconds, setting)
        task.save_array(paths.ranking(setting, level, name), order)  # first: see require_free
        task.save_array(paths.score(setting, level, name), scores.score)
        for stem, array in scores.extras.items():
            task.save_array(paths.extra(setting, stem), array)
        for note in scores.notes:
            level_of_note = logging.INFO if setting == ALL else logging.DEBUG
            job.log.log(level_of_note, "%s: %s", setting, note)
    return True


def forget(ledger: Ledger, setting: str, level: str, name: str, ns: list[int]) -> None:
    """Take away what a user's method made before it failed."""
    for suffix in ("", *(f"/n{n}" for n in ns)):
        ledger.drop(f"{setting}/{level}/{name}{suffix}")


def cut(
    job: Job, inputs: Inputs, setting: str, level: str, name: str, method: Method, n: int
) -> bool:
    """The first n neurons or 8 n^2 weights of a method; False if they were there before."""
    paths, ledger = job.paths, inputs.ledger
    sources = [(paths.score(setting, level, name), job.step)]
    if method.with_budget is None:
        sources.append((paths.ranking(setting, level, name), job.step))
    else:
        sources += [
            (getattr(paths, kind)(setting, *names), job.step)
            for kind, *names in method.budget_reads
        ]
    task = ledger.task(
        f"{setting}/{level}/{name}/n{n}",
        inputs=sources,
        code=(*method.code, ranking, cut, save_first),
    )
    if task.done:
        return False
    with task:
        watch = Stopwatch()
        if method.with_budget is None:
            score = np.load(sources[0][0], mmap_mode="r")
            order = np.load(sources[1][0], mmap_mode="r")
        else:
            arrays = [np.load(path) for path, _ in sources[1:]]
            score = method.with_budget(*arrays, inputs.d, n)
            order = ranking.rank_by(score)
            task.save_array(paths.score(setting, level, name, n), score)
        size = n if level == "neuron" else ranking.weight_budget(n, len(score))
        first = np.array(order[:size])
        task.time(f"{level}/{name}", watch.seconds, setting, n)
        save_first(task, paths, setting, level, name, n, first, np.asarray(score[first]), inputs)
    return True


def save_first(
    task: Task,
    paths: FoldPaths,
    setting: str,
    level: str,
    name: str,
    n: int,
    first: np.ndarray,
    scores: np.ndarray,
    inputs: Inputs,
) -> None:
    """Write a cut ranking as .npy, and as .csv that says in words where each item is."""
    if level == "neuron":
        where = {"neuron": first}
    else:
        where = ranking.weight_rows(first, inputs.m, inputs.d)
    table = pd.DataFrame({"rank": np.arange(1, len(first) + 1), **where, "score": scores})
    task.save_array(paths.ranking(setting, level, name, n), first)
    task.save_table(paths.ranking(setting, level, name, n, "csv"), table)


def time_table(times: pd.DataFrame) -> pd.DataFrame:
    """Seconds per method over all settings of this step, from the rows of `Ledger.times`."""
    whole = times[times["n"].isna()]
    return (
        whole.groupby("method", sort=False)["elapsed_s"]
        .agg(settings="size", seconds="sum")
        .reset_index()
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    add_budget(parser)
    add_device(parser)


def add_own_options(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    own.add_option(parser)


def show(finished: list[tuple[Job, pd.DataFrame]]) -> None:
    """Print seconds per method: in each fold, over its settings, and the mean."""
    folds = {
        f"fold {job.paths.fold}": table.set_index("method")["seconds"] for job, table in finished
    }
    seconds = pd.DataFrame(folds)
    if len(folds) > 1:
        seconds["mean"] = seconds.mean(axis=1)
    seconds.insert(0, "settings", finished[0][1].set_index("method")["settings"])
    if seconds.empty:
        return
    text = seconds.rename_axis("seconds").reset_index()
    print(text.to_string(index=False, na_rep="-", float_format="{:.3f}".format))
