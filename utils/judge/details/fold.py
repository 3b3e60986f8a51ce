"""What step 7 keeps of the setting `all` for the summary: permutation tests, places, curves."""

import pandas as pd
from tqdm import tqdm

from utils import ranking
from utils.data.setting_names import ALL
from utils.judge.details import curves, permutation
from utils.judge.names import IDEAL, TRUTH, WEIGHT, shown_level
from utils.judge.rankings.files import read_order, read_scores
from utils.judge.rankings.source import Rankings, files_of
from utils.judge.references.fold import reference_sources
from utils.judge.scores.ground_truth import GroundTruth
from utils.judge.truth_files import TruthFiles, task_name
from utils.model.inputs import Inputs
from utils.run.cli import Job


def write_permutations(job: Job, inputs: Inputs, truth: TruthFiles, rankings: Rankings) -> None:
    """Neuron-permutation tests of each method under `all`, and where its top 1% lies."""
    paths, sources = job.paths, rankings.whole_under(ALL)
    task = inputs.ledger.task(
        task_name("permutation", truth.name),
        inputs=[truth.file_under_all, *files_of(sources)],
        constants=["POSITIVE_PERCENT", "K_PERCENTS", "SEED", "PERMUTATION_DRAWS"],
        parameters={"budgets": list(truth.ns)},
        makes=[write_permutations, reference_sources],
    )
    if task.done:
        return
    with task:
        given = truth.read(ALL)
        draws = job.constants["PERMUTATION_DRAWS"]
        relabellings = permutation.draw_relabellings(given.m, draws, job.seed)
        tops = tops_of(given, job.constants["POSITIVE_PERCENT"], truth.ns)
        theirs = {k: curves.truth_rows(given, k) for k in set(tops.values())}
        bins = curves.neuron_bins(given)
        head = {"ds": paths.ds, "fold": paths.fold, "setting": ALL}
        located = [
            head | {"level": WEIGHT, "method": TRUTH} | row
            for row in curves.location_rows(curves.positive_rows(given), bins, given.d)
        ]
        tested = []
        for source in tqdm(sources, desc="permutation test", unit="ranking"):
            scores, level = read_scores(source, given), source.key.level
            row = head | {"level": shown_level(level), "method": source.shown_name}
            for top, k in tops.items():
                mine = curves.method_rows(scores, level, given, k)
                test = curves.permutation_row(mine, theirs[k], k, relabellings)
                tested.append(row | {"top": top} | test)
                if top == next(iter(tops)):
                    where = curves.location_rows(mine, bins, given.d)
                    located += [row | place for place in where]
        tests, places = (paths.judged(kind, truth.name) for kind in ("permutation", "locations"))
        task.save_table(tests, pd.DataFrame(tested, columns=curves.PERMUTATION_COLUMNS))
        task.save_table(places, pd.DataFrame(located, columns=curves.LOCATION_COLUMNS))
    job.log.info("wrote %s and %s", tests, places.name)


def tops_of(truth: GroundTruth, percent: float, ns: tuple[int, ...]) -> dict[str, int]:
    """How many weights each tested top has, by its name: the positives' share, then budgets."""
    n_weights = truth.weights.n_items
    tops = {f"{percent:g}%": ranking.share_of(percent, n_weights)}
    return tops | {f"n{n}": ranking.weight_budget(n, n_weights) for n in ns}


def write_curves(job: Job, inputs: Inputs, truth: TruthFiles, rankings: Rankings) -> None:
    """Cumulative gain of each method under `all`, from the first weight to the last."""
    paths, sources = job.paths, rankings.whole_under(ALL)
    task = inputs.ledger.task(
        task_name("curves", truth.name),
        inputs=[truth.file_under_all, *files_of(sources)],
        constants=["POSITIVE_PERCENT", "K_PERCENTS"],
        parameters={"budgets": list(truth.ns)},
        makes=[write_curves, reference_sources],
    )
    if task.done:
        return
    with task:
        given = truth.read(ALL)
        ks = curves.curve_ks(given.weights.n_items)
        found = {(WEIGHT, IDEAL): curves.ideal_curve(given, ks)}
        for source in tqdm(sources, desc="cumulative gain", unit="ranking"):
            scores, level = read_scores(source, given), source.key.level
            order = read_order(source, scores) if level == WEIGHT else None
            key = shown_level(level), source.shown_name
            found[key] = curves.method_curve(scores, order, level, given, ks)
        percents = 100 * ks / given.weights.n_items
        tables = [
            pd.DataFrame({"percent": percents, "k": ks, **curve}).assign(level=level, method=method)
            for (level, method), curve in found.items()
        ]
        table = pd.concat(tables, ignore_index=True)
        table = table.assign(ds=paths.ds, fold=paths.fold, setting=ALL)
        task.save_table(paths.judged("curves", truth.name), table[curves.CURVE_COLUMNS])
    job.log.info("wrote %s", paths.judged("curves", truth.name))
