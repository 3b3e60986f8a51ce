"""docs/study.md and README's column `fashion`: every number comes from docs/study/*.csv."""

import re
from pathlib import Path

import pages
import pytest

from benchmarks.study import page
from benchmarks.study.collect import COPIED, FIGURES

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
# What the template may say in digits: names, and the words of README.
NAMES = r"\bM[12]\b|first 1%|top 1%|\b95%|steps 0 to 10|W_\w+|SHA-256|Fashion-MNIST|\bp <= 0.05"


def table_rows(text: str, header: str) -> dict[str, list[str]]:
    """First cell -> the other cells, of the table with this first cell in its header."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {header} |"):
            next(lines)
            break
    found = {}
    for line in lines:
        if not line.startswith("|"):
            return found
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        found[cells[0]] = cells[1:]
    return found


def test_the_page_is_what_the_tables_give():
    assert page.PAGE.read_text(encoding="utf-8") == page.render(page.FOLDER)


def test_no_number_of_the_page_was_typed():
    text = page.TEMPLATE.read_text(encoding="utf-8")
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", " ", text, flags=re.DOTALL)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", text)  # code and links
    assert re.findall(r"\S*\d\S*", re.sub(NAMES, " ", text)) == []


def test_the_readme_has_the_studys_numbers_beside_those_of_digits():
    readme = table_rows(README.read_text(encoding="utf-8"), "what")
    ours = page.main_numbers(page.Study(page.FOLDER))
    assert len(ours) > 8
    assert {what: cells[1] for what, cells in readme.items()} == ours


def test_the_tables_are_all_there_and_of_one_commit():
    tables = {path.stem: page.read(path) for path in page.FOLDER.glob("*.csv")}
    assert tables.keys() == {*COPIED, "training", "failures", "layers", "times", "base"}
    (commit,) = {commit for table in tables.values() for commit in table["commit"]}
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert {path.stem for path in page.FOLDER.glob("*.png")} == set(FIGURES)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (0.00456, "0.00456"), (0.0456, "0.0456"), (0.456, "0.456"), (4.56, "4.56"),
     (45.67, "45.7"), (456.7, "457"), (-0.0000001, "0.000000"), (-1.234, "-1.23")],
)  # fmt: skip
def test_numbers_have_three_digits_that_count(value, said):
    assert page.number(value) == said


def test_a_question_without_one_answer_is_an_error(tmp_path):
    (tmp_path / "t.csv").write_text('"a","b"\n"x",1\n"x",2\n')
    study = page.Study(tmp_path)
    with pytest.raises(LookupError, match=r"t\.csv has 2 rows"):
        study.one("t", "b", a="x")
    assert study.mean("t", "b", a="x") == 1.5
    assert pages.read_page("# A\n") is not None
