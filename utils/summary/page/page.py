"""report.html: the summary on one page that needs nothing else, from tables, texts and figures."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from utils.summary.documents import short
from utils.summary.rankings import shown
from utils.truth import TRUTHS

DASH = "–"
# What the page shows of retrained.csv.
RETRAINED = (
    "mean", "corrected_low", "corrected_high", "r", "steps", "net", "difference",
    "difference_low", "difference_high", "corrected_holm_p",
)  # fmt: skip
# Headings of the figures; a figure that is not named here is called like its file.
TITLES = {
    "truths": "Lift by change and by repair",
    "ceiling": "What could be reached",
    "specificity": "Specificity",
    "metrics_at_k": "Metrics against K",
    "cumulative_gain": "Cumulative gain",
    "settings": "Methods by setting",
    "locations": "Where the weights lie",
    "time": "Seconds",
    "critical_difference": "Mean ranks",
    "loss_against_k": "Loss recovered against K",
    "repaired_and_broken": "Test images repaired and broken",
    "blocks": "Blocks of the network",
    "lift_and_recovery": "Lift and loss recovered",
    "planted": "Planted faults",
    "verdicts": "Places by every verdict",
}


class Svg(NamedTuple):
    """A figure's SVG file, at both widths where there are two."""

    wide: bytes
    narrow: bytes | None = None


@dataclass(frozen=True)
class Picture:
    """A figure in the page.

    wide, narrow : addresses of both widths, which hold the SVG itself; narrow None with one width.
    """

    anchor: str
    title: str
    caption: str
    wide: str
    narrow: str | None


class Section(NamedTuple):
    """What steps 8, 9 and 10 have written, as it stands on the page."""

    sentences: list[str]
    tables: list[tuple[str, Markup]]
    figures: list[Picture]


@dataclass(frozen=True)
class Found:
    """What some steps have found, as it lies in the summary's folder.

    said : the first lines of their notes. notes : the lines below.
    captions : of `read_captions`.
    tables : by name; without those that are not there.
    figures : by the names of the captions.
    """

    said: list[str]
    notes: list[str]
    captions: dict[str, str]
    tables: dict[str, pd.DataFrame]
    figures: dict[str, Svg]


def render(template: str, content: Mapping[str, Any]) -> str:
    """The page; everything is escaped that is not said to be HTML.

    template : jinja. content : what it names, all of it.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(**content)


def content_of(found: Found, effects: Found | None, percent: float) -> dict[str, Any]:
    """What the template shows of the findings.

    effects : of steps 8, 9 and 10, None where they are not to be shown.
    percent : of the weights that are positives.
    """
    pictures = {key: picture(key, text, found.figures[key]) for key, text in found.captions.items()}
    truths = list(dict.fromkeys(key.partition("/")[0] for key in pictures if "/" in key))
    return {
        "sentences": found.said,
        "metric": f"lift@{percent:g}%",
        "overview": overview_html(found.tables["overview"]),
        "legend": short.LEGEND,
        "verdict": plain_table(named(found.tables["verdict"])),
        "resolution": plain_table(found.tables["resolution"]),
        "across": [one for key, one in pictures.items() if "/" not in key],
        "by_truth": {
            truth: [one for key, one in pictures.items() if key.startswith(f"{truth}/")]
            for truth in truths
        },
        "says": {truth: TRUTHS[truth].says for truth in truths},
        "effects": section_of(effects) if effects else None,
        "notes": found.notes,
    }


def section_of(found: Found) -> Section:
    """Sentences, tables and figures of what steps 8, 9 and 10 have written."""
    tables = []
    places = found.tables["verdicts"]
    if len(places.columns) > 2:
        tables.append(("Each method by every verdict: value and place", plain_table(named(places))))
    if "predicts" in found.tables:
        title = "Which verdict predicts repair: Kendall's tau over methods, mean over folds"
        tables.append((title, plain_table(found.tables["predicts"])))
    if "retrained" in found.tables:
        table = named(found.tables["retrained"])
        chosen = ["optimizer", "method", "reference", *RETRAINED]
        tables.append(("Retrained: loss mended, mean over folds", plain_table(table[chosen])))
    if "transplant" in found.tables:
        means = wide(found.tables["transplant"], ["direction", "metric"])
        tables.append(("Transplants: means over folds", plain_table(means)))
    if "planted" in found.tables:
        means = wide(found.tables["planted"], ["kind", "percent", "metric"])
        tables.append(("Planted faults: means over faults and folds", plain_table(means)))
    figures = [picture(key, text, found.figures[key]) for key, text in found.captions.items()]
    return Section(found.said, tables, figures)


def named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with one name per ranking instead of level and method, in front."""
    names = [shown(*key) for key in zip(table["level"], table["method"], strict=True)]
    rest = table.drop(columns=["level", "method"])
    rest.insert(0, "method", names)
    return rest


# -- figures -----------------------------------------------------------------------------------


def read_captions(text: str) -> dict[str, str]:
    """Name of each figure, with its truth's folder if it has one -> caption."""
    pairs = (part.partition(": ") for part in text.strip().split("\n\n") if part)
    return {name: caption.replace("\n", " ") for name, _, caption in pairs}


def picture(key: str, caption: str, svg: Svg) -> Picture:
    """key : name of a figure, with its truth's folder if it has one."""
    name = key.rpartition("/")[2]
    title = TITLES.get(name, name.replace("_", " ").capitalize())
    anchor = f"figure-{key.replace('/', '-')}"
    narrow = address_of(svg.narrow) if svg.narrow is not None else None
    return Picture(anchor, title, caption, address_of(svg.wide), narrow)


def address_of(svg: bytes) -> str:
    """An SVG file as the address of an image: nothing in it can meet what else is on the page."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


# -- tables ------------------------------------------------------------------------------------


def html_table(table: pd.DataFrame, texts: int = 1) -> Markup:
    """A table of texts as pandas writes it, with headers that a screen reader announces.

    texts : columns at the left that hold words.
    """
    with pd.option_context("display.max_colwidth", None):
        html = table.to_html(index=False, border=0, escape=True, classes=f"sortable words{texts}")
    html = html.replace(' halign="left"', "").replace(' style="text-align: right;"', "")
    html = html.replace("<th colspan", '<th scope="colgroup" colspan')
    html = html.replace("<th>", '<th scope="col">')
    head, _, body = html.partition("<tbody>")
    rows = body.split("<tr>")
    rows[1:] = [
        row.replace("<td>", '<th scope="row">', 1).replace("</td>", "</th>", 1) for row in rows[1:]
    ]
    return Markup(f"{head}<tbody>{'<tr>'.join(rows)}")


def overview_html(table: pd.DataFrame) -> Markup:
    """What the terminal prints, a block of columns for each truth."""
    columns = short.shown_columns(table)
    return html_table(pd.DataFrame({(group, name): texts for group, name, texts in columns}))


def plain_table(table: pd.DataFrame, digits: int = 4) -> Markup:
    """Any table, its numbers with so many significant digits."""
    words = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    ordered = table[[*words, *(name for name in table if name not in words)]]
    return html_table(texts_of(ordered, lambda value: f"{value:.{digits}g}"), len(words))


def texts_of(table: pd.DataFrame, number: Callable[[Any], str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: [
                short.BELOW_CHANCE if str(name).startswith("share_of_") and v < 0
                else DASH if pd.isna(v) else v if isinstance(v, str) else number(v)
                for v in table[name]
            ]
            for name in table
        }
    )  # fmt: skip


def wide(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The column mean, a row per method and a column for each value of `by`."""
    headings = [", ".join(map(str, key)) for key in table[by].itertuples(index=False, name=None)]
    long = named(table).assign(heading=headings)
    order = list(dict.fromkeys(headings))
    pivoted = long.pivot(index="method", columns="heading", values="mean")[order]
    pivoted = pivoted.reindex(list(dict.fromkeys(long["method"])))
    return pivoted.reset_index().rename_axis(columns=None)
