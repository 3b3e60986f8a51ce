"""Saves figures, and gathers what stands under them."""

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from tqdm import tqdm

from utils import drawing
from utils.run.side_by_side import in_order
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
    task: Task,
    paths: SummaryPaths,
    figures: Iterable[ToDraw],
    constants: dict[str, Any],
    jobs: int = 1,
) -> Captions:
    """Write each figure in every form; a line for characters that no font has.

    jobs : processes that draw.
    """
    captions: dict[str, str] = {}
    missing: set[str] = set()
    wanted = list(figures)
    if wanted:
        print(f"draws {len(wanted)} figure{'s' * (len(wanted) > 1)}", flush=True)
    made = in_order(jobs, [partial(drawn, one, formats(constants)) for one in wanted])
    bar = tqdm(made, desc="figures", unit="figure", total=len(wanted))
    for one, (contents, unknown) in zip(wanted, bar, strict=True):
        target = paths.figure(one.name, one.width, one.truth)
        for suffix, content in contents.items():
            task.save_bytes(target.with_suffix(f".{suffix}"), content)
        captions[one.title] = one.caption.strip()
        missing |= unknown
    if missing:
        print(NO_GLYPH.format("".join(sorted(missing))))
    text = "\n\n".join(f"{name}: {caption}" for name, caption in captions.items())
    return Captions(text, latex.figures(captions, widths_of(constants)))


def drawn(one: ToDraw, forms: list[str]) -> tuple[dict[str, bytes], set[str]]:
    """A figure in every form, by suffix, and the characters that no font has."""
    figure = one.draw()
    return {form: drawing.render(figure, form) for form in forms}, drawing.missing_glyphs(figure)
