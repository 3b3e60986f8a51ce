"""The rankings that M1 is retrained by in step 10, and what they need of a fold."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils import ranking
from utils.data.setting_names import ALL, COLUMNS
from utils.data.settings import SETTINGS_STEP, read_settings
from utils.errors import UserError
from utils.judge.names import ALL_WEIGHTS, LIFTED, RANDOM, RANDOM_NEURONS, WEIGHT
from utils.judge.rankings.files import require_all
from utils.judge.rankings.source import ScoreSource
from utils.judge.rankings.weights_of_fold import WeightRanking, order_of_weights, weight_rankings
from utils.judge.retrain import samples
from utils.judge.transplant import walk
from utils.methods import own
from utils.methods.chosen import Methods
from utils.methods.own.load import STEP as OWN_STEP
from utils.model.caches import CACHE_STEP
from utils.model.inputs import Inputs
from utils.ranking import RankingKey
from utils.run import storage
from utils.run.cli import Job
from utils.truth.repair.fold import state_inputs

DRAWS = 5


@dataclass(frozen=True)
class Retrained:
    """One ranking under one setting. ranking : its file or a name of the random ones."""

    setting: str
    ranking: WeightRanking

    @property
    def key(self) -> RankingKey:
        return RankingKey(self.setting, *self.ranking.key[1:])


def find_rankings(job: Job, inputs: Inputs, sources: list[ScoreSource]) -> list[Retrained]:
    """Every ranking that M1 is retrained by, setting by setting.

    sources : the score files of the fold.

    Raises
    ------
    UserError : a setting of RETRAIN_SETTINGS is none, or something is missing or stale.
    """
    settings = settings_to_retrain(job)
    require_all(inputs.ledger, [*shared_inputs(job), *neg_test_inputs(job, settings)])
    known = weight_rankings(job, settings, sources, with_pooled=True)
    made = [(WEIGHT, RANDOM), (LIFTED, RANDOM_NEURONS), (WEIGHT, ALL_WEIGHTS)]
    known += [WeightRanking(RankingKey(ALL, *name), tuple(settings)) for name in made]
    require_all(inputs.ledger, [item for one in known for item in one.inputs])
    return [Retrained(s, one) for s in settings for one in known if s in one.settings]


def require_failures(job: Job, inputs: Inputs) -> None:
    """Refuse a fold without a test split, or whose M1 is right on all of it."""
    inputs.ledger.require(job.paths.settings, SETTINGS_STEP)
    table = storage.read_table(job.paths.settings, COLUMNS, SETTINGS_STEP)
    failing = table.loc[table["setting"] == ALL, "n_neg_test"].fillna(0).sum()
    if not failing:
        raise UserError(
            f"M1 of {job.paths.name} fails on no sample of a test split, and what retraining mends "
            "cannot be measured; leave step 10 out for this fold, or give it a test split"
        )


def require_own(job: Job, sources: list[ScoreSource], methods: Methods) -> None:
    """Refuse methods of --methods of which the fold has no scores."""
    there = {source.key[1:] for source in sources}
    for key in own.methods_of(job.args, methods):
        if key not in there:
            raise UserError(
                f"{job.paths.name} has no scores of {'/'.join(key)} of --methods "
                f"{job.args.methods}; {storage.run_again(OWN_STEP)} with it"
            )


def settings_to_retrain(job: Job) -> list[str]:
    """Those of RETRAIN_SETTINGS that the fold has; a line for each other."""
    known = read_settings(job.paths)
    for setting in job.constants["RETRAIN_SETTINGS"]:
        if setting not in known:
            job.log.info("%s is left out: the fold has no such setting", setting)
    found = [setting for setting in job.constants["RETRAIN_SETTINGS"] if setting in known]
    if not found:
        raise UserError(
            f"RETRAIN_SETTINGS in utils/constants.py names no setting of {job.paths.name}; "
            f"expected some of {', '.join(known)}"
        )
    return found


def shared_inputs(job: Job) -> list[tuple[Path, int]]:
    """States and labels of both splits: h and labels, of which all else is made."""
    repair = [(job.paths.cache(name), CACHE_STEP) for name in ("hidden_before_layernorm", "labels")]
    return [*repair, *state_inputs(job)]


def neg_test_inputs(job: Job, settings: list[str]) -> list[tuple[Path, int]]:
    return [(job.paths.neg_test(setting), SETTINGS_STEP) for setting in settings]


def first_weights(job: Job, inputs: Inputs, one: Retrained, most: int) -> Iterator[np.ndarray]:
    """The first `most` weights of a ranking, int32, canonical indices, of each draw."""
    m, d = inputs.m, inputs.d
    size, method = ranking.n_weights(m, d), one.key.method
    if one.ranking.source is None and method == RANDOM:
        orders = walk.random_orders(job.seed, DRAWS, size)
    elif one.ranking.source is None and method == RANDOM_NEURONS:
        neurons = samples.random_neurons(job.seed, DRAWS, m)
        orders = (walk.neuron_weights(order, m, d) for order in neurons)
    elif one.ranking.source is None and method == ALL_WEIGHTS:
        orders = iter([np.arange(size, dtype=np.int32)])
    else:
        orders = iter([order_of_weights(inputs, one.ranking)])
    return (order[:most].copy() for order in orders)
