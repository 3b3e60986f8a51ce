"""The summary as an Excel workbook that LibreOffice opens too, the same bytes every time."""

import io
import re
import textwrap
import unicodedata
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.formatting.rule import ColorScaleRule
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet._write_only import WriteOnlyWorksheet
from openpyxl.worksheet.properties import PageSetupProperties

from utils.summary.documents.short import CEILING, DIGITS, LIFT

OVERVIEW, READ_ME = "Overview", "Read me"
TEXT_WIDTH, WIDEST = 8, 60
# Points: a line of the default font, and what a row needs beside its lines.
LINE_HEIGHT, ROW_MARGIN = 14.4, 1.2
A4, A3, MARGIN_INCHES = 9, 8, 0.4
# Characters: a wider sheet is for A3, on A4 it would be too small to read.
WIDEST_ON_A4 = 260
PINNED = (1980, 1, 1, 0, 0, 0)
HEADER = Font(name="Calibri", size=11, bold=True)  # of the body text
HEADER_FILL = PatternFill("solid", fgColor="D9E2EC")
# White at chance, Okabe and Ito's blue for the best.
CHANCE_COLOUR, BEST_COLOUR, WORST_COLOUR = "FFFFFF", "56B4E9", "E69F00"
# One scale everywhere: a lift of so much or more has the full colour.
FULL_LIFT = 5


@dataclass(frozen=True)
class Overview:
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


def render(
    overview: Overview, meanings: dict[str, str], notes: list[str], sheets: dict[str, pd.DataFrame]
) -> bytes:
    """The .xlsx file: the overview, a sheet that says what each column means, then `sheets`.

    meanings : column -> what it is.
    notes : sentences that stand above them.
    """
    book = Workbook(write_only=True)
    add_overview(book, overview)
    add_read_me(book, meanings, notes)
    for title, table in sheets.items():
        add_sheet(book, title, table)
    sink = io.BytesIO()
    book.save(sink)
    return pinned(sink.getvalue())


def new_sheet(book: Workbook, title: str, repeated: str, widths: list[float]) -> WriteOnlyWorksheet:
    """A sheet that prints landscape and one page wide, however long.

    repeated : the rows that stand on top of each page, such as "1:1".
    widths : of its columns, in characters.
    """
    sheet = book.create_sheet(title)
    for place, width in enumerate(widths, 1):
        sheet.column_dimensions[get_column_letter(place)].width = width
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.paperSize = A4 if sum(widths) <= WIDEST_ON_A4 else A3
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 1, 0
    for side in ("left", "right", "top"):
        setattr(sheet.page_margins, side, MARGIN_INCHES)
    sheet.print_title_rows = repeated
    sheet.oddFooter.left.text = "&A"
    sheet.oddFooter.right.text = "&P / &N"
    return sheet


def add_overview(book: Workbook, overview: Overview) -> None:
    """Sentences over the whole width, the table under two headers, the legend."""
    table = overview.table
    first = len(overview.sentences) + 3  # a row between, and the heading
    shown = [overview_format(name) for _, name in table.columns]
    widths = [
        column_width(name, table[group, name], shape)
        for (group, name), shape in zip(table.columns, shown, strict=True)
    ]
    sheet = new_sheet(book, OVERVIEW, f"{first}:{first + 1}", widths)
    sheet.freeze_panes = "B1"
    for number, sentence in enumerate(overview.sentences, 1):
        append_text(sheet, number, sentence, widths)
    sheet.append([])
    append_text(sheet, first - 1, overview.heading, widths, HEADER)
    groups = [group for group, _ in table.columns]
    for group in dict.fromkeys(filter(None, groups)):
        start = groups.index(group) + 1
        ends = map(get_column_letter, (start, start + groups.count(group) - 1))
        sheet.merged_cells.add(":".join(f"{letter}{first}" for letter in ends))
        lift = get_column_letter(table.columns.get_loc((group, LIFT)) + 1)
        cells = f"{lift}{first + 2}:{lift}{first + 1 + len(table)}"
        sheet.conditional_formatting.add(cells, colour_scale())
    append_headers(sheet, groups, "center")
    append_headers(sheet, [name for _, name in table.columns], "right")
    for row in table.itertuples(index=False, name=None):
        sheet.append([cell(sheet, value, shape) for value, shape in zip(row, shown, strict=True)])
    append_text(sheet, first + 2 + len(table), overview.legend, widths)


def append_text(
    sheet: WriteOnlyWorksheet, row: int, text: str, widths: list[float], font: Font | None = None
) -> None:
    """One text over the whole width; `row` is the next one."""
    sheet.merged_cells.add(f"A{row}:{get_column_letter(len(widths))}{row}")
    sheet.row_dimensions[row].height = row_height([text], [sum(widths)])
    sheet.append([wrapped(sheet, text, font)])


def append_headers(sheet: WriteOnlyWorksheet, names: list[str], horizontal: str) -> None:
    """A row of headers, all but the first aligned like the numbers below."""
    cells = [header_cell(sheet, name) for name in names]
    for one in cells[1:]:
        one.alignment = Alignment(horizontal=horizontal)
    sheet.append(cells)


def overview_format(name: str) -> str:
    """How the overview's column of that name is shown, as in the terminal."""
    if name == CEILING:
        return "0%"
    return f"0.{'0' * DIGITS[name]}" if name in DIGITS else "General"


def add_sheet(book: Workbook, title: str, table: pd.DataFrame) -> None:
    """One table: header frozen and filtered, number formats, widths, colours on lift."""
    shown = {name: number_format(str(name), table[name]) for name in table.columns}
    widths = [column_width(str(name), table[name], shape) for name, shape in shown.items()]
    sheet = new_sheet(book, title, "1:1", widths)
    text_columns = sum(not pd.api.types.is_numeric_dtype(t) for t in table.dtypes[:6])
    sheet.freeze_panes = f"{get_column_letter(1 + text_columns)}2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(table.columns))}{len(table) + 1}"
    for start, end in lift_ranges(table):
        sheet.conditional_formatting.add(f"{start}:{end}", colour_scale())
    sheet.append([header_cell(sheet, str(name)) for name in table.columns])
    for row, formats in zip(
        table.itertuples(index=False, name=None), row_formats(table, shown), strict=True
    ):
        sheet.append([cell(sheet, value, shape) for value, shape in zip(row, formats, strict=True)])


def add_read_me(book: Workbook, meanings: dict[str, str], notes: list[str]) -> None:
    widths = [26, 110]
    sheet = new_sheet(book, READ_ME, "1:1", widths)
    sheet.freeze_panes = "A2"
    sheet.append([header_cell(sheet, "column"), header_cell(sheet, "meaning")])
    for number, pair in enumerate([*(("note", note) for note in notes), *meanings.items()], 2):
        sheet.row_dimensions[number].height = row_height(pair, widths)
        sheet.append([wrapped(sheet, text) for text in pair])


def wrapped(sheet: WriteOnlyWorksheet, text: str, font: Font | None = None) -> WriteOnlyCell:
    """A cell whose text goes on in further lines."""
    found = cell(sheet, text)
    found.alignment = Alignment(wrap_text=True, vertical="top")
    if font is not None:
        found.font = font
    return found


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


def header_cell(sheet: WriteOnlyWorksheet, name: str) -> WriteOnlyCell:
    header = cell(sheet, name)
    header.font, header.fill = HEADER, HEADER_FILL
    return header


def cell(sheet: WriteOnlyWorksheet, value: Any, number_format: str = "General") -> WriteOnlyCell:
    """A cell whose text is never a formula, and which is empty where a value does not exist."""
    if pd.isna(value) or (isinstance(value, float) and not np.isfinite(value)):
        return WriteOnlyCell(sheet)
    if isinstance(value, str):
        # "_x0041_" would be read as "A"
        text = re.sub("_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", ILLEGAL_CHARACTERS_RE.sub("", value))
        found = WriteOnlyCell(sheet, text)
        found.data_type = "s"  # "=..." would be read as a formula, "#N/A" as an error
        return found
    found = WriteOnlyCell(sheet, value.item() if isinstance(value, np.generic) else value)
    found.number_format = number_format
    return found


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


def row_formats(table: pd.DataFrame, shown: dict[str, str]) -> list[list[str]]:
    """Number formats of every row; in a long table each metric has those of its own values.

    shown : the formats of whole columns.
    """
    if "metric" not in table:
        return [list(shown.values())] * len(table)
    of_metric = {
        metric: [number_format(str(name), rows[name]) for name in table.columns]
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


def lift_ranges(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The cells that hold a lift: columns named so, and in a long table the rows of the metric."""
    last = len(table) + 1
    found = []
    for place, name in enumerate(table.columns, 1):
        if str(name).startswith("lift"):
            letter = get_column_letter(place)
            found.append((f"{letter}2", f"{letter}{last}"))
    if {"metric", "low"} <= set(table.columns) and "reference" not in table.columns:
        is_lift = table["metric"].astype(str).str.startswith("lift").to_numpy()
        edges = np.flatnonzero(np.diff(np.concatenate([[False], is_lift, [False]])))
        letter = get_column_letter(list(table.columns).index("mean") + 1)
        found += [
            (f"{letter}{start + 2}", f"{letter}{end + 1}")
            for start, end in zip(edges[::2], edges[1::2], strict=True)
        ]
    return found


def colour_scale() -> ColorScaleRule:
    """Orange below chance (lift 1), white at chance, blue above, full at FULL_LIFT."""
    return ColorScaleRule(
        start_type="num", start_value=0, start_color=WORST_COLOUR,
        mid_type="num", mid_value=1, mid_color=CHANCE_COLOUR,
        end_type="num", end_value=FULL_LIFT, end_color=BEST_COLOUR,
    )  # fmt: skip


def pinned(content: bytes) -> bytes:
    """The same archive without the time it was made: in its entries and in its properties."""
    sink = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename == "docProps/core.xml":
                data = re.sub(
                    rb"(<dcterms:(created|modified)[^>]*>)[^<]*",
                    rb"\g<1>1980-01-01T00:00:00Z",
                    data,
                )
            info = zipfile.ZipInfo(entry.filename, PINNED)
            info.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(info, data)
    return sink.getvalue()
