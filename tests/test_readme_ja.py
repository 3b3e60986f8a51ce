"""README.ja.md says what README.md says: commands, code, tables, numbers, links, part by part."""

import re
from collections import Counter
from itertools import zip_longest
from pathlib import Path

import pytest
from pages import COMMENT, HEADING, LINK, SPAN

ROOT = Path(__file__).resolve().parents[1]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
JAPANESE = (ROOT / "README.ja.md").read_text(encoding="utf-8")
TO_JAPANESE, TO_ENGLISH = "日本語: [README.ja.md](README.ja.md)", "English: [README.md](README.md)"

# Not the 100 of CIFAR-100, the 16 of Base/16 or the 1 of M1, which are names.
NUMBER = re.compile(r"(?<![A-Za-z0-9.])(?<![A-Za-z][-/])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?")
# English spells these out now and then; Japanese writes digits. Up to nine nobody counts them.
SPELT = {"ten": "10", "eleven": "11", "twelve": "12", "fifteen": "15", "twenty": "20"}
KANA_OR_KANJI = re.compile(r"[ぁ-んァ-ヶ一-龠]")


def sections(text):
    """(heading's level, heading, blocks); a block is its kind and its lines."""
    found, block, fenced = [], [], False
    for line in [*COMMENT.sub("", text).splitlines(), ""]:
        heading = None if fenced or block else HEADING.fullmatch(line)
        if heading:
            found.append((len(heading[1]), heading[3], []))
        elif line or fenced:
            block.append(line)
            fenced ^= line.startswith("```")
        elif block:
            found[-1][2].append((kind_of(block[0]), block))
            block = []
    return found


def kind_of(line):
    starts = {"```": "code", "    ": "code", "|": "table", "* ": "list", "![": "picture"}
    return next((kind for start, kind in starts.items() if line.startswith(start)), "paragraph")


def units(kind, lines):
    """What is compared as one: a line of code, a row, an item of a list, a whole paragraph."""
    if kind in ("code", "table"):
        return lines
    if kind == "list":
        return re.split(r"\n(?=\* )", "\n".join(lines))
    return ["\n".join(lines)]


def command(line):
    """A line of code up to its comment, whose words may be translated."""
    return re.sub(r"\s*# .*", "", line)


def spans(text):
    return Counter(" ".join(span.split()) for span in SPAN.findall(text))


def targets(text):
    return Counter("!" * said.startswith("!") + to for said, to in LINK.findall(text))


def numbers(text):
    """The numbers outside code: those of one digit, and how often each other one is there."""
    prose = LINK.sub(r"\1", SPAN.sub(" ", text))
    prose = re.sub(r"[A-Za-z]+", lambda word: SPELT.get(word[0].lower(), word[0]), prose)
    every = Counter(NUMBER.findall(prose))
    small = {number for number in every if re.fullmatch(r"-?\d", number)}
    return small, Counter({n: times for n, times in every.items() if n not in small})


def is_prose(text):
    return bool(re.search(r"[A-Za-z]", LINK.sub(r"\1", SPAN.sub("", text))))


def text_differences(english, japanese):
    """Of a translated text: code, targets and numbers that only one of the two has."""
    if not KANA_OR_KANJI.search(japanese):
        return [f"{japanese[:60]!r} is not translated"]
    small_en, large_en = numbers(english)
    small_ja, large_ja = numbers(japanese)
    pairs = [
        (spans(english), spans(japanese)),
        (targets(english), targets(japanese)),
        (large_en, large_ja),
        (Counter(small_en - small_ja), Counter()),
    ]
    lacks = [item for en, ja in pairs for item in (en - ja).elements()]
    adds = [item for en, ja in pairs for item in (ja - en).elements()]
    return [f"lacks {x}" for x in lacks] + [f"has {x}, README.md has not" for x in adds]


def row_differences(english, japanese):
    en, ja = ([c.strip() for c in re.split(r"(?<!\\)\|", r)[1:-1]] for r in (english, japanese))
    if len(en) != len(ja):
        return [f"row {japanese!r} has {len(ja)} cells, not {len(en)}"]
    found = []
    for cell_en, cell_ja in zip(en, ja, strict=True):
        if not (is_prose(cell_en) and KANA_OR_KANJI.search(cell_ja)):
            same = cell_en == cell_ja
            found += [] if same else [f"row {ja[0]!r} has {cell_ja!r}, not {cell_en!r}"]
        else:
            found += [f"row {ja[0]!r} {what}" for what in text_differences(cell_en, cell_ja)]
    return found


def code_differences(english, japanese):
    same = command(english) == command(japanese)
    return [] if same else [f"has {command(japanese)!r}, not {command(english)!r}"]


def block_differences(english, japanese):
    (kind, lines_en), (kind_ja, lines_ja) = english, japanese
    if kind != kind_ja:
        return [f"is a {kind_ja}, not a {kind} like {lines_en[0][:60]!r}"]
    en, ja = units(kind, lines_en), units(kind, lines_ja)
    if len(en) != len(ja):
        first = next(
            (e for e, j in zip_longest(en, ja) if e and (not j or unlike(kind, e, j))), en[-1]
        )
        return [f"has {len(ja)} lines, rows or items, not {len(en)}; compare {first[:60]!r}"]
    differ = {"code": code_differences, "table": row_differences}.get(kind, text_differences)
    return [what for pair in zip(en, ja, strict=True) for what in differ(*pair)]


def unlike(kind, english, japanese):
    """Whether the two cannot be the same row or line: where one went missing."""
    if kind == "code":
        return command(english) != command(japanese)
    return spans(english) != spans(japanese) or numbers(english)[1] != numbers(japanese)[1]


def section_differences(english, japanese):
    (level, heading, en), (level_ja, heading_ja, ja) = english, japanese
    where = f"{heading_ja!r} ({heading!r})"
    if level != level_ja:
        return [f"{where} is a heading of level {level_ja}, not {level}"]
    found = [f"{where}: {what}" for what in heading_differences(heading, heading_ja)]
    if len(en) != len(ja):
        kinds = [[kind for kind, _ in blocks] for blocks in (en, ja)]
        found.append(f"{where} has the blocks {kinds[1]}, not {kinds[0]}")
    for i, pair in enumerate(zip(en, ja, strict=False), 1):
        found += [f"{where}, block {i} {what}" for what in block_differences(*pair)]
    return found


def heading_differences(english, japanese):
    if english == japanese == "exp-fl-5":
        return []
    return text_differences(english, japanese)


def differences(english, japanese):
    """What README.ja.md lacks or has of its own, a line each."""
    en = sections(english.replace(f"{TO_JAPANESE}\n", "", 1))
    ja = sections(japanese.replace(f"{TO_ENGLISH}\n", "", 1))
    if len(en) != len(ja):
        headings = [[f"{'#' * level} {name}" for level, name, _ in parts] for parts in (en, ja)]
        return [f"README.ja.md has the sections {headings[1]}, not {headings[0]}"]
    return [what for pair in zip(en, ja, strict=True) for what in section_differences(*pair)]


def test_the_japanese_readme_has_all_that_the_english_one_has():
    found = differences(ENGLISH, JAPANESE)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(("text", "line"), [(ENGLISH, TO_JAPANESE), (JAPANESE, TO_ENGLISH)])
def test_each_leads_to_the_other_at_the_top(text, line):
    assert text.splitlines()[2] == line


# In a small page of its own, so that it stays true whatever the READMEs come to say.
SMALL_EN = """# exp-fl-5

## Run it

Steps 4 to 6 take `make demo` and [more](#more), some 1,150 images, tau -0.84.
There are ten folds of CIFAR-100.

    make demo    # the steps

```python
x = 1  # one
```

| method | what | lift |
|---|---|---|
| `ig` | a score of `a`, 0.5 each | 1.81 |
| tarantula * | \\|W\\| | 0.97 |

![a picture](a.png)

* one of `a`
* two

### More

Nothing.
"""
SMALL_JA = """# exp-fl-5

## 実行する

ステップ4〜6には `make demo` を使う。画像は約1,150枚、τは-0.84である（[詳細](#more)）。
CIFAR-100のfoldは10個ある。

    make demo    # 各ステップ

```python
x = 1  # 一つ
```

| 手法 | 内容 | リフト |
|---|---|---|
| `ig` | `a` のスコア、各0.5 | 1.81 |
| tarantula * | \\|W\\| | 0.97 |

![図](a.png)

* `a` の一つ
* 二つ目

### <a id="more"></a>詳細

何もない。
"""


def test_a_translation_has_no_differences():
    assert differences(SMALL_EN, SMALL_JA) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("make demo    #", "make test    #", "has '    make test', not '    make demo'"),
        ("x = 1", "x = 2", "has 'x = 2', not 'x = 1'"),
        ("```python", "```", "has '```', not '```python'"),
        ("`make demo` を", "デモを", "lacks `make demo`"),
        ("`make demo` を", "`make demo` と `x` を", "has `x`, README.md has not"),
        ("1,150", "1,151", "lacks 1,150"),
        ("-0.84", "0.84", "lacks -0.84"),
        ("4〜6", "4〜7", "lacks 6"),
        ("10個", "11個", "has 11, README.md has not"),
        ("](#more)", "](#other)", "lacks #more"),
        ("](a.png)", "](b.png)", "lacks !a.png"),
        ("1.81", "1.82", "row '`ig`' has '1.82', not '1.81'"),
        ("| `ig` |", "| `bl` |", "has '`bl`', not '`ig`'"),
        ("`a` のスコア", "スコア", "row '`ig`' lacks `a`"),
        ("各0.5", "各0.6", "row '`ig`' lacks 0.5"),
        ("`a` のスコア、各0.5", "a score of `a`, 0.6 each", "not 'a score of `a`, 0.5 each'"),
        ("tarantula *", "tarantula", "has 'tarantula', not 'tarantula *'"),
        (" | 0.97 |", " |", "has 2 cells, not 3"),
        ("| tarantula * | \\|W\\| | 0.97 |\n", "", "not 4; compare '| tarantula * |"),
        ("\n* 二つ目", "", "has 1 lines, rows or items, not 2; compare '* two'"),
        ("何もない。", "Nothing.", "'Nothing.' is not translated"),
        ("![図](a.png)\n\n", "", "has the blocks ['paragraph', 'code', 'code', 'table', 'list']"),
        ("### ", "## ", "'詳細' ('More') is a heading of level 2, not 3"),
        ('### <a id="more"></a>詳細\n', "", "has the sections ['# exp-fl-5', '## 実行する']"),
    ],
)
def test_what_is_missing_is_named_with_its_section(old, new, said):
    assert SMALL_JA.count(old) == 1
    found = differences(SMALL_EN, SMALL_JA.replace(old, new))
    assert any(said in what for what in found), found
    assert all("実行する" in what or "詳細" in what for what in found)
