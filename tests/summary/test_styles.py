"""One colour and one marker for each method: which get one, and that every figure keeps it."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from utils.judge.names import CEILING, CONTROL, LIFTED, NEURON, OPTIMIZER_STEP, ORACLE, WEIGHT
from utils.methods import METHODS
from utils.summary.figures import shared, styles

OURS = [(LIFTED if level == NEURON else level, name) for level, name in METHODS]
# Machado, Oliveira and Fernandes (2009): protanopia, deuteranopia, tritanopia; linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                   [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip


def lab(colour, blindness):
    """CIE L*a*b* of a colour as somebody sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(BLINDNESS[blindness]) @ linear, 0, 1)
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116
               for v in TO_XYZ @ seen / [0.95047, 1, 1.08883])  # fmt: skip
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colours_stay_apart_for_everybody(blindness):
    colours = [lab(c, blindness) for c in (*styles.COLOURS, styles.GREY, styles.BLACK)]
    apart = [np.linalg.norm(a - b) for a, b in combinations(colours, 2)]
    assert min(apart) > 12
    assert len(set(styles.MARKERS)) == len(styles.MARKERS) == styles.MOST == 8


def test_the_best_eight_have_a_colour_each_and_the_others_are_grey():
    assert len(OURS) == 24
    for ranking in (OURS, OURS[::-1], OURS[7:] + OURS[:7]):
        look = styles.assign([[(WEIGHT, CEILING), *ranking, (LIFTED, ORACLE)]])
        best = [look.of(*key) for key in ranking[:8]]
        assert len({(s.color, s.marker) for s in best}) == len({s.color for s in best}) == 8
        assert len({s.marker for s in best}) == 8 and all(s.standing == "best" for s in best)
        others = [look.of(*key) for key in ranking[8:]]
        assert {s.color for s in others} == {styles.GREY} and not any(s.named for s in others)
        handles = [h.get_label() for h in shared.handles_of(ranking, look, "1col")]
        assert handles[8] == "16 others (tables)" and len(handles) == 9


def test_a_level_does_not_change_a_method_and_levels_do_not_share():
    look = styles.assign([[(WEIGHT, "vdiff"), (LIFTED, "vdiff"), (LIFTED, "ig")]])
    assert look.of(LIFTED, "ig") == look.of(NEURON, "ig") != look.of(WEIGHT, "ig")
    assert look.of(WEIGHT, "vdiff").color != look.of(NEURON, "vdiff").color
    assert look.of(NEURON, "vdiff").hollow and not look.of(WEIGHT, "vdiff").hollow


def test_references_look_like_no_method_and_not_like_each_other():
    look = styles.assign([OURS])
    found = [look.of(WEIGHT, name) for name in (CEILING, ORACLE, OPTIMIZER_STEP, CONTROL)]
    assert {one.color for one in found} == {styles.BLACK}
    assert len({one.marker for one in found}) == len({one.dash for one in found}) == 4
    assert look.of(LIFTED, ORACLE) == look.of(WEIGHT, ORACLE)
    assert styles.assign([[(WEIGHT, CEILING), (WEIGHT, "bl")]]).of(WEIGHT, "bl").standing == "best"


def test_methods_that_any_truth_puts_first_have_a_colour():
    one = [(WEIGHT, f"m{i:02}") for i in range(24)]
    look = styles.assign([one, one, one[::-1]])
    chosen = {key for key in one if look.of(*key).standing == "best"}
    assert chosen == set(one[:4] + one[-4:])


def test_a_method_of_ours_keeps_its_colour_where_that_is_possible():
    """The same eight look the same whatever their order; a stranger takes one from nobody."""
    eight = OURS[:8]
    first = styles.assign([eight])
    assert styles.assign([eight[::-1]]) == first
    fewer = styles.assign([[(WEIGHT, "mine"), *eight[:7]]])
    assert all(fewer.of(*key) == first.of(*key) for key in eight[:7])
    assert fewer.of(WEIGHT, "mine").standing == "best"


def test_a_budgets_scores_are_no_method_of_their_own():
    name = "vdiff+mean_act+grad_loss"
    look = styles.assign([[(WEIGHT, f"{name} (n=24)"), (WEIGHT, name), (WEIGHT, "x (n=1)")]])
    assert look.of(WEIGHT, f"{name} (n=24)").standing == "other"
    assert look.of(WEIGHT, name).named and look.of(WEIGHT, "x (n=1)").named  # a user's name


def test_methods_are_ranked_by_the_mean_over_folds_of_the_means_over_settings():
    rows = [("weight", "a", 0, 1.0), ("weight", "a", 0, 1.0), ("weight", "a", 1, 4.0),
            ("weight", "b", 0, 2.2), ("weight", "b", 1, 2.2), ("neuron", "c", 0, 9.0)]  # fmt: skip
    scores = pd.DataFrame(rows, columns=["level", "method", "fold", "m"])
    assert styles.ranked_by(scores, "m") == [("weight", "a"), ("weight", "b")]  # 2.5, 2.2
