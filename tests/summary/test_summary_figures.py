"""The figures across folds: what is drawn, for few and for many methods."""

import dataclasses

import folds_of_step7 as given
import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from utils.judge import comparison, details
from utils.judge.comparison import LIFTED, WEIGHT
from utils.methods import METHODS
from utils.run import pictures
from utils.summary import across_folds, fold_tables
from utils.summary.figures import (
    catalogue,
    critical_difference,
    cumulative_gain,
    locations,
    metrics_at_k,
    settings,
    shared,
    time,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        given.without_own_methods(patch)
        patch.setenv("TQDM_DISABLE", "1")
        jobs = given.make_folds(tmp_path_factory.mktemp("folds"), range(3))
    tables = fold_tables.load([job.paths for job in jobs])
    summary = across_folds.summary_table(tables, ["lift@5%"], 3)
    return tables, summary


@pytest.fixture(scope="module")
def ranked(made):
    return shared.ranked_methods(made[1], "lift@5%")


def texts(figure):
    found = [text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text"))]
    return {text for text in found if text}


def lines_with(axes, color):
    return [line for line in axes.lines if line.get_color() == color and len(line.get_xdata()) > 2]


def test_methods_are_ranked_and_random_is_not_one(ranked):
    assert (WEIGHT, "A") in ranked and ranked.index((WEIGHT, "A")) < ranked.index((WEIGHT, "B"))
    assert not any(method.startswith("random") for _, method in ranked)


def test_no_two_highlighted_methods_of_a_level_look_alike():
    most = shared.MOST_LINES
    ranked = [(WEIGHT, f"m{i}") for i in range(most + 4)]
    ranked += [(LIFTED, "x"), (LIFTED, comparison.ORACLE)]
    lines = shared.assign_lines(ranked)
    weights = [line for key, line in lines.items() if key[0] == WEIGHT]
    bright = [line for line in weights if line.highlighted]
    assert len(bright) == most == len({(b.color, b.dash) for b in bright})
    assert len({b.marker for b in bright}) == len(bright)  # apart in grey, too
    assert [line.highlighted for line in weights] == [True] * most + [False] * 4
    entries = shared.legend_entries(lines, WEIGHT, {}, "1col")
    assert [entry.get_label() for entry in entries][-1] == "4 other methods"


def test_a_method_of_ours_looks_the_same_in_every_run():
    ours = [key for key in METHODS if key[0] == WEIGHT]
    for ranked in (ours, ours[::-1], [(WEIGHT, "mine"), *ours[3:]]):
        lines = shared.assign_lines(ranked)
        for i, key in enumerate(ours):
            if key in lines:
                assert (lines[key].color, lines[key].marker, lines[key].dash) == shared.LINES[i]


@pytest.mark.parametrize("level", [WEIGHT, LIFTED])
def test_more_methods_than_lines_leave_the_lowest_grey(monkeypatch, level):
    at = comparison.NEURON if level == LIFTED else level
    ours = {(at, f"m{i}"): None for i in range(shared.MOST_LINES + 5)}
    monkeypatch.setattr(shared, "METHODS", ours)
    ranked = [(level, name) for _, name in ours][::-1]
    lines = shared.assign_lines(ranked)
    bright = [key for key in ranked if lines[key].highlighted]
    assert bright == ranked[: shared.MOST_LINES]
    styles = {(lines[key].color, lines[key].marker, lines[key].dash) for key in bright}
    assert len(styles) == len(bright)


def test_a_users_method_is_never_grey():
    ours = [key for key in METHODS if key[0] == WEIGHT]
    mine = [(WEIGHT, f"mine{i}") for i in range(9)]
    lines = shared.assign_lines([*ours, *mine])
    assert all(lines[key].highlighted for key in mine)
    assert len({lines[key].marker for key in mine}) == len(mine)
    assert sum(lines[key].highlighted for key in ours) == shared.MOST_LINES - len(mine)


def test_long_names_are_cut_in_their_middle():
    name = "a_score_that_somebody_gave_a_very_long_name"
    for width, longest in shared.LONGEST_LABEL.items():
        short = shared.label(WEIGHT, name, width)
        assert len(short) <= longest and short.startswith("a_score") and short.endswith("g_name")
    assert shared.label(LIFTED, "ig", "1col") == "ig *"


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_metrics_at_k_draws_the_fold_means(made, ranked, width):
    tables, _ = made
    means = shared.fold_means(tables.scores)
    lines = shared.assign_lines(ranked)
    figure = metrics_at_k.metrics_at_k(means, lines, width)
    axes = next(one for one in figure.axes if one.get_title() == "recall")
    mine = tables.scores[(tables.scores["method"] == "A")]
    columns = ["recall@1%", "recall@5%", "recall@10%"]
    by_fold = mine.groupby("fold")[columns].mean()
    (line,) = lines_with(axes, lines[WEIGHT, "A"].color)
    assert line.get_xdata().tolist() == [1, 5, 10]
    assert line.get_ydata() == pytest.approx(by_fold.mean().to_numpy())
    bands = [band.get_paths()[0].vertices for band in axes.collections]
    highest = by_fold.max().to_numpy()
    assert any(np.isin(np.round(highest, 12), np.round(band[:, 1], 12)).all() for band in bands)
    chance = [line for line in axes.lines if line.get_color() == shared.GREY]
    assert chance[0].get_ydata() == pytest.approx([0.01, 0.05, 0.1], abs=0.003)
    assert {"A", "B", "=H_1% *", "random (expected)", "neuron oracle"} <= texts(figure)


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_cumulative_gain_has_ideal_and_random(made, ranked, width):
    tables, _ = made
    lines = shared.assign_lines(ranked)
    figure = cumulative_gain.cumulative_gain(tables.curves, lines, width)
    axes, relative = figure.axes[:2]
    (ideal,) = lines_with(axes, pictures.BLACK)
    curve = tables.curves[tables.curves["method"] == details.IDEAL]
    assert ideal.get_ydata()[-1] == pytest.approx(100)
    assert ideal.get_ydata()[0] == pytest.approx(100 * curve[curve["k"] == 1]["mass"].mean())
    (chance,) = lines_with(axes, shared.GREY)
    assert chance.get_ydata() == pytest.approx(chance.get_xdata())
    (mine,) = lines_with(axes, lines[WEIGHT, "A"].color)
    assert (mine.get_ydata() <= ideal.get_ydata() + 1e-9).all()
    assert (mine.get_ydata()[20:-1] > chance.get_ydata()[20:-1]).all()
    (ratio,) = lines_with(relative, lines[WEIGHT, "A"].color)
    assert ratio.get_ydata() == pytest.approx(mine.get_ydata() / mine.get_xdata())
    assert relative.get_ylim()[1] > ratio.get_ydata().max()


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_heat_map_shows_the_mean_of_each_setting(made, ranked, width):
    tables, _ = made
    figure = settings.setting_heat_map(tables.scores, ranked, "lift@5%", width)
    axes = figure.axes[0]
    shown = [label.get_text() for label in axes.get_xticklabels()]
    methods = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == list(given.SETTINGS)
    scores = tables.scores
    mine = scores[(scores["method"] == "A") & (scores["setting"] == "tgt_top2")]
    place = (shown.index("tgt_top2"), methods.index("A"))
    (cell,) = [text for text in axes.texts if text.get_position() == place]
    assert cell.get_text() == f"{mine['lift@5%'].mean():.1f}"
    shades = axes.images[0].get_array()
    assert shades[place[::-1]] == pytest.approx(np.log2(mine["lift@5%"].mean()))
    empty = (methods.index("=H_1% *"), shown.index("tgt_top1"))
    assert np.ma.getmaskarray(shades)[empty]


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_locations_are_densities_of_folds_averaged(made, ranked, width):
    tables, _ = made
    figure = locations.locations(tables.locations, ranked, 5, width)
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == details.TRUTH and "A" in labels
    found = tables.locations
    found = found[(found["method"] == details.TRUTH) & (found["matrix"] == "W_bef")]
    share = found.groupby("bin")["share"].mean().to_numpy()
    density = share * 2 * given.M  # even: 1 / (2 M) for one neuron of one matrix
    expected = np.log2(np.maximum(density, 1 / 8))
    assert np.asarray(axes.images[0].get_array()[0]) == pytest.approx(expected)


def mean_of(tables, method):
    mine = tables.scores[tables.scores["method"] == method]
    return mine.groupby("fold")["lift@5%"].mean().mean()


def test_time_is_against_the_primary_metric(made, ranked):
    tables, _ = made
    seconds = {("weight", "A"): 2.0, ("neuron", "=H_1%"): 0.5}
    lines = shared.assign_lines(ranked)
    figure = time.time_against(tables.scores, ranked, lines, seconds, "lift@5%", "1col")
    points = {tuple(np.ravel(line.get_data())) for line in figure.axes[0].lines}
    at = (2.0, mean_of(tables, "A"))
    assert any(len(p) == 2 and p == pytest.approx(at) for p in points)
    assert {"A", "B", "=H_1% *", "not timed"} <= texts(figure)
    (edge,) = [p[0] for p in points if len(p) == 2 and p[1] == pytest.approx(mean_of(tables, "B"))]
    assert edge > 2.0


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_critical_difference_diagram(made, ranked, width):
    tables, _ = made
    table = critical_difference.rank_table(tables.scores, ranked, "lift@5%", width)
    assert comparison.RANDOM_EXPECTED in table.columns and "neuron oracle" not in table.columns
    assert "P" not in table.columns  # not in every fold
    figure = critical_difference.critical_difference(table, "lift@5%", width)
    shown = texts(figure)
    assert any("A (1.0)" in text for text in shown) and any("descriptive" in t for t in shown)


def test_bars_do_not_depend_on_the_order_of_a_set():
    sets = [[1, 5, 3], [1, 2], [4, 5], [1, 5, 4], [6, 7]]
    stacked = []
    for order in (sets, sets[::-1], sets[2:] + sets[:2]):
        bars = [Line2D(ranks, [0] * len(ranks)) for ranks in order]
        levels = critical_difference.restack(bars)
        stacked.append(sorted((bar.get_ydata()[0], *bar.get_xdata()) for bar in bars))
        assert levels == 3  # three of them hold rank 4.5, and 1
    assert stacked[0] == stacked[1] == stacked[2]
    for one in stacked[0]:
        for other in stacked[0]:
            apart = one == other or one[-1] < other[1] or other[-1] < one[1]
            assert apart or one[0] != other[0]


def test_every_figure_comes_in_both_widths_with_embedded_fonts(made):
    tables, summary = made
    names = []
    seconds = {("weight", "A"): 1.0}
    for name, width, figure in catalogue.every_figure(tables, summary, seconds, "lift@5%", 5):
        names.append((name, width))
        assert figure.get_size_inches()[0] == shared.WIDTHS[width]
        caption = catalogue.CAPTIONS[name].format(metric="m", percent=1, gain="|dW|")
        assert {"{", "}"}.isdisjoint(caption)
        if name == "locations":
            content = pictures.render(figure, "pdf")
            assert b"/FontFile2" in content and b"/Type3" not in content
    assert len(names) == 12 == len(set(names))


def test_nothing_is_printed_outside_the_page(made):
    """With the longest names: a legend or a label beyond the edge would be cut off.

    One would be a fraction without an end, if it were read as mathematics.
    """
    long = {"A": "W" * 10 + "_the_longest_name_of_all" * 2, "B": "vdiff+mean_act+grad_loss (n=24)"}
    long["bef"] = r"$\frac{$"
    tables, summary = made
    renamed = {
        name: table.replace({"method": long}) if "method" in table else table
        for name, table in vars(tables).items()
        if isinstance(table, pd.DataFrame)
    }
    named = dataclasses.replace(tables, **renamed)
    summary = summary.replace({"method": long})
    seconds = {(WEIGHT, long["A"]): 1.0, ("neuron", "=H_1%"): 0.01}
    for name, width, figure in catalogue.every_figure(named, summary, seconds, "lift@5%", 5):
        figure.draw_without_rendering()
        drawn, (wide, high) = figure.get_tightbbox(), figure.get_size_inches()
        over = max(-drawn.x0, -drawn.y0, drawn.x1 - wide, drawn.y1 - high)
        assert over < 0.02, f"{name} {width}: {over:.2f} inches beyond the edge"


def test_one_fold_has_no_band_and_no_ranks(made):
    tables, summary = made
    first = {
        name: table[table["fold"] == 0]
        for name, table in vars(tables).items()
        if isinstance(table, pd.DataFrame)
    }
    one = dataclasses.replace(tables, folds=[0], **first)
    names = {name for name, _, _ in catalogue.every_figure(one, summary, {}, "lift@5%", 5)}
    assert not {"critical_difference", "time"} & names and "metrics_at_k" in names
