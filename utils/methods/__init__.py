"""Every FL method by name, with its level, its step and its function.

To add a method, add one entry to METHODS: the scripts, the tables and the
figures pick it up from there.
"""

from utils import pieces, ranking
from utils.methods import (
    arachne,
    baselines,
    expected_gradients,
    gradient_activation,
    integrated_gradients,
    interventions,
    mask,
    mean_difference,
    pruning,
    spectrum,
    variance,
)
from utils.methods import evidence as shared_evidence
from utils.methods.method import Method
from utils.model import gradients, states, tail

# Behind every method; its own function is recorded with it (utils.methods.fold).
COMMON = (states, tail, pieces, ranking, shared_evidence)

METHODS: dict[tuple[str, str], Method] = {
    ("neuron", "ig"): Method(
        "neuron",
        4,
        integrated_gradients.score_ig,
        (*COMMON, gradients, integrated_gradients),
        per_setting=False,
        constants=("IG_POINTS",),
    ),
    ("neuron", "grad_act"): Method(
        "neuron",
        4,
        gradient_activation.score_grad_act,
        (*COMMON, gradients, gradient_activation),
    ),
    ("neuron", "expected_gradients"): Method(
        "neuron",
        4,
        expected_gradients.score_expected_gradients,
        (*COMMON, gradients, integrated_gradients, expected_gradients),
        constants=("IG_POINTS", "SEED"),
    ),
    ("weight", "bl"): Method(
        "weight", 5, arachne.score_bl, (*COMMON, gradients, arachne), constants=("SEED",)
    ),
    ("weight", "grad_loss"): Method("weight", 5, arachne.score_grad_loss, (*COMMON, gradients)),
    ("weight", "forward_impact"): Method(
        "weight", 5, arachne.score_forward_impact, (*COMMON, gradients, arachne)
    ),
    ("weight", "magnitude"): Method(
        "weight",
        5,
        baselines.score_magnitude,
        (*COMMON, baselines),
        per_setting=False,
    ),
    ("weight", "wanda"): Method(
        "weight",
        5,
        baselines.score_wanda,
        (*COMMON, gradients, baselines),
        per_setting=False,
    ),
    ("weight", "snip"): Method(
        "weight", 5, pruning.score_snip, (*COMMON, gradients, baselines, pruning)
    ),
    ("weight", "fisher"): Method("weight", 5, pruning.score_fisher, (*COMMON, gradients, pruning)),
    ("weight", "obd"): Method(
        "weight", 5, pruning.score_obd, (*COMMON, gradients, baselines, pruning)
    ),
    ("neuron", "mean_act"): Method("neuron", 5, baselines.score_mean_act, (*COMMON, variance)),
    ("neuron", "act_variance"): Method(
        "neuron",
        5,
        baselines.score_act_variance,
        (*COMMON, variance, baselines),
    ),
    ("neuron", "zero_out"): Method(
        "neuron", 5, interventions.score_zero_out, (*COMMON, gradients, interventions)
    ),
    ("neuron", "care"): Method(
        "neuron", 5, interventions.score_care, (*COMMON, gradients, interventions)
    ),
    ("neuron", "mask"): Method(
        "neuron",
        5,
        mask.score_mask,
        (*COMMON, gradients, arachne, mask),
        constants=("SEED",),
        elsewhere_if="MASK_IN_EVERY_SETTING",
    ),
    ("neuron", "vdiff"): Method("neuron", 6, variance.score_neuron_vdiff, (*COMMON, variance)),
    ("neuron", "vdiff+mean_act"): Method(
        "neuron", 6, variance.score_vdiff_mean_act, (*COMMON, variance)
    ),
    ("weight", "vdiff"): Method(
        "weight", 6, variance.score_weight_vdiff, (*COMMON, gradients, variance)
    ),
    ("weight", "vdiff+mean_act+grad_loss"): Method(
        "weight",
        6,
        variance.score_vdiff_mean_act_grad,
        (*COMMON, gradients, variance),
        with_budget=variance.neuron_and_gradient,
        budget_reads=(("extra", "grad_loss"), ("score", "neuron", "vdiff+mean_act")),
    ),
    ("neuron", "mean_diff"): Method(
        "neuron", 6, mean_difference.score_mean_diff, (*COMMON, variance, mean_difference)
    ),
    ("neuron", "ochiai"): Method("neuron", 6, spectrum.score_ochiai, (*COMMON, spectrum)),
    ("neuron", "tarantula"): Method("neuron", 6, spectrum.score_tarantula, (*COMMON, spectrum)),
    ("neuron", "dstar"): Method("neuron", 6, spectrum.score_dstar, (*COMMON, spectrum)),
}
