"""Drawing the same picture everywhere: nothing of a user's settings, and no text read as markup."""

import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# Okabe and Ito's palette: told apart with every common colour blindness.
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000",
)  # fmt: skip
DPI = 300
FONT = "DejaVu Sans"  # comes with matplotlib
STYLE = {
    "font.family": [FONT],
    "font.size": 8,
    "text.parse_math": False,  # a method may be called "$x$"
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # fonts embedded as TrueType, as journals ask
    "ps.fonttype": 42,
    "svg.hashsalt": "exp-fl-5",
}
# Where FONT has no glyph the first installed one of these is asked, then any other font.
FALLBACKS = (
    "Noto Sans CJK JP", "Noto Sans JP", "Source Han Sans JP", "IPAexGothic", "IPAGothic",
    "TakaoGothic", "VL Gothic", "Hiragino Sans", "Yu Gothic", "Meiryo", "MS Gothic",
    "Noto Sans CJK SC", "Noto Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "PingFang SC",
    "Microsoft YaHei", "SimHei", "Noto Sans CJK KR", "Noto Sans KR", "NanumGothic",
    "Malgun Gothic", "Apple SD Gothic Neo", "Arial Unicode MS", "Droid Sans Fallback",
)  # fmt: skip
POWER = re.compile(
    r"\$\\mathdefault\{(?P<factor>.*\\times)?(?P<base>[^{]*?)\^\{(?P<power>.*)\}\}\$"
)
PLAIN = re.compile(r"\$\\mathdefault\{(.*)\}\$")
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


# What differs from one rendering to the next.
UNWANTED = {"png": "Software", "pdf": "CreationDate", "svg": "Date"}
FORMATS = tuple(UNWANTED)
# zlib's level for PNG: 1 takes a third of the time of the usual 6, for files a quarter larger.
PNG = {"compress_level": 1}


@contextmanager
def drawing() -> Iterator[None]:
    """matplotlib's own settings and STYLE, for the drawing inside."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def render(figure: "Figure", suffix: str) -> bytes:
    """The figure as PNG (DPI dots an inch), PDF or SVG bytes, the same ones every time.

    The first rendering lays it out, and further ones leave everything in its place.
    """
    sink = io.BytesIO()
    options = {"metadata": {UNWANTED[suffix]: None}}
    if suffix == "png":
        options["pil_kwargs"] = PNG
    with drawing(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        if figure.get_layout_engine() is not None:
            _lay_out(figure)
        figure.savefig(sink, format=suffix, dpi=DPI, **options)
    return sink.getvalue()


def _lay_out(figure: "Figure") -> None:
    """Give every text its font and every part its place, once: saving then only draws."""
    _write_plain_powers(figure)
    for text in _texts(figure):
        _give_fonts(text)
    figure.set_dpi(DPI)
    figure.draw_without_rendering()
    figure.set_layout_engine(None)


def plain_power(text: str) -> str:
    """A tick of a logarithmic axis, which matplotlib writes as mathematics, without markup."""
    if found := POWER.fullmatch(text):
        factor = (found["factor"] or "").replace(r"\times", "×")
        return f"{factor}{found['base']}{found['power'].translate(SUPERSCRIPTS)}".replace("-", "−")
    return PLAIN.sub(r"\1", text).replace("-", "−")


def _write_plain_powers(figure: "Figure") -> None:
    from matplotlib.ticker import LogFormatterMathtext

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            for level in ("major", "minor"):
                formatter = getattr(axis, f"get_{level}_formatter")()
                if isinstance(formatter, LogFormatterMathtext):
                    formatter.format_ticks = partial(_plain_ticks, formatter.format_ticks)


def _plain_ticks(format_ticks: Callable[[Any], list[str]], values: Any) -> list[str]:
    return [plain_power(text) for text in format_ticks(values)]


# -- fonts -------------------------------------------------------------------------------------


def missing_glyphs(figure: "Figure") -> set[str]:
    """The characters of a figure that no installed font has."""
    wanted = "".join(text.get_text() for text in _texts(figure))
    return set(wanted) - {"\n"} - set().union(*map(_glyphs, [FONT, *fonts_for(wanted)]))


def fonts_for(text: str) -> list[str]:
    """Families beside FONT that together have what FONT lacks of `text`, as far as any has."""
    missing = set(text) - {"\n"} - _glyphs(FONT)
    found = []
    for family in _families() if missing else ():
        if has := missing & _glyphs(family):
            found.append(family)
            missing -= has
        if not missing:
            break
    return found


def _give_fonts(text: "Text") -> None:
    others = fonts_for(text.get_text())
    if others:
        text.set_fontfamily([FONT, *others])


def _texts(figure: "Figure") -> Iterable["Text"]:
    from matplotlib.text import Text

    return figure.findobj(Text)


@cache
def _families() -> dict[str, str]:
    """Every installed family and a file of it: FALLBACKS first, then by name."""
    from matplotlib.font_manager import fontManager

    installed: dict[str, str] = {}
    for entry in sorted(fontManager.ttflist, key=lambda entry: entry.style != "normal"):
        if not entry.name.startswith("Last Resort"):  # boxes that tell of a missing glyph
            installed.setdefault(entry.name, entry.fname)
    names = [name for name in FALLBACKS if name in installed]
    return {name: installed[name] for name in [*names, *sorted(set(installed) - set(names))]}


@cache
def _glyphs(family: str) -> frozenset[str]:
    """The characters that a family has."""
    from matplotlib.font_manager import get_font

    try:
        charmap = get_font(_families()[family]).get_charmap()
    except (OSError, RuntimeError):  # a file that freetype cannot read
        return frozenset()
    return frozenset(map(chr, charmap))
