"""Do the weights that methods point at matter? Transplants, layers, planted faults, verdicts."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from utils.data.settings import ALL
from utils.judge.comparison import LIFTED, ORACLE, WEIGHT
from utils.judge.layers import BACK_TO_M1, INTO_M1
from utils.judge.transplants import CREDIT, RANDOM
from utils.run.pictures import BLACK, BLUE, VERMILION, drawing
from utils.summary.figures.shared import (
    GREY,
    GROUPS,
    SMALL,
    assign_lines,
    draw_band,
    fold_grid,
    label,
    legend_entries,
    new_figure,
    rows_of,
)
from utils.summary.figures.truths import COLOURS, MARKERS, name_points
from utils.summary.recovery import BESIDE, verdict_names
from utils.truth import CHANGE

DASHES = {CHANGE: "-", CREDIT: "--", RANDOM: (0, (1, 1)), ORACLE: "-."}
LOWEST = 0.1


def loss_against_k(transplants: pd.DataFrame, width: str) -> Figure:
    """Loss recovered against K in the setting `all`, weight-level and lifted methods apart."""
    rows = transplants[transplants["setting"] == ALL].rename(columns={"k_percent": "percent"})
    keys = [tuple(key) for key in rows[["level", "method"]].drop_duplicates().to_numpy()]
    lines = assign_lines([key for key in keys if key[1] not in BESIDE])
    wide = width == "2col"
    with drawing():
        figure = new_figure(width, 3.9 if wide else 6.4)
        grid = figure.subplots(*((1, 2) if wide else (2, 1)), sharey=True, squeeze=False).ravel()
        for axes, level in zip(grid, GROUPS, strict=True):
            for (at, method), line in lines.items():
                if at == level:
                    x, values = fold_grid(rows_of(rows, at, method), "loss_recovered")
                    draw_band(axes, x, values.mean(axis=0, keepdims=True), line)
            extra = {}
            for at, method in keys:
                if method in DASHES:
                    x, values = fold_grid(rows_of(rows, at, method), "loss_recovered")
                    axes.plot(x, values.mean(axis=0), color=BLACK, linestyle=DASHES[method],
                              linewidth=0.9)  # fmt: skip
                    extra[method] = Line2D([], [], color=BLACK, linestyle=DASHES[method],
                                           linewidth=0.9, label=method)  # fmt: skip
            axes.axhline(0, color=GREY, linewidth=0.6)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.minorticks_off()
            axes.set_xlabel("K, % of the weights", fontsize=7.5)
            axes.set_title(GROUPS[level], fontsize=7)
            axes.tick_params(labelsize=SMALL[width])
            axes.legend(
                handles=legend_entries(lines, level, extra, width), fontsize=SMALL[width],
                frameon=False, loc="upper left",
            )  # fmt: skip
        grid[0].set_ylabel("loss recovered on the test split", fontsize=7.5)
    return figure


def repaired_and_broken(transplants: pd.DataFrame, width: str) -> Figure:
    """Test samples that a transplant at 1% sets right (right) and wrong (left), setting `all`."""
    rows = transplants[(transplants["setting"] == ALL) & (transplants["k_percent"] == 1)]
    mean = rows.groupby(["level", "method"])[["repaired", "broken"]].mean()
    mean = mean.sort_values("repaired", kind="stable")
    with drawing():
        figure = new_figure(width, 0.16 * len(mean) + 0.7)
        axes = figure.subplots()
        places = range(len(mean))
        axes.barh(places, mean["repaired"], color=BLUE, height=0.7, label="repaired")
        axes.barh(places, -mean["broken"], color=VERMILION, height=0.7, label="broken")
        axes.axvline(0, color=GREY, linewidth=0.8)
        names = [label(*key, width) for key in mean.index]
        axes.set_yticks(places, names, fontsize=SMALL[width], parse_math=False)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
        axes.tick_params(labelsize=SMALL[width])
        axes.set_xlabel("test samples, K = 1%", fontsize=7.5)
        figure.legend(fontsize=SMALL[width], frameon=False, loc="outside upper right", ncols=2)
    return figure


def blocks(layers: pd.DataFrame, width: str) -> Figure:
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
            (INTO_M1, -0.2, BLUE, "M2's block in M1"),
            (BACK_TO_M1, 0.2, VERMILION, "M1's block in M2"),
        )
        for direction, shift, color, text in pairs:
            axes.barh(places + shift, mean[direction], color=color, height=0.38, label=text)
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_yticks(places, list(mean.index), fontsize=SMALL[width])
        axes.invert_yaxis()
        axes.tick_params(labelsize=SMALL[width])
        axes.set_xlabel("change of accuracy on the test split, points", fontsize=7.5)
        figure.legend(fontsize=SMALL[width], frameon=False, loc="outside upper right", ncols=2)
    return figure


def lift_and_recovery(both: dict[str, pd.DataFrame], width: str) -> Figure:
    """Lift@1% by each truth against the loss recovered at 1%: methods, mean over folds."""
    wide = width == "2col"
    with drawing():
        figure = new_figure(width, 3.4 if wide else 3.1 * len(both))
        shape = (1, len(both)) if wide else (len(both), 1)
        grid = figure.subplots(*shape, sharey=True, squeeze=False).ravel()
        for axes, (truth, table) in zip(grid, both.items(), strict=True):
            points = table.groupby(["level", "method"])[["lift", "loss_recovered"]].mean()
            x, y = points["lift"].clip(lower=LOWEST).to_numpy(), points["loss_recovered"].to_numpy()
            for (level, _), left, top in zip(points.index, x, y, strict=True):
                axes.plot(
                    left, top, MARKERS[level], color=COLOURS[level], markersize=4,
                    markerfacecolor=COLOURS[level] if level == WEIGHT else "white",
                )  # fmt: skip
            axes.set_xscale("log")
            axes.set_xlim(min(x.min(), 1) / 1.5, 6 * max(x.max(), 1))
            axes.axvline(1, color=GREY, linestyle=(0, (4, 2)), linewidth=0.8, zorder=0)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel(f"lift@1% by '{truth}'", fontsize=7.5)
            axes.tick_params(labelsize=SMALL[width])
            names = [label(*key, width) for key in points.index]
            name_points(axes, x, y, names, SMALL[width] - 0.5 * (not wide))
        grid[0].set_ylabel("loss recovered at 1%", fontsize=7.5)
    return figure


def planted_lifts(planted: pd.DataFrame, width: str) -> Figure:
    """Lift@R of the planted weights by kind of fault, mean over faults and folds."""
    rows = planted[planted["metric"] == "lift@R"]
    mean = rows.pivot_table(index=["level", "method"], columns="kind", values="mean")
    mean = mean.loc[mean.mean(axis=1).sort_values(kind="stable").index]
    with drawing():
        figure = new_figure(width, 0.24 * len(mean) + 0.8)
        axes = figure.subplots()
        places = np.arange(len(mean))
        kinds = list(mean.columns)
        for i, (kind, color) in enumerate(zip(kinds, (BLUE, VERMILION), strict=False)):
            lifts = mean[kind].clip(lower=LOWEST)
            shift = 0.4 * (i - (len(kinds) - 1) / 2)
            axes.barh(places + shift, lifts - 1, left=1, height=0.36, color=color, label=kind)
        axes.set_xscale("log")
        axes.axvline(1, color=GREY, linewidth=1)
        names = [label(*key, width) for key in mean.index]
        axes.set_yticks(places, names, fontsize=SMALL[width], parse_math=False)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(labelsize=SMALL[width])
        axes.set_xlabel("lift@R of the planted weights (1 is chance)", fontsize=7.5)
        figure.legend(fontsize=SMALL[width], frameon=False, loc="outside upper right", ncols=2)
    return figure


def verdict_places(verdicts: pd.DataFrame, width: str) -> Figure:
    """Each method's place by each verdict, 1 the best, joined by a line."""
    names = verdict_names(verdicts)
    places = verdicts[[f"place {name}" for name in names]].to_numpy(dtype=float)
    with drawing():
        figure = new_figure(width, 0.19 * len(verdicts) + 0.8)
        axes = figure.subplots()
        columns = np.arange(len(names))
        for row, level in zip(places, verdicts["level"], strict=True):
            axes.plot(
                columns, row, color=COLOURS[level], marker=MARKERS[level], markersize=3.5,
                linewidth=0.8, markerfacecolor=COLOURS[level] if level == WEIGHT else "white",
                linestyle="--" if level == LIFTED else "-",
            )  # fmt: skip
        for column, align, shift in ((0, "right", -6), (len(names) - 1, "left", 6)):
            for row, key in zip(
                places, verdicts[["level", "method"]].itertuples(index=False), strict=True
            ):
                if np.isfinite(row[column]):
                    axes.annotate(
                        label(*key, width), (column, row[column]), xytext=(shift, 0),
                        textcoords="offset points", ha=align, va="center",
                        fontsize=SMALL[width], parse_math=False,
                    )  # fmt: skip
        room = 1.6 if width == "1col" else 0.9
        axes.set_xlim(-room, len(names) - 1 + room)
        axes.invert_yaxis()
        axes.set_xticks(columns, names, fontsize=SMALL[width])
        if width == "1col":
            axes.tick_params(axis="x", labelrotation=30)
        axes.set_yticks([])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure
