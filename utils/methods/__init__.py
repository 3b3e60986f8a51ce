"""Every FL method by name, with its level, its step and its function.

To add a method, add one entry to METHODS: the scripts, the tables and the
figures pick it up from there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from utils import ranking
from utils.methods import arachne, baselines, integrated_gradients, variance
from utils.methods import evidence as shared_evidence
from utils.methods.evidence import Evidence
from utils.model import gradients, states, tail


@dataclass(frozen=True)
class Scores:
    """What a method returns: suspiciousness (m,) or (N,), float32, higher is more suspicious.

    ranking : given only where the method orders the items itself.
    extras : arrays to keep beside the scores, by file stem (SPEC section 4).
    notes : lines for the log.
    """

    score: np.ndarray
    ranking: np.ndarray | None = None
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """One FL method.

    per_setting : False if the setting's samples do not matter; it then stands under `all` alone.
    constants : names of the constants (utils.constants) that its numbers depend on.
    with_budget : for a method whose scores, and not only their first entries,
        depend on n: (arrays of `budget_reads`, d, n) -> scores (N,).
    budget_reads : what it reads of its setting, as names of a method of FoldPaths
        and that method's arguments.
    """

    level: str
    step: int
    function: Callable[[Evidence], Scores]
    code: tuple[ModuleType, ...]
    per_setting: bool = True
    constants: tuple[str, ...] = ()
    with_budget: Callable[..., np.ndarray] | None = None
    budget_reads: tuple[tuple[str, ...], ...] = ()


def ig(evidence: Evidence) -> Scores:
    result = integrated_gradients.integrated_gradients(
        evidence.tail, evidence.states, evidence.everyone, evidence.ig_points
    )
    gap = result.gap
    note = (
        f"ig completeness gap |sum_j ig_j - (P(a) - P(0))| over {len(gap):,} samples: "
        f"mean {gap.mean():.2e}, median {np.median(gap):.2e}, max {gap.max():.2e}"
    )
    return Scores(result.score, extras={"ig_completeness_gap": gap}, notes=(note,))


def bl(evidence: Evidence) -> Scores:
    sample = arachne.sample_positives(evidence.pos, len(evidence.neg), evidence.seed)
    grad_pos = gradients.mean_loss_gradient(evidence.tail, evidence.states, sample)
    impact_pos = arachne.forward_impact(evidence.tail, evidence.states, sample)
    loss = arachne.relative(np.abs(evidence.grad_loss), np.abs(grad_pos))
    impact = arachne.relative(evidence.impact, impact_pos)
    front = arachne.pareto_front(loss, impact)
    return Scores(
        arachne.combine(loss, impact),
        extras={"weight_bl_pareto": front, "bl_pos_sample": sample},
        notes=(f"bl: {len(front):,} weights on the Pareto front, |pos'| = {len(sample):,}",),
    )


def neuron_vdiff(evidence: Evidence) -> Scores:
    v_pos, v_neg = evidence.v("a", "pos"), evidence.v("a", "neg")
    return Scores(variance.vdiff(v_pos, v_neg), extras={"vscore_cor": v_pos, "vscore_mis": v_neg})


def vdiff_mean_act(evidence: Evidence) -> Scores:
    score = variance.half_and_half(evidence.vdiff("a"), evidence.mean_act)
    return Scores(score, extras={"mean_act_mis": evidence.mean_act})


def weight_vdiff(evidence: Evidence) -> Scores:
    score, order = variance.weight_vdiff(*(evidence.vdiff(group) for group in "uay"))
    return Scores(score, ranking=order)


def vdiff_mean_act_grad(evidence: Evidence) -> Scores:
    neuron_score = variance.half_and_half(evidence.vdiff("a"), evidence.mean_act)
    score = variance.neuron_and_gradient(evidence.grad_loss, neuron_score, evidence.tail.d)
    return Scores(score, extras={"grad_loss": evidence.grad_loss})


def grad_loss(evidence: Evidence) -> Scores:
    return Scores(np.abs(evidence.grad_loss))


def forward_impact(evidence: Evidence) -> Scores:
    return Scores(evidence.impact)


def magnitude(evidence: Evidence) -> Scores:
    return Scores(baselines.weight_magnitude(evidence.tail))


def wanda(evidence: Evidence) -> Scores:
    return Scores(baselines.wanda(evidence.tail, evidence.states, evidence.everyone))


def mean_act(evidence: Evidence) -> Scores:
    return Scores(evidence.mean_act)


def act_variance(evidence: Evidence) -> Scores:
    return Scores(baselines.activation_variance(evidence.states.a, evidence.neg, evidence.mean_act))


# Behind every method; its own function is recorded with it (utils.methods.localisation).
COMMON = (states, tail, ranking, shared_evidence)

METHODS: dict[tuple[str, str], Method] = {
    ("neuron", "ig"): Method(
        "neuron",
        4,
        ig,
        (*COMMON, integrated_gradients),
        per_setting=False,
        constants=("IG_POINTS",),
    ),
    ("weight", "bl"): Method("weight", 5, bl, (*COMMON, gradients, arachne), constants=("SEED",)),
    ("weight", "grad_loss"): Method("weight", 5, grad_loss, (*COMMON, gradients)),
    ("weight", "forward_impact"): Method(
        "weight", 5, forward_impact, (*COMMON, gradients, arachne)
    ),
    ("weight", "magnitude"): Method(
        "weight",
        5,
        magnitude,
        (*COMMON, baselines),
        per_setting=False,
    ),
    ("weight", "wanda"): Method(
        "weight",
        5,
        wanda,
        (*COMMON, gradients, baselines),
        per_setting=False,
    ),
    ("neuron", "mean_act"): Method("neuron", 5, mean_act, (*COMMON, variance)),
    ("neuron", "act_variance"): Method(
        "neuron",
        5,
        act_variance,
        (*COMMON, variance, baselines),
    ),
    ("neuron", "vdiff"): Method("neuron", 6, neuron_vdiff, (*COMMON, variance)),
    ("neuron", "vdiff+mean_act"): Method("neuron", 6, vdiff_mean_act, (*COMMON, variance)),
    ("weight", "vdiff"): Method("weight", 6, weight_vdiff, (*COMMON, gradients, variance)),
    ("weight", "vdiff+mean_act+grad_loss"): Method(
        "weight",
        6,
        vdiff_mean_act_grad,
        (*COMMON, gradients, variance),
        with_budget=variance.neuron_and_gradient,
        budget_reads=(("extra", "grad_loss"), ("score", "neuron", "vdiff+mean_act")),
    ),
}
