"""What a constant of utils/constants.py has to be, and which values are in force."""

import argparse
import re
from typing import Any

from utils import constants as user_constants
from utils.errors import UserError
from utils.run.profile_rules import check_profiles, check_value
from utils.run.rules import Rule, is_list_of, is_number, is_text, meant, or_none, whole

TRUTH_NAMES = ("change", "pooled", "repair")
FILE = "utils/constants.py"
ALIKE = 0.8
SEED_RULE: Rule = (
    lambda value: type(value) is int and 0 <= value < 2**31,
    "a whole number from 0 to below 2**31",
)
# What a constant has to be: a test and the words for it.
RULES: dict[str, Rule] = {
    "DEFAULT_DS": (is_text, "a name of PROFILES"),
    "FOLDS": (
        lambda value: is_list_of(value, whole(0)[0]),
        "different fold numbers, like (0, 1)",
    ),
    "N_FOLDS": whole(2),
    "REPEATS": whole(1),
    "SPLIT_SEED": SEED_RULE,
    "SEED": SEED_RULE,
    "M1_STEP": or_none(whole(0)),
    "M2_STEP": or_none(whole(0)),
    "NEURON_BUDGET": or_none(whole(1)),
    "METHODS_TO_RUN": (
        lambda value: value in ("all", (), []) or is_list_of(value, is_text),
        '"all", or names of different methods, like ("ig", "bl")',
    ),
    "MASK_IN_EVERY_SETTING": (lambda value: type(value) is bool, "True or False"),
    "IG_POINTS": whole(1),
    "MIN_SAMPLES": whole(2),
    "TOP_RANKS": whole(0),
    "TRUTHS": (
        lambda value: is_list_of(value, lambda name: name in TRUTH_NAMES),
        f"different ones of {', '.join(TRUTH_NAMES)}, like ('change', 'repair')",
    ),
    "POSITIVE_PERCENT": (
        lambda value: is_number(value) and 0 < value < 100,
        "a percentage above 0 and below 100",
    ),
    "K_PERCENTS": (
        lambda value: is_list_of(value, lambda k: is_number(k) and 0 < k <= 100),
        "different percentages, like (1, 10)",
    ),
    "WITH_KENDALL": (lambda value: type(value) is bool, "True or False"),
    "REFERENCES": (
        lambda value: value in ((), []) or is_list_of(value, is_text),
        'names of different methods, like ("random", "bl")',
    ),
    "COMPARED_METRICS": (
        lambda value: is_list_of(value, is_text),
        'names of different columns, like ("lift@1%",)',
    ),
    "PERMUTATION_DRAWS": whole(1),
    "BOOTSTRAP_DRAWS": whole(1),
    "PLANTED_FAULTS": whole(1),
    "PLANTED_PERCENTS": (
        lambda value: is_list_of(value, lambda k: is_number(k) and 0 < k < 100),
        "different percentages above 0 and below 100, like (1, 5)",
    ),
    "LAYER_SAMPLES": whole(0),
    "RETRAIN_PERCENTS": (
        lambda value: is_list_of(value, lambda k: is_number(k) and 0 < k <= 100),
        "different percentages, like (1, 10)",
    ),
    "RETRAIN_SETTINGS": (
        lambda value: is_list_of(value, is_text),
        'names of different settings, like ("all", "tgt_top1")',
    ),
    "FIGURE_WIDTHS": (
        lambda value: is_list_of(value, lambda name: name in ("1col", "2col")),
        'one or both of "1col" and "2col", like ("1col",)',
    ),
    "FIGURE_FORMATS": (
        lambda value: is_list_of(value, lambda name: name in ("png", "pdf")),
        'one or both of "png" and "pdf", like ("png",)',
    ),
    "INFERENCE_BATCH_SIZE": or_none(whole(1)),
    "INFERENCE_PRECISION": (lambda value: value in ("fp32", "bf16"), '"fp32" or "bf16"'),
    "PREPROCESSING_WORKERS": or_none(whole(0)),
}
# What COMPARED_METRICS may name, as step 7 calls it: with a K, and without.
METRICS_AT_K = ("precision", "recall", "f1", "overlap", "lift", "lift_stratified", "ndcg", "mass")
WHOLE_METRICS = ("ap", "ap/random", "auc", "spearman", "kendall")
LESS_IS_BETTER = ("first_hit", "first_hit_best", "first_hit_worst", "exam")


def check_constants() -> None:
    """Refuse values in utils/constants.py that cannot be meant, alone or together."""
    given = vars(user_constants)
    others = [name for name in given if name.isupper() and name not in {*RULES, "PROFILES"}]
    for name in others:
        if hint := meant(name, RULES, ALIKE):  # any other name may be the user's own
            raise UserError(f"{name} in {FILE} is no constant that a step reads{hint}")
    for name, rule in RULES.items():
        if name not in given:
            raise UserError(f"{name} is not in {FILE}{meant(name, others)}; expected {rule[1]}")
        check_value(given[name], rule, f"{name} in {FILE}")
    check_profiles(given.get("PROFILES"))
    check_folds(given)
    for metric in given["COMPARED_METRICS"]:
        check_metric(metric, given["K_PERCENTS"], given["WITH_KENDALL"])


def check_folds(given: dict[str, Any]) -> None:
    """DEFAULT_DS and FOLDS name what there is."""
    if given["DEFAULT_DS"] not in given["PROFILES"]:
        raise UserError(
            f"DEFAULT_DS in {FILE} is {given['DEFAULT_DS']!r}; expected one of PROFILES: "
            f"{', '.join(given['PROFILES'])}"
        )
    last, repeats = max(given["FOLDS"]), given["REPEATS"]
    if last >= repeats * given["N_FOLDS"]:
        limit = "N_FOLDS" if repeats == 1 else "REPEATS x N_FOLDS"
        raise UserError(
            f"FOLDS in {FILE} has {last}; expected folds below {limit}, which is "
            f"{repeats * given['N_FOLDS']}{more_repeats(last, given['N_FOLDS'])}"
        )


def more_repeats(fold: int, n_folds: int) -> str:
    """What REPEATS has to be for a fold to exist, as the end of a message."""
    return f"; REPEATS = {fold // n_folds + 1} has fold {fold}"


def check_metric(metric: str, percents: list[float], with_kendall: bool) -> None:
    """Refuse a metric of COMPARED_METRICS that step 7 would not compute."""
    named = f"COMPARED_METRICS in {FILE} names {metric!r}"
    base, at, label = metric.partition("@")
    if metric in LESS_IS_BETTER:
        raise UserError(
            f"{named}, of which less is better: differences, effect sizes and ranks would read "
            "the wrong way round; expected one of which more is better"
        )
    if not (base in METRICS_AT_K if at else metric in WHOLE_METRICS):
        known = [*(f"{name}@<K>" for name in METRICS_AT_K), *WHOLE_METRICS]
        raise UserError(f"{named}, which is none; expected one of {', '.join(known)}")
    labels = [f"{percent:g}%" for percent in percents]
    if at and label not in labels and not re.fullmatch(r"n(=\d+)?", label):
        raise UserError(
            f"{named}, but K_PERCENTS has no {label}; expected {base}@ with one of "
            f"{', '.join([*labels, 'n'])}"
        )
    if metric == "kendall" and not with_kendall:
        raise UserError(f"{named}, which weights have with WITH_KENDALL = True; expected both")


def constants_in_force(args: argparse.Namespace) -> dict[str, Any]:
    """The user's constants, with what the command line overrides."""
    values = {
        name: getattr(user_constants, name)
        for name in dir(user_constants)
        if name.isupper() and name not in ("PROFILES", "DEFAULT_DS", "FOLDS")
    }
    for name, value in vars(args).items():
        if name.upper() in values and value is not None:
            values[name.upper()] = value
    return values
