"""The figures of truths against each other, of what could be reached, and of specificity."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.transforms import Bbox

from utils.judge.names import LIFTED, WEIGHT
from utils.summary.figures import catalogue, shared, specificity, styles, truths

LONG = "W" * 12 + "_the_longest_name_of_all" * 2
METHODS = [
    # level, method, lift by change, by repair, adjusted p by change
    (WEIGHT, "bl", 0.2, 22.0, 0.005),
    (WEIGHT, "magnitude", 1.3, 0.0, 0.6),
    (WEIGHT, r"$\frac{$", 1.2, 1.1, 0.9),
    (LIFTED, "ig", 5.0, 4.0, 0.01),
    (LIFTED, LONG, 4.9, 3.9, 0.04),
]
LOOK = styles.assign([[(level, name) for level, name, *_ in METHODS]])
SETTINGS = ("all", "src_tgt_top1", "tgt_fp_top1")


@pytest.fixture
def verdict() -> pd.DataFrame:
    rows = [("change", level, name, a, p) for level, name, a, _, p in METHODS]
    rows += [("repair", level, name, b, 0.5) for level, name, _, b, _ in METHODS]
    return pd.DataFrame(rows, columns=["truth", "level", "method", "lift", "p_adjusted"])


@pytest.fixture
def references() -> pd.DataFrame:
    rows = [("change", "replays (ceiling)", 56.0), ("change", "neuron oracle", 15.0),
            ("repair", "neuron oracle", 11.0)]  # fmt: skip
    return pd.DataFrame(rows, columns=["truth", "method", "lift"])


@pytest.fixture
def crossed() -> pd.DataFrame:
    """Lift by setting and truth's setting, in two folds; magnitude has one ranking for all."""
    rows = [
        (fold, level, name, setting, other, 4.0 * (1 + fold) if setting == other else 0.5)
        for fold in (0, 1)
        for level, name, *_ in METHODS
        for setting in (SETTINGS if name != "magnitude" else SETTINGS[:1])
        for other in SETTINGS
    ]
    columns = ["fold", "level", "method", "setting", "truth_setting", "lift@1%"]
    return pd.DataFrame(rows, columns=columns)


def test_each_figure_comes_where_it_has_something_to_show(verdict, references, crossed):
    def names(verdict, crossed):
        across = catalogue.AcrossTruths(verdict, references, crossed)
        return [(name, width) for name, width, _ in catalogue.across_truths(across, LOOK, 1)]

    both = [(name, width) for width in shared.WIDTHS for name in ("truths", "ceiling")]
    each = [(name, width) for width in shared.WIDTHS for name in ("specificity",)]
    assert sorted(names(verdict, crossed)) == sorted(both + each)
    assert sorted(names(verdict, crossed.iloc[:0])) == sorted(both)
    alone = verdict[verdict["truth"] == "change"]
    assert names(alone, crossed.iloc[:0]) == [("ceiling", width) for width in shared.WIDTHS]
    one_ranking = crossed[crossed["setting"] == "all"]
    assert sorted(names(verdict, one_ranking)) == sorted(both)
    for name in ("truths", "ceiling", "specificity"):
        assert "{" not in catalogue.CAPTIONS[name].format(metric="lift@1%")


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_nothing_is_printed_outside_the_page(verdict, references, crossed, width):
    across = catalogue.AcrossTruths(verdict, references, crossed)
    for name, at, draw in catalogue.across_truths(across, LOOK, 1):
        if at != width:
            continue
        figure = draw()
        figure.draw_without_rendering()
        drawn, (wide, high) = figure.get_tightbbox(), figure.get_size_inches()
        over = max(-drawn.x0, -drawn.y0, drawn.x1 - wide, drawn.y1 - high)
        assert over < 0.02, f"{name}: {over:.2f} inches beyond the edge"


def test_a_point_is_a_methods_lift_by_two_truths(verdict):
    figure = truths.truth_against_truth(verdict, LOOK, "change", "repair", "1%", "1col")
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    points = [line for line in axes.lines if len(line.get_xdata()) == 1]
    found = {(float(p.get_xdata()[0]), float(p.get_ydata()[0])) for p in points}
    assert found == {(a, max(b, truths.LOWEST)) for _, _, a, b, _ in METHODS}
    chance = [line for line in axes.lines if len(line.get_xdata()) == 2]
    assert [set(chance[0].get_xdata()), set(chance[1].get_ydata())] == [{1}, {1}]
    said = {text.get_text() for text in axes.texts}
    assert {"bl", "magnitude", r"$\frac{$", "ig *"} <= said
    assert axes.get_xlabel() == "lift@1% by 'change'"


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_names_of_24_crowded_points_keep_off_each_other(width):
    """Written in the order of the figure: a name on another, or beyond the panel, is lost."""
    rng = np.random.default_rng(0)
    keys = [(WEIGHT if i % 2 else LIFTED, f"method_number_{i}") for i in range(24)]
    rows = [(truth, *key, lift, 0.5) for truth in ("change", "repair")
            for key, lift in zip(keys, np.exp(rng.normal(0, 0.3, 24)), strict=True)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["truth", "level", "method", "lift", "p_adjusted"])
    look = styles.assign([keys])
    figure = truths.truth_against_truth(table, look, "change", "repair", "1%", width)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    named = [text for text in axes.texts if text.get_text()]
    assert len(named) == 24
    boxes = [text.get_window_extent() for text in named]
    boxes = [Bbox.from_extents(b.x0, b.y0 + 0.1 * b.height, b.x1, b.y1 - 0.1 * b.height)
             for b in boxes]  # fmt: skip
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        assert figure.bbox.contains(*box.min) and figure.bbox.contains(*box.max)
    for text, key in zip(named, [(t.get_text()) for t in named], strict=True):
        level = LIFTED if key.endswith(" *") else WEIGHT
        style = look.of(level, key.removesuffix(" *"))
        assert text.get_color() == (style.color if style.named else styles.DARK)


def test_bars_begin_at_chance_and_are_filled_where_it_is_beaten(verdict, references):
    figure = truths.ceiling(verdict, references, LOOK, "change", "1%", "2col")
    (axes,) = figure.axes
    order = sorted(METHODS, key=lambda one: one[2])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "bl" and names[-1] == "ig *"
    for bar, (level, name, lift, _, p) in zip(axes.patches, order, strict=True):
        ends = sorted((bar.get_x(), bar.get_x() + bar.get_width()))
        assert ends == pytest.approx(sorted((1, lift)))
        colour = to_rgba(LOOK.of(level, name).color)
        assert bar.get_edgecolor() == colour
        assert bar.get_facecolor() == (colour if p <= 0.05 else to_rgba("white"))
    lines = {line.get_label(): line.get_xdata()[0] for line in axes.lines}
    assert lines["replays (ceiling)"] == 56 and lines["neuron oracle"] == 15
    assert axes.get_xlim()[1] > 56
    assert 11 not in lines.values()  # of the other truth


def test_the_map_is_the_mean_over_folds(crossed):
    figure = specificity.specificity_map(
        crossed, "lift@1%", [(WEIGHT, "magnitude"), (WEIGHT, "bl"), (LIFTED, "ig")], "2col"
    )
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in panels] == ["bl", "ig *"]  # magnitude is never specific
    expected = np.where(np.eye(3, dtype=bool), 6.0, 0.5)
    for axes in panels:
        np.testing.assert_allclose(2.0 ** axes.images[0].get_array(), expected)
    assert [label.get_text() for label in panels[0].get_yticklabels()] == list(SETTINGS)


def test_a_setting_without_a_truth_is_left_blank(crossed):
    """A method has a ranking for it, and nothing to be compared with."""
    fewer = crossed[crossed["truth_setting"] != "tgt_fp_top1"]
    figure = specificity.specificity_map(fewer, "lift@1%", [(WEIGHT, "bl")], "1col")
    shades = next(axes.images[0].get_array() for axes in figure.axes if axes.images)
    assert np.ma.getmaskarray(shades)[:, 2].all() or np.isnan(shades[:, 2]).all()
    assert np.isfinite(np.asarray(shades[:, :2])).all()
