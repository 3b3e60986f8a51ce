"""Step 9 on one fold: plant faults, run every method on the planted models (definitions 12)."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from utils import ranking
from utils.errors import UserError
from utils.judge import metrics, nulls, planted
from utils.judge.comparison import LIFTED, NEURON, WEIGHT
from utils.methods import METHODS
from utils.methods.chosen import chosen_methods
from utils.methods.evidence import Evidence
from utils.methods.method import Method
from utils.model import gradients, states, tail
from utils.model.inputs import M1, Inputs, open_inputs
from utils.model.states import States, cache_inputs, load_states, load_tail
from utils.model.tail import Tail, activation_function
from utils.run import pieces, storage
from utils.run.cli import Job
from utils.run.pieces import cpu_threads
from utils.run.stopwatch import Stopwatch
from utils.truth import REPAIR
from utils.truth.credits import TEST

STEP = 9
COLUMNS = [
    "ds", "fold", "kind", "fault", "src", "tgt", "n_weights", "steps", "accuracy_m1",
    "accuracy_planted", "n_neg", "n_pos", "level", "method", "precision@R", "lift@R", "ap",
    "ap/random", "auc", "first_hit",
]  # fmt: skip
REASON = "reason"
CODE = (planted, metrics, nulls, ranking, states, tail, gradients, pieces)


def require_ready(job: Job) -> None:
    """Refuse a fold whose states of either split are missing or stale."""
    if REPAIR not in job.constants["TRUTHS"]:
        raise UserError(
            "faults are planted with the test split, which only the truth 'repair' needs; "
            "add it to TRUTHS in utils/constants.py and run exp-fl-5-2.py again"
        )
    if not chosen_methods(METHODS, job.constants):
        raise UserError(
            "METHODS_TO_RUN in utils/constants.py names no method, and only methods of ours can be "
            "asked for planted faults; name some"
        )
    ledger = open_inputs(job).ledger
    for path, step in [*cache_inputs(job.paths), *cache_inputs(job.paths, TEST)]:
        ledger.require(path, step)


def plant_fold(job: Job, inputs: Inputs) -> pd.DataFrame:
    """Make the fold's table, fault by fault, or keep what is up to date."""
    given = cache(lambda: read_model(job, inputs))
    faults = list(planted.faults(job.constants["PLANTED_FAULTS"]))
    parts = [
        write_fault(job, inputs, kind, number, given)
        for kind, number in tqdm(faults, desc="planted faults", unit="fault")
    ]
    task = inputs.ledger.task("planted", inputs=[(path, STEP) for path in parts])
    if not task.done:
        with task:
            rows = [storage.read_table(path, [*COLUMNS, REASON], STEP) for path in parts]
            table = pd.concat(rows, ignore_index=True)
            table = table[table[REASON].isna()][COLUMNS]
            task.save_table(job.paths.planted_table, table)
        job.log.info("wrote %s", job.paths.planted_table)
    for path in parts:
        for line in storage.read_table(path, [REASON], STEP)[REASON].dropna():
            job.log.warning("%s", line)
    return read_planted(job.paths.planted_table)


def read_planted(path: Path) -> pd.DataFrame:
    """A fold's table, with the methods' own names."""
    table = storage.read_table(path, COLUMNS, STEP)
    table["method"] = [storage.undefused(str(name)) for name in table["method"]]
    return table


def read_model(job: Job, inputs: Inputs) -> tuple[Tail, States, States]:
    """M1's tail, and the states of the repair and of the test split."""
    m1 = load_tail(inputs.pair.m1)
    return m1, load_states(job.paths, m1), load_states(job.paths, m1, TEST)


def write_fault(job: Job, inputs: Inputs, kind: str, number: int, given: cache) -> Path:
    """One fault: its weights, their change, and its rows in a file of their own."""
    paths = job.paths
    rows_path = paths.planted(kind, number, "rows")
    methods = chosen_methods(METHODS, job.constants).values()
    task = inputs.ledger.task(
        f"{kind}{number}",
        inputs=[M1, *cache_inputs(paths), *cache_inputs(paths, TEST)],
        constants=["SEED", "IG_POINTS", "MIN_SAMPLES"],
        code=(
            *CODE,
            *dict.fromkeys(module for method in methods for module in method.code),
            *(method.function for method in methods),
            find_fault,
            judge_methods,
        ),
    )
    if task.done:
        return rows_path
    with task:
        watch = Stopwatch()
        m1, repair, test = given()
        head = {"ds": paths.ds, "fold": paths.fold, "kind": kind, "fault": number}
        plan = planted.draw(kind, job.seed, number, planted.class_counts(repair), m1.m, m1.d)
        found = find_fault(plan, m1, test, job.seed)
        if isinstance(found, str):
            rows = [head | {REASON: f"{paths.name}: no fault {kind}{number}: {found}"}]
        else:
            task.time(f"plant/{kind}{number}", watch.seconds)
            task.save_array(paths.planted(kind, number, "weights"), plan.weights)
            task.save_array(paths.planted(kind, number, "delta"), found.delta)
            rows = judge_fault(job, head, plan, found, repair)
        task.time(f"{kind}{number}", watch.seconds)
        table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, REASON])
        task.save_table(rows_path, table.astype({REASON: object}))
    return rows_path


def find_fault(plan: planted.Plan | None, m1: Tail, test: States, seed: int) -> planted.Fault | str:
    """The fault in place, or in words why there is none."""
    if plan is None:
        return f"M1 has {planted.LEAST_RIGHT} repair samples of no class right"
    if not np.any(test.labels == plan.src) or np.all(test.labels == plan.src):
        return f"the test split has no sample of class {plan.src}, or of no other"
    fault = planted.plant(m1, plan, test.h, test.labels, seed)
    if fault.reached:
        return fault
    return (
        f"{planted.MOST_STEPS} steps take {100 * fault.share:.0f}% of class {plan.src} for class "
        f"{plan.tgt}, not {100 * planted.ENOUGH:.0f}%"
    )


def judge_fault(
    job: Job, head: dict, plan: planted.Plan, fault: planted.Fault, repair: States
) -> list[dict]:
    """The rows of one fault, or one with the reason why it has none."""
    after = planted.planted_states(fault, repair)
    neg, pos = planted.samples_of(plan, repair, after)
    least = job.constants["MIN_SAMPLES"]
    if min(len(neg), len(pos)) < least:
        reason = (
            f"{job.paths.name}: no rows of fault {head['kind']}{head['fault']}: of the repair "
            f"samples of class {plan.src} that M1 has right {len(neg)} are taken for class "
            f"{plan.tgt} and {len(pos)} are right still; {least} of each are needed"
        )
        return [head | {REASON: reason}]
    head = head | {
        "src": plan.src,
        "tgt": plan.tgt,
        "n_weights": len(plan.weights),
        "steps": fault.steps,
        "accuracy_m1": float(np.mean(repair.logits.argmax(1) == repair.labels)),
        "accuracy_planted": float(np.mean(after.logits.argmax(1) == after.labels)),
        "n_neg": len(neg),
        "n_pos": len(pos),
    }
    evidence = Evidence(
        fault.tail, after, neg, pos, job.seed, job.constants["IG_POINTS"], fold_memo={}
    )
    methods = chosen_methods(METHODS, job.constants)
    return [head | row for row in judge_methods(methods, evidence, plan.weights)]


def judge_methods(
    methods: dict[tuple[str, str], Method], evidence: Evidence, weights: np.ndarray
) -> list[dict]:
    """Each method on a planted model: level, method and how well it finds `weights`."""
    d, m = evidence.tail.d, evidence.tail.m
    truth = planted.planted_truth(weights, ranking.n_weights(m, d))
    activation_function(evidence.tail.activation)
    rows = []
    for (level, name), method in methods.items():
        with cpu_threads(1):  # threads take whole pieces (utils.run.pieces)
            found = method.function(evidence)
        score, order = found.score, found.ranking
        if level == NEURON:
            score, order = ranking.lift(score, d), None
        order = ranking.rank_by(score) if order is None else order
        shown = LIFTED if level == NEURON else WEIGHT
        rows.append({"level": shown, "method": name} | planted.score_row(score, order, truth))
    return rows


def finding(table: pd.DataFrame) -> str:
    """Lift by kind, mean over faults and folds, as text for the terminal."""
    if not len(table):
        return "No fault could be planted; the lines above say why."
    lifts = table.pivot_table(
        index=["level", "method"], columns="kind", values="lift@R", sort=False
    )
    lifts = lifts.sort_values(lifts.columns[0], ascending=False, kind="stable").reset_index()
    text = lifts.to_string(index=False, na_rep="-", float_format="{:.2f}".format)
    return (
        "lift@R of the planted weights by kind of fault (1 is chance), mean over faults and "
        f"folds:\n{text}"
    )
