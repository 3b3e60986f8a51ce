"""Step 8 on one fold: M2's values in the first weights of every ranking, and M1's put back
(definitions 11).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from utils import ranking
from utils.data.setting_names import ALL
from utils.data.settings import SETTINGS_STEP, read_test_failures
from utils.judge.names import (
    RANDOM,
    TRANSPLANT_STEP,
    WEIGHT,
)
from utils.judge.rankings.files import require_all
from utils.judge.rankings.source import ScoreSource
from utils.judge.rankings.weights_of_fold import WeightRanking, order_of_weights, weight_rankings
from utils.judge.transplant import walk as transplant
from utils.judge.transplant.m2_states import ensure_m2_states, m2_state_inputs, read_m2
from utils.judge.transplant.walk import ELSEWHERE, PERCENTS, WHOLE
from utils.model import checkpoints
from utils.model.caches import load_states, load_tail
from utils.model.inputs import M1, M1_FFN, M2, M2_FFN, Inputs
from utils.ranking import RankingKey
from utils.run import shown, storage
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch
from utils.truth.repair.fold import TEST, state_inputs

DRAWS = 10


@dataclass(frozen=True)
class Way:
    """M2's values into M1, or M1's back into M2 (under `all` alone).

    suffix : of its files' names. made_from : what its receiver and its donor are read from.
    receiver : reads them, once, and only where they are needed.
    """

    suffix: str
    made_from: tuple[str | tuple[Path, int], ...]
    receiver: Callable[[], transplant.Receiver]

    @property
    def back(self) -> bool:
        return self.suffix != ""


def find_rankings(
    job: Job, inputs: Inputs, settings: list[str], sources: list[ScoreSource]
) -> list[WeightRanking]:
    """Every method's whole ranking of each setting, and what stands beside the methods.

    sources : the score files of the fold.

    Raises
    ------
    UserError : credits, truths or states of the test split are missing or stale.
    """
    paths, ledger = job.paths, inputs.ledger
    require_all(ledger, [*state_inputs(job), *((paths.neg_test(s), 2) for s in settings)])
    found = weight_rankings(job, settings, sources)
    found.append(WeightRanking(RankingKey(ALL, WEIGHT, RANDOM), tuple(settings)))
    require_all(ledger, [item for one in found for item in one.inputs])
    return found


def transplant_all(job: Job, inputs: Inputs, rankings: list[WeightRanking]) -> None:
    """Make the fold's two tables, ranking by ranking, or keep what is up to date."""
    ks = transplant.percents_of(
        list(PERCENTS), job.budgets(inputs.d, inputs.m), ranking.n_weights(inputs.m, inputs.d)
    )
    states = state_inputs(job)
    forth = Way("", (M1, M2_FFN, *states), cache(lambda: read_receiver(job, inputs)))
    walk_all(job, inputs, forth, rankings, ks)
    ensure_m2_states(job, inputs)
    states = [*states, *m2_state_inputs(job)]  # the labels are M1's cache's
    back = Way("_back", (M2, M1_FFN, *states), cache(lambda: read_receiver_back(job, inputs)))
    under_all = [replace(one, settings=(ALL,)) for one in rankings if one.key.setting == ALL]
    walk_all(job, inputs, back, under_all, ks)


def walk_all(
    job: Job, inputs: Inputs, way: Way, rankings: list[WeightRanking], ks: dict[float, int]
) -> None:
    """The table of one way."""
    write_ends(job, inputs, way)
    words = "transplants back" if way.back else "transplants"
    bar = tqdm(rankings, desc=words, unit="ranking")
    parts = [write_rows(job, inputs, way, one, ks) for one in bar]
    write_table(job, inputs, way, rankings, parts)


def read_receiver(job: Job, inputs: Inputs) -> transplant.Receiver:
    """M1, and M2's matrices to be put into it."""
    m1 = load_tail(inputs.pair.m1)
    m2 = checkpoints.read_ffn(inputs.pair.m2)
    return transplant.make_receiver(m1, *m2, load_states(job.paths, m1, TEST))


def read_receiver_back(job: Job, inputs: Inputs) -> transplant.Receiver:
    """M2 with its own states, and M1's matrices to be put back into it."""
    labels = load_states(job.paths, load_tail(inputs.pair.m1), TEST).labels
    m2, states = read_m2(job, inputs, np.array(labels))
    return transplant.make_receiver(m2, *checkpoints.read_ffn(inputs.pair.m1), states)


def write_ends(job: Job, inputs: Inputs, way: Way) -> None:
    """The receiver, and it with both matrices of the donor: where every ranking begins and ends."""
    paths = job.paths
    task = inputs.ledger.task(
        f"ends{way.suffix}",
        inputs=[*way.made_from, (paths.neg_test(ALL), SETTINGS_STEP)],
        makes=write_ends,
    )
    if task.done:
        return
    with task:
        given = way.receiver()
        order = np.arange(given.n_weights, dtype=np.int32)
        failing = read_test_failures(paths, ALL, len(given.labels))
        ends = {0.0: 0, float(WHOLE): given.n_weights}
        found = transplant.effects(given, order, ends, {ALL: (failing, set(ends))})
        task.save_table(paths.transplant_ends(way.suffix), found.assign(samples=len(given.labels)))


def write_rows(
    job: Job, inputs: Inputs, way: Way, one: WeightRanking, ks: dict[float, int]
) -> Path:
    """The rows of one ranking, in a file of its own: a killed step goes on with the next."""
    paths = job.paths
    path = paths.transplant(*one.key, way.suffix)
    failing = [(paths.neg_test(setting), SETTINGS_STEP) for setting in one.settings]
    elsewhere = [percent for percent in ks if percent == ELSEWHERE or percent not in PERCENTS]
    task = inputs.ledger.task(
        "/".join(one.key) + way.suffix,
        inputs=[*way.made_from, *failing, *one.inputs],
        constants=["SEED"] if is_random(one) else [],
        parameters={"ks": [[percent, k] for percent, k in ks.items()]},
        makes=write_rows,
    )
    if task.done:
        return path
    with task:
        given = way.receiver()
        watch = Stopwatch()
        targets = {
            setting: (
                read_test_failures(paths, setting, len(given.labels)),
                set(ks) if setting == ALL else set(elsewhere),
            )
            for setting in one.settings
        }
        found = [
            transplant.effects(given, order, ks, targets) for order in orders(job, inputs, one)
        ]
        name = f"{one.key.level}/{one.key.method}{' (back)' if way.back else ''}"
        task.time(name, watch.seconds, one.key.setting)
        task.save_table(path, transplant.mean_effects(found))
    return path


def is_random(one: WeightRanking) -> bool:
    return one.source is None and one.key.method == RANDOM


def orders(job: Job, inputs: Inputs, one: WeightRanking) -> Iterator[np.ndarray]:
    """The ranking of the weights, int32 (N,), canonical indices; several of `random`."""
    if is_random(one):
        size = ranking.n_weights(inputs.m, inputs.d)
        yield from transplant.random_orders(job.seed, DRAWS, size)
    else:
        yield order_of_weights(inputs, one)


def write_table(
    job: Job, inputs: Inputs, way: Way, rankings: list[WeightRanking], parts: list[Path]
) -> None:
    """The table of one way; the whole transplant, which is one for all, ends each ranking."""
    paths = job.paths
    ends_file, path = paths.transplant_ends(way.suffix), paths.transplant_table(way.suffix)
    task = inputs.ledger.task(
        f"transplant{way.suffix}",
        inputs=[(part, TRANSPLANT_STEP) for part in (ends_file, *parts)],
        makes=write_table,
    )
    if task.done:
        return
    with task:
        ends = storage.read_table(ends_file, ["loss", "samples"], TRANSPLANT_STEP)
        losses = [float(loss) for loss in ends["loss"]]
        last = ends.iloc[[1]].drop(columns="samples")
        found = []
        for one, part in zip(rankings, parts, strict=True):
            rows = storage.read_table(part, ["setting", "k", "loss"], TRANSPLANT_STEP)
            whole = [last] if one.key.setting == ALL else []
            rows = pd.concat([rows, *whole], ignore_index=True)
            found.append(rows.assign(level=one.key.level, method=one.key.method))
        table = transplant.finish(
            pd.concat(found, ignore_index=True), paths.ds, paths.fold, int(ends["samples"][0]),
            *losses, back=way.back,
        )  # fmt: skip
        table = transplant.in_order(table, list(dict.fromkeys(one.key.setting for one in rankings)))
        task.save_table(path, table)
        if (losses[1] <= losses[0]) if way.back else (losses[1] >= losses[0]):
            words = (
                "M1's two matrices do not raise M2's"
                if way.back
                else ("M2's two matrices do not lower M1's")
            )
            job.log.warning(
                "%s loss on the test split (%.4g, then %.4g): there is no share of it to %s",
                words, *losses, "lose" if way.back else "recover",
            )  # fmt: skip
    job.log.info("wrote %s", path)


def read_transplants(path: Path) -> pd.DataFrame:
    """A fold's table of either way, with the methods' own names."""
    table = storage.read_table(path, transplant.COLUMNS, TRANSPLANT_STEP)
    table["method"] = [storage.undefused(str(name)) for name in table["method"]]
    return table


def finding(rows: pd.DataFrame, back: pd.DataFrame) -> str:
    """Loss recovered, and lost on the way back, at 1% under `all`, mean over folds, as text.

    rows, back : of `read_transplants`, of several folds.
    """
    columns = ["loss_recovered", "share_recovered", "repaired", "broken"]
    lost = {"loss_recovered": "loss_lost", "share_recovered": "share_lost"}
    mean = at_one_under_all(rows, columns).join(
        at_one_under_all(back, list(lost)).rename(columns=lost)
    )
    return (
        "A transplant needs M2: it checks a localisation, and is no method of repair.\n"
        f"M1 with M2's values in the first {ELSEWHERE}% of the weights of each ranking under the "
        f"setting '{ALL}', on the test split, and what M2 loses with M1's values there; mean over "
        f"folds:\n{shown.as_text(mean.reset_index())}"
    )


def at_one_under_all(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Mean over folds by (level, method)."""
    rows = rows[(rows["setting"] == ALL) & (rows["k_percent"] == ELSEWHERE)]
    return rows.groupby(["level", "method"], sort=False)[columns].mean()
