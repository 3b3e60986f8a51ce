"""Which rankings a fold has: the files of our methods that run, and what users drop in."""

from collections.abc import Iterator
from typing import Any

from utils.data.settings import SETTINGS_STEP, read_settings
from utils.judge.names import TRUTH_STEP
from utils.judge.rankings.files import require_all
from utils.judge.rankings.source import ScoreSource, files_of
from utils.judge.rankings.users import usable_user_sources
from utils.methods.chosen import Methods, chosen_methods, stands_under
from utils.model.inputs import Inputs
from utils.ranking import RankingKey
from utils.run.cli import Job
from utils.run.paths import FoldPaths


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
