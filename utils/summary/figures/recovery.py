"""Do the weights that methods point at matter? Transplants, layers, planted faults, verdicts."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from utils.data.setting_names import ALL
from utils.drawing import drawing
from utils.judge.layers.swap import BACK_TO_M1, INTO_M1
from utils.judge.transplant.walk import ELSEWHERE
from utils.summary.effects.verdicts import verdict_names
from utils.summary.figures.names import ink, name_points
from utils.summary.figures.shared import (
    CHANCE_DASH,
    SMALL,
    draw_line,
    draw_point,
    fold_grid,
    groups_of,
    handles_of,
    label,
    legend_below,
    new_figure,
    of_panel,
    percent_axis,
    rows_of,
    set_log_limits,
)
from utils.summary.figures.styles import DARK, GREY, Styles
from utils.summary.figures.truths import name_rows
from utils.truth import CHANGE, POOLED

LOWEST = 0.1
MARKED = [0.01, 0.1, 1, 10, 100]


def loss_against_k(transplants: pd.DataFrame, styles: Styles, width: str) -> Figure:
    """Loss recovered against K in the setting `all`, mean over folds, a panel for each level."""
    rows = transplants[transplants["setting"] == ALL].rename(columns={"k_percent": "percent"})
    keys = [tuple(key) for key in rows[["level", "method"]].drop_duplicates().to_numpy()]
    levels = groups_of(keys, styles)
    found = {key: fold_grid(rows_of(rows, *key), "loss_recovered") for key in keys}
    order = sorted(keys, key=lambda key: -found[key][1].mean(axis=0).sum())
    wide = width == "2col"
    with drawing():
        figure = new_figure(width, 3.3 if wide else 3.9)
        grid = figure.subplots(1, len(levels), sharey=True, squeeze=False)[0]
        for axes, level in zip(grid, levels, strict=True):
            for key in of_panel(keys, level, styles):
                x, values = found[key]
                draw_line(axes, x, values.mean(axis=0), styles.of(*key))
            axes.axhline(0, color=DARK, linewidth=0.6, zorder=1)
            axes.axvline(ELSEWHERE, color=DARK, linestyle=(0, (1, 1.5)), linewidth=0.8, zorder=1)
            percent_axis(axes, [p for p in MARKED if x.min() <= p <= x.max()])
            axes.set_xlabel("K (% of the weights)", fontsize=7)
            axes.set_title(f"level: {level}", fontsize=7)
            axes.tick_params(labelsize=SMALL[width])
        log_about_zero(grid[0], [values.mean(axis=0) for _, values in found.values()])
        grid[0].set_ylabel("loss recovered on the test split", fontsize=7.5)
        legend_below(figure, handles_of(order, styles, width), width, 5 if wide else 3)
    return figure


def log_about_zero(axes: Axes, drawn: list[np.ndarray]) -> None:
    """A y axis that is logarithmic on both sides of zero, down to a hundredth of the farthest."""
    values = np.concatenate(drawn)
    power = int(np.floor(np.log10(np.abs(values).max() or 1.0)))
    near = 10.0 ** (power - 2)
    low, high = min(1.3 * values.min(), -0.3 * near), 1.3 * values.max()
    axes.set_yscale("symlog", linthresh=near, linscale=0.5)
    ticks = [sign * 10.0 ** (power - i) for sign in (-1, 1) for i in range(3)]
    axes.set_yticks([0, *(tick for tick in ticks if low <= tick <= high)])
    axes.set_ylim(low, high)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()


def repaired_and_broken(transplants: pd.DataFrame, styles: Styles, width: str) -> Figure:
    """Test samples that a transplant at 1% sets right (right) and wrong (left), setting `all`."""
    rows = transplants[(transplants["setting"] == ALL) & (transplants["k_percent"] == ELSEWHERE)]
    mean = rows.groupby(["level", "method"])[["repaired", "broken"]].mean()
    mean = mean.sort_values("repaired", kind="stable")
    with drawing():
        figure = new_figure(width, 0.16 * len(mean) + 0.7)
        axes = figure.subplots()
        places = range(len(mean))
        colours = [styles.of(*key).color for key in mean.index]
        axes.barh(places, mean["repaired"], color=colours, height=0.7)
        axes.barh(
            places, -mean["broken"], color="white", edgecolor=colours, linewidth=0.9, height=0.64
        )
        axes.axvline(0, color=DARK, linewidth=0.8)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
        name_rows(axes, list(mean.index), styles, width)
        axes.set_xlabel("test samples, K = 1%", fontsize=7.5)
        hollow_and_filled(figure, "broken (left)", "repaired (right)", width)
    return figure


def hollow_and_filled(figure: Figure, hollow: str, filled: str, width: str) -> None:
    handles = [
        Patch(facecolor="white", edgecolor=DARK, linewidth=0.9, label=hollow),
        Patch(facecolor=DARK, edgecolor=DARK, linewidth=0.9, label=filled),
    ]
    figure.legend(
        handles=handles, fontsize=SMALL[width], frameon=False, loc="outside upper right", ncols=2
    )


def blocks(layers: pd.DataFrame, _: Styles, width: str) -> Figure:
    """Accuracy gained by each block of M2 in M1, and lost by each block of M1 in M2."""
    net = (layers["repaired"] - layers["broken"]) / layers["samples"]
    names = [
        block if pd.isna(layer) else f"{block} {layer:g}"
        for layer, block in zip(layers["layer"], layers["block"], strict=True)
    ]
    mean = layers.assign(net=100 * net, name=names).groupby(["direction", "name"], sort=False)
    mean = mean["net"].mean().unstack("direction")
    mean = mean.reindex(dict.fromkeys(names))
    with drawing():
        figure = new_figure(width, 0.26 * len(mean) + 0.9)
        axes = figure.subplots()
        places = np.arange(len(mean))
        pairs = (
            (INTO_M1, -0.2, DARK, "M2's block in M1"),
            (BACK_TO_M1, 0.2, GREY, "M1's block in M2"),
        )
        for direction, shift, color, text in pairs:
            axes.barh(places + shift, mean[direction], color=color, height=0.38, label=text)
        axes.axvline(0, color=DARK, linewidth=0.8)
        axes.set_yticks(places, list(mean.index), fontsize=SMALL[width])
        axes.invert_yaxis()
        axes.tick_params(labelsize=SMALL[width])
        axes.set_xlabel("change of accuracy on the test split, points", fontsize=7.5)
        figure.legend(fontsize=SMALL[width], frameon=False, loc="outside upper right", ncols=2)
    return figure


def lift_and_recovery(both: dict[str, pd.DataFrame], styles: Styles, width: str) -> Figure:
    """Lift@1% by each truth against the loss recovered at 1%: methods, mean over folds.

    In one column `pooled` has no panel beside `change`, whose mean over replays it is, and only
    the methods in colour have a name.
    """
    wide = width == "2col"
    if not wide and CHANGE in both:
        both = {truth: table for truth, table in both.items() if truth != POOLED}
    with drawing():
        figure = new_figure(width, 4.2 if wide else 2.5 * len(both))
        shape = (1, len(both)) if wide else (len(both), 1)
        grid = figure.subplots(*shape, sharey=True, squeeze=False).ravel()
        drawn = []
        for axes, (truth, table) in zip(grid, both.items(), strict=True):
            points = table.groupby(["level", "method"])[["lift", "loss_recovered"]].mean()
            x, y = points["lift"].clip(lower=LOWEST).to_numpy(), points["loss_recovered"].to_numpy()
            for key, left, top in zip(points.index, x, y, strict=True):
                draw_point(axes, left, top, styles.of(*key), 4)
            room = 3 if wide else 4
            set_log_limits(axes, "x", min(x.min(), 1) / room, room * max(x.max(), 1))
            axes.axvline(1, color=DARK, linestyle=CHANCE_DASH, linewidth=0.8, zorder=0)
            axes.set_xlabel(f"lift@1% by '{truth}'", fontsize=7.5)
            axes.tick_params(labelsize=SMALL[width])
            drawn.append((axes, x, y, list(points.index)))
        for axes in grid[:1] if wide else grid:
            axes.set_ylabel("loss recovered at 1%", fontsize=7.5)
        for axes, x, y, keys in drawn:
            names = [label(*key, "1col") if wide or styles.of(*key).named else "" for key in keys]
            name_points(
                axes, x, y, names, [styles.of(*key) for key in keys], SMALL["1col"],
                np.array([(1, axes.get_ylim()[0], 1, axes.get_ylim()[1])]),
            )  # fmt: skip
    return figure


def planted_lifts(planted: pd.DataFrame, styles: Styles, width: str) -> Figure:
    """Lift@R of the planted weights by kind of fault, mean over faults and folds."""
    rows = planted[planted["metric"] == "lift@R"]
    mean = rows.pivot_table(index=["level", "method"], columns="kind", values="mean")
    mean = mean.loc[mean.mean(axis=1).sort_values(kind="stable").index]
    keys, kinds = list(mean.index), sorted(mean.columns, reverse=True)  # neurons on top
    with drawing():
        figure = new_figure(width, 0.22 * len(mean) + 0.8)
        axes = figure.subplots()
        places = np.arange(len(mean))
        colours = [styles.of(*key).color for key in keys]
        for i, kind in enumerate(kinds):
            lifts = mean[kind].clip(lower=LOWEST)
            shift = 0.4 * (i - (len(kinds) - 1) / 2)
            axes.barh(
                places + shift, lifts - 1, left=1, height=0.34, edgecolor=colours, linewidth=0.8,
                color="white" if i < len(kinds) - 1 else colours,
            )  # fmt: skip
            for place, lift in zip(places + shift, mean[kind], strict=True):
                if lift < LOWEST:
                    axes.annotate(
                        f"{lift:.2g}", (LOWEST, place), xytext=(-1.5, 0), ha="right", va="center",
                        textcoords="offset points", fontsize=5, color=DARK,
                    )  # fmt: skip
        axes.axvline(1, color=DARK, linewidth=1)
        reach = mean.clip(lower=LOWEST).to_numpy()
        # Where a number stands beside a bar it needs room.
        room = 2.5 if np.nanmin(reach) <= LOWEST else 1.2
        set_log_limits(axes, "x", min(np.nanmin(reach), 0.8) / room, 1.3 * np.nanmax(reach))
        name_rows(axes, keys, styles, width)
        axes.set_xlabel("lift@R of the planted weights (1 is chance)", fontsize=7.5)
        if len(kinds) == 2:
            hollow_and_filled(figure, f"faults in {kinds[0]}", f"faults in {kinds[1]}", width)
    return figure


def verdict_places(verdicts: pd.DataFrame, styles: Styles, width: str) -> Figure:
    """Each method's place by each verdict, 1 the best, joined by a line."""
    names = verdict_names(verdicts)
    places = verdicts[[f"place {name}" for name in names]].to_numpy(dtype=float)
    keys = list(zip(verdicts["level"], verdicts["method"], strict=True))
    with drawing():
        figure = new_figure(width, 0.16 * len(verdicts) + (1.3 if width == "1col" else 0.8))
        axes = figure.subplots()
        columns = np.arange(len(names))
        for row, key in zip(places, keys, strict=True):
            style = styles.of(*key)
            draw_line(axes, columns, row, style)
            if not style.named:
                for column, place in zip(columns, row, strict=True):
                    draw_point(axes, column, place, style, 2.5)
        for column, align, shift in ((0, "right", -6), (len(names) - 1, "left", 6)):
            # Methods of equal places would have their names on each other.
            lines = pd.Series(places[:, column]).rank(method="first")
            for line, key in zip(lines, keys, strict=True):
                if np.isfinite(line):
                    axes.annotate(
                        label(*key, width), (column, line), xytext=(shift, 0),
                        textcoords="offset points", ha=align, va="center",
                        fontsize=SMALL[width], parse_math=False, color=ink(styles.of(*key)),
                    )  # fmt: skip
        room = (0.62 if width == "1col" else 0.2) * len(names)
        axes.set_xlim(-room, len(names) - 1 + room)
        axes.set_ylim(len(verdicts) + 0.6, 0.4)
        narrow = width == "1col"
        shown = names if narrow else [name.replace(" ", "\n") for name in names]
        axes.set_xticks(columns, shown, fontsize=SMALL[width])
        if narrow:
            axes.tick_params(axis="x", labelrotation=90)
        axes.set_yticks([])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure
