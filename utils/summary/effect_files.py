"""Write what transplants, layers and planted faults say across folds."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from utils.data.repeats import describe
from utils.judge.layers import swap as layers
from utils.judge.names import PLANTED_STEP, TRANSPLANT_STEP
from utils.judge.planted import fault as faults
from utils.judge.transplant import walk as transplant
from utils.run import storage
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary import fold_tables, latex, recovery
from utils.summary.figures import catalogue, styles
from utils.summary.figures import recovery as figures
from utils.summary.figures.catalogue import LOOK, Drawn
from utils.summary.figures.shared import WIDTHS
from utils.summary.figures.styles import Key, Styles
from utils.summary.levels import STAR
from utils.truth import CHANGE, REPAIR

LIFT = "lift@1%"
CAPTIONS = {
    "loss_against_k": "Loss on the test split that M1 recovers with M2's values in the first K% "
    "of the weights, setting 'all', mean over folds, logarithmic but near 0; dotted: K = "
    "1%. Black: rankings that know M2. "
    "A transplant needs M2 and repairs nothing. " + LOOK + STAR + ".",
    "repaired_and_broken": "Test samples that M1 gets right with M2's values in the first 1% of "
    "the weights and got wrong before (right, filled), and the other way round (left, hollow), "
    "mean over folds. Colours as in all figures. " + STAR + ".",
    "blocks": "Accuracy that M1 gains with M2's weights of one block, and that M2 loses with "
    "M1's, mean over folds: where in the network does the last epoch work?",
    "lift_and_recovery": "Each method's lift@1% by a truth against the loss that its first 1% "
    "recovers, settings averaged, mean over folds. Dashed: chance. " + LOOK + STAR + ".",
    "planted": "Lift of the planted weights among as many of each ranking, by kind of fault "
    "(filled: in whole neurons; hollow: in single weights), mean over faults and folds, "
    "logarithmic from chance (1). Colours as in all figures. " + STAR + ".",
    "verdicts": "Each method's place, the best on top, by the truths, by the loss recovered at "
    "1% and by planted faults. " + LOOK + STAR + ".",
}  # fmt: skip


def write(
    task: Task,
    paths: SummaryPaths,
    folds: list[FoldPaths],
    constants: dict[str, Any],
    files: dict[str, list[Path]],
) -> None:
    """Tables, figures and sentences of what there is; a part that no fold has is left out.

    files : the tables to be read, by the folds' names.
    """
    current = {path for tables in files.values() for path in tables}
    n_folds = constants["N_FOLDS"]
    moved = below(folds, current, "transplants", TRANSPLANT_STEP, transplant.COLUMNS)
    swapped = below(folds, current, "layers", TRANSPLANT_STEP, layers.COLUMNS)
    planted = below(folds, current, "planted_table", PLANTED_STEP, faults.COLUMNS)
    lifts = read_lifts(folds, current, constants["TRUTHS"])
    both = {}
    if len(moved):
        task.save_table(paths.table("transplant"), recovery.transplant_table(moved, n_folds))
        both = {truth: recovery.joined(table, moved) for truth, table in lifts.items()}
        both = {truth: table for truth, table in both.items() if len(table)}
    correlated = recovery.recovery_table(both, n_folds)
    if len(correlated):
        task.save_table(paths.table("recovery"), correlated)
    found = recovery.planted_table(planted, n_folds)
    if len(found):
        task.save_table(paths.table("planted"), found)
    places = recovery.verdicts_table(
        {truth: lifts[truth] for truth in (CHANGE, REPAIR) if truth in lifts}, moved, planted
    )
    agreement = recovery.verdict_agreement(places)
    task.save_table(paths.table("verdicts"), places)
    task.save_table(paths.table("verdicts_agreement"), agreement)
    rankings = method_rankings(folds, current, constants) or [list(by_place(places))]
    captions = {}
    for drawn in every_figure(moved, swapped, both, found, places, styles.assign(rankings)):
        catalogue.save(task, paths, drawn)
        captions[drawn.title] = drawn.caption
    said = recovery.sentences(correlated, found, agreement)
    if repeated := describe([fold.fold for fold in folds], n_folds):
        said.append(
            f"The folds are {repeated} of the same data; the corrected intervals allow for that."
        )
    below_figures = [f"{name}: {caption}" for name, caption in captions.items()]
    text = "\n".join(said) + "\n\n" + "\n\n".join(below_figures) + "\n"
    task.save_bytes(paths.effect_notes, text.encode())
    task.save_bytes(paths.latex_effect_captions, latex.figures(captions).encode())


def below(
    folds: list[FoldPaths], current: set[Path], table: str, step: int, columns: list[str]
) -> pd.DataFrame:
    """A table of every fold that has it among `current`, one below the other; else an empty one."""
    parts = [
        storage.read_table(getattr(fold, table), columns, step)
        for fold in folds
        if getattr(fold, table) in current
    ]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    if "method" in found:
        found["method"] = [storage.undefused(str(name)) for name in found["method"]]
    return found


def read_lifts(
    folds: list[FoldPaths], current: set[Path], truths: list[str]
) -> dict[str, pd.DataFrame]:
    """Lift@1% of every method by each truth that has it."""
    found = {}
    for truth in truths:
        files = [fold.judged("scores", truth) for fold in folds]
        tables = [
            fold_tables.read(file, ["setting", "level", "n"]) for file in files if file in current
        ]
        if tables and all(LIFT in table for table in tables):
            found[truth] = recovery.lifts_of(pd.concat(tables, ignore_index=True), LIFT)
    return found


def method_rankings(
    folds: list[FoldPaths], current: set[Path], constants: dict[str, Any]
) -> list[list[Key]]:
    """Methods by the primary metric of each truth, as step 7's summary of these folds has them."""
    found = []
    for truth in constants["TRUTHS"]:
        there = [fold for fold in folds if fold.judged("scores", truth) in current]
        if not there:
            continue
        scores = fold_tables.load_scores(there, truth)
        primary = fold_tables.spread_budgets(constants["COMPARED_METRICS"], scores.columns)[0]
        found.append(styles.ranked_by(scores, primary))
    return found


def by_place(verdicts: pd.DataFrame) -> Iterator[Key]:
    """Methods by their mean place, where no truth has been compared with."""
    order = verdicts.filter(like="place ").mean(axis=1).sort_values(kind="stable").index
    yield from verdicts.loc[order, recovery.KEYS].itertuples(index=False, name=None)


def every_figure(
    moved: pd.DataFrame,
    swapped: pd.DataFrame,
    both: dict[str, pd.DataFrame],
    planted: pd.DataFrame,
    verdicts: pd.DataFrame,
    map_: Styles,
    widths: Sequence[str] = tuple(WIDTHS),
) -> Iterator[Drawn]:
    """Each figure of steps 8 and 9 that has something to show.

    both : by truth, of `recovery.joined`. planted, verdicts : of the tables of these names.
    map_ : the one of step 7's figures.
    """
    makers = {
        "loss_against_k": (len(moved), figures.loss_against_k, moved),
        "repaired_and_broken": (len(moved), figures.repaired_and_broken, moved),
        "blocks": (len(swapped), figures.blocks, swapped),
        "lift_and_recovery": (len(both), figures.lift_and_recovery, both),
        "planted": (len(planted), figures.planted_lifts, planted),
        "verdicts": (
            len(recovery.verdict_names(verdicts)) > 1, figures.verdict_places, verdicts,
        ),
    }  # fmt: skip
    for name, (there, maker, table) in makers.items():
        for width in widths if there else ():
            yield Drawn(name, width, maker(table, map_, width), CAPTIONS[name])
