"""Saves figures, and gathers what stands under them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from tqdm import tqdm

from utils import drawing
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary.documents import latex
from utils.summary.figures.catalogue import ToDraw
from utils.summary.figures.shared import widths_of

NO_GLYPH = (
    "no installed font has the characters {}: the figures show boxes for them; install one (on "
    "Debian fonts-noto-cjk) and run exp-fl-5-7.py --force"
)


class Captions(NamedTuple):
    """What stands under the figures, by their titles, as text and as a LaTeX document."""

    text: str
    latex: str


def formats(constants: dict[str, Any]) -> list[str]:
    """The forms of every figure: those of FIGURE_FORMATS, and SVG, which report.html shows."""
    return [name for name in drawing.FORMATS if name in (*constants["FIGURE_FORMATS"], "svg")]


def save_figures(
    task: Task, paths: SummaryPaths, figures: Iterable[ToDraw], constants: dict[str, Any]
) -> Captions:
    """Write each figure in every form; a line for characters that no font has."""
    captions: dict[str, str] = {}
    missing: set[str] = set()
    wanted = list(figures)
    if wanted:
        print(f"draws {len(wanted)} figure{'s' * (len(wanted) > 1)}", flush=True)
    for one in tqdm(wanted, desc="figures", unit="figure"):
        target, figure = paths.figure(one.name, one.width, one.truth), one.draw()
        for suffix in formats(constants):
            task.save_bytes(target.with_suffix(f".{suffix}"), drawing.render(figure, suffix))
        captions[one.title] = one.caption.strip()
        missing |= drawing.missing_glyphs(figure)
    if missing:
        print(NO_GLYPH.format("".join(sorted(missing))))
    text = "\n\n".join(f"{name}: {caption}" for name, caption in captions.items())
    return Captions(text, latex.figures(captions, widths_of(constants)))
