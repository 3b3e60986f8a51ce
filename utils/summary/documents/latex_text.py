"""Text, numbers and tables as LaTeX prints them: booktabs, and a file that compiles alone."""

import re
import unicodedata

import pandas as pd

ROWS_PER_TABLE = 40
WIDE = 12  # columns; with more of them the letters are smaller
SMALL = r"\footnotesize\setlength{\tabcolsep}{3pt}"
# Signs that LaTeX would join into another one, as "--" into a dash, are kept apart.
APART = "\0"
LIGATURES = re.compile(r"(?<=([-'`,]))(?=\1)|(?<=[?!])(?=`)")
OPENING = re.compile(r"(?<![\w'`}])'(?=\w)")
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    # The \\ before a row would read these two.
    "[": "{[}", "*": "{*}", APART: "{}",
    "−": "$-$", "²": r"\textsuperscript{2}", "³": r"\textsuperscript{3}", "–": "--", "—": "---",
    "…": r"\dots{}", "‘": "`", "’": "'", "“": "``", "”": "''", "\u00a0": "~",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}",
    "Ø": r"\O{}", "å": r"\aa{}", "Å": r"\AA{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}",
    "ð": r"\dh{}", "Ð": r"\DH{}", "þ": r"\th{}", "Þ": r"\TH{}", "đ": r"\dj{}", "Đ": r"\DJ{}",
    "¡": "!`", "¿": "?`", "«": r"\guillemotleft{}", "»": r"\guillemotright{}",
    "§": r"\S{}", "¶": r"\P{}", "©": r"\copyright{}", "£": r"\pounds{}", "µ": r"$\mu$",
    "±": r"$\pm$", "×": r"$\times$", "÷": r"$\div$", "·": r"$\cdot$", "¬": r"$\neg$",
    "°": r"$^{\circ}$",
    "Δ": r"$\Delta$", "Σ": r"$\Sigma$", "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$",
}  # fmt: skip
# Combining marks, as the commands that put them on a letter in any encoding of a document.
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d",
    "\u0327": "c", "\u0328": "k",
}  # fmt: skip
CJK = re.compile(
    "([\u1100-\u11ff\u2e80-\u30ff\u3130-\u318f\u31f0-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\uff00-\uffef]+)"
)
# What the fonts of a script hold is what its old encoding holds.
SCRIPTS = {"ja": "iso2022_jp", "zh": "gb2312", "ko": "euc_kr"}
BREAK = r"\\"
PREAMBLE = r"""% Paste into a paper that uses booktabs and graphicx, or compile this file as it is.
\documentclass[10pt]{article}
\usepackage[a4paper,margin=15mm]{geometry}
\usepackage{lscape}
\usepackage[T1]{fontenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage{booktabs}
\usepackage{graphicx}
\renewcommand{\label}[1]{}  % nothing in this file refers to a table: one run is enough
"""
# \cjk{script}{text}{code points}: the text where a font of the script is there, else the codes.
CJK_PREAMBLE = r"""% Chinese, Japanese, Korean: by CJKutf8 (pdflatex), luatexja (lualatex) if there.
\newcommand{\cjk}[3]{\ifcsname font#1\endcsname
  \begin{CJK}{UTF8}{\csname font#1\endcsname}#2\end{CJK}\else#3\fi}
\newcommand{\cjkfont}[2]{\IfFileExists{c70#2.fd}{\expandafter\def\csname font#1\endcsname{#2}}{}}
\ifdefined\directlua
  \IfFileExists{luatexja.sty}{\usepackage{luatexja}\newenvironment{CJK}[2]{}{}
    \def\fontja{}\def\fontzh{}\def\fontko{}}{}
\else\ifdefined\XeTeXversion\else
  \IfFileExists{CJKutf8.sty}{\usepackage{CJKutf8}
    \cjkfont{ja}{min}\cjkfont{ja}{ipxm}\cjkfont{zh}{gbsn}\cjkfont{ko}{mj}}{}
\fi\fi
"""


def escape(text: str) -> str:
    """Text that LaTeX prints as it is, in ASCII but for what stands in \\cjk.

    Latin letters with accents become commands, which need no encoding of the
    document; what is neither they nor Chinese, Japanese or Korean becomes U+XXXX.
    """
    whole = LIGATURES.sub(APART, unicodedata.normalize("NFC", str(text)))
    parts = CJK.split(whole)  # by turns what is outside and inside the brackets of CJK
    parts[::2] = ["".join(map(_character, part)) for part in parts[::2]]
    parts[1::2] = map(_cjk, parts[1::2])
    return "".join(parts)


def _cjk(text: str) -> str:
    codes = " ".join(f"U+{ord(c):04X}" for c in text)
    for script, encoding in SCRIPTS.items():
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            continue
        return f"\\cjk{{{script}}}{{{text}}}{{{codes}}}"
    return codes


def _character(c: str) -> str:
    if c in SPECIAL:
        return SPECIAL[c]
    if " " <= c <= "~":
        return c
    letter, *marks = unicodedata.normalize("NFD", c)
    if letter.isascii() and letter.isalpha() and marks and set(marks) <= set(ACCENTS):
        for mark in marks:
            letter = f"\\{ACCENTS[mark]}{{{letter}}}"
        return letter
    return f"U+{ord(c):04X}"


def prose(text: str) -> str:
    """A sentence of ours, escaped, with quotes that open and close."""
    return OPENING.sub("`", escape(text))


def number(value: float, digits: int = 2) -> str:
    if pd.isna(value):
        return "--"
    text = f"{value:.{digits}f}"
    return f"${text}$" if text.startswith("-") else text


def p_value(value: float) -> str:
    if pd.isna(value):
        return "--"
    return "$<$0.0001" if value < 0.0001 else f"{value:.4f}"


def interval(low: float, high: float, digits: int = 2) -> str:
    if pd.isna(low) or pd.isna(high):
        return "--"
    return f"[{number(low, digits)}, {number(high, digits)}]"


def tabular(
    alignment: str, header: list[str], rows: list[list[str]], caption: str, label: str
) -> str:
    """One table, cut into parts where it would not fit on a page."""
    parts = []
    size = r"\scriptsize\setlength{\tabcolsep}{2pt}" if len(header) > WIDE else SMALL
    for start in range(0, max(len(rows), 1), ROWS_PER_TABLE):
        part = rows[start : start + ROWS_PER_TABLE]
        title = caption if start == 0 else f"{caption} (continued)"
        name = label if start == 0 else f"{label}-{start // ROWS_PER_TABLE + 1}"
        body = "\n".join(" & ".join(row) + r" \\" for row in part)
        parts.append(
            f"\\begin{{table}}[htbp]\n\\centering\n\\caption[]{{{title}}}\n\\label{{{name}}}\n"
            f"{size}\n\\begin{{tabular}}{{{alignment}}}\n\\toprule\n"
            f"{' & '.join(header)} \\\\\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"
            "\\end{table}\n"
        )
    return "\n".join(parts)


def heading(*lines: str) -> str:
    """A column's name over several lines, as text that LaTeX prints as it is."""
    return f"\\shortstack{{{BREAK.join(map(escape, lines))}}}" if len(lines) > 1 else escape(*lines)


def compilable(body: str) -> str:
    """A whole document of `body`, with what its text needs in the preamble."""
    cjk = CJK_PREAMBLE if r"\cjk{" in body else ""
    return f"{PREAMBLE}{cjk}\\begin{{document}}\n\n{body}\\end{{document}}\n"
