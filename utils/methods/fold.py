"""Run methods on every setting of a fold, from the caches alone (steps 4 to 6)."""

import argparse
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from utils.data.setting_names import ALL
from utils.data.settings import SETTINGS_STEP, read_settings, setting_inputs
from utils.errors import UserError
from utils.methods import own
from utils.methods.chosen import Methods, chosen_methods, stands_under
from utils.methods.cut import first_of, table_of
from utils.methods.evidence import Evidence
from utils.methods.evidence_of_fold import evidence_of
from utils.methods.method import SOURCE, Method
from utils.methods.rank import score_and_rank
from utils.model.caches import cache_inputs
from utils.model.inputs import M1, Inputs
from utils.model.opening import open_inputs
from utils.model.states import States
from utils.model.tail import Tail, activation_function
from utils.ranking import rank_by
from utils.run import shown, storage
from utils.run.cli import Job, add_budget, add_device
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths
from utils.run.record import remember_file
from utils.run.stopwatch import Stopwatch

# The methods of each setting, by its name.
BySetting = dict[str, list[Method]]
Found = Counter[tuple[str, bool]]


def add_options(parser: argparse.ArgumentParser) -> None:
    add_budget(parser)
    add_device(parser)


def require_ready(job: Job, ours: Methods) -> Inputs:
    """Refuse a fold whose settings or cached states are missing or out of date.

    METHODS_TO_RUN that cannot be meant, and a file of methods that cannot be run or would
    overwrite a score file of the user's, are refused before.
    """
    chosen_methods(ours, job.constants)
    mine = own.methods_of(job.args, ours)
    inputs = open_inputs(job)
    for path, step in [(job.paths.settings, SETTINGS_STEP), *cache_inputs(job.paths)]:
        inputs.ledger.require(path, step)
    for setting in read_settings(job.paths) if mine else ():
        for method in mine.values():
            require_free(job.paths, inputs.ledger, setting, method)
    return inputs


def require_free(paths: FoldPaths, ledger: Ledger, setting: str, method: Method) -> None:
    """Refuse to write over a score file that no step made: it has no ranking beside it."""
    score = paths.score(setting, *method.key)
    alone = not paths.ranking(setting, *method.key).exists()
    if score.exists() and alone and ledger.producer(ledger.relative(score)) is None:
        raise UserError(
            f"{score} is a file of your own, and --methods has a method of that name; rename one "
            "of them"
        )


def methods_by_setting(job: Job, ours: Methods) -> BySetting:
    """The methods of the job's step that run, and the user's, where each stands."""
    run = chosen_methods(ours, job.constants).values()
    of_step = [method for method in run if method.step == job.step]
    every = [*of_step, *own.methods_of(job.args, ours).values()]
    found = {
        setting: [method for method in every if stands_under(method, setting, job.constants)]
        for setting in read_settings(job.paths)
    }
    return {setting: methods for setting, methods in found.items() if methods}


def localise_fold(
    job: Job, inputs: Inputs, methods: BySetting, tail: Tail, states: States
) -> Found:
    """Run the methods of each setting; how many rankings there are, by (whole or cut, made now).

    A user's method that fails is left out with one line, and the others go on.
    """
    ns = job.budgets(inputs.d, inputs.m)
    fold_memo: dict = {}
    count: Found = Counter()
    failures: dict[str, dict[str, str]] = {}  # by method, then by setting
    for setting in tqdm(methods, desc=f"step {job.step}", unit="setting"):
        evidence = evidence_of(job, setting, tail, states, fold_memo)
        for method in methods[setting]:
            try:
                count["whole", localise(job, inputs.ledger, evidence, setting, method)] += 1
            except own.MethodFailed as error:
                failures.setdefault(method.label, {})[setting] = str(error)
                forget(inputs.ledger, setting, method, ns)
                continue
            for n in ns:
                count["cut", save_first(job, inputs, setting, method, n)] += 1
    for label, found in failures.items():
        job.leave_out(own.failures_in_words(found), about=f"--methods {label}")
    return count


def localise(job: Job, ledger: Ledger, evidence: Evidence, setting: str, method: Method) -> bool:
    """Score and rank with one method; False if that was done before."""
    paths = job.paths
    samples = setting_inputs(paths, setting) if method.per_setting else []
    task = ledger.task(
        f"{setting}/{method.label}",
        inputs=[M1, *cache_inputs(paths), *samples],
        constants=method.constants,
        parameters=method.parameters,
        makes=(method.function, score_and_rank, evidence_of),
    )
    if task.done:
        return False
    activation_function(evidence.tail.activation)  # its import is nobody's running time
    if method.file is not None:
        remember_file(ledger.content, SOURCE, method.source, method.file)
    with task:
        watch, saved = Stopwatch(), evidence.saved_s
        found = score_and_rank(method.function, evidence)
        task.time(method.label, watch.seconds + evidence.saved_s - saved, setting)
        # The ranking first: see require_free.
        task.save_array(paths.ranking(setting, *method.key), found.ranking)
        task.save_array(paths.score(setting, *method.key), found.score)
        for stem, array in found.extras.items():
            task.save_array(paths.extra(setting, stem), array)
        for note in found.notes:
            level_of_note = logging.INFO if setting == ALL else logging.DEBUG
            job.log.log(level_of_note, "%s: %s", setting, note)
    return True


def save_first(job: Job, inputs: Inputs, setting: str, method: Method, n: int) -> bool:
    """The first n neurons or 8 n^2 weights of a method; False if they were there before."""
    paths, key = job.paths, method.key
    whole = [paths.score(setting, *key)]
    if method.with_budget is None:
        whole.append(paths.ranking(setting, *key))
    else:
        whole += [getattr(paths, kind)(setting, *names) for kind, *names in method.budget_reads]
    task = inputs.ledger.task(
        f"{setting}/{method.label}/n{n}",
        inputs=[(path, job.step) for path in whole],
        makes=(first_of, *filter(None, [method.with_budget])),
    )
    if task.done:
        return False
    with task:
        watch = Stopwatch()
        score, *others = map(storage.open_array, whole)
        if method.with_budget is None:
            (order,) = others
        else:
            score = method.with_budget(*map(np.array, others), inputs.d, n)
            order = rank_by(score)
            task.save_array(paths.score(setting, *key, n), score)
        first = first_of(order, method.level, n)
        task.time(method.label, watch.seconds, setting, n)
        table = table_of(first, np.asarray(score[first]), method.level, inputs.m, inputs.d)
        task.save_array(paths.ranking(setting, *key, n), first)
        task.save_table(paths.ranking(setting, *key, n, "csv"), table)
    return True


def forget(ledger: Ledger, setting: str, method: Method, ns: list[int]) -> None:
    """Take away what a user's method made before it failed, or where it does not stand now."""
    for suffix in ("", *(f"/n{n}" for n in ns)):
        ledger.drop(f"{setting}/{method.label}{suffix}")


def close_fold(
    job: Job, inputs: Inputs, ours: Methods, methods: BySetting, count: Found
) -> pd.DataFrame:
    """Take away what is not made now, write the step's times, and say what was made.

    Returns
    -------
    The finding for the terminal: seconds per method, summed over settings.
    """
    ledger, ns = inputs.ledger, job.budgets(inputs.d, inputs.m)
    made_now = {(setting, method.label) for setting, found in methods.items() for method in found}
    for method in own.methods_of(job.args, ours).values():
        for setting in read_settings(job.paths):
            if (setting, method.label) not in made_now:  # its file says now: under `all` alone
                forget(ledger, setting, method, ns)
    labels = {method.label for method in ours.values()}

    def shown(row: Mapping[str, Any]) -> bool:
        """A row of a method of ours that METHODS_TO_RUN leaves out is not."""
        return (row["setting"], row["method"]) in made_now or row["method"] not in labels

    ledger.close(shown)
    if not made_now:
        job.log.info("METHODS_TO_RUN has no method of step %d", job.step)
    job.log.info(
        "made %d rankings and %d cut at n, kept %d and %d that are up to date%s",
        count["whole", True], count["cut", True], count["whole", False], count["cut", False],
        f"; wrote {job.paths.results}" if count["whole", True] + count["cut", True] else "",
    )  # fmt: skip
    return time_table(ledger.times(shown))


def time_table(times: pd.DataFrame) -> pd.DataFrame:
    """Seconds per method over all settings of this step, from the rows of `Ledger.times`."""
    whole = times[times["n"].isna()]
    return (
        whole.groupby("method", sort=False)["elapsed_s"]
        .agg(settings="size", seconds="sum")
        .reset_index()
    )


def show(finished: list[tuple[Job, pd.DataFrame]]) -> None:
    """Print seconds per method: in each fold, over its settings, and the mean."""
    folds = {
        f"fold {job.paths.fold}": table.set_index("method")["seconds"] for job, table in finished
    }
    seconds = pd.DataFrame(folds)
    if len(folds) > 1:
        seconds["mean"] = seconds.mean(axis=1)
    seconds.insert(len(seconds.columns), "settings", finished[0][1].set_index("method")["settings"])
    if not seconds.empty:
        print(shown.as_text(seconds.rename_axis("seconds").reset_index()))
