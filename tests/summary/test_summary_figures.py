"""The figures across folds: what is drawn, for few and for many methods."""

import dataclasses

import folds_of_step7 as given
import numpy as np
import pandas as pd
import pytest

from utils import drawing
from utils.judge import names
from utils.judge.names import LIFTED, WEIGHT
from utils.run.summary_paths import SummaryPaths
from utils.summary.figures import (
    catalogue,
    critical_difference,
    cumulative_gain,
    locations,
    metrics_at_k,
    settings,
    shared,
    styles,
    time,
)
from utils.summary.figures.save import save_figures
from utils.summary.folds import read_tables
from utils.summary.scores.means import summary_table
from utils.summary.scores.views import View
from utils.summary.statistics import pairs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        given.without_models(patch)
        patch.setenv("TQDM_DISABLE", "1")
        jobs = given.make_folds(tmp_path_factory.mktemp("folds"), range(3))
    tables = read_tables.load([job.paths for job in jobs])
    summary = summary_table(tables, ["lift@5%"], 3)
    return tables, summary


@pytest.fixture(scope="module")
def ranked(made):
    return shared.ranked_methods(made[1], "lift@5%")


def texts(figure):
    found = [text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text"))]
    return {text for text in found if text}


@pytest.fixture(scope="module")
def look(made):
    return styles.assign([styles.ranked_by(made[0].scores, "lift@5%")])


def lines_with(axes, color):
    return [line for line in axes.lines if line.get_color() == color and len(line.get_xdata()) > 2]


def panel(figure, level):
    """The axes whose title names a level."""
    return next(axes for axes in figure.axes if axes.get_title() == f"level: {level}")


def test_methods_are_ranked_and_random_is_not_one(ranked):
    assert (WEIGHT, "A") in ranked and ranked.index((WEIGHT, "A")) < ranked.index((WEIGHT, "B"))
    assert not any(method.startswith("random") for _, method in ranked)


def test_long_names_are_cut_in_their_middle():
    name = "a_score_that_somebody_gave_a_very_long_name"
    for width, longest in shared.LONGEST_LABEL.items():
        short = shared.label(WEIGHT, name, width)
        assert len(short) <= longest and short.startswith("a_score") and short.endswith("g_name")
    assert shared.label(LIFTED, "ig", "1col") == "ig *"
    assert shared.label(LIFTED, names.ORACLE, "1col") == names.ORACLE


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_metrics_at_k_draws_the_fold_means(made, ranked, look, width):
    tables, _ = made
    means = shared.means_by_fold(tables.scores)
    figure = metrics_at_k.metrics_at_k(means, ranked, look, 5, width)
    grid = figure.axes  # recall is the second metric: of the first level it is
    recall = grid[1] if width == "2col" else grid[2]
    mine = tables.scores[(tables.scores["method"] == "A")]
    columns = ["recall@1%", "recall@5%", "recall@10%"]
    by_fold = mine.groupby("fold")[columns].mean()
    colour = look.of(WEIGHT, "A").color
    (line,) = lines_with(recall, colour)
    assert line.get_xdata().tolist() == [1, 5, 10]
    assert line.get_ydata() == pytest.approx(by_fold.mean().to_numpy())
    (bar,) = [one for one in recall.lines if one.get_color() == colour and one is not line]
    ends = by_fold["recall@5%"].min(), by_fold["recall@5%"].max()
    assert tuple(bar.get_ydata()) == pytest.approx(ends)
    assert bar.get_xdata()[0] == bar.get_xdata()[1] == pytest.approx(5, rel=0.3)
    (chance,) = lines_with(recall, styles.DARK)
    assert chance.get_ydata() == pytest.approx([0.01, 0.05, 0.1], abs=0.003)
    assert {"A", "B", "=H_1% *", "random (expected)", "neuron oracle"} <= texts(figure)
    assert figure.get_size_inches()[1] <= 12 / 2.54 or width == "2col"


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_a_metric_has_one_axis_and_the_references_stand_at_every_level(made, ranked, look, width):
    tables, _ = made
    means = shared.means_by_fold(tables.scores)
    _, panels = drawn_at_k(means, ranked, look, width)
    oracle = look.of(LIFTED, names.ORACLE)
    for row in panels:
        assert len(row) == 2 and len({axes.get_ylim() for axes in row}) == 1
        curves = [[one for one in axes.lines if one.get_color() == oracle.color] for axes in row]
        kept = [{tuple(one.get_ydata()) for one in each if len(one.get_xdata()) > 2}
                for each in curves]  # fmt: skip
        assert kept[0] == kept[1] and kept[0]


def drawn_at_k(means, ranked, look, width):
    figure = metrics_at_k.metrics_at_k(means, ranked, look, 5, width)
    n = len(metrics_at_k.PANELS)
    grid = np.array(figure.axes, dtype=object)
    return figure, (grid.reshape(2, n).T if width == "2col" else grid.reshape(n, 2))


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_cumulative_gain_is_over_chance_with_the_ideal_inside(made, ranked, look, width):
    tables, _ = made
    figure = cumulative_gain.cumulative_gain(tables.curves, ranked, look, 5, width)
    axes, other = panel(figure, WEIGHT), panel(figure, LIFTED)
    assert axes.get_ylim() == other.get_ylim() and axes.get_yscale() == "log"
    curve = tables.curves[tables.curves["method"] == names.IDEAL]
    first = curve[curve["k"] == curve["k"].min()]
    top = (first["mass"] / (first["percent"] / 100)).mean()
    for one in (axes, other):
        ideal = next(line for line in one.lines if line.get_linewidth() == 1.3)
        assert ideal.get_ydata()[0] == pytest.approx(top) and ideal.get_ydata()[-1] == 1
        low, high = one.get_ylim()
        for line in one.lines:
            inside = line.get_transform() == one.transData
            assert not inside or low <= min(line.get_ydata()) <= max(line.get_ydata()) <= high
        (mark,) = [line for line in one.lines if set(line.get_ydata()) == {0, 1}]
        assert set(mark.get_xdata()) == {5} and "K = 5%" in texts(figure)
    (mine,) = lines_with(axes, look.of(WEIGHT, "A").color)
    mass = tables.curves[tables.curves["method"] == "A"].pivot(
        index="fold", columns="percent", values="mass"
    )
    assert mine.get_ydata() == pytest.approx((mass.mean() / (mass.columns / 100)).to_numpy())


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
    value = mine["lift@5%"].mean()
    assert value > 10  # in one column there is no room for a decimal then
    assert cell.get_text() == (f"{value:.1f}" if width == "2col" else f"{value:.0f}")
    assert cell.get_fontsize() >= 6
    shades = axes.images[0].get_array()
    assert shades[place[::-1]] == pytest.approx(np.log2(mine["lift@5%"].mean()))
    empty = (methods.index("=H_1% *"), shown.index("tgt_top1"))
    assert np.ma.getmaskarray(shades)[empty]


def test_a_setting_that_the_first_fold_lacks_keeps_its_place(made, ranked):
    scores = made[0].scores
    fewer = scores[(scores["fold"] > 0) | (scores["setting"] != "tgt_top1")]
    figure = settings.setting_heat_map(fewer, ranked, "lift@5%", "1col")
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert shown == list(given.SETTINGS)


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_locations_are_densities_of_folds_averaged(made, ranked, width):
    tables, _ = made
    figure = locations.locations(tables.locations, ranked, 5, width)
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == names.TRUTH and "A" in labels
    found = tables.locations
    found = found[(found["method"] == names.TRUTH) & (found["matrix"] == "W_bef")]
    share = found.groupby("bin")["share"].mean().to_numpy()
    density = share * 2 * given.M  # even: 1 / (2 M) for one neuron of one matrix
    shades = axes.images[0].get_array()[0]
    assert (np.ma.getmaskarray(shades) == (density == 0)).all() and (density == 0).any()
    assert shades.compressed() == pytest.approx(np.log2(density[density > 0]))
    assert axes.images[0].get_cmap().get_bad()[:3].tolist() == [1, 1, 1]  # none is white
    assert any("positives" in text and "neurons" in text for text in texts(figure))


def mean_of(tables, method):
    mine = tables.scores[tables.scores["method"] == method]
    return mine.groupby("fold")["lift@5%"].mean().mean()


def test_time_is_against_the_primary_metric(made, ranked, look):
    tables, _ = made
    seconds = {("weight", "A"): 2.0, ("neuron", "=H_1%"): 0.5}
    figure = time.time_against(tables.scores, ranked, look, seconds, "lift@5%", "1col")
    points = {tuple(np.ravel(line.get_data())) for line in figure.axes[0].lines}
    at = (2.0, mean_of(tables, "A"))
    assert any(len(p) == 2 and p == pytest.approx(at) for p in points)
    assert {"A", "B", "=H_1% *", "not timed"} <= texts(figure)
    (edge,) = [p[0] for p in points if len(p) == 2 and p[1] == pytest.approx(mean_of(tables, "B"))]
    assert edge > 2.0
    assert max(figure.axes[0].get_xticks()) <= 2.0 * 3 / 1.7  # none among the untimed


def test_no_marker_of_time_hides_another(made, ranked, look):
    """All take the same time, and the settings' lifts are made the same."""
    tables, _ = made
    equal = tables.scores.assign(**{"lift@5%": 2.0})
    seconds = {(level, method): 1.0 for level in ("weight", "neuron") for _, method in ranked}
    figure = time.time_against(equal, ranked, look, seconds, "lift@5%", "1col")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    shown = [key for key in ranked if look.of(*key).standing != "reference"]
    points = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert len(points) == len(shown) > 3
    at = np.array([axes.transData.transform(np.ravel(p.get_data())) for p in points])
    apart = np.linalg.norm(at[:, None] - at[None], axis=-1)[np.triu_indices(len(at), 1)]
    assert apart.min() * 72 / figure.dpi > 3.5


@pytest.mark.parametrize("width", shared.WIDTHS)
def test_critical_difference_diagram(made, ranked, look, width):
    tables, _ = made
    table = critical_difference.rank_table(tables.scores, ranked, "lift@5%")
    methods = [method for _, method in table.columns]
    assert names.RANDOM_EXPECTED in methods and "neuron oracle" not in methods
    assert "P" not in methods  # not in every fold
    figure = critical_difference.critical_difference(table, look, width)
    axes, bars = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "A (1.0)" and len(labels) == len(methods)
    ticks = axes.get_xticks()
    low, high = axes.get_xlim()
    assert (ticks == np.round(ticks)).all() and low <= ticks.min() and ticks.max() <= high
    assert not any("test" in text for text in texts(figure))  # sentences are for captions.txt
    p = pairs.pairwise_holm(table)
    order = pairs.average_ranks(table).sort_values(kind="stable").index
    joined = [line.get_ydata().tolist() for line in bars.lines if line.get_marker() == "."]
    for bar in joined:
        for i in bar:
            assert all(i == j or not p.loc[order[i], order[j]] <= 0.05 for j in bar)


def test_bars_are_the_largest_sets_not_told_apart():
    """As scikit-posthocs has them."""
    import scikit_posthocs

    rng = np.random.default_rng(3)
    n = 9
    p = rng.random((n, n)) * 0.12
    p = np.where(np.triu(np.ones((n, n)), 1) > 0, p, p.T)
    np.fill_diagonal(p, 1)
    ours = critical_difference.groups_not_apart(p <= 0.05)
    drawn = scikit_posthocs.critical_difference_diagram(
        pd.Series(np.arange(n) * 1.0), pd.DataFrame(p)
    )
    theirs = [sorted(map(int, bar.get_xdata())) for bars in drawn["crossbars"] for bar in bars]
    assert sorted(map(tuple, theirs)) == [tuple(bar) for bar in ours if len(bar) > 1]
    everything = critical_difference.groups_not_apart(np.zeros((25, 25), dtype=bool))
    assert everything == [list(range(25))]


def test_bars_are_those_of_the_best():
    groups = [[0, 1], [0, 2, 3], [1, 2], [4, 5, 6], [7]]
    assert critical_difference.bars_of_best(groups) == [[0, 1], [0, 2, 3]]
    many = [[0, *range(i, i + 9 - i)] for i in range(1, 8)]
    assert critical_difference.bars_of_best(many) == many[: critical_difference.MOST_BARS]


def test_bars_do_not_lie_on_each_other():
    bars = [[0, 2, 4], [0, 1], [3, 4], [5, 6]]
    columns = critical_difference.stacked(bars)
    assert columns == [1, 2, 2, 1]


def drawn_of(tables, summary, seconds):
    look = styles.assign([styles.ranked_by(tables.scores, "lift@5%")])
    view = View(tables, ["lift@5%"], summary, compared=pd.DataFrame())
    return catalogue.of_truth(view, look, seconds, 5)


def test_every_figure_comes_in_both_widths_with_embedded_fonts(made):
    tables, summary = made
    names = []
    seconds = {("weight", "A"): 1.0}
    words = {"metric": "m", "percent": 1, "gain": "|dW|", "folds": 3}
    for name, width, draw in drawn_of(tables, summary, seconds):
        figure = draw()
        names.append((name, width))
        assert figure.get_size_inches()[0] == shared.WIDTHS[width]
        caption = catalogue.CAPTIONS[name].format(**words)
        assert {"{", "}"}.isdisjoint(caption)
        if name == "locations":
            content = drawing.render(figure, "pdf")
            assert b"/FontFile2" in content and b"/Type3" not in content
    assert len(names) == 12 == len(set(names))


def test_a_figure_is_saved_in_every_format_with_its_caption(tmp_path, capsys):
    saved = {}

    class Task:
        def save_bytes(self, path, content):
            saved[path.relative_to(tmp_path).as_posix().rpartition("figures/")[2]] = content

    def draw():
        figure = shared.new_figure("1col", 1)
        figure.subplots().set_title("a, b")
        return figure

    one = catalogue.ToDraw("one", "1col", draw, "caption", "change")
    looks = {"FIGURE_WIDTHS": ("1col",), "FIGURE_FORMATS": ("png", "pdf")}
    captions = save_figures(Task(), SummaryPaths(tmp_path, "digits"), [one], looks)
    assert sorted(saved) == [f"change/one_1col.{suffix}" for suffix in ("pdf", "png", "svg")]
    again = draw()  # the first format lays it out
    for suffix in drawing.FORMATS:
        assert saved[f"change/one_1col.{suffix}"] == drawing.render(again, suffix)
    assert saved["change/one_1col.svg"].startswith(b"<?xml")
    assert captions.text == "change/one: caption" and "{change/one_1col}" in captions.latex
    assert capsys.readouterr().out == "draws 1 figure\n"
    saved.clear()
    save_figures(Task(), SummaryPaths(tmp_path, "digits"), [one], looks | {"FIGURE_FORMATS": ()})
    assert sorted(saved) == ["change/one_1col.svg"]  # which the page shows


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
    for name, width, draw in drawn_of(named, summary, seconds):
        figure = draw()
        figure.draw_without_rendering()
        drawn, (wide, high) = figure.get_tightbbox(), figure.get_size_inches()
        over = max(-drawn.x0, -drawn.y0, drawn.x1 - wide, drawn.y1 - high)
        assert over < 0.02, f"{name} {width}: {over:.2f} inches beyond the edge"
        page = figure.bbox.padded(1)
        for text in (text for axes in figure.axes for text in axes.texts):
            box = text.get_window_extent()
            assert page.contains(*box.min) and page.contains(*box.max), (name, text.get_text())


def test_one_fold_has_no_band_and_no_ranks(made):
    tables, summary = made
    first = {
        name: table[table["fold"] == 0]
        for name, table in vars(tables).items()
        if isinstance(table, pd.DataFrame)
    }
    one = dataclasses.replace(tables, folds=[0], **first)
    names = {name for name, _, _ in drawn_of(one, summary, {})}
    assert not {"critical_difference", "time"} & names and "metrics_at_k" in names
