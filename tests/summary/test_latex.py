"""tables.tex: numbers, names that LaTeX would trip over, and that it compiles alone."""

import dataclasses
import shutil
import subprocess

import folds_of_step7 as given
import numpy as np
import pytest

from utils import drawing
from utils.summary.documents import latex, latex_text
from utils.summary.figures import shared
from utils.summary.folds import read_tables
from utils.summary.scores import notes, views
from utils.summary.scores.write import read_verdicts
from utils.summary.statistics import limits

NASTY = r"[50%_of] #x & $y$ {z} ~^ \n <a|b> \"q\" *-- ?` 'café' Ångström ð«»ÿ ネコ 深層 نص"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        given.without_models(patch)
        patch.setenv("TQDM_DISABLE", "1")
        jobs = given.make_folds(tmp_path_factory.mktemp("folds"), range(3))
    folds = [job.paths for job in jobs]
    view = views.make_view(read_tables.load(folds), jobs[0].constants)
    ends = views.reference_lifts([view], "lift@5%")
    verdicts = read_verdicts({"change": folds}, ends).replace({"method": {"P": NASTY}})
    summary, compared = (
        table.replace({"method": {"P": NASTY}}) for table in (view.summary, view.compared)
    )
    view = dataclasses.replace(view, summary=summary, compared=compared)
    said = notes.of(view.tables, ["lift@5%"], 3)
    places = verdicts[["level", "method", "lift"]].rename(columns={"lift": "change"})
    places["place change"] = places["change"].rank(ascending=False)
    text = latex.document([view], verdicts, places, {("weight", "A"): 1.5}, said)
    return verdicts, summary, compared, text


def part_of(text: str, label: str) -> list[list[str]]:
    """The cells of each row of the table that has a label."""
    inside = text.partition(f"\\label{{{label}}}")[2].partition(r"\end{table}")[0]
    lines = [line for line in inside.splitlines() if line.endswith(r" \\")]
    return [line.removesuffix(r" \\").split(" & ") for line in lines]


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
    assert latex_text.escape(text) == expected


def test_numbers():
    assert latex_text.number(-1.234) == "$-1.23$"
    assert latex_text.number(np.nan) == "--"
    assert latex_text.p_value(0.00001) == "$<$0.0001" and latex_text.p_value(0.03) == "0.0300"
    assert latex_text.interval(-1, 2) == "[$-1.00$, 2.00]"
    assert latex_text.interval(np.nan, 2) == "--"


def test_the_tables_hold_the_values(made):
    verdicts, summary, compared, text = made
    mean = summary[(summary["metric"] == "lift@5%") & (summary["method"] == "A")]["mean"].iloc[0]
    (cells,) = (row for row in part_of(text, "tab:change-weights") if row[0] == "A")
    assert cells[1] == f"{mean:.2f}" and cells[-1] == "1.500"
    found = compared[
        (compared["method"] == "A")
        & (compared["reference"] == "B")
        & (compared["metric"] == "lift@5%")
    ].iloc[0]
    against_b = part_of(text, "tab:change-weights-against-B")
    (cells,) = (row for row in against_b if row[0] == "A")
    assert cells[1:4] == [latex_text.number(found[f"fold{k}"]) for k in range(3)]
    assert cells[4] == "3 of 3" and latex_text.p_value(found["holm_p"]) in cells
    rows = part_of(text, "tab:verdict")[1:]
    assert len(rows) == len(verdicts) == 5
    one = verdicts.set_index("method").loc["A"]
    (cells,) = (row for row in rows if row[1] == "A")
    assert cells[:3] == ["change", "A", "3"]
    assert cells[3:7] == [latex_text.number(one[c]) for c in ("lift", "null_mean", "null_sd", "z")]
    assert cells[7:9] == [latex_text.p_value(one["p"]), latex_text.p_value(one["p_adjusted"])]
    assert cells[9] == "--" and cells[10] == latex_text.number(one["share_of_neuron_oracle"])


def test_headers_are_words_and_each_table_explains_itself(made):
    text = made[3]
    heads = [part.partition(r"\toprule")[2].partition(r"\midrule")[0]
             for part in text.split(r"\begin{table}")[1:]]  # fmt: skip
    assert len(heads) > 4
    for head in heads:
        assert not any(sign in head for sign in ("@", r"\_", "RBC", "ICC", "$", "A_"))
    summary = heads[2]  # after the overview and what chance gives
    for lines in (r"lift\\at 5\%", r"standard\\deviation", r"seconds\\per fold"):
        assert rf"\shortstack{{{lines}}}" in summary
    captions = [part.partition(r"\label")[0] for part in text.split(r"\caption[]")[1:]]
    assert all(("levels weight and weight (from neuron)" in c) == ("$^{*}$" in c)
               for c in captions[2:])  # fmt: skip
    assert "truth `change'" in captions[2] and "paired t test" in captions[4]


def test_figures_with_their_captions_are_ready_to_be_pasted():
    text = latex.figures({"change/metrics_at_k": "By 'change', 5% of |dW| & it's all."})
    assert r"\caption[]{By `change', 5\% of \textbar{}dW\textbar{} \& it's all.}" in text
    assert "{change/metrics_at_k_2col}" in text and r"\label{fig:change-metrics-at-k}" in text
    assert text.count(r"\begin{figure*}") == text.count(r"\end{figure*}") == 1
    narrow = latex.figures({"truths": "Said."}, ["1col"])
    assert "{truths_1col}" in narrow and "2col" not in narrow
    assert narrow.count(r"\begin{figure}") == narrow.count(r"\end{figure}") == 1
    assert latex.figures({"truths": "Said."}, ["2col"]).count("_1col") == 0


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_figures_compile_where_the_pictures_lie(tmp_path):
    figure = shared.new_figure("2col", 1)
    (tmp_path / "change").mkdir()
    (tmp_path / "change" / "a_b_2col.pdf").write_bytes(drawing.render(figure, "pdf"))
    compile_alone(latex.figures({"change/a_b": "By 'x', 5%."}), tmp_path)


def test_the_overview_fits_an_upright_page_and_the_others_are_an_appendix(made):
    """Ten columns at most: verdicts of other shares go first, then those that say least anew."""
    before, after = made[3].split(r"\appendix")
    assert before.count(r"\begin{tabular}") == 1 and r"\label{tab:verdicts}" in before
    assert r"\begin{landscape}" not in before and after.count(r"\begin{landscape}") == 1
    assert after.index(r"\label{tab:verdict}") < after.index(r"\end{landscape}")
    usual = ["change", "pooled", "repair", "transplant", "transplant back", "planted neurons",
             "planted weights", "retrained (adam)", "retrained (sgd)"]  # fmt: skip
    assert latex.overview_names(usual) == usual and len(usual) == latex.MOST_VERDICTS
    more = [*usual[:6], "planted neurons 5%", *usual[6:], "planted weights 5%", "one more"]
    assert latex.overview_names(more) == [x for x in usual if x != "transplant back"] + ["one more"]


def test_words_stand_beside_the_table_instead_of_stars(made):
    _, _, _, text = made
    assert latex_text.escape(limits.signed_rank_note(3)) in text.partition("-against-")[0]
    assert "$^{*}$" in text  # marks lifted methods only
    assert "***" not in text
    assert "unbounded" in text  # the method that only two folds have


def test_long_tables_are_cut():
    rows = [[f"row{i}", "1"] for i in range(latex_text.ROWS_PER_TABLE + 5)]
    text = latex_text.tabular("lr", ["method", "x"], rows, "caption", "tab:x")
    assert text.count(r"\begin{table}") == 2 and "(continued)" in text
    assert [line.split(" ")[0] for line in text.splitlines() if line.startswith("row")] == [
        row[0] for row in rows
    ]


def test_a_cjk_package_is_asked_for_only_where_a_name_needs_it():
    plain = latex_text.compilable(latex_text.escape("café – *ig*"))
    assert plain.isascii() and "CJK" not in plain
    text = latex_text.compilable(latex_text.escape("猫"))
    assert r"\IfFileExists{CJKutf8.sty}" in text and r"\cjk{ja}{猫}{U+732B}" in text


def test_every_letter_of_latin_1_is_written_in_ascii():
    letters = [chr(i) for i in range(0xA0, 0x100) if chr(i).isalpha() and chr(i) not in "ªº"]
    assert len(letters) > 60
    for letter in letters:
        written = latex_text.escape(letter)
        assert written.isascii() and not written.startswith("U+"), letter


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_nasty_names_compile(tmp_path):
    latin = "".join(chr(i) for i in range(0xA0, 0x180))
    names = [NASTY, latin, "[1]", "*x", "--", "猫"]
    rows = [[latex_text.escape(name), "1"] for name in names]
    table = latex_text.tabular("lr", ["method", "x"], rows, latex_text.escape(NASTY), "tab:x")
    compile_alone(latex_text.compilable(table), tmp_path)


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
    assert "Missing character" not in log and "Rerun" not in log and "undefined" not in log
