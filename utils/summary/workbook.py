"""The summary as an Excel workbook that LibreOffice opens too, the same bytes every time."""

import io
import re
import zipfile
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

READ_ME = "Read me"
TEXT_WIDTH, WIDEST = 8, 60
PINNED = (1980, 1, 1, 0, 0, 0)
HEADER = Font(bold=True)
HEADER_FILL = PatternFill("solid", fgColor="D9E2EC")
# White at chance, Okabe and Ito's blue for the best.
CHANCE_COLOUR, BEST_COLOUR, WORST_COLOUR = "FFFFFF", "56B4E9", "E69F00"
# One scale everywhere: a lift of so much or more has the full colour.
FULL_LIFT = 5


def render(sheets: dict[str, pd.DataFrame], meanings: dict[str, str], notes: list[str]) -> bytes:
    """The .xlsx file of `sheets` and of a sheet that says what each column means.

    meanings : column -> what it is.
    notes : sentences that stand above them.
    """
    book = Workbook(write_only=True)
    for title, table in sheets.items():
        add_sheet(book, title, table)
    add_read_me(book, meanings, notes)
    sink = io.BytesIO()
    book.save(sink)
    return pinned(sink.getvalue())


def add_sheet(book: Workbook, title: str, table: pd.DataFrame) -> None:
    """One table: header frozen and filtered, number formats, widths, colours on lift."""
    sheet = book.create_sheet(title)
    text_columns = sum(not pd.api.types.is_numeric_dtype(t) for t in table.dtypes[:6])
    sheet.freeze_panes = f"{get_column_letter(1 + text_columns)}2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(table.columns))}{len(table) + 1}"
    shown = {}
    for place, name in enumerate(table.columns, 1):
        values = table[name]
        shown[name] = number_format(str(name), values)
        width = column_width(str(name), values, shown[name])
        sheet.column_dimensions[get_column_letter(place)].width = width
    for start, end in lift_ranges(table):
        sheet.conditional_formatting.add(f"{start}:{end}", colour_scale())
    sheet.append([header_cell(sheet, str(name)) for name in table.columns])
    for row, formats in zip(
        table.itertuples(index=False, name=None), row_formats(table, shown), strict=True
    ):
        sheet.append([cell(sheet, value, shape) for value, shape in zip(row, formats, strict=True)])


def add_read_me(book: Workbook, meanings: dict[str, str], notes: list[str]) -> None:
    sheet = book.create_sheet(READ_ME)
    sheet.column_dimensions["A"].width = 26
    sheet.column_dimensions["B"].width = 110
    sheet.freeze_panes = "A2"
    sheet.append([header_cell(sheet, "column"), header_cell(sheet, "meaning")])
    for name, meaning in [*(("note", note) for note in notes), *meanings.items()]:
        cells = [cell(sheet, name), cell(sheet, meaning)]
        for one in cells:
            one.alignment = Alignment(wrap_text=True, vertical="top")
        sheet.append(cells)


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
