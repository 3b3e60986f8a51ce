"""The summary as an Excel workbook that LibreOffice opens too, the same bytes every time."""

import io
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.utility import xl_range
from xlsxwriter.worksheet import Worksheet

from utils.summary.documents.short import BELOW_CHANCE, CEILING, DIGITS, LIFT, kind

OVERVIEW, READ_ME = "Overview", "Read me"
TEXT_WIDTH, WIDEST = 8, 60
# Points: a line of the default font, and what a row needs beside its lines.
LINE_HEIGHT, ROW_MARGIN = 14.4, 1.2
A4, A3, MARGIN_INCHES = 9, 8, 0.4
# Characters: a wider sheet is for A3, on A4 it would be too small to read.
WIDEST_ON_A4 = 260
PINNED = datetime(1980, 1, 1)
# Text is text: no formula, no link, no number. Nothing is left to the clock.
OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
HEADER = {"bold": True, "bg_color": "#D9E2EC"}
WRAPPED = {"text_wrap": True, "valign": "top"}
# A lift of so much or more has the full colour.
FULL_LIFT = 5
# Orange below chance (lift 1), white at it, blue above: of Okabe and Ito.
COLOURS = {
    "type": "3_color_scale",
    "min_type": "num", "min_value": 0, "min_color": "#E69F00",
    "mid_type": "num", "mid_value": 1, "mid_color": "#FFFFFF",
    "max_type": "num", "max_value": FULL_LIFT, "max_color": "#56B4E9",
}  # fmt: skip


@dataclass(frozen=True)
class Front:
    """The first sheet: what the terminal prints.

    sentences : the finding, each above the other.
    heading : what the table's numbers are.
    table : of `short.short_table`, columns (group, name).
    legend : what the headers mean.
    """

    sentences: list[str]
    heading: str
    table: pd.DataFrame
    legend: str


class Looks:
    """The formats of a workbook, each made once."""

    def __init__(self, book: Workbook) -> None:
        self.book = book
        self.known: dict[str, Format] = {}
        self.of_row: dict[tuple[str, ...], list[Format | None]] = {}

    def of(self, **properties: Any) -> Format:
        """The format of these properties, as XlsxWriter names them."""
        key = repr(sorted(properties.items()))
        if key not in self.known:
            self.known[key] = self.book.add_format(properties)
        return self.known[key]

    def number(self, shape: str) -> Format | None:
        return None if shape == "General" else self.of(num_format=shape)

    def numbers(self, shapes: tuple[str, ...]) -> list[Format | None]:
        """Those of a row."""
        if shapes not in self.of_row:
            self.of_row[shapes] = [self.number(shape) for shape in shapes]
        return self.of_row[shapes]


def render(
    front: Front, meanings: dict[str, str], notes: list[str], sheets: dict[str, pd.DataFrame]
) -> bytes:
    """The .xlsx file: the overview, a sheet that says what each column means, then `sheets`.

    meanings : column -> what it is.
    notes : sentences that stand above them.
    """
    sink = io.BytesIO()
    book = Workbook(sink, OPTIONS)
    book.set_properties({"created": PINNED})
    looks = Looks(book)
    add_front(book, looks, front)
    add_read_me(book, looks, meanings, notes)
    for title, table in sheets.items():
        add_sheet(book, looks, title, table)
    book.close()
    return sink.getvalue()


def new_sheet(
    book: Workbook, title: str, repeated: tuple[int, int], widths: list[float]
) -> Worksheet:
    """A sheet that prints landscape and one page wide, however long.

    repeated : the first and the last of the rows that stand on top of each page, from 0.
    widths : of its columns, in characters.
    """
    sheet = book.add_worksheet(title)
    for place, width in enumerate(widths):
        sheet.set_column(place, place, width)
    sheet.set_landscape()
    sheet.set_paper(A4 if sum(widths) <= WIDEST_ON_A4 else A3)
    sheet.fit_to_pages(1, 0)
    sheet.set_margins(left=MARGIN_INCHES, right=MARGIN_INCHES, top=MARGIN_INCHES)
    sheet.repeat_rows(*repeated)
    sheet.set_footer("&L&A&R&P / &N")
    return sheet


def add_front(book: Workbook, looks: Looks, front: Front) -> None:
    """Sentences over the whole width, the table under two headers, the legend."""
    table = front.table
    first = len(front.sentences) + 2  # a row between, and the heading
    shown = [overview_format(name) for _, name in table.columns]
    widths = [
        column_width(name, table[group, name], shape)
        for (group, name), shape in zip(table.columns, shown, strict=True)
    ]
    sheet = new_sheet(book, OVERVIEW, (first, first + 1), widths)
    sheet.freeze_panes(0, 1)
    for row, sentence in enumerate(front.sentences):
        write_text(sheet, row, sentence, widths, looks.of(**WRAPPED))
    write_text(sheet, first - 1, front.heading, widths, looks.of(**WRAPPED, bold=True))
    write_front_headers(sheet, looks, first, table)
    last = first + 1 + len(table)
    for row, values in enumerate(rows_of(table), first + 2):
        write_row(sheet, row, values, looks.numbers(tuple(shown)))
    for group in filter(None, table.columns.unique(0)):
        lift = table.columns.get_loc((group, LIFT))
        sheet.conditional_format(first + 2, lift, last, lift, COLOURS)
    write_text(sheet, last + 1, front.legend, widths, looks.of(**WRAPPED))


def write_front_headers(sheet: Worksheet, looks: Looks, row: int, table: pd.DataFrame) -> None:
    """The groups, each over its columns, and the names below, aligned like the numbers."""
    groups = [group for group, _ in table.columns]
    for column, name in enumerate(name for _, name in table.columns):
        right = {"align": "right"} if column else {}
        sheet.write_blank(row, column, None, looks.of(**HEADER))
        sheet.write_string(row + 1, column, name, looks.of(**HEADER, **right))
    for group in dict.fromkeys(filter(None, groups)):
        start = groups.index(group)
        end = start + groups.count(group) - 1
        sheet.merge_range(row, start, row, end, group, looks.of(**HEADER, align="center"))


def write_text(sheet: Worksheet, row: int, text: str, widths: list[float], look: Format) -> None:
    """One text over the whole width."""
    sheet.set_row(row, row_height([text], [sum(widths)]))
    sheet.merge_range(row, 0, row, len(widths) - 1, "", look)
    sheet.write_string(row, 0, text, look)


def overview_format(name: str) -> str:
    """How the overview's column of that name is shown, as in the terminal."""
    if kind(name) == CEILING:
        return f'0%;"{BELOW_CHANCE}"'
    return f"0.{'0' * DIGITS[kind(name)]}" if kind(name) in DIGITS else "General"


def add_sheet(book: Workbook, looks: Looks, title: str, table: pd.DataFrame) -> None:
    """One table: header frozen and filtered, number formats, widths, colours on lift."""
    shown = {name: number_format(str(name), table[name]) for name in table.columns}
    widths = [column_width(str(name), table[name], shape) for name, shape in shown.items()]
    sheet = new_sheet(book, title, (0, 0), widths)
    text_columns = sum(not pd.api.types.is_numeric_dtype(t) for t in table.dtypes[:6])
    sheet.freeze_panes(1, text_columns)
    sheet.autofilter(0, 0, len(table), len(table.columns) - 1)
    for cells in lift_ranges(table):
        sheet.conditional_format(cells, COLOURS)
    sheet.write_row(0, 0, map(str, table.columns), looks.of(**HEADER))
    rows = zip(rows_of(table), row_formats(table, shown), strict=True)
    for row, (values, formats) in enumerate(rows, 1):
        write_row(sheet, row, values, looks.numbers(formats))


def add_read_me(book: Workbook, looks: Looks, meanings: dict[str, str], notes: list[str]) -> None:
    widths = [26, 110]
    sheet = new_sheet(book, READ_ME, (0, 0), widths)
    sheet.freeze_panes(1, 0)
    sheet.write_row(0, 0, ["column", "meaning"], looks.of(**HEADER))
    pairs = [*(("note", note) for note in notes), *meanings.items()]
    for row, pair in enumerate(pairs, 1):
        sheet.set_row(row, row_height(pair, widths))
        sheet.write_row(row, 0, pair, looks.of(**WRAPPED))


def write_row(
    sheet: Worksheet, row: int, values: Sequence[Any], looks: Sequence[Format | None]
) -> None:
    """Values beside each other; a cell is empty where a value is None."""
    for column, (value, look) in enumerate(zip(values, looks, strict=True)):
        if isinstance(value, str):
            sheet.write_string(row, column, value)
        elif value is not None:
            sheet.write_number(row, column, value, look)


def rows_of(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """The rows of a table, None for what no cell shows: no value, no finite number, no text."""
    return zip(*(cells_of(table.iloc[:, i]) for i in range(table.shape[1])), strict=True)


def cells_of(values: pd.Series) -> list[Any]:
    if pd.api.types.is_numeric_dtype(values):  # hundreds of thousands: looked at together
        finite = np.isfinite(values.to_numpy(dtype=np.float64, na_value=np.nan))
        return [v if f else None for v, f in zip(values.tolist(), finite.tolist(), strict=True)]
    return [value if is_shown(value) else None for value in values]


def is_shown(value: Any) -> bool:
    return bool(value) if isinstance(value, str) else not pd.isna(value) and np.isfinite(value)


def row_height(texts: Iterable[str], widths: Iterable[float]) -> float:
    """Points that a row needs in which each text is wrapped at its column's width.

    widths : characters.
    """
    lines = [
        sum(lines_of(part, width) for part in text.splitlines() or [""])
        for text, width in zip(texts, widths, strict=True)
    ]
    return LINE_HEIGHT * max(lines) + ROW_MARGIN


def lines_of(text: str, width: float) -> int:
    """Lines of one paragraph, where a character of East Asia takes two places."""
    wide = "".join("mm" if unicodedata.east_asian_width(c) in "WF" else c for c in text)
    return max(1, len(textwrap.wrap(wide, max(1, int(width)))))


def number_format(name: str, values: pd.Series) -> str:
    """How a column's numbers are shown; they are stored in full."""
    if not pd.api.types.is_numeric_dtype(values):
        return "General"
    finite = values.astype(float).replace([np.inf, -np.inf], np.nan).dropna()
    if pd.api.types.is_integer_dtype(values) or (len(finite) and (finite % 1 == 0).all()):
        return "0" if name in ("ds", "fold") else "#,##0"
    if re.search(r"(^|_)p$", name) or "_p@" in name:
        return "0.0000"
    largest = finite.abs().max() if len(finite) else 0
    return "#,##0.0" if largest >= 10_000 else "0.0000"


def row_formats(table: pd.DataFrame, shown: dict[str, str]) -> list[tuple[str, ...]]:
    """Number formats of every row; in a long table each metric has those of its own values.

    shown : the formats of whole columns.
    """
    if "metric" not in table:
        return [tuple(shown.values())] * len(table)
    of_metric = {
        metric: tuple(number_format(str(name), rows[name]) for name in table.columns)
        for metric, rows in table.groupby("metric", sort=False)
    }
    return [of_metric[metric] for metric in table["metric"]]


def column_width(name: str, values: pd.Series, shown: str) -> float:
    """Wide enough for the header and every value as shown."""
    if shown == "General":
        longest = max((len(str(v)) for v in values if not pd.isna(v)), default=0)
    else:
        decimals = len(shown.partition(".")[2])
        finite = values.astype(float).replace([np.inf, -np.inf], np.nan).dropna()
        largest = finite.abs().max() if len(finite) else 0.0
        longest = len(f"-{largest:,.{decimals}f}")
    return min(WIDEST, max(TEXT_WIDTH, longest + 2, len(name) + 4))  # + 4: the filter's arrow


def lift_ranges(table: pd.DataFrame) -> list[str]:
    """The cells that hold a lift: columns named so, and in a long table the rows of the metric."""
    columns = [i for i, name in enumerate(table.columns) if str(name).startswith("lift")]
    found = [xl_range(1, column, len(table), column) for column in columns]
    if {"metric", "low"} <= set(table.columns) and "reference" not in table.columns:
        is_lift = table["metric"].astype(str).str.startswith("lift").to_numpy()
        edges = np.flatnonzero(np.diff(np.concatenate([[False], is_lift, [False]])))
        mean = table.columns.get_loc("mean")
        found += [
            xl_range(start + 1, mean, end, mean)
            for start, end in zip(edges[::2], edges[1::2], strict=True)
        ]
    return found
