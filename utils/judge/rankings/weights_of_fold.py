"""Rankings of all weights of a fold: each method's, and those of what it is compared with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils import ranking
from utils.data.setting_names import ALL, COLUMNS
from utils.data.settings import SETTINGS_STEP
from utils.judge.names import (
    CREDIT,
    JUDGED_STEP,
    LIFTED,
    NEURON,
    ORACLE,
    ORACLE_SCORES,
    TRUTH_STEP,
    WEIGHT,
    shown_level,
)
from utils.judge.rankings.files import read_file, read_order
from utils.judge.rankings.source import ScoreSource
from utils.judge.transplant.walk import neuron_weights
from utils.model.inputs import Inputs
from utils.ranking import RankingKey
from utils.run import storage
from utils.run.cli import Job
from utils.truth.registry import CHANGE, POOLED, REPAIR


@dataclass(frozen=True)
class WeightRanking:
    """One ranking of all weights of the last FFN.

    key : the setting whose folder holds what is made of it; level and method as in the tables.
    settings : under which it counts: its own, or every one where it knows none.
    source : its score file, None for what is no method.
    """

    key: RankingKey
    settings: tuple[str, ...]
    inputs: tuple[Path | tuple[Path, int], ...] = ()
    source: ScoreSource | None = None


def weight_rankings(
    job: Job, settings: list[str], sources: list[ScoreSource], with_pooled: bool = False
) -> list[WeightRanking]:
    """Every method's whole ranking of each setting, and the truths' own that the fold has.

    sources : the score files of the fold.
    """
    paths = job.paths
    found = []
    for source in (source for source in sources if source.n is None):
        setting, level, name = source.key
        key = RankingKey(setting, shown_level(level), name)
        found.append(WeightRanking(key, (setting,), tuple(source.inputs), source))
    everywhere = tuple(settings)
    files = {
        (WEIGHT, CHANGE): (paths.truth_ranking, TRUTH_STEP),
        (WEIGHT, POOLED): (paths.pooled_change, TRUTH_STEP),
        (LIFTED, ORACLE): (paths.ranking(ALL, NEURON, ORACLE_SCORES), JUDGED_STEP),
    }
    if not (with_pooled and paths.pooled_change.is_file()):
        del files[WEIGHT, POOLED]
    for key, file in files.items():
        found.append(WeightRanking(RankingKey(ALL, *key), everywhere, (file,)))
    for setting in settings_with_credit(job, settings):
        file = (paths.repair_credit(setting), JUDGED_STEP)
        found.append(WeightRanking(RankingKey(setting, WEIGHT, CREDIT), (setting,), (file,)))
    return found


def settings_with_credit(job: Job, settings: list[str]) -> list[str]:
    """The settings that step 7 makes a repair credit of; none where TRUTHS has no `repair`."""
    if REPAIR not in job.constants["TRUTHS"]:
        return []
    table = storage.read_table(job.paths.settings, COLUMNS, SETTINGS_STEP)
    enough = table["n_neg_test"] >= job.constants["MIN_SAMPLES"]
    return [setting for setting in table.loc[enough, "setting"] if setting in settings]


def order_of_weights(inputs: Inputs, one: WeightRanking) -> np.ndarray:
    """The ranking, int32 (N,), canonical indices, most suspicious first, from its file."""
    m, d = inputs.m, inputs.d
    size = ranking.n_weights(m, d)
    lifted = one.key.level == LIFTED
    if one.source is not None:
        order = read_order(one.source, read_file(one.source, m, size))
        return neuron_weights(order, m, d) if lifted else order
    ((path, step),) = one.inputs
    if one.key.method in (CREDIT, POOLED):
        gains = storage.load_array(path, (np.float32,), (size,), storage.run_again(step))
        return ranking.rank_by(np.asarray(gains))
    length = m if lifted else size
    order = storage.load_array(path, (np.int32,), (length,), storage.run_again(step))
    return neuron_weights(order, m, d) if lifted else np.asarray(order)
