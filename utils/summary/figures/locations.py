"""Where the top of the truth and of each method lie."""

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from utils.judge import details
from utils.judge.comparison import WEIGHT
from utils.run.pictures import (
    drawing,
)
from utils.summary.figures.shared import MOST_LABELS, SMALL, label, new_figure

DENSITY_LOG2 = (-3, 5)  # the colours reach from an eighth of an even spread to 32 times


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
    with drawing():
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
