"""Saves figures, and gathers what stands under them."""

from collections.abc import Iterable
from typing import NamedTuple

from utils import drawing
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary.documents import latex
from utils.summary.figures.catalogue import Drawn

NO_GLYPH = (
    "no installed font has the characters {}: the figures show boxes for them; install one (on "
    "Debian fonts-noto-cjk) and run exp-fl-5-7.py --force"
)


class Captions(NamedTuple):
    """What stands under the figures, by their titles, as text and as a LaTeX document."""

    text: str
    latex: str


def save_figures(task: Task, paths: SummaryPaths, figures: Iterable[Drawn]) -> Captions:
    """Write each figure in every format; a line for characters that no font has."""
    captions: dict[str, str] = {}
    missing: set[str] = set()
    for drawn in figures:
        target = paths.figure(drawn.name, drawn.width, drawn.truth)
        for suffix in drawing.FORMATS:
            task.save_bytes(target.with_suffix(f".{suffix}"), drawing.render(drawn.figure, suffix))
        captions[drawn.title] = drawn.caption.strip()
        missing |= drawing.missing_glyphs(drawn.figure)
    if missing:
        print(NO_GLYPH.format("".join(sorted(missing))))
    text = "\n\n".join(f"{name}: {caption}" for name, caption in captions.items())
    return Captions(text, latex.figures(captions))
