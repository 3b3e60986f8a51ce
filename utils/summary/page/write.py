"""Writes report.html, from what lies in the summary's folder."""

from pathlib import Path
from typing import Any

import pandas as pd

from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary.figures.shared import widths_of
from utils.summary.folds.read_tables import read
from utils.summary.page.page import Found, Svg, content_of, read_captions, render

# How much larger than in a paper a figure stands on a screen, by its width.
ZOOM = {"1col": 1.7, "2col": 1.2}
# What steps 8, 9 and 10 write, each where it has run.
OPTIONAL = ("transplant", "planted", "retrained", "predicts")


def write(
    task: Task,
    paths: SummaryPaths,
    template: Path,
    about: dict[str, Any],
    constants: dict[str, Any],
) -> None:
    """Put the page together.

    about : what no file of the summary says: `folds`, how they were `made`, and `no_effects`,
        why what steps 8, 9 and 10 say is not there, or None if it is.
    constants : POSITIVE_PERCENT and FIGURE_WIDTHS.
    """
    captions = read_captions(paths.captions.read_text(encoding="utf-8"))
    widths = widths_of(constants)[::-1]
    tables = ("overview", "verdict", "resolution")
    found = read_found(paths, paths.notes, captions, tables, widths)
    effects = None if about["no_effects"] else read_effects(paths, widths)
    content = content_of(found, effects, constants["POSITIVE_PERCENT"])
    content |= about | {"ds": paths.ds, "zoom": ZOOM[widths[0]]}
    page = render(template.read_text(encoding="utf-8"), content)
    task.save_bytes(paths.report, page.encode())


def read_effects(paths: SummaryPaths, widths: list[str]) -> Found:
    """What steps 8, 9 and 10 have written."""
    _, _, below = paths.effect_notes.read_text(encoding="utf-8").partition("\n\n")
    names = ("verdicts", *OPTIONAL)
    return read_found(paths, paths.effect_notes, read_captions(below), names, widths)


def read_found(
    paths: SummaryPaths,
    notes: Path,
    captions: dict[str, str],
    names: tuple[str, ...],
    widths: list[str],
) -> Found:
    """The finding in `notes`, the tables that are there and the figures that have a caption.

    widths : of the figures, the wide one first.
    """
    said, _, below = notes.read_text(encoding="utf-8").partition("\n\n")
    there = [name for name in names if name not in OPTIONAL or paths.table(name).is_file()]
    tables = {name: read_table(paths, name) for name in there}
    figures = {key: read_figure(paths, key, widths) for key in captions}
    return Found(said.splitlines(), below.splitlines(), captions, tables, figures)


def read_table(paths: SummaryPaths, name: str) -> pd.DataFrame:
    """One of the summary's tables, with the methods' own names."""
    return read(paths.table(name), [])


def read_figure(paths: SummaryPaths, key: str, widths: list[str]) -> Svg:
    """key : name of a figure, with its truth's folder if it has one."""
    truth, _, name = key.rpartition("/")
    files = [paths.figure(name, width, truth or None) for width in widths]
    return Svg(*(file.with_suffix(".svg").read_bytes() for file in files))
