"""The pictures of one fold."""

import io
from pathlib import Path

import matplotlib
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
