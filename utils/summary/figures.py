"""The pictures across folds. Each function takes tidy tables and returns a figure.

Colours come from Okabe and Ito's palette, and every line has a marker or a dash
pattern of its own, so that figures can be read in grey.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from utils.judge import details
from utils.judge.comparison import LIFTED, NEURON, RANDOM_EXPECTED, WEIGHT
from utils.methods import METHODS
from utils.run.pictures import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILION,
)
from utils.summary import across_folds, statistics
from utils.summary.across_folds import is_reference_only
from utils.summary.fold_tables import ORACLE, FoldTables, seconds_of

# Inches: one column and both columns of the usual two-column journals.
WIDTHS = {"1col": 3.5, "2col": 7.16}
MOST_LABELS = 24
# Longer names are cut in their middle, so that they leave room for the picture.
LONGEST_LABEL = {"1col": 24, "2col": 34}
# Points: nothing is printed smaller, at the width of one column either.
SMALL = {"1col": 6, "2col": 6.5}
# More settings than this leave no room for numbers in the cells of one column.
MOST_NUMBERS = 8
DENSITY_LOG2 = (-3, 5)  # the colours reach from an eighth of an even spread to 32 times
GREY, LIGHT = "#666666", "#BBBBBB"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
MARKERS = "os^DvPX*<>ph"
LINES = [
    (COLOURS[i % len(COLOURS)], marker, "-" if i < len(COLOURS) else (0, (3, 1.5)))
    for i, marker in enumerate(MARKERS)
]
MOST_LINES = len(LINES)
GROUPS = {WEIGHT: "weight-level methods", LIFTED: "neuron-level methods, lifted to weights"}
SHORT_GROUPS = {WEIGHT: "weight level", LIFTED: "neurons lifted to weights"}
AT_K_PANELS = {"precision": "precision", "recall": "recall", "f1": "F1", "overlap": "overlap"}
# What stands under a figure in a paper; {metric} is the primary one, {percent} of the positives.
SPREAD = (
    "Lines and points are means over folds, bands and bars reach from the lowest to the highest "
)
LIFTED_STAR = "* a neuron's score given to its 2d weights. "
CAPTIONS = {
    "metrics_at_k": "Precision, recall, F1 and overlap among the first K% of the weights, settings "
    "averaged inside a fold. " + SPREAD + "fold; dashed: the expectation of a random ranking. "
    + LIFTED_STAR + "Positives: the top {percent}% of |W(M2) - W(M1)|.",
    "cumulative_gain": "Cumulative gain in the setting 'all'. Left: share of the total "
    "|W(M2) - W(M1)| inside the first weights of a ranking. Right: the same divided by the share "
    "of a random ranking; the ideal ranking leaves the panel. " + SPREAD + "fold. " + LIFTED_STAR,
    "settings": "{metric} by method and misclassification setting, mean over folds (descriptive: "
    "settings of a fold share the model and the truth, and a setting is about other classes in "
    "each fold). White: chance. Grey: one ranking for all settings, or no value. " + LIFTED_STAR,
    "locations": "Where the top {percent}% of the ground truth and of each method lie in the "
    "setting 'all', among neurons sorted by the truth's top weights in them; mean over folds. "
    "Density 1: as many as if they were spread evenly over both matrices. " + LIFTED_STAR,
    "time": "{metric} against seconds per fold, all settings together. " + SPREAD + "fold. Filled: "
    "weight-level methods; hollow: neuron-level methods, lifted to weights (*).",
    "critical_difference": "Mean rank by {metric} over folds, 1 is best (descriptive). A bar joins "
    "methods that a paired t test, Holm-adjusted over all pairs, does not tell apart at 0.05; the "
    "test takes folds as independent, though they share training data. " + LIFTED_STAR,
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """How a method is drawn in every figure."""

    color: str
    marker: str
    dash: str | tuple[int, tuple[float, ...]]
    highlighted: bool


def every_figure(
    tables: FoldTables,
    summary: pd.DataFrame,
    seconds: dict[tuple[str, str], float],
    primary: str,
    percent: float,
) -> Iterator[tuple[str, str, Figure]]:
    """Each figure as (name, width, figure), one after the other.

    primary : the primary metric, of which methods are sorted.
    percent : of the weights that are positives.
    """
    ranked = ranked_methods(summary, primary)
    lines = assign_lines(ranked)
    at_k = fold_means(tables.scores)
    for width in WIDTHS:
        yield "metrics_at_k", width, metrics_at_k(at_k, lines, width)
        yield "cumulative_gain", width, cumulative_gain(tables.curves, lines, width)
        yield "settings", width, setting_heat_map(tables.scores, ranked, primary, width)
        yield "locations", width, locations(tables.locations, ranked, percent, width)
        if any(np.isfinite(seconds_of(*key, seconds)) for key in ranked):
            yield "time", width, time_against(tables.scores, ranked, lines, seconds, primary, width)
        diagram = rank_table(tables.scores, ranked, primary, width)
        if diagram.shape[0] > 1 and diagram.shape[1] > 1:
            yield "critical_difference", width, critical_difference(diagram, primary, width)


def ranked_methods(summary: pd.DataFrame, primary: str) -> list[tuple[str, str]]:
    """The rankings of weights, (level, method), best first; without random rows."""
    rows = summary[(summary["metric"] == primary) & (summary["level"] != NEURON)]
    rows = rows[~rows["method"].str.startswith("random (")]
    rows = rows.sort_values("mean", ascending=False, kind="stable")
    return list(zip(rows["level"], rows["method"], strict=True))


def assign_lines(ranked: list[tuple[str, str]]) -> dict[tuple[str, str], Line]:
    """A line style for each method; beyond MOST_LINES of a level the lowest are grey.

    A method of ours looks the same in every run, whatever its rank. Others, a
    user's above all, come first where there are too many.
    """
    lines = {}
    for level in GROUPS:
        ours = [name for at, name in METHODS if at == (NEURON if level == LIFTED else level)]
        present = [name for at, name in ranked if at == level and name != ORACLE]
        others = [name for name in present if name not in ours]
        shown = (others + [name for name in present if name in ours])[:MOST_LINES]
        places = {name: ours.index(name) for name in shown if name in ours}
        free = [i for i in range(MOST_LINES) if i not in places.values()]
        free.sort(key=lambda i: i < len(ours))  # places of ours that are not shown come last
        places |= dict(zip([name for name in others if name in shown], free, strict=False))
        for name in present:
            style = LINES[places[name]] if name in places else (LIGHT, "", "-")
            lines[level, name] = Line(*style, name in places)
        lines[level, ORACLE] = Line(BLACK, "", "-.", True)
    return {key: lines[key] for key in ranked}


def label(level: str, method: str, width: str) -> str:
    half = (LONGEST_LABEL[width] - 1) // 2
    short = method if len(method) <= LONGEST_LABEL[width] else f"{method[:half]}…{method[-half:]}"
    return f"{short} *" if level == LIFTED and method != ORACLE else short


def fold_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Settings averaged inside a fold: one row per (level, method, fold)."""
    names = across_folds.metrics_of(scores)
    return scores.groupby(["level", "method", "fold"], sort=False)[names].mean().reset_index()


def new_figure(width: str, height: float) -> Figure:
    with matplotlib.rc_context(STYLE):
        return Figure(figsize=(WIDTHS[width], height), layout="constrained")


def draw_band(axes: Axes, x: np.ndarray, values: np.ndarray, line: Line, every: int = 1) -> None:
    """Mean over folds as a line, smallest to largest fold as a band.

    x : (points,); values : (folds, points)
    """
    order = 3 if line.highlighted else 1
    axes.plot(
        x, values.mean(axis=0), color=line.color, linestyle=line.dash, marker=line.marker,
        markevery=every, markersize=3, linewidth=1.1 if line.highlighted else 0.6, zorder=order,
        markeredgewidth=0,
    )  # fmt: skip
    if line.highlighted and len(values) > 1:
        axes.fill_between(
            x, values.min(axis=0), values.max(axis=0), color=line.color, alpha=0.1, linewidth=0,
            zorder=order - 1,
        )  # fmt: skip


def legend_entries(
    lines: dict[tuple[str, str], Line], level: str, extra: dict[str, Line2D], width: str
) -> list[Line2D]:
    """Handles for the methods of a level that stand out, then `extra`."""
    found = []
    grey = 0
    for (at, method), line in lines.items():
        if at != level:
            continue
        if not line.highlighted:
            grey += 1
            continue
        found.append(
            Line2D([], [], color=line.color, linestyle=line.dash, marker=line.marker,
                   markersize=3.5, markeredgewidth=0, linewidth=1.1,
                   label=label(at, method, width))
        )  # fmt: skip
    if grey:
        found.append(
            Line2D(
                [],
                [],
                color=LIGHT,
                linewidth=0.8,
                label=f"{grey} other method{'s' if grey > 1 else ''}",
            )
        )
    return [*found, *(handle for handle in extra.values())]


def dashed(text: str) -> Line2D:
    return Line2D([], [], color=GREY, linestyle=(0, (4, 2)), linewidth=1, label=text)


def percent_axis(axes: Axes, percents: list[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(percents, [f"{p:g}" for p in percents])
    axes.minorticks_off()


def metrics_at_k(means: pd.DataFrame, lines: dict[tuple[str, str], Line], width: str) -> Figure:
    """Precision, recall, F1 and overlap against K%, folds as a band, chance dashed.

    means : `fold_means` of the scores.
    """
    percents = percents_of(means)
    groups = groups_of(lines)
    wide = width == "2col"
    chance = {"random": dashed("random (expected)")}
    with matplotlib.rc_context(STYLE):
        if wide:
            figure = new_figure(width, 1.75 * len(groups) + 0.1)
            cells = figure.add_gridspec(len(groups), 5, width_ratios=[1, 1, 1, 1, 1.75])
        else:
            figure = new_figure(width, 3.9 * len(groups))
            cells = figure.add_gridspec(
                3 * len(groups), 2, height_ratios=[1, 1, 0.62] * len(groups)
            )
        for row, level in enumerate(groups):
            for i, panel in enumerate(AT_K_PANELS):
                place = (row, i) if wide else (3 * row + i // 2, i % 2)
                axes = figure.add_subplot(cells[place])
                draw_at_k(axes, means, lines, level, panel, percents)
                if wide and i == 0:
                    axes.set_ylabel(SHORT_GROUPS[level], fontsize=7)
                if (wide and row == len(groups) - 1) or (not wide and i > 1):
                    axes.set_xlabel("K (% of the weights)", fontsize=7)
            entries = legend_entries(lines, level, chance, width)
            legend_cell = cells[row, 4] if wide else cells[3 * row + 2, :]
            title = None if wide else GROUPS[level]
            draw_legend(figure, legend_cell, entries, 1 if wide else 2, title)
    return figure


def groups_of(keys: Iterable[tuple[str, str]]) -> list[str]:
    present = {level for level, _ in keys}
    return [level for level in GROUPS if level in present]


def draw_legend(
    figure: Figure, cell: SubplotSpec, entries: list[Line2D], columns: int, title: str | None = None
) -> None:
    """A legend in a cell of its own, so that panels above each other keep one width."""
    axes = figure.add_subplot(cell)
    axes.axis("off")
    axes.legend(
        handles=entries, loc="center left" if columns == 1 else "upper center", ncols=columns,
        fontsize=6, frameon=False, handlelength=2.4, borderaxespad=0, columnspacing=1.2,
        title=title, title_fontsize=7,
    )  # fmt: skip


def draw_at_k(
    axes: Axes,
    means: pd.DataFrame,
    lines: dict[tuple[str, str], Line],
    level: str,
    panel: str,
    percents: list[float],
) -> None:
    columns = [f"{panel}@{p:g}%" for p in percents]
    for key, line in lines.items():
        if key[0] == level:
            values = rows_of(means, *key)[columns].to_numpy()
            draw_band(axes, np.array(percents), values, line)
    chance = rows_of(means, WEIGHT, RANDOM_EXPECTED)[columns].to_numpy().mean(axis=0)
    axes.plot(percents, chance, color=GREY, linestyle=(0, (4, 2)), linewidth=1, zorder=4)
    percent_axis(axes, percents)
    axes.set_ylim(bottom=0)
    axes.set_title(AT_K_PANELS[panel], fontsize=7.5)
    axes.tick_params(labelsize=6)


def percents_of(means: pd.DataFrame) -> list[float]:
    names = [c for c in means.columns if c.startswith("precision@") and c.endswith("%")]
    return sorted(float(name.removeprefix("precision@").removesuffix("%")) for name in names)


def rows_of(table: pd.DataFrame, level: str, method: str) -> pd.DataFrame:
    return table[(table["level"] == level) & (table["method"] == method)]


def cumulative_gain(curves: pd.DataFrame, lines: dict[tuple[str, str], Line], width: str) -> Figure:
    """Share of all change found against the share of weights inspected, setting `all`.

    Beside it the same divided by chance, over a logarithm: what a developer
    inspects is the first percent, where the shares themselves are too small to see.
    """
    lines = {key: line for key, line in lines.items() if len(rows_of(curves, *key))}
    groups = groups_of(lines)
    wide = width == "2col"
    ideal = Line2D([], [], color=BLACK, linewidth=1.2, label="ideal")
    extra = {"ideal": ideal, "random": dashed("random (expected)")}
    with matplotlib.rc_context(STYLE):
        count = len(groups)
        if wide:
            figure = new_figure(width, 2.3 * count)
            cells = figure.add_gridspec(count, 3, width_ratios=[1, 1, 0.85])
        else:
            figure = new_figure(width, 3.1 * count)
            cells = figure.add_gridspec(2 * count, 2, height_ratios=[1, 0.62] * count)
        for place, level in enumerate(groups):
            row = place if wide else 2 * place
            draw_gain(figure.add_subplot(cells[row, 0]), curves, lines, level)
            draw_relative_gain(figure.add_subplot(cells[row, 1]), curves, lines, level)
            legend_cell = cells[row, 2] if wide else cells[row + 1, :]
            entries = legend_entries(lines, level, extra, width)
            title = f"{SHORT_GROUPS[level]}"
            draw_legend(figure, legend_cell, entries, 1 if wide else 2, title)
    return figure


def draw_gain(
    axes: Axes, curves: pd.DataFrame, lines: dict[tuple[str, str], Line], level: str
) -> None:
    for key, line in lines.items():
        if key[0] == level:
            x, y = fold_grid(rows_of(curves, *key), "mass")
            draw_band(axes, x, 100 * y, line, every=20)
    x, y = fold_grid(rows_of(curves, WEIGHT, details.IDEAL), "mass")
    axes.plot(x, 100 * y.mean(axis=0), color=BLACK, linewidth=1.2, zorder=4)
    axes.plot(x, x, color=GREY, linestyle=(0, (4, 2)), linewidth=1, zorder=4)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.set_xlabel("weights inspected (%)", fontsize=7)
    axes.set_ylabel("Σ|ΔW| found (%)", fontsize=7)
    axes.tick_params(labelsize=6.5)


def draw_relative_gain(
    axes: Axes, curves: pd.DataFrame, lines: dict[tuple[str, str], Line], level: str
) -> None:
    highest = 1.0
    for key, line in lines.items():
        if key[0] == level:
            x, y = fold_grid(rows_of(curves, *key), "mass")
            draw_band(axes, x, y / (x / 100), line, every=20)
            highest = max(highest, float((y / (x / 100)).mean(axis=0).max()))
    x, y = fold_grid(rows_of(curves, WEIGHT, details.IDEAL), "mass")
    axes.plot(x, y.mean(axis=0) / (x / 100), color=BLACK, linewidth=1.2, zorder=4)
    axes.axhline(1, color=GREY, linestyle=(0, (4, 2)), linewidth=1, zorder=4)
    percent_axis(axes, [0.01, 0.1, 1, 10, 100])
    axes.set(xlim=(0.01, 100), ylim=(0, 1.15 * highest))
    axes.set_xlabel("weights inspected (%)", fontsize=7)
    axes.set_ylabel("found / found by chance", fontsize=7)
    axes.tick_params(labelsize=6.5)


def fold_grid(curves: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """x (points,) and values (folds, points) of one method's curve."""
    wide = curves.pivot(index="fold", columns="percent", values=column).dropna(axis=1)
    return wide.columns.to_numpy(dtype=float), wide.to_numpy(dtype=float)


def setting_heat_map(
    scores: pd.DataFrame, ranked: list[tuple[str, str]], primary: str, width: str
) -> Figure:
    """The primary metric by method and setting, mean over folds (descriptive)."""
    shown = [key for key in ranked if key[1] != ORACLE]
    rows = scores[scores["level"] != NEURON]
    settings = list(dict.fromkeys(rows["setting"]))
    mean = rows.groupby(["level", "method", "setting"])[primary].mean().unstack("setting")
    values = mean.reindex(pd.MultiIndex.from_tuples(shown))[settings].to_numpy()
    wide = width == "2col"
    size = SMALL[width]
    numbers = 6 if wide or len(settings) <= MOST_NUMBERS else None
    with matplotlib.rc_context(STYLE):
        figure = new_figure(width, (0.19 if wide else 0.15) * len(shown) + 1.35)
        axes = figure.subplots()
        image, bar_ticks = draw_heat(axes, values, primary.startswith("lift"), numbers)
        axes.set_xticks(
            range(len(settings)), settings, rotation=40 if wide else 90, ha="right", fontsize=size,
            va="top" if wide else "center", rotation_mode="anchor",
        )  # fmt: skip
        axes.set_yticks(range(len(shown)), [label(*key, width) for key in shown], fontsize=size)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=25, pad=0.01)
        if bar_ticks:
            bar.set_ticks(np.log2(bar_ticks), labels=[fraction(tick) for tick in bar_ticks])
        bar.set_label(primary, fontsize=size)
        bar.ax.tick_params(labelsize=size)
        figure.supxlabel(
            f"* neuron scores given to weights{'; ' if wide else chr(10)}"
            "grey: one ranking for all settings, or no value",
            fontsize=size,
        )
    return figure


def draw_heat(
    axes: Axes, values: np.ndarray, is_lift: bool, size: float | None
) -> tuple[AxesImage, list[float]]:
    """Coloured cells with their values; the ticks of a logarithmic colour bar, if it is one.

    A lift is coloured by its logarithm, white at 1: half and twice as good as
    chance are equally strong.

    size : of the values, in points; None leaves them out.
    """
    if is_lift:
        with np.errstate(divide="ignore"):
            shades = np.log2(values)
        reach = max(1.0, float(np.nanmax(shades[np.isfinite(shades)], initial=0.0)))
        norm = Normalize(-reach, reach)
        shades = np.clip(shades, -reach, reach)
        step = 1 if reach <= 3 else 2
        powers = range(step * (int(reach) // step), -int(reach) - 1, -step)
        ticks = [2.0**i for i in powers]
    else:
        shades, norm, ticks = values, None, []
    colours = matplotlib.colormaps["PuOr" if is_lift else "cividis"].with_extremes(bad="#EEEEEE")
    image = axes.imshow(shades, cmap=colours, norm=norm, aspect="auto")
    for i, j in np.ndindex(*values.shape):
        if size and np.isfinite(values[i, j]):
            luminance = np.dot(image.to_rgba(shades[i, j])[:3], (0.299, 0.587, 0.114))
            axes.text(
                j, i, f"{values[i, j]:.1f}" if is_lift else f"{values[i, j]:.2g}", ha="center",
                va="center", fontsize=size, color="white" if luminance < 0.5 else "black",
            )  # fmt: skip
    return image, ticks


def fraction(power_of_two: float) -> str:
    return f"{power_of_two:g}" if power_of_two >= 1 else f"1/{1 / power_of_two:g}"


def rank_table(
    scores: pd.DataFrame,
    ranked: list[tuple[str, str]],
    primary: str,
    width: str,
) -> pd.DataFrame:
    """Folds x methods of fold means, for those that every fold has; with chance."""
    means = scores.groupby(["fold", "level", "method"])[primary].mean().unstack(["level", "method"])
    keys = [key for key in ranked if not is_reference_only(key[1])]
    keys.append((WEIGHT, RANDOM_EXPECTED))
    table = means[keys].dropna(axis=1)
    table.columns = [label(*key, width) for key in table.columns]
    return table


def critical_difference(table: pd.DataFrame, primary: str, width: str) -> Figure:
    """Mean ranks over folds; bars join methods that no test tells apart (descriptive).

    table : (folds, methods), higher is better. The p values are Holm-adjusted
    paired t tests between every two methods.
    """
    import scikit_posthocs

    ranks = statistics.average_ranks(table)
    p = statistics.pairwise_holm(table).fillna(1.0)
    wide = width == "2col"
    size = SMALL[width]
    with matplotlib.rc_context(STYLE):
        figure = new_figure(width, 2)
        axes = figure.subplots()
        drawn = scikit_posthocs.critical_difference_diagram(
            ranks, p, ax=axes, label_props={"fontsize": size},
            label_fmt_left="{label} ({rank:.1f}) ", label_fmt_right=" ({rank:.1f}) {label}",
            elbow_props={"color": "#333333", "linewidth": 0.6},
            marker_props={"color": BLACK, "s": 8},
            crossbar_props={"color": BLUE, "linewidth": 1.5, "marker": "o", "markersize": 3},
        )  # fmt: skip
        levels = restack([bar for bars in drawn["crossbars"] for bar in bars])
        rows = levels + (len(ranks) + 1) // 2
        figure.set_size_inches(WIDTHS[width], (0.15 if wide else 0.12) * rows + 0.75)
        axes.spines["top"].set_visible(True)  # the axis of the ranks
        axes.tick_params(labelsize=size)
        axes.set_title(
            f"mean rank by {primary} over {len(table)} folds, 1 is best (descriptive)\n"
            "a bar joins the dotted methods that are not told apart\n"
            "at 0.05 (paired t, Holm over all pairs)",
            fontsize=size,
        )
    return figure


def restack(bars: list[Line2D]) -> int:
    """Order the bars by where they begin and end, each as high as it fits; the levels used.

    The library takes bars that begin together in the order of a set, which
    differs from run to run.
    """
    ends: list[float] = []
    for bar, ranks in sorted(
        ((bar, sorted(bar.get_xdata())) for bar in bars),
        key=lambda item: (item[1][0], item[1][-1], item[1]),
    ):
        free = [level for level, end in enumerate(ends) if end < ranks[0]]
        level = free[0] if free else len(ends)
        if level == len(ends):
            ends.append(ranks[-1])
        ends[level] = ranks[-1]
        bar.set_data(ranks, [-level - 1] * len(ranks))
    return len(ends)


def locations(
    table: pd.DataFrame, ranked: list[tuple[str, str]], percent: float, width: str
) -> Figure:
    """Where the top of the truth and of each method lie, among neurons sorted by the truth.

    Colour: density of the top weights in a bin of neurons, 1 where they are
    spread evenly over both matrices; mean over folds.
    """
    keys = [(WEIGHT, details.TRUTH), *ranked]
    names = set(zip(table["level"], table["method"], strict=True))
    keys = [key for key in keys if key in names][:MOST_LABELS]
    share = table.groupby(["matrix", "level", "method", "bin"])["share"].mean()
    neurons = table.groupby("bin")["neurons"].first()
    even = (neurons / neurons.sum() / 2).to_numpy()  # share of a bin of one matrix
    panels = {
        matrix: np.stack([share[matrix, level, method].to_numpy() / even for level, method in keys])
        for matrix in ("W_bef", "W_aft")
    }
    wide = width == "2col"
    size = SMALL[width]
    norm = Normalize(*DENSITY_LOG2)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(width, (0.17 if wide else 0.14) * len(keys) + 0.95)
        grid = figure.subplots(1, 2, sharey=True)
        for axes, (matrix, density) in zip(grid, panels.items(), strict=True):
            with np.errstate(divide="ignore"):
                shades = np.log2(density)
            image = axes.imshow(
                np.maximum(shades, DENSITY_LOG2[0]), cmap="viridis", norm=norm, aspect="auto",
                extent=(0, 100, len(keys) - 0.5, -0.5), interpolation="nearest",
            )  # fmt: skip
            axes.axhline(0.5, color="white", linewidth=1.5)
            axes.set_title(matrix, fontsize=size + 1)
            axes.tick_params(labelsize=size, length=2)
            axes.spines[:].set_visible(False)
        grid[0].set_yticks(range(len(keys)), [label(*key, width) for key in keys], fontsize=size)
        figure.supxlabel("neurons, by the ground truth's top weights in them (%)", fontsize=size)
        bar = figure.colorbar(image, ax=grid, shrink=0.9, aspect=25, pad=0.01)
        ticks = [-3, -1, 0, 1, 3, 5]
        bar.set_ticks(ticks, labels=["≤ 1/8", "1/2", "1", "2", "8", "≥ 32"])
        bar.set_label(f"density of the top {percent:g}%", fontsize=size)
        bar.ax.tick_params(labelsize=size)
    return figure


def time_against(
    scores: pd.DataFrame,
    ranked: list[tuple[str, str]],
    lines: dict[tuple[str, str], Line],
    seconds: dict[tuple[str, str], float],
    primary: str,
    width: str,
) -> Figure:
    """The primary metric against the seconds a method takes per fold; bars from fold to fold.

    Methods that were not timed stand at the right, beyond the last tick.
    """
    means = scores.groupby(["level", "method", "fold"])[primary].mean()
    shown = [key for level in GROUPS for key in ranked if key[0] == level and key[1] != ORACLE]
    times = {key: seconds_of(*key, seconds) for key in shown}
    timed = [x for x in times.values() if np.isfinite(x)]
    edge = 3 * max(timed)
    wide = width == "2col"
    with matplotlib.rc_context(STYLE):
        figure = new_figure(width, 3.2 if wide else 3.9)
        axes = figure.subplots()
        handles = []
        for key in shown:
            line = lines[key]
            x = times[key] if np.isfinite(times[key]) else edge
            folds = means[key].dropna().to_numpy()
            fill = line.color if key[0] == WEIGHT else "white"
            axes.plot([x, x], [folds.min(), folds.max()], color=line.color, linewidth=0.8)
            axes.plot(
                x, folds.mean(), marker=line.marker or ".", color=line.color, markersize=5,
                markerfacecolor=fill, linestyle="",
            )  # fmt: skip
            if line.highlighted:
                handles.append(
                    Line2D([], [], color=line.color, marker=line.marker, linestyle="",
                           markersize=4.5, label=label(*key, width), markerfacecolor=fill)
                )  # fmt: skip
        axes.set_xscale("log")
        if len(timed) < len(shown):
            axes.set_xlim(right=edge * 1.7)
            powers = np.arange(np.floor(np.log10(min(timed))), np.log10(edge / 1.7))
            low = axes.get_xlim()[0]
            axes.set_xticks([10**p for p in powers if low <= 10**p])  # none among the untimed
            axes.minorticks_off()
            axes.axvline(edge / 1.7, color=LIGHT, linewidth=0.8)
            axes.text(
                edge, 1.0, "not timed", transform=axes.get_xaxis_transform(), ha="center",
                va="bottom", fontsize=6.5,
            )  # fmt: skip
        if primary.startswith("lift"):
            axes.axhline(1, color=GREY, linestyle=(0, (4, 2)), linewidth=1)
            handles.append(dashed("random (expected)"))
        axes.set(xlabel="seconds per fold, all settings", ylabel=primary)
        highest = max(means[key].max() for key in shown)
        axes.set_ylim(0, 1.08 * max(highest, 1) if primary.startswith("lift") else 1.08 * highest)
        figure.legend(
            handles=handles, loc="outside right center" if wide else "outside lower center",
            ncols=1 if wide else 2, fontsize=6.5, frameon=False,
        )  # fmt: skip
    return figure
