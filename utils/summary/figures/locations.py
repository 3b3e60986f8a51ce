"""Where the top of the truth and of each method lie."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from utils.drawing import drawing
from utils.judge.names import TRUTH, WEIGHT
from utils.summary.figures.shared import SMALL, label, new_figure
from utils.summary.figures.styles import Key

DENSITY_LOG2 = (-3, 5)  # the colours reach from an eighth of an even spread to 32 times
TICKS = {-3: "1/8", -1: "1/2", 0: "1", 1: "2", 3: "8", 5: "32"}
NONE = "#FFFFFF"  # a bin without any
MOST_LABELS = 40
MATRICES = {"W_bef": "W_bef, into the neurons", "W_aft": "W_aft, out of them"}


def locations(table: pd.DataFrame, ranked: list[Key], percent: float, width: str) -> Figure:
    """Where the top of the truth and of each method lie, among neurons sorted by the truth.

    Colour: density of the top weights in a bin of neurons, 1 where they are
    spread evenly over both matrices; mean over folds. White: none in any fold.
    """
    keys = [(WEIGHT, TRUTH), *ranked]
    names = set(zip(table["level"], table["method"], strict=True))
    keys = [key for key in keys if key in names][:MOST_LABELS]
    share = table.groupby(["matrix", "level", "method", "bin"])["share"].mean()
    neurons = table.groupby("bin")["neurons"].first()
    even = (neurons / neurons.sum() / 2).to_numpy()  # share of a bin of one matrix
    wide = width == "2col"
    size = SMALL[width]
    colours = matplotlib.colormaps["viridis"].with_extremes(bad=NONE)
    with drawing():
        figure = new_figure(width, (0.15 if wide else 0.13) * len(keys) + 1.3)
        grid = figure.subplots(1, 2, sharey=True)
        for axes, (matrix, title) in zip(grid, MATRICES.items(), strict=True):
            density = np.stack([share[matrix, level, method].to_numpy() for level, method in keys])
            with np.errstate(divide="ignore"):
                shades = np.ma.masked_invalid(np.log2(density / even))
            image = axes.imshow(
                shades, cmap=colours, norm=Normalize(*DENSITY_LOG2), aspect="auto",
                extent=(0, 100, len(keys) - 0.5, -0.5), interpolation="nearest",
            )  # fmt: skip
            axes.axhline(0.5, color="black", linewidth=0.8)
            axes.set_title(title, fontsize=size + 0.5)
            axes.set_yticks(range(len(keys)), [label(*key, width) for key in keys], fontsize=size)
            axes.tick_params(axis="x", labelsize=size)
            axes.tick_params(axis="y", length=0)
            axes.set_xticks([0, 50, 100])
        figure.supxlabel(
            "neurons, those that hold most positives first (% of all neurons)", fontsize=size + 0.5
        )
        bar = figure.colorbar(
            image, ax=grid, aspect=30, pad=0.01, shrink=0.5 if wide else 0.9, extend="both",
            location="top",
        )  # fmt: skip
        bar.set_ticks(list(TICKS), labels=list(TICKS.values()))
        between = " " if wide else "\n"
        says = f"density of the top {percent:g}%{between}(1: spread evenly; white: none)"
        bar.set_label(says, fontsize=size)
        bar.ax.tick_params(labelsize=size)
    return figure
