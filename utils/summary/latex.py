"""The summary as LaTeX: booktabs tables in one file that compiles alone."""

import re
import unicodedata

import pandas as pd

from utils.judge.names import LIFTED, NEURON
from utils.summary import across_folds, levels, statistics
from utils.summary.fold_tables import FoldTables, seconds_of
from utils.summary.views import View

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
METRICS = {
    "lift": ("lift",),
    "lift_stratified": ("lift over", "stratified", "chance"),
    "ap/random": ("average", "precision", "over chance"),
    "ap": ("average", "precision"),
    "overlap": ("overlap",),
    "ndcg": ("nDCG",),
    "mass": ("share of", "the gain"),
    "f1": ("F1",),
    "auc": ("area under", "ROC"),
    "spearman": ("Spearman", "correlation"),
    "kendall": ("Kendall", "correlation"),
    "first_hit": ("first hit",),
    "exam": ("EXAM",),
}
COMPARED = (
    "p: paired t test, two-sided; corrected: with the variance of Nadeau and Bengio (2003); Holm: "
    "adjusted over the methods of the table and of those against other references, on this "
    "metric; bootstrap: wild cluster bootstrap-t; rank-biserial: matched-pairs correlation; "
    "Vargha-Delaney: their A; intraclass: correlation of the differences across the settings of "
    "a fold."
)
PREAMBLE = r"""% Paste into a paper that uses booktabs and graphicx, or compile this file as it is.
\documentclass[10pt]{article}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
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


def method_cell(level: str, method: str) -> str:
    return escape(method) + ("$^{*}$" if level == LIFTED else "")


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


def metric_heading(metric: str) -> str:
    """A metric in words, such as the lift at 1%."""
    name, _, k = metric.partition("@")
    lines = METRICS.get(name, (name,))
    if not k:
        return heading(*lines)
    budget = k.partition("=")[2]
    at = f"at {k}" if k.endswith("%") else f"at the budget n{f' = {budget}' if budget else ''}"
    return heading(*lines, at)


def summary_tabular(
    tables: FoldTables,
    summary: pd.DataFrame,
    seconds: dict[tuple[str, str], float],
    primary: str,
    neurons: bool,
) -> str:
    """Methods by the primary metric, with interval, nulls and seconds."""
    k = primary.partition("@")[2] or "1%"
    main = summary[(summary["metric"] == primary) & ((summary["level"] == NEURON) == neurons)]
    main = main[~main["method"].str.startswith("random (stratified")]
    means = summary.set_index(["metric", "level", "method"])["mean"]
    others = [f"lift_stratified@{k}", "ap/random", f"overlap@{k}", f"ndcg@{k}", "spearman"]
    if neurons:
        others = others[1:]
    header = [
        heading("method"), metric_heading(primary), heading("standard", "deviation"),
        heading("95% interval", "over folds"), *map(metric_heading, others),
        heading("seconds", "per fold"),
    ]  # fmt: skip
    rows = []
    for row in main.to_dict("records"):
        key = row["level"], row["method"]
        rows.append(
            [
                method_cell(*key),
                number(row["mean"]),
                number(row["sd"]),
                interval(row["corrected_low"], row["corrected_high"]),
                *(number(means.get((metric, *key), float("nan")), 3) for metric in others),
                number(seconds_of(*key, seconds), 3),
            ]
        )
    caption = (
        f"{escape(tables.ds)}, truth `{escape(tables.truth)}', {levels.in_words(neurons)}: "
        f"{in_sentence(primary)} and other metrics, fold means averaged over {of_folds(tables)}. "
        f"Interval: Student's t with the variance of Nadeau and Bengio (2003).{star(neurons)}"
    )
    label = f"tab:{tables.truth}-{'neurons' if neurons else 'weights'}"
    return tabular("l" + "r" * (len(header) - 1), header, rows, caption, label)


def comparison_tabular(
    tables: FoldTables, compared: pd.DataFrame, metric: str, reference: str, neurons: bool
) -> str:
    """Every method against one reference, with the difference in each fold."""
    chosen = compared[
        (compared["metric"] == metric)
        & (compared["reference"] == reference)
        & ((compared["level"] == NEURON) == neurons)
    ]
    if chosen.empty:
        return ""
    folds = tables.folds if len(tables.folds) <= 6 else []
    header = [
        heading("method"), *(heading("fold", str(fold)) for fold in folds),
        heading("folds", "above 0"), heading("mean"), heading("95%", "interval", "(t)"),
        heading("p (t)"), heading("p (t),", "Holm"), heading("95%", "interval", "(corrected)"),
        heading("p", "(corrected)"), heading("p", "(corrected),", "Holm"),
        heading("95%", "interval", "(bootstrap)"), heading("rank-", "biserial"),
        heading("Vargha-", "Delaney"), heading("intra-", "class"),
    ]  # fmt: skip
    rows = []
    for row in chosen.to_dict("records"):
        wild = interval(row["wild_low"], row["wild_high"])
        if "unbounded" in str(row["note"]):
            wild = "unbounded"
        rows.append(
            [
                method_cell(row["level"], row["method"]),
                *(number(row[across_folds.fold_column(fold)]) for fold in folds),
                f"{row['n_positive']} of {row['n_folds']}",
                number(row["mean"]),
                interval(row["low"], row["high"]),
                p_value(row["p"]),
                p_value(row["holm_p"]),
                interval(row["corrected_low"], row["corrected_high"]),
                p_value(row["corrected_p"]),
                p_value(row["corrected_holm_p"]),
                wild,
                number(row["rank_biserial"]),
                number(row["a12"]),
                number(row["icc_settings"]),
            ]
        )
    signed_rank = statistics.signed_rank_note(len(tables.folds))
    if compared["signed_rank_smallest_p"].isna().any():
        signed_rank = statistics.NO_SIGNED_RANK
    caption = (
        f"{escape(tables.ds)}, truth `{escape(tables.truth)}', {levels.in_words(neurons)}: "
        f"{in_sentence(metric)} minus that of {escape(reference)}, paired by fold, over "
        f"{of_folds(tables)}. {COMPARED} {escape(signed_rank)}{star(neurons)}"
    )
    kind = "neurons" if neurons else "weights"
    letters = "".join(c for c in reference if c.isascii() and c.isalnum())
    label = f"tab:{tables.truth}-{kind}-against-{letters}"
    return tabular("l" + "r" * (len(header) - 1), header, rows, caption, label)


def in_sentence(metric: str) -> str:
    """A metric inside a sentence, escaped."""
    name, _, k = metric.partition("@")
    words = " ".join(METRICS.get(name, (name,)))
    at = f" at {k}" if k.endswith("%") else f" at the budget {k}" if k else ""
    return escape(words + at)


def of_folds(tables: FoldTables) -> str:
    count = len(tables.folds)
    return f"{count} fold{'s' if count > 1 else ''}"


def star(neurons: bool) -> str:
    """The sentence that says what the sign of `method_cell` means."""
    return "" if neurons else f" $^{{*}}${escape(levels.STAR.removeprefix('*'))}."


def verdict_tabular(verdicts: pd.DataFrame, ds: str) -> str:
    """Which methods are beyond chance in these models, by each truth."""
    header = [
        heading("truth"), heading("method"), heading("folds"), heading("lift"),
        heading("lift", "by chance"), heading("standard", "deviation", "by chance"),
        heading("z"), heading("p"), heading("p,", "adjusted"), heading("share of", "the ceiling"),
        heading("share of the", "neuron oracle"),
    ]  # fmt: skip
    rows = [
        [
            escape(row.truth),
            method_cell(row.level, row.method),
            str(row.n_folds),
            *(number(value) for value in (row.lift, row.null_mean, row.null_sd, row.z)),
            p_value(row.p),
            p_value(row.p_adjusted),
            number(row.share_of_ceiling),
            number(row.share_of_neuron_oracle),
        ]
        for row in verdicts.itertuples(index=False)
    ]
    caption = (
        f"{escape(ds)}: lift of each method by each truth against trading the truth's neurons; p "
        "two-sided, and adjusted over the methods of the truth (Westfall and Young 1993). It "
        "speaks of these models, not of new folds. Shares: (lift - 1)/(reference - 1), the "
        "ceiling being the replays, the oracle the best score per neuron."
        f"{star(False)}"
    )
    return tabular("ll" + "r" * (len(header) - 2), header, rows, caption, "tab:verdict")


def document(
    views: list[View],
    verdicts: pd.DataFrame,
    seconds: dict[tuple[str, str], float],
    notes: list[str],
) -> str:
    """tables.tex: the verdict, then per truth the summary and comparisons on the primary metric.

    views : what each truth says.
    """
    parts = [verdict_tabular(verdicts, views[0].tables.ds)]
    for view in views:
        primary = view.metrics[0]
        parts += [
            summary_tabular(view.tables, view.summary, seconds, primary, neurons)
            for neurons in (False, True)
        ]
        for reference in view.compared["reference"].drop_duplicates():
            for neurons in (False, True):
                parts.append(
                    comparison_tabular(view.tables, view.compared, primary, reference, neurons)
                )
    said = "\n\n".join(prose(note) for note in notes)
    body = "\n\\clearpage\n".join(part for part in parts if part)
    return compilable(f"{body}\n\\clearpage\n\\noindent\n{said}\n")


def figures(captions: dict[str, str], width: str = "2col") -> str:
    """Every figure with its caption, to be pasted, or compiled where the pictures lie.

    captions : by the figure's path below that folder, without width and suffix.
    """
    parts = []
    for name, caption in captions.items():
        label = f"fig:{name.replace('/', '-').replace('_', '-')}"
        parts.append(
            "\\begin{figure*}[htbp]\n\\centering\n"
            f"% one column: \\includegraphics[width=\\columnwidth]{{{name}_1col.pdf}}\n"
            f"\\includegraphics[width=\\textwidth,height=0.6\\textheight,keepaspectratio]"
            f"{{{name}_{width}.pdf}}\n"
            f"\\caption[]{{{prose(caption.strip())}}}\n\\label{{{label}}}\n\\end{{figure*}}\n"
        )
    body = "\n\\clearpage\n".join(parts) or "No figures.\n"
    return compilable(f"{body}\n")


def compilable(body: str) -> str:
    """A whole document of `body`, with what its text needs in the preamble."""
    cjk = CJK_PREAMBLE if r"\cjk{" in body else ""
    return f"{PREAMBLE}{cjk}\\begin{{document}}\n\n{body}\\end{{document}}\n"
