"""Pictures depend on nothing in a user's environment, and no text is read as markup."""

import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib
import pipeline
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from utils import drawing

HISTOGRAM = Path("exp-fl-5") / pipeline.NAME / "ground_truth" / "hist_abs_diff"


def picture(title: str = "", label: str = "line") -> Figure:
    with drawing.drawing():
        figure = Figure(figsize=(3, 2), layout="constrained")
        axes = figure.subplots()
        axes.plot([0.001, 2], [3, 40], label=label)
        axes.set(xscale="log", yscale="log", title=title)
        axes.legend(handles=axes.lines)
    return figure


def words(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    found = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    return [text for text in found if text]


def test_a_hostile_environment_changes_no_byte(tmp_path):
    """A notebook's backend, a matplotlibrc that asks for TeX, and one in the working folder."""
    pipeline.make_fold(tmp_path / "root", samples=20)
    (tmp_path / "rc").write_text("text.usetex: True\nfont.size: 30\naxes.facecolor: red\n")
    (tmp_path / "matplotlibrc").write_bytes(b"font.size: 30 # \xe9\n")
    hostile = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(tmp_path / "rc"),
    }
    found = []
    for more, folder in (({}, pipeline.ROOT), (hostile, tmp_path)):
        done = subprocess.run(
            [sys.executable, *pipeline.command(1, tmp_path / "root", "--force")],
            capture_output=True, text=True, cwd=folder, env={**pipeline.ENVIRONMENT, **more},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        paths = [tmp_path / "root" / f"{HISTOGRAM}{suffix}" for suffix in (".png", ".pdf")]
        found.append([path.read_bytes() for path in paths])
    assert found[0] == found[1]


def test_settings_made_after_the_start_change_no_byte():
    plain = drawing.render(picture(), "png")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.grid": True}):
        assert drawing.render(picture(), "png") == plain
        assert matplotlib.rcParams["font.size"] == 30  # and the user's own are as they were


@pytest.mark.parametrize(
    "name", ["$x$", r"$\frac{$", "a_$b$_c^2", r"\$5 and \$6", "_hidden", "{0}"]
)
def test_text_is_drawn_as_it_is(name):
    figure = picture(name, name)
    for suffix in ("png", "pdf"):
        assert drawing.render(figure, suffix)
    assert words(figure).count(name) == 2
    assert not any(text.get_parse_math() for text in figure.findobj(matplotlib.text.Text))


def test_ticks_of_a_logarithm_are_written_without_markup():
    figure = picture()
    first = drawing.render(figure, "png")
    found = words(figure)
    assert {"10⁻³", "10⁰", "10¹"} <= set(found) and not any("$" in text for text in found)
    assert drawing.render(figure, "png") == first


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"$\mathdefault{10^{-3}}$", "10⁻³"),
        (r"$\mathdefault{2\times10^{12}}$", "2×10¹²"),
        (r"$\mathdefault{-10^{2}}$", "−10²"),
        (r"$\mathdefault{0}$", "0"),
        ("", ""),
    ],
)
def test_a_power_in_plain_text(text, expected):
    assert drawing.plain_power(text) == expected


def test_another_font_is_asked_for_what_the_usual_one_lacks():
    """STIX comes with matplotlib too and has signs that DejaVu Sans lacks."""
    stix = get_font(findfont(FontProperties(family=["STIXGeneral"]))).get_charmap()
    usual = get_font(findfont(FontProperties(family=[drawing.FONT]))).get_charmap()
    sign = chr(min(code for code in set(stix) - set(usual) if code > 0x2000))
    fonts = drawing.fonts_for(f"abc {sign}")
    assert fonts and drawing.fonts_for("abc") == []
    figure = picture(f"with {sign}", "without")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawing.render(figure, "pdf")
    families = {
        text.get_text(): text.get_fontfamily() for text in figure.findobj(matplotlib.text.Text)
    }
    assert families[f"with {sign}"] == [drawing.FONT, *fonts]
    assert families["without"] == [drawing.FONT]
    assert drawing.missing_glyphs(figure) == set()


def test_a_cjk_font_comes_before_others(monkeypatch):
    monkeypatch.setattr(drawing, "_families", lambda: dict.fromkeys(["IPAGothic", "Zapf"], ""))
    has = {
        drawing.FONT: frozenset("abc"),
        "IPAGothic": frozenset("ネコ"),
        "Zapf": frozenset("ネ✂"),
    }
    monkeypatch.setattr(drawing, "_glyphs", has.__getitem__)
    assert drawing.fonts_for("aネ\nコ") == ["IPAGothic"]
    assert drawing.fonts_for("ネ✂") == ["IPAGothic", "Zapf"]
    assert drawing.fonts_for("猫") == []


def test_what_no_font_has_is_said_and_warns_of_nothing():
    sign = "\U0010fffd"  # for private use
    figure = picture(f"a {sign}")
    assert drawing.missing_glyphs(figure) == {sign}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawing.render(figure, "png")
        drawing.render(figure, "pdf")


def test_the_environment_is_set_before_matplotlib_is_read():
    """Nothing that step 1 or 7 imports at its start may import matplotlib before."""
    code = (
        "import sys, runpy\n"
        "for step in (1, 7): runpy.run_path(f'exp-fl-5-{step}.py')\n"
        "sys.exit('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=pipeline.ROOT, env=pipeline.ENVIRONMENT)
    assert done.returncode == 0
