"""A figure's SVG made fit to stand in a page among others: small, and no id twice."""

import re
from collections.abc import Iterator
from html import escape
from itertools import count

ID = re.compile(r' id="([^"]*)"')
REFERENCE = re.compile(r'(href="#|url\(#)([^")]*)')
GLYPH = re.compile(r'<path id="([^"]+)" d="([^"]*)"( transform="[^"]*")?/>')
COORDINATES = re.compile(r' (?:d|x|y|width|height|transform)="[^"]*"')
STYLE = re.compile(r' style="([^"]*)"')
# A letter that stands to the right of another: the same, and shorter, as x.
MOVED = re.compile(r'(<use href="[^"]*") transform="translate\(([-\d.]+) 0\)"(?=/>)')
# Of a coordinate; the factor of a scale is none.
LONG_NUMBER = re.compile(r"(?:scale|matrix)\([^)]*\)|-?\d+\.\d{3,}")
# Straight lines alone, whose points need no letter between them.
POLYLINE = re.compile(r' d="M [-\d.\s]*(?:L [-\d.\s]*)+z?\s*"')
VIEW = re.compile(r'viewBox="([^"]*)"')
PIXELS_PER_POINT = 96 / 72
DECIMALS = 2


class Shared:
    """What the figures of a page have in common, once: the letters, and how lines are drawn."""

    def __init__(self) -> None:
        self.letters: dict[tuple[str, str], str] = {}
        self.styles: dict[str, str] = {}

    def letter(self, shape: str, transform: str) -> str:
        """Id of a letter."""
        return self.letters.setdefault((shape, transform), f"l{len(self.letters)}")

    def style(self, text: str) -> str:
        """Class of a style."""
        return self.styles.setdefault(text, f"s{len(self.styles)}")

    def definitions(self) -> str:
        """The element that holds the letters; it has to stand in the same page."""
        paths = "".join(
            f'<path id="{name}" d="{shape}"{transform}/>'
            for (shape, transform), name in self.letters.items()
        )
        return f'<svg width="0" height="0" aria-hidden="true"><defs>{paths}</defs></svg>'

    def css(self) -> str:
        return "\n".join(f".{name} {{{text}}}" for text, name in self.styles.items())


def inline(svg: str, prefix: str, label: str, shared: Shared) -> str:
    """The <svg> element of a file that matplotlib wrote, for an HTML page.

    Coordinates are rounded to DECIMALS of a point. Letters and styles go to `shared`, ids
    that nothing refers to go, and the others begin with `prefix`, which is this figure's alone.

    label : what the picture is, for those who do not see it.
    """
    start, _, body = svg[svg.index("<svg") :].partition(">")
    view = VIEW.search(start)
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", body, flags=re.S)
    body = body.replace("xlink:href=", "href=")
    letters: dict[str, str] = {}

    def take(glyph: re.Match[str]) -> str:
        if "scale(" not in (glyph[3] or ""):  # a marker
            return glyph[0]
        letters[glyph[1]] = shared.letter(re.sub(r"\s*\n\s*", "", glyph[2]), glyph[3])
        return ""

    body = GLYPH.sub(take, body)
    body = COORDINATES.sub(lambda found: LONG_NUMBER.sub(_rounded, found[0]), body)
    body = MOVED.sub(r'\1 x="\2"', body)
    body = STYLE.sub(lambda found: f' class="{shared.style(found[1])}"', body)
    body = _renamed(body, prefix, letters)
    body = POLYLINE.sub(lambda found: found[0].replace("L ", ""), body)
    body = re.sub(r"<defs>\s*</defs>", "", body)
    body = re.sub(r"\s*\n\s*", lambda found: " " if "\n" in found[0] else "", body)
    body = re.sub(r"> <", "><", body)
    width = float(view[1].split()[2]) * PIXELS_PER_POINT if view else 0
    box = f' viewBox="{view[1]}" style="max-width: {width:.0f}px"' if view else ""
    return f'<svg role="img" aria-label="{escape(label)}"{box}>{_ungrouped(body.strip())}'


def _ungrouped(body: str) -> str:
    """Without groups that say nothing about what they hold."""
    kept: list[bool] = []

    def tag(found: re.Match[str]) -> str:
        if found[0] == "</g>":
            return found[0] if kept.pop() else ""
        kept.append(found[0] != "<g>")
        return found[0] if kept[-1] else ""

    return re.sub(r"<g(?: [^>]*)?>|</g>", tag, body)


def _rounded(number: re.Match[str]) -> str:
    if number[0].endswith(")"):
        return number[0]
    value = round(float(number[0]), DECIMALS)
    return f"{value:g}" if value == int(value) else f"{value:.{DECIMALS}f}".rstrip("0")


def _renamed(body: str, prefix: str, letters: dict[str, str]) -> str:
    """Ids that are referred to, with new names; the others go."""
    used = {name for _, name in REFERENCE.findall(body)} - set(letters)
    numbers: Iterator[int] = count()
    names = {name: f"{prefix}{next(numbers)}" for name in ID.findall(body) if name in used}
    body = ID.sub(lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", body)
    known = names | letters
    return REFERENCE.sub(lambda found: found[1] + known.get(found[2], found[2]), body)
