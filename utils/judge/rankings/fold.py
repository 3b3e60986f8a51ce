"""Which rankings a fold has: the files of our methods that run, and what users drop in."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from utils import ranking
from utils.data.setting_names import ALL
from utils.data.settings import SETTINGS_STEP, read_settings
from utils.errors import UserError
from utils.judge.names import NEURON, ORACLE_SCORES, RANDOM, RESERVED, TRUTH_STEP
from utils.judge.rankings.files import read_file, require_all
from utils.judge.rankings.source import ScoreSource, files_of
from utils.judge.rankings.users import leave_out_alike, user_method
from utils.methods import own
from utils.methods.chosen import Methods, chosen_methods, stands_under
from utils.model.inputs import Inputs
from utils.ranking import RankingKey
from utils.run.cli import Job
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths
from utils.run.rules import meant


def find_sources(job: Job, inputs: Inputs, methods: Methods) -> tuple[list[str], list[ScoreSource]]:
    """Settings of the fold, and every score file, ours after its record was checked.

    methods : every method of ours, by (level, name).
    """
    inputs.ledger.require(job.paths.settings, SETTINGS_STEP)
    settings = read_settings(job.paths)
    ns = job.budgets(inputs.d, inputs.m)
    sources = [
        *built_in_sources(job.paths, settings, ns, methods, job.constants),
        *usable_user_sources(job, inputs, settings, methods),
    ]
    require_all(inputs.ledger, [(job.paths.abs_diff, TRUTH_STEP), *files_of(sources)])
    return settings, sources


def built_in_sources(
    paths: FoldPaths,
    settings: list[str],
    ns: list[int],
    methods: Methods,
    constants: dict[str, Any],
) -> Iterator[ScoreSource]:
    """Every file of the methods of ours that run, in the order of settings and of the dictionary.

    Files of a method that METHODS_TO_RUN leaves out may be there: they are nobody's.
    """
    for setting in settings:
        for (level, name), method in chosen_methods(methods, constants).items():
            if not stands_under(method, setting, constants):
                continue
            key, apart = RankingKey(setting, level, name), method.with_budget is not None
            yield ScoreSource(
                key, paths.score(*key), paths.ranking(*key), method.step, cut_is_apart=apart
            )
            for n in ns if apart else ():
                yield ScoreSource(key, paths.score(*key, n), None, method.step, n)


def user_sources(paths: FoldPaths, settings: list[str], methods: Methods) -> Iterator[ScoreSource]:
    """Score files that are not ours: docs/definitions.md 7 makes each a method like the others."""
    for setting in settings:
        for path in paths.user_scores(setting):
            found = user_method(path)
            if found is None or is_ours(RankingKey(setting, *found), methods):
                continue
            yield ScoreSource(RankingKey(setting, *found), path, None, None)


def is_ours(key: RankingKey, methods: Methods) -> bool:
    """Whether steps 4 to 7 write `<level>_<name>_score.npy` into the folder of the setting."""
    setting, level, name = key
    if name == RANDOM or (level, name) == (NEURON, ORACLE_SCORES):
        return setting == ALL
    method = methods.get((level, name))
    if method is None:  # a method of ours with a budget, maybe another one than today's
        method = methods.get((level, re.sub(r"_n\d+$", "", name)))
        return method is not None and method.with_budget is not None
    return method.per_setting or setting == ALL


def usable_user_sources(
    job: Job, inputs: Inputs, settings: list[str], methods: Methods
) -> list[ScoreSource]:
    """A user's files that can be compared; one that cannot is left out with its line."""
    usable, bad = [], []
    n_weights = ranking.n_weights(inputs.m, inputs.d)
    for source in user_sources(job.paths, settings, methods):
        try:
            require_current(inputs.ledger, source)
            require_own_name(source, methods)
            inputs.ledger.hashes.get(source.score)  # a file, and not what would never end
            read_file(source, inputs.m, n_weights)
        except UserError as error:
            bad.append((source.key.setting, source.score, error))
        else:
            usable.append(source)
    leave_out_alike(job, bad)
    return usable


def require_current(ledger: Ledger, source: ScoreSource) -> None:
    """Refuse scores that step 5 made with a user's function, of another M1 or an older file."""
    made_by = ledger.producer(ledger.relative(source.score))
    reason = made_by and (ledger.why_stale(made_by) or own.why_edited(ledger, made_by))
    if reason:
        raise UserError(
            f"{source.score} is out of date: {reason}; give the file of your methods to "
            "exp-fl-5-5.py again (--methods FILE.py)"
        )


def require_own_name(source: ScoreSource, methods: Methods) -> None:
    """Refuse a user's file by the rule for names of all methods of a user's."""
    _, level, name = source.key
    reason = own.why_no_name(level, name, methods)
    if reason:
        raise UserError(
            f"{source.score}: {reason} to {level}_<another name>_score.npy, or take it away"
        )


def require_references(job: Job, methods: Methods) -> None:
    """Refuse a name in REFERENCES that no method has, ours or a user's in any fold of the call.

    A method of ours that METHODS_TO_RUN leaves out is refused too.
    """
    folds = [replace(job.paths, fold=fold) for fold in job.args.fold]
    files = [user_method(path) for paths in folds for path in paths.every_score()]
    users = {key[1] for key in files if key and key not in methods}
    run = {name for _, name in chosen_methods(methods, job.constants)}
    idle = {name for _, name in methods} - run - users
    known = {RANDOM, *run, *users}
    for reference in job.constants["REFERENCES"]:
        name = re.sub(r" \(n=\d+\)$", "", reference)  # of scores that depend on n
        if name in idle:
            raise UserError(
                f"REFERENCES in utils/constants.py names {reference!r}, which METHODS_TO_RUN "
                "leaves out; name it there, or take it out of REFERENCES"
            )
        if name not in {*known, *RESERVED}:
            raise UserError(
                f"REFERENCES in utils/constants.py names {reference!r}, which is no method here"
                f"{meant(name, known)}; expected some of {', '.join(sorted(known))}"
            )
