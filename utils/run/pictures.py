"""The pictures of one fold."""

import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from utils.run import storage

# Okabe and Ito's palette: told apart with every common colour blindness.
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000",
)  # fmt: skip
STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # fonts embedded as TrueType, as journals ask
    "ps.fonttype": 42,
    "svg.hashsalt": "exp-fl-5",
}


def render(figure: Figure, suffix: str) -> bytes:
    """The figure as PNG (300 dpi) or PDF bytes, the same ones every time."""
    sink = io.BytesIO()
    metadata = {"Software": None} if suffix == "png" else {"CreationDate": None}
    with matplotlib.rc_context(STYLE):
        figure.savefig(sink, format=suffix, dpi=300, metadata=metadata)
    return sink.getvalue()


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write `figure` as .png and .pdf beside each other; return both paths."""
    written = []
    for suffix in ("png", "pdf"):
        target = path.with_suffix(f".{suffix}")
        storage.save_bytes(target, render(figure, suffix))
        written.append(target)
    return written


def change_histogram(abs_diff: np.ndarray, threshold: float, percent: float, title: str) -> Figure:
    """How |W(M2) - W(M1)| is spread over the weights, on two logarithmic axes.

    abs_diff : float32 (N,)
    threshold : the smallest |dW| among the positives, drawn as a line.
    """
    moved = abs_diff[abs_diff > 0]
    low, high = np.log10(moved.min()), np.log10(moved.max())
    edges = np.logspace(low, high if high > low else low + 1, 101)
    still = len(abs_diff) - len(moved)
    note = f"; {still:,} unchanged ones not shown" if still else ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.5, 2.4), layout="constrained")
        axes = figure.subplots()
        axes.hist(moved, bins=edges, color=SKY, edgecolor="none")
        axes.axvline(threshold, color=VERMILION, linewidth=1.2)
        axes.text(
            threshold, 0.97, f" top {percent:g}%\n ≥ {threshold:.2g}",
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
