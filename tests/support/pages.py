"""What a page of documentation says: its links, headings, commands and sentences."""

import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HEADING = re.compile(r"(#+) (?:<a id=\"([^\"]+)\"></a>)?(.+)")
SPAN = re.compile(r"`[^`]+`")
LINK = re.compile(r"(!?\[[^]]*\])\(([^)\s]+)\)")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
SCRIPT = re.compile(r"exp-fl-5-(\d+)\.py")
# What a line of code or a span begins with that is a command and no name, formula or tree.
PROGRAM = re.compile(r"(?:\S*/)?(?:python|make|torchrun|sbatch|snakemake)\b|exp-fl-5-\d+\.py")


@dataclass
class Page:
    """A page in parts.

    prose : its lines outside code, comments left out; "" where a block of code stood.
    code : lines of blocks of code that are not Python, without their comments.
    """

    prose: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)


def read_page(text: str) -> Page:
    page, fence, before = Page(), None, ""
    for line in COMMENT.sub("", text).splitlines():
        if line.startswith("```"):
            fence = None if fence is not None else line
            page.prose.append("")
        elif fence is not None or (line.startswith("    ") and before in ("", "code")):
            if fence in (None, "```", "```bash", "```sh"):
                page.code.append(re.sub(r"\s+# .*", "", line.strip()))
            page.prose.append("")
            before = "code"
            continue
        else:
            page.prose.append(line)
        before = line.strip()
    return page


def links(page: Page) -> list[tuple[str, str]]:
    """(label, target) of each link and picture; a label may go on in the next line."""
    return [(said.lstrip("!")[1:-1], to) for said, to in LINK.findall("\n".join(page.prose))]


def anchors(page: Page) -> set[str]:
    """Where links can lead in a page: headings as GitHub names them, and ids."""
    found, seen = set(), Counter()
    for heading in map(HEADING.fullmatch, page.prose):
        if heading:
            found |= {heading[2]} - {None}
            label = LINK.sub(lambda link: link[1][1:-1], heading[3])
            slug = re.sub(r"[^\w\- ]", "", label.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found


def sections(page: Page) -> set[str]:
    """The numbers that headings begin with, "5.3"."""
    headings = [HEADING.fullmatch(line) for line in page.prose]
    numbers = [re.match(r"(\d+(?:\.\d+)*)\.? ", h[3]) for h in headings if h]
    return {number[1] for number in numbers if number}


def link_faults(path: Path, page: Page) -> list[str]:
    """What leads nowhere from the page at `path`, a line each."""
    found = []
    for label, target in links(page):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists():
            found.append(f"{target}: there is no such file")
            continue
        other = page if there == path else read_page(there.read_text("utf-8")) if anchor else page
        if anchor and anchor not in anchors(other):
            found.append(f"{target}: {there.name} has no such heading")
        number = re.search(r"\b(\d+(?:\.\d+)*)$", label)
        if there.name == "definitions.md" and number:
            known = sections(read_page(there.read_text("utf-8")))
            found += [] if number[1] in known else [f"{label}: {there.name} has no such section"]
    return found


def commands(page: Page) -> list[list[str]]:
    """The words of each command in code and in spans; `<name>` and `[...]` are no commands."""
    spans = [" ".join(span[1:-1].split()) for span in SPAN.findall("\n".join(page.prose))]
    found = []
    for line in [*page.code, *spans]:
        for part in re.split(r"&&|\|\||;|\$\(|\)$", line):
            part = part.strip()
            if PROGRAM.match(part) and not re.search(r"<\w+>|\[--|<i>", part):
                found.append(shlex.split(part))
    return found


def sentences(page: Page) -> list[str]:
    """Every sentence, cell of a table, item and heading of the prose."""
    blocks = re.split(r"\n\s*\n|\n(?=\* |#|\|)", "\n".join(page.prose))
    found = []
    for block in blocks:
        text = LINK.sub(lambda link: link[1].lstrip("!")[1:-1], SPAN.sub("code", block))
        pieces = re.split(r"(?<!\\)\|", text) if block.startswith("|") else [text]
        for piece in pieces:
            found += re.split(r"(?<=[.!?])[*)]*\s+", " ".join(piece.split()))
    return [sentence for sentence in found if words(sentence)]


def words(sentence: str) -> int:
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())
