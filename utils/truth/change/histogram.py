"""The picture of a truth: how the change is spread over the weights."""

from typing import TYPE_CHECKING

import numpy as np

from utils.drawing import SKY, VERMILION, drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def change_histogram(abs_diff: np.ndarray, threshold: float, top: str, title: str) -> "Figure":
    """How |W(M2) - W(M1)| is spread over the weights, on two logarithmic axes.

    abs_diff : float32 (N,)
    threshold : the smallest |dW| among the positives, drawn as a line.
    top : how many they are, in words.
    """
    from matplotlib.figure import Figure

    moved = abs_diff[abs_diff > 0]
    low, high = np.log10(moved.min()), np.log10(moved.max())
    edges = np.logspace(low, high if high > low else low + 1, 101)
    still = len(abs_diff) - len(moved)
    note = f"; {still:,} unchanged ones not shown" if still else ""
    with drawing():
        figure = Figure(figsize=(3.5, 2.4), layout="constrained")
        axes = figure.subplots()
        axes.hist(moved, bins=edges, color=SKY, edgecolor="none")
        axes.axvline(threshold, color=VERMILION, linewidth=1.2)
        axes.text(
            threshold, 0.97, f" {top}\n ≥ {threshold:.2g}",
            color=VERMILION, transform=axes.get_xaxis_transform(), va="top",
        )  # fmt: skip
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="|W(M2) − W(M1)|",
            ylabel="weights",
            title=f"{title}{note}",
        )
    return figure
