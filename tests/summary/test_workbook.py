"""results.xlsx: what a spreadsheet program finds in it, and that its bytes repeat."""

import csv
import io
import re
import shutil
import subprocess
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pytest

from utils.summary.documents import short, workbook

SUMMARY = pd.DataFrame(
    {
        "metric": ["lift@1%", "lift@1%", "ap", "exam"],
        "level": ["weight"] * 4,
        "method": ["=1+1", "a_rather_long_name_of_a_method+x", "#N/A", "\x07bell"],
        "n_folds": [5, 5, 4, 1],
        "mean": [0.5, 3.25, np.nan, np.inf],
        "low": [0.1, -2.0, np.nan, 123456.789],
        "permutation_p@1%": [0.0001, 0.5, 1.0, np.nan],
    }
)
SCORES = pd.DataFrame({"fold": [0, 1], "n": pd.array([24, None], "Int64"), "lift@1%": [1.0, 2.5]})


SHORT = short.short_table(
    pd.DataFrame(
        {
            "method": ["bl", "=ig"],
            "level": ["weight", "weight (from neuron)"],
            "lift change": [0.5, 3.25],
            "null_mean change": [0.9, 1.5],
            "low change": [0.1, np.nan],
            "high change": [0.9, np.nan],
            "p_adjusted change": [0.04321, 1.0],
            "place change": [2.0, 1.0],
            "share_of_ceiling": [-0.01, 0.4],
            "specificity": [np.nan, 2.0],
            "seconds": [0.0123, 12.0],
        }
    )
)
FOUND = ["By 'change', none of 2 methods beats chance. " * 6, "短い文。" * 60]
NOTES = ["With 5 folds ...", "A note that needs more than one line. " * 9]


def front(said=FOUND):
    return workbook.Front(said, "lift@1% by each truth", SHORT, "#: place " * 30)


def render(**sheets):
    sheets = sheets or {"Summary": SUMMARY, "Scores": SCORES}
    return workbook.render(front(), {"metric": "what is measured"}, NOTES, sheets)


@pytest.fixture(scope="module")
def book():
    return openpyxl.load_workbook(io.BytesIO(render()))


def test_sheets_and_values_come_back(book):
    assert book.sheetnames == ["Overview", "Read me", "Summary", "Scores"]
    rows = list(book["Summary"].values)
    assert rows[0] == tuple(SUMMARY.columns)
    assert rows[2] == ("lift@1%", "weight", "a_rather_long_name_of_a_method+x", 5, 3.25, -2.0, 0.5)
    assert rows[3][4:6] == (None, None) and rows[4][4] is None  # NaN and infinity: empty
    assert [r[1] for r in book["Scores"].values] == ["n", 24, None]


def test_text_is_never_a_formula(book):
    for cell in book["Summary"]["C"][1:]:
        assert cell.data_type == "s"
    assert [cell.value for cell in book["Summary"]["C"][1:]][::2] == ["=1+1", "#N/A"]
    assert book["Summary"]["C5"].value == "_x0007_bell"  # as spreadsheets write a control sign
    with zipfile.ZipFile(io.BytesIO(render())) as archive:
        assert b"<f>" not in b"".join(map(archive.read, archive.namelist()))


def test_header_is_frozen_bold_and_filtered(book):
    sheet = book["Summary"]
    assert sheet.freeze_panes == "D2" and sheet.auto_filter.ref == "A1:G5"
    assert all(cell.font.bold for cell in sheet[1])
    assert book["Read me"].freeze_panes == "A2"


def test_numbers_are_shown_as_what_they_are(book):
    shown = [[cell.number_format for cell in book["Summary"][row]] for row in (2, 5)]
    assert shown[0][3:] == ["#,##0", "0.0000", "0.0000", "0.0000"]
    assert shown[1][5] == "#,##0.0"  # a large value among its own kind
    assert book["Scores"]["A2"].number_format == "0"


def test_columns_show_their_text(book):
    sheet = book["Summary"]
    for letter, longest in [("C", 32), ("G", len("permutation_p@1%")), ("F", len("-123,456.8"))]:
        assert longest < sheet.column_dimensions[letter].width <= workbook.WIDEST + 1
    # A value shown wider than its column appears as ###.
    for column, name in zip("DEF", ["n_folds", "mean", "low"], strict=True):
        values = SUMMARY[name].replace(np.inf, np.nan).dropna()
        longest = max(len(f"{value:,.1f}") for value in values)
        assert sheet.column_dimensions[column].width > longest


def test_lift_has_a_colour_scale_around_chance(book):
    for title, cells in [("Summary", "E2:E3"), ("Scores", "C2:C3")]:
        rules = book[title].conditional_formatting
        assert [str(found.sqref) for found in rules] == [cells]
        scale = next(iter(rules)).rules[0].colorScale
        assert [point.val for point in scale.cfvo][:2] == [0, 1]
        assert scale.color[1].rgb.endswith("FFFFFF")
        assert scale.cfvo[2].val == workbook.FULL_LIFT


def test_each_metric_of_a_long_table_is_shown_with_its_own_digits():
    table = pd.DataFrame({"metric": ["recall", "first_hit", "recall"], "mean": [0.0123, 2e4, 0.5]})
    content = render(Summary=table)
    sheet = openpyxl.load_workbook(io.BytesIO(content))["Summary"]
    formats = [sheet.cell(row, 2).number_format for row in (2, 3, 4)]
    assert formats == ["0.0000", "#,##0", "0.0000"]


def test_text_that_looks_like_an_escape_is_itself():
    """Spreadsheets read _x0041_ in a cell as A."""
    table = pd.DataFrame({"method": ["a_x0041_b", "_x00_", "$x$ &amp; <b>", "__x0041_"]})
    content = render(Summary=table)
    sheet = openpyxl.load_workbook(io.BytesIO(content))["Summary"]
    found = [sheet.cell(row, 1).value for row in (2, 3, 4, 5)]
    assert found == ["a_x0041_b", "_x00_", "$x$ &amp; <b>", "__x0041_"]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("xl/sharedStrings.xml").count(b"_x005F_x0041_") == 2


def test_read_me_holds_notes_and_meanings(book):
    rows = list(book["Read me"].values)
    assert rows[1:] == [*(("note", note) for note in NOTES), ("metric", "what is measured")]


def test_the_overview_is_what_the_terminal_prints(book):
    """The sentences, the table with its numbers as numbers, the legend."""
    rows = list(book["Overview"].values)
    assert [row[0] for row in rows[:4]] == [*FOUND, None, "lift@1% by each truth"]
    assert rows[4] == (None, *["change"] * 1, *[None] * 5, *[None] * 3)
    assert rows[5] == tuple(name for _, name in SHORT.columns)
    assert rows[6] == ("bl", 0.5, 0.9, 0.1, 0.9, 0.04321, 2, -0.01, None, 0.0123)
    assert rows[7] == ("=ig *", 3.25, 1.5, None, None, 1, 1, 0.4, 2, 12)
    assert rows[8][0] == ("#: place " * 30)
    assert [book["Overview"].cell(7, c).number_format for c in (2, 6, 8)] == [
        "0.00",
        "0.0000",
        '0%;"below chance"',
    ]
    merged = {str(found) for found in book["Overview"].merged_cells.ranges}
    assert {"A1:J1", "A2:J2", "A9:J9", "B5:G5"} <= merged
    assert [str(f.sqref) for f in book["Overview"].conditional_formatting] == ["B7:B8"]


def test_rows_are_as_tall_as_their_text(book):
    """Lines counted by hand at the widths that the sheets have."""
    overview = book["Overview"]
    width = sum(overview.column_dimensions[c].width for c in "ABCDEFGHIJ")
    for row, characters in [(1, len(FOUND[0])), (2, 2 * len(FOUND[1])), (9, 270)]:
        lines = overview.row_dimensions[row].height / workbook.LINE_HEIGHT
        assert characters / width <= lines < characters / width * 1.35 + 2, row
    heights = [book["Read me"].row_dimensions[row].height for row in (2, 3, 4)]
    assert heights[0] == heights[2] < 20 and heights[1] > 3 * workbook.LINE_HEIGHT


def test_it_prints_landscape_and_one_page_wide(book):
    assert book["Scores"].page_setup.paperSize == workbook.A4
    for sheet in book:
        assert sheet.sheet_properties.pageSetUpPr.fitToPage, sheet.title
        setup = sheet.page_setup
        assert (setup.orientation, setup.fitToHeight) == ("landscape", 0)
        assert setup.fitToWidth in (None, 1)  # 1 where nothing is said
    assert book["Summary"].print_title_rows == "$1:$1"
    assert book["Overview"].print_title_rows == "$5:$6"
    assert book["Overview"].freeze_panes == "B1"


def test_bytes_repeat_whenever_it_is_made(monkeypatch):
    import datetime

    import xlsxwriter.core
    import xlsxwriter.workbook

    first = render()
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        core = archive.read("docProps/core.xml").decode()
    assert core.count("1980-01-01T00:00:00Z") == 2

    class AnyTime(type(datetime.datetime)):
        def __instancecheck__(cls, value):
            return isinstance(value, real)

    real = datetime.datetime

    class Later(datetime.datetime, metaclass=AnyTime):
        @classmethod
        def now(cls, tz=None):
            return cls(2099, 1, 1, tzinfo=tz)

    for module in (xlsxwriter.core, xlsxwriter.workbook):
        monkeypatch.setattr(module, "datetime", Later)
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert render() == first


def convert(folder, form, content):
    """What LibreOffice makes of the workbook, of which CSV is the first sheet."""
    (folder / "results.xlsx").write_bytes(content)
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    subprocess.run(
        ["soffice", profile, "--headless", "--convert-to", form, "--outdir", folder,
         folder / "results.xlsx"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return folder / f"results.{form.partition(':')[0]}"


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_libreoffice_opens_and_prints_it(tmp_path):
    utf8 = "csv:Text - txt - csv (StarCalc):44,34,76"
    rows = list(csv.reader(convert(tmp_path, utf8, render()).open(encoding="utf-8")))
    assert rows[0][0] == FOUND[0] and rows[1][0] == FOUND[1]
    assert rows[6] == ["bl", "0.50", "0.10", "0.90", "0.0432", "2", "-1%", "", "0.012"]
    assert rows[7][0] == "=ig *"
    # Eighty columns are on one page, and so is each of the sheets before.
    wide = pd.DataFrame(np.zeros((3, 80)), columns=[f"column {i}" for i in range(80)])
    pdf = convert(tmp_path, "pdf", render(Wide=wide)).read_bytes()
    boxes = re.findall(rb"/Type\s*/Page\b.*?/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", pdf, re.DOTALL)
    assert len(boxes) == 3
    assert all(float(width) > float(height) for width, height in boxes)


def test_what_rounds_to_zero_has_no_sign():
    assert short.text_of("of ceiling (change)", 0.004) == "0%"
    assert short.text_of("of ceiling (change)", -0.006) == "below chance"
    assert short.text_of("specificity (repair)", -0.0049) == "0.00"
    assert short.interval(-0.001, 0.2) == "0.00..0.20"
