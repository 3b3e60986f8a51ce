"""tables.tex: numbers, names that LaTeX would trip over, and that it compiles alone."""

import shutil
import subprocess

import folds_of_step7 as given
import numpy as np
import pytest

from utils.summary import across_folds, fold_tables, latex, notes, statistics

NASTY = r"[50%_of] #x & $y$ {z} ~^ \n <a|b> \"q\" *-- ?` 'café' Ångström ð«»ÿ ネコ 深層 نص"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        given.without_own_methods(patch)
        patch.setenv("TQDM_DISABLE", "1")
        jobs = given.make_folds(tmp_path_factory.mktemp("folds"), range(3))
    tables = fold_tables.load([job.paths for job in jobs])
    for table in (tables.scores, tables.stratified, tables.permutation):
        table["method"] = table["method"].replace("P", NASTY)
    summary = across_folds.summary_table(tables, ["lift@5%"], 3)
    compared = across_folds.comparison_table(
        tables, ("random", "B"), ("lift@5%", "ap/random"), 3, 9, 1
    )
    said = notes.of(tables, ["lift@5%"], 3)
    text = latex.document(tables, summary, compared, {("weight", "A"): 1.5}, ["lift@5%"], said)
    return tables, summary, compared, text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a_b%", r"a\_b\%"),
        ("{x}~^", r"\{x\}\textasciitilde{}\textasciicircum{}"),
        ("\\", r"\textbackslash{}"),
        ("ネコ x 这", r"\cjk{ja}{ネコ}{U+30CD U+30B3} x \cjk{zh}{这}{U+8FD9}"),
        ("한", r"\cjk{ko}{한}{U+D55C}"),
        ("ن", "U+0646"),
        ("caf\u00e9 e\u0301 Å ß ñ ő", r"caf\'{e} \'{e} \AA{} \ss{} \~{n} \H{o}"),
        ("[a]*", "{[}a]{*}"),
        ("a-b--c '' ?`", "a-b-{}-c '{}' ?{}`"),
        ("lift@1%", r"lift@1\%"),
    ],
)
def test_text_is_escaped(text, expected):
    assert latex.escape(text) == expected


def test_numbers():
    assert latex.number(-1.234) == "$-1.23$"
    assert latex.number(np.nan) == "--"
    assert latex.p_value(0.00001) == "$<$0.0001" and latex.p_value(0.03) == "0.0300"
    assert latex.interval(-1, 2) == "[$-1.00$, 2.00]"
    assert latex.interval(np.nan, 2) == "--"


def test_the_tables_hold_the_values(made):
    _, summary, compared, text = made
    mean = summary[(summary["metric"] == "lift@5%") & (summary["method"] == "A")]["mean"].iloc[0]
    line = next(line for line in text.splitlines() if line.startswith("A &"))
    assert line.split(" & ")[1] == f"{mean:.2f}" and line.endswith(r"1.500 \\")
    found = compared[
        (compared["method"] == "A")
        & (compared["reference"] == "B")
        & (compared["metric"] == "lift@5%")
    ].iloc[0]
    against_b = text.partition("tab:weights-against-B")[2]
    line = next(line for line in against_b.splitlines() if line.startswith("A &"))
    cells = line.removesuffix(r" \\").split(" & ")
    assert cells[1:4] == [latex.number(found[f"fold{k}"]) for k in range(3)]
    assert cells[4] == "3/3" and latex.p_value(found["holm_p"]) in cells


def test_words_stand_beside_the_table_instead_of_stars(made):
    _, _, _, text = made
    assert latex.escape(statistics.signed_rank_note(3)) in text.partition("tab:weights-against")[0]
    assert "$^{*}$" in text  # marks lifted methods only
    assert "***" not in text
    assert "unbounded" in text  # the method that only two folds have


def test_long_tables_are_cut():
    rows = [[f"row{i}", "1"] for i in range(latex.ROWS_PER_TABLE + 5)]
    text = latex.tabular("lr", ["method", "x"], rows, "caption", "tab:x")
    assert text.count(r"\begin{table}") == 2 and "(continued)" in text
    assert [line.split(" ")[0] for line in text.splitlines() if line.startswith("row")] == [
        row[0] for row in rows
    ]


def test_a_cjk_package_is_asked_for_only_where_a_name_needs_it():
    plain = latex.compilable(latex.escape("café – *ig*"))
    assert plain.isascii() and "CJK" not in plain
    text = latex.compilable(latex.escape("猫"))
    assert r"\IfFileExists{CJKutf8.sty}" in text and r"\cjk{ja}{猫}{U+732B}" in text


def test_every_letter_of_latin_1_is_written_in_ascii():
    letters = [chr(i) for i in range(0xA0, 0x100) if chr(i).isalpha() and chr(i) not in "ªº"]
    assert len(letters) > 60
    for letter in letters:
        written = latex.escape(letter)
        assert written.isascii() and not written.startswith("U+"), letter


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_nasty_names_compile(tmp_path):
    latin = "".join(chr(i) for i in range(0xA0, 0x180))
    names = [NASTY, latin, "[1]", "*x", "--", "猫"]
    rows = [[latex.escape(name), "1"] for name in names]
    table = latex.tabular("lr", ["method", "x"], rows, latex.escape(NASTY), "tab:x")
    compile_alone(latex.compilable(table), tmp_path)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_it_compiles_alone(made, tmp_path):
    compile_alone(made[3], tmp_path)


def compile_alone(text: str, tmp_path) -> None:
    (tmp_path / "tables.tex").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=tmp_path, capture_output=True, timeout=120,
    )  # fmt: skip
    log = (tmp_path / "tables.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert "Missing character" not in log
