"""One planted fault of a fold in step 9, and what methods make of it (definitions 12)."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from utils import pieces, ranking
from utils.judge.planted import plant as planted
from utils.judge.scores import metrics, nulls
from utils.judge.scores.comparison import LIFTED, NEURON, WEIGHT
from utils.methods.evidence import Evidence
from utils.methods.method import Method
from utils.model import gradients, states, tail
from utils.model.caches import cache_inputs, load_states, load_tail
from utils.model.inputs import M1, Inputs
from utils.model.states import States
from utils.model.tail import Tail, activation_function
from utils.pieces import cpu_threads
from utils.run.cli import Job
from utils.run.task import Task
from utils.truth.credit_of_fold import TEST

STEP = 9
COLUMNS = [
    "ds", "fold", "kind", "fault", "src", "tgt", "n_weights", "steps", "accuracy_m1",
    "accuracy_planted", "n_neg", "n_pos", "level", "method", "precision@R", "lift@R", "ap",
    "ap/random", "auc", "first_hit",
]  # fmt: skip
REASON = "reason"
CODE = (planted, metrics, nulls, ranking, states, tail, gradients, pieces)


class Faults:
    """The faults of a fold: each planted when it is asked for, the last one kept."""

    def __init__(self, job: Job, inputs: Inputs) -> None:
        self.job = job
        self._m1 = inputs.pair.m1
        self._last: tuple[tuple[str, int], tuple] | None = None

    @cached_property
    def model(self) -> tuple[Tail, States, States]:
        """M1's tail, and the states of the repair and of the test split."""
        m1, paths = load_tail(self._m1), self.job.paths
        return m1, load_states(paths, m1), load_states(paths, m1, TEST)

    def plant(self, kind: str, number: int) -> tuple[planted.Plan | None, planted.Fault | str]:
        """What was to be planted, and what came of it."""
        if self._last is None or self._last[0] != (kind, number):
            m1, repair, test = self.model
            right = planted.class_counts(repair)
            plan = planted.draw(kind, self.job.seed, number, right, m1.m, m1.d)
            self._last = (kind, number), (plan, find_fault(plan, m1, test, self.job.seed))
        return self._last[1]

    def head(self, kind: str, number: int) -> dict[str, str | int]:
        paths = self.job.paths
        return {"ds": paths.ds, "fold": paths.fold, "kind": kind, "fault": number}


def fault_recipe(job: Job) -> dict[str, Any]:
    """Keywords of `Ledger.task` for what decides where a fault is and what it does."""
    paths = job.paths
    return {
        "inputs": [M1, *cache_inputs(paths), *cache_inputs(paths, TEST)],
        "constants": ["SEED", "IG_POINTS", "MIN_SAMPLES"],
        "code": (*CODE, find_fault, judge_methods),
    }


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
    job: Job,
    head: dict,
    plan: planted.Plan,
    fault: planted.Fault,
    repair: States,
    methods: dict[tuple[str, str], Method],
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
        with cpu_threads(1):  # threads take whole pieces (utils.pieces)
            found = method.function(evidence)
        score, order = found.score, found.ranking
        if level == NEURON:
            score, order = ranking.lift(score, d), None
        order = ranking.rank_by(score) if order is None else order
        shown = LIFTED if level == NEURON else WEIGHT
        rows.append({"level": shown, "method": name} | planted.score_row(score, order, truth))
    return rows


def save_rows(task: Task, path: Path, rows: list[dict]) -> None:
    table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, REASON])
    task.save_table(path, table.astype({REASON: object}))
