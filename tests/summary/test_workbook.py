"""results.xlsx: what a spreadsheet program finds in it, and that its bytes repeat."""

import io
import shutil
import subprocess
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pytest

from utils.summary import workbook

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


def render():
    sheets = {"Summary": SUMMARY, "Scores": SCORES}
    return workbook.render(sheets, {"metric": "what is measured"}, ["With 5 folds ..."])


@pytest.fixture(scope="module")
def book():
    return openpyxl.load_workbook(io.BytesIO(render()))


def test_sheets_and_values_come_back(book):
    assert book.sheetnames == ["Summary", "Scores", "Read me"]
    rows = list(book["Summary"].values)
    assert rows[0] == tuple(SUMMARY.columns)
    assert rows[2] == ("lift@1%", "weight", "a_rather_long_name_of_a_method+x", 5, 3.25, -2.0, 0.5)
    assert rows[3][4:6] == (None, None) and rows[4][4] is None  # NaN and infinity: empty
    assert [r[1] for r in book["Scores"].values] == ["n", 24, None]


def test_text_is_never_a_formula(book):
    for cell in book["Summary"]["C"][1:]:
        assert cell.data_type == "s"
    assert [cell.value for cell in book["Summary"]["C"][1:]][::2] == ["=1+1", "#N/A"]
    assert book["Summary"]["C5"].value == "bell"
    with zipfile.ZipFile(io.BytesIO(render())) as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")


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
    content = workbook.render({"Summary": table}, {}, [])
    sheet = openpyxl.load_workbook(io.BytesIO(content))["Summary"]
    formats = [sheet.cell(row, 2).number_format for row in (2, 3, 4)]
    assert formats == ["0.0000", "#,##0", "0.0000"]


def test_text_that_looks_like_an_escape_is_itself():
    """Spreadsheets read _x0041_ in a cell as A."""
    table = pd.DataFrame({"method": ["a_x0041_b", "_x00_", "$x$ &amp; <b>", "__x0041_"]})
    content = workbook.render({"Summary": table}, {}, [])
    sheet = openpyxl.load_workbook(io.BytesIO(content))["Summary"]
    found = [sheet.cell(row, 1).value for row in (2, 3, 4, 5)]
    assert found == ["a_x005F_x0041_b", "_x00_", "$x$ &amp; <b>", "__x005F_x0041_"]


def test_read_me_holds_notes_and_meanings(book):
    rows = list(book["Read me"].values)
    assert rows[1:] == [("note", "With 5 folds ..."), ("metric", "what is measured")]


def test_bytes_repeat_whenever_it_is_made(monkeypatch):
    first = render()
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {workbook.PINNED}
        core = archive.read("docProps/core.xml").decode()
    assert core.count("1980-01-01T00:00:00Z") == 2
    import datetime

    import openpyxl.packaging.core as core_module
    import openpyxl.writer.excel as excel

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2099, 1, 1, tzinfo=tz)

    for module in (core_module.datetime, excel.datetime):
        monkeypatch.setattr(module, "datetime", Later)
    assert render() == first


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_libreoffice_opens_it(tmp_path):
    (tmp_path / "results.xlsx").write_bytes(render())
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    subprocess.run(
        ["soffice", profile, "--headless", "--convert-to", "csv", "--outdir", tmp_path,
         tmp_path / "results.xlsx"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    found = pd.read_csv(tmp_path / "results.csv")
    assert found["mean"].tolist()[:2] == [0.5, 3.25]
    assert found["method"][0] == "=1+1"
