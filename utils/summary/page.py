"""report.html: the summary on one page that needs nothing else, made from the summary's files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from utils.run import storage
from utils.run.storage import undefused
from utils.run.summary_paths import SummaryPaths
from utils.run.task import Task
from utils.summary import short
from utils.summary.fold_tables import STEP, shown
from utils.summary.inline_svg import Shared, inline
from utils.summary.report import TEMPLATE
from utils.truth import TRUTHS

WIDE, NARROW = "2col", "1col"
DASH = "–"
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
    "verdicts": "Places by the four verdicts",
}


@dataclass(frozen=True)
class Picture:
    """A figure in the page. wide, narrow : <svg> elements of both widths."""

    anchor: str
    title: str
    caption: str
    wide: Markup
    narrow: Markup


def write(
    task: Task,
    paths: SummaryPaths,
    folds: list[int],
    made: dict[str, dict[str, str]],
    percent: float,
    effects: str | None,
) -> None:
    """Put the page together from tables, texts and figures that lie in the summary's folder.

    made : of `made.made`.
    effects : why what steps 8 and 9 say is not there, or None if it is.
    """
    found, _, rest = paths.notes.read_text(encoding="utf-8").partition("\n\n")
    shared = Shared()
    captions = read_captions(paths.captions.read_text(encoding="utf-8"))
    truths = list(dict.fromkeys(key.partition("/")[0] for key in captions if "/" in key))
    across = [key for key in captions if "/" not in key]
    content = {
        "ds": paths.ds,
        "folds": folds,
        "sentences": found.splitlines(),
        "metric": f"lift@{percent:g}%",
        "overview": overview(read(paths, "overview")),
        "legend": short.LEGEND,
        "verdict": plain_table(named(read(paths, "verdict"))),
        "across": [picture(paths, key, captions[key], shared) for key in across],
        "by_truth": {
            truth: [
                picture(paths, key, captions[key], shared)
                for key in captions
                if key.startswith(f"{truth}/")
            ]
            for truth in truths
        },
        "says": {truth: TRUTHS[truth].says for truth in truths},
        "effects": effects_of(paths, shared) if effects is None else None,
        "no_effects": effects,
        "notes": rest.splitlines(),
        "made": made,
    }
    page = environment().get_template(TEMPLATE.name).render(
        **content, definitions=Markup(shared.definitions()), styles=Markup(shared.css())
    )  # fmt: skip
    task.save_bytes(paths.report, page.encode())


def environment() -> Environment:
    """Jinja with everything escaped that is not said to be HTML."""
    return Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def read(paths: SummaryPaths, name: str) -> pd.DataFrame:
    """One of the summary's tables, with the methods' own names."""
    table = storage.read_table(paths.table(name), [], STEP)
    if "method" in table:
        table["method"] = [undefused(str(method)) for method in table["method"]]
    return table


def named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with one name per ranking instead of level and method, in front."""
    names = [shown(*key) for key in zip(table["level"], table["method"], strict=True)]
    rest = table.drop(columns=["level", "method"])
    rest.insert(0, "method", names)
    return rest


# -- figures -----------------------------------------------------------------------------------


def read_captions(text: str) -> dict[str, str]:
    """Name of each figure, with its truth's folder if it has one -> caption."""
    pairs = (part.partition(": ") for part in text.strip().split("\n\n"))
    return {name: caption.replace("\n", " ") for name, _, caption in pairs}


def picture(paths: SummaryPaths, key: str, caption: str, shared: Shared) -> Picture:
    """key : name of a figure, with its truth's folder if it has one."""
    truth, _, name = key.rpartition("/")
    title = TITLES.get(name, name.replace("_", " ").capitalize())
    anchor = f"figure-{key.replace('/', '-')}"
    label = f"{title}. {caption}"
    drawn = {
        width: Markup(
            inline(
                paths.figure(name, width, truth or None).with_suffix(".svg").read_text("utf-8"),
                f"{anchor}-{width}-", label, shared,
            )
        )
        for width in (WIDE, NARROW)
    }  # fmt: skip
    return Picture(anchor, title, caption, drawn[WIDE], drawn[NARROW])


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


def overview(table: pd.DataFrame) -> Markup:
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
                DASH if pd.isna(v) else v if isinstance(v, str) else number(v) for v in table[name]
            ]
            for name in table
        }
    )


def effects_of(paths: SummaryPaths, shared: Shared) -> dict[str, Any]:
    """Sentences, tables and figures of what steps 8 and 9 have written."""
    said, _, rest = paths.effect_notes.read_text(encoding="utf-8").partition("\n\n")
    captions = read_captions(rest) if rest.strip() else {}
    tables = []
    places = read(paths, "verdicts")
    if len(places.columns) > 2:
        tables.append(("Each method by four verdicts: value and place", plain_table(named(places))))
    if paths.table("transplant").is_file():
        means = wide(read(paths, "transplant"), ["metric"])
        tables.append(("Transplants: means over folds", plain_table(means)))
    if paths.table("planted").is_file():
        means = wide(read(paths, "planted"), ["kind", "metric"])
        tables.append(("Planted faults: means over faults and folds", plain_table(means)))
    figures = [picture(paths, key, caption, shared) for key, caption in captions.items()]
    return {"sentences": said.splitlines(), "tables": tables, "figures": figures}


def wide(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The column mean, a row per method and a column for each value of `by`."""
    headings = [", ".join(key) for key in table[by].itertuples(index=False, name=None)]
    long = named(table).assign(heading=headings)
    order = list(dict.fromkeys(headings))
    pivoted = long.pivot(index="method", columns="heading", values="mean")[order]
    pivoted = pivoted.reindex(list(dict.fromkeys(long["method"])))
    return pivoted.reset_index().rename_axis(columns=None)
