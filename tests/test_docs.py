"""README.md, README.ja.md and docs/: links lead somewhere, commands parse, README.md is short."""

import argparse
import importlib.util
import re
import runpy
import sys
from pathlib import Path

import pages
import pytest

from utils.run import arguments

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.ja.md", *sorted((ROOT / "docs").glob("**/*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
MOST_LINES, MOST_WORDS = 260, 30
# Words in a row that no two pages may have.
SHARED = 15
STEPS = range(11)
OURS = re.compile(r"(?:utils|tests|benchmarks|cluster|docs|workflow)/[\w./*-]*")
CITED = re.compile(r"docs/definitions\.md ([\d.]*\d(?:(?:,| and| to) [\d.]*\d)*)")


def page_of(path):
    return pages.read_page(path.read_text(encoding="utf-8"))


class GotParser(Exception):
    pass


@pytest.fixture(scope="module")
def parsers():
    """Step -> the parser that its script makes, of scripts that are there."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arguments.OneLineParser, "parse_args", catch_parser)
        patch.setattr(sys, "argv", ["step"])
        patch.setattr(sys, "path", [str(ROOT), *sys.path])
        for step in STEPS:
            script = ROOT / f"exp-fl-5-{step}.py"
            patch.setattr(sys, "stdout", sys.stdout)  # the script puts its own in this place
            if script.is_file():
                with pytest.raises(GotParser) as caught:
                    runpy.run_path(str(script), run_name="__main__")
                found[step] = caught.value.args[0]
    return found


def catch_parser(parser, *_):
    raise GotParser(parser)


def step_fault(step, options, parsers):
    if step not in parsers:
        return f"there is no exp-fl-5-{step}.py"
    known = parsers[step]
    try:
        argparse.ArgumentParser.parse_args(known, [blank(known, *pair) for pair in pairs(options)])
    except SystemExit:
        return f"exp-fl-5-{step}.py does not take {' '.join(options)}"
    return None


def pairs(options):
    return zip(["", *options], options, strict=False)


def blank(parser, option, value):
    """A number in the place of a word like STEP that stands for one."""
    action = parser._option_string_actions.get(option)
    return "1" if action and action.type is int and value.isupper() else value


def module_fault(name, options):
    if importlib.util.find_spec(name) is None:
        return f"there is no module {name}"
    if name == "pytest":
        gone = [one for one in options if not one.startswith("-") and not (ROOT / one).exists()]
        return f"there is no {gone[0]}" if gone else None
    text = Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")
    gone = [one for one in options if one.startswith("--") and f'"{one}"' not in text]
    return f"{name} does not take {gone[0]}" if gone else None


def make_fault(arguments):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for argument in arguments:
        name, given, _ = argument.partition("=")
        where = rf"^{re.escape(name)} *\??=" if given else rf"^{re.escape(name)}:(?!=)"
        if not re.search(where, makefile, re.MULTILINE):
            return f"Makefile has no {name}"
    return None


def command_fault(words, parsers):
    """Why a command cannot run here, None if it can."""
    program = words[0].rpartition("/")[2]
    script = next((i for i, word in enumerate(words) if pages.SCRIPT.fullmatch(word)), None)
    if script is not None:
        step = int(pages.SCRIPT.fullmatch(words[script])[1])
        return step_fault(step, words[script + 1 :], parsers)
    if program == "make":
        return make_fault(words[1:])
    if program == "python" and words[1:2] == ["-m"]:
        return module_fault(words[2], words[3:])
    if program == "sbatch" and len(words) > 1:
        batch = next(i for i, word in enumerate(words) if word.endswith(".sbatch"))
        there = (ROOT / words[batch]).is_file()
        options = words[batch + 1 :]
        return step_fault(7, options, parsers) if there else f"there is no {words[batch]}"
    if "--profile" in words:
        folder = words[words.index("--profile") + 1]
        return None if (ROOT / folder).is_dir() else f"there is no {folder}"
    return None


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_links_and_anchors_lead_somewhere(path):
    found = pages.link_faults(path, page_of(path))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_commands_parse(path, parsers, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = [(words, command_fault(words, parsers)) for words in pages.commands(page_of(path))]
    wrong = [f"{' '.join(words)}: {fault}" for words, fault in found if fault]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_files_of_the_repository_that_are_named_exist(path):
    spans = pages.SPAN.findall("\n".join(page_of(path).prose))
    named = {span[1:-1] for span in spans if OURS.fullmatch(span[1:-1])}
    gone = {name for name in named if not any(ROOT.glob(name.rstrip("/")))}
    assert not gone


def test_the_pages_have_commands_to_look_at():
    assert len(pages.commands(page_of(ROOT / "README.md"))) > 15
    assert pages.commands(page_of(ROOT / "README.ja.md")) == pages.commands(page_of(PAGES[0]))


def test_options_in_the_readme_are_options_of_a_step(parsers):
    known = {name for parser in parsers.values() for name in parser._option_string_actions}
    spans = pages.SPAN.findall("\n".join(page_of(ROOT / "README.md").prose))
    named = {span[1:-1].split()[0] for span in spans if span.startswith("`--")}
    assert len(named) > 15
    assert named <= known, named - known


def test_every_page_of_docs_is_in_its_index():
    index = {to.partition("#")[0] for _, to in pages.links(page_of(ROOT / "docs" / "README.md"))}
    there = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert there <= index, there - index


def test_nothing_stands_in_two_pages():
    where, twice = {}, set()
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        words = re.findall(r"[^\s|]+", " ".join(page_of(path).prose))
        for i in range(len(words) - SHARED + 1):
            run = " ".join(words[i : i + SHARED])
            if where.setdefault(run, path.name) != path.name:
                twice.add(f"{where[run]}, {path.name}: {run}")
    assert not twice, "\n".join(sorted(twice))


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    sentences = pages.sentences(pages.read_page(text))
    long = [sentence for sentence in sentences if pages.words(sentence) > MOST_WORDS]
    assert len(sentences) > 150
    assert not long, "\n".join(long)


def test_sections_that_the_code_cites_are_there():
    known = pages.sections(page_of(ROOT / "docs" / "definitions.md"))
    scripts = [*ROOT.glob("*.py"), *ROOT.glob("utils/**/*.py"), *ROOT.glob("tests/**/*.py")]
    cited = {}
    for path in scripts:
        for numbers in CITED.findall(path.read_text(encoding="utf-8")):
            cited |= dict.fromkeys(re.findall(r"\d+(?:\.\d+)*", numbers), path.name)
    assert len(cited) > 20
    gone = {number: name for number, name in cited.items() if number not in known}
    assert not gone


# -- that the reading finds what is wrong --------------------------------------------------------

SMALL = """# A page

Read [the other](other.md#there) and [definitions, 5.3](definitions.md). Run `make demo`.

    python exp-fl-5-7.py --ds digits    # compares
    a formula = 1

## Twice

## Twice

<!-- [hidden](gone.md) -->
"""


@pytest.fixture
def small(tmp_path):
    (tmp_path / "other.md").write_text("# Other\n\n## There\n")
    (tmp_path / "definitions.md").write_text("# All\n\n### 5.3 neuron\n")
    (tmp_path / "page.md").touch()
    return tmp_path / "page.md"


def test_a_page_without_faults(small, parsers):
    page = pages.read_page(SMALL)
    assert pages.link_faults(small, page) == []
    assert pages.anchors(page) == {"a-page", "twice", "twice-1"}
    found = pages.commands(page)
    assert found == [["python", "exp-fl-5-7.py", "--ds", "digits"], ["make", "demo"]]
    assert [command_fault(words, parsers) for words in found] == [None, None]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("other.md#there", "gone.md", "gone.md: there is no such file"),
        ("other.md#there", "other.md#here", "other.md#here: other.md has no such heading"),
        ("other.md#there", "#thrice", "#thrice: page.md has no such heading"),
        ("5.3", "5.4", "definitions, 5.4: definitions.md has no such section"),
        ("-->", "--> [x](gone.md)", "gone.md: there is no such file"),
    ],
)
def test_a_link_that_leads_nowhere_is_named(small, old, new, said):
    assert said in pages.link_faults(small, pages.read_page(SMALL.replace(old, new)))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python exp-fl-5-7.py --n 48 --mixed", "exp-fl-5-7.py does not take --n 48 --mixed"),
        ("python exp-fl-5-1.py --device cpu", "exp-fl-5-1.py does not take --device cpu"),
        ("torchrun --nproc_per_node=2 exp-fl-5-0.py --m1 3", "exp-fl-5-0.py does not take --m1 3"),
        ("python exp-fl-5-99.py", "there is no exp-fl-5-99.py"),
        ("make all", "Makefile has no all"),
        ("make test CORES=2", "Makefile has no CORES"),
        ("python -m benchmarks.none", "there is no module benchmarks.none"),
        ("python -m benchmarks.claims --readme x", "benchmarks.claims does not take --readme"),
        (".venv/bin/python -m pytest tests/none", "there is no tests/none"),
        ("sbatch --array=0-4 cluster/none.sbatch", "there is no cluster/none.sbatch"),
        ("snakemake -c 2 --profile workflow/none", "there is no workflow/none"),
        ("python exp-fl-5-1.py --m1 STEP", None),
        ("make test WORKERS=8", None),
        (".venv/bin/python -m pytest tests/judge", None),
    ],
)
def test_a_command_that_cannot_run_is_named(command, said, parsers):
    (words,) = pages.commands(pages.read_page(f"# A\n\n    {command}   # what\n"))
    assert command_fault(words, parsers) == said


def test_sentences_are_told_apart():
    text = "# A title\n\nOne is `a b`. **Two** is\nlong!\n\n* three, [four](x)\n"
    text += "\n| five | \\|W\\| |\n|---|---|\n"
    assert pages.sentences(pages.read_page(text)) == [
        "# A title", "One is code.", "**Two** is long!", "* three, four", "five", "\\|W\\|",
    ]  # fmt: skip
    assert [pages.words(one) for one in ("# A title", "One is code.", "\\|W\\|")] == [2, 3, 1]
