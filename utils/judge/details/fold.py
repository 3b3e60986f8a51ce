"""What step 7 keeps of the setting `all` for the summary: permutation tests, places, curves."""

from types import ModuleType

import pandas as pd
from tqdm import tqdm

from utils import ranking
from utils.data.setting_names import ALL
from utils.judge.details import curves as details
from utils.judge.details import permutation
from utils.judge.scores.comparison import WEIGHT
from utils.judge.sources import Source, read_order, read_scores, shown_name
from utils.judge.truths import TruthOfFold
from utils.model.inputs import Inputs
from utils.run.cli import Job
from utils.truth import CHANGE


def write_permutations(
    job: Job,
    inputs: Inputs,
    truth: TruthOfFold,
    sources: list[Source],
    ns: list[int],
    code: tuple[ModuleType, ...],
) -> None:
    """Neuron-permutation tests of each method under `all`, and where its top 1% lies."""
    paths = job.paths
    task = inputs.ledger.task(
        "permutation" if truth.name == CHANGE else f"permutation/{truth.name}",
        inputs=[(truth.file(ALL), _step(truth)), *(path for s in sources for path in s.inputs)],
        constants=["POSITIVE_PERCENT", "K_PERCENTS", "SEED", "PERMUTATION_DRAWS"],
        parameters={"budgets": ns},
        code=(*code, permutation),
    )
    if task.done:
        return
    with task:
        given = truth.read(ALL)
        draws = job.constants["PERMUTATION_DRAWS"]
        relabellings = permutation.draw_relabellings(given.m, draws, job.seed)
        percent = job.constants["POSITIVE_PERCENT"]
        n_weights = given.weights.n_items
        whole = f"{percent:g}%"
        tops = {whole: ranking.share_of(percent, n_weights)}
        tops |= {f"n{n}": ranking.weight_budget(n, n_weights) for n in ns}
        theirs = {k: details.truth_rows(given, k) for k in set(tops.values())}
        bins = details.neuron_bins(given)
        head = {"ds": paths.ds, "fold": paths.fold, "setting": ALL}
        located = [
            head | {"level": WEIGHT, "method": details.TRUTH} | row
            for row in details.location_rows(details.positive_rows(given), bins, given.d)
        ]
        tested = []
        for source in tqdm(sources, desc="permutation test", unit="ranking"):
            scores = read_scores(source, given)
            row = head | {"level": details.shown_level(source.level), "method": shown_name(source)}
            for top, k in tops.items():
                mine = details.method_rows(scores, source.level, given, k)
                test = details.permutation_row(mine, theirs[k], k, relabellings)
                tested.append(row | {"top": top} | test)
                if top == whole:
                    where = details.location_rows(mine, bins, given.d)
                    located += [row | place for place in where]
        tests, places = (paths.judged(kind, truth.name) for kind in ("permutation", "locations"))
        task.save_table(tests, pd.DataFrame(tested, columns=details.PERMUTATION_COLUMNS))
        task.save_table(places, pd.DataFrame(located, columns=details.LOCATION_COLUMNS))
    job.log.info("wrote %s and %s", tests, places.name)


def write_curves(
    job: Job,
    inputs: Inputs,
    truth: TruthOfFold,
    sources: list[Source],
    ns: list[int],
    code: tuple[ModuleType, ...],
) -> None:
    """Cumulative gain of each method under `all`, from the first weight to the last."""
    paths = job.paths
    task = inputs.ledger.task(
        "curves" if truth.name == CHANGE else f"curves/{truth.name}",
        inputs=[(truth.file(ALL), _step(truth)), *(path for s in sources for path in s.inputs)],
        constants=["POSITIVE_PERCENT", "K_PERCENTS"],
        parameters={"budgets": ns},
        code=code,
    )
    if task.done:
        return
    with task:
        given = truth.read(ALL)
        ks = details.curve_ks(given.weights.n_items)
        curves = {(WEIGHT, details.IDEAL): details.ideal_curve(given, ks)}
        for source in tqdm(sources, desc="cumulative gain", unit="ranking"):
            scores = read_scores(source, given)
            order = read_order(source, scores) if source.level == WEIGHT else None
            key = details.shown_level(source.level), shown_name(source)
            curves[key] = details.method_curve(scores, order, source.level, given, ks)
        percents = 100 * ks / given.weights.n_items
        tables = [
            pd.DataFrame({"percent": percents, "k": ks, **curve}).assign(level=level, method=method)
            for (level, method), curve in curves.items()
        ]
        table = pd.concat(tables, ignore_index=True)
        table = table.assign(ds=paths.ds, fold=paths.fold, setting=ALL)
        task.save_table(paths.judged("curves", truth.name), table[details.CURVE_COLUMNS])
    job.log.info("wrote %s", paths.judged("curves", truth.name))


def _step(truth: TruthOfFold) -> int:
    return truth.inputs[0][1]
