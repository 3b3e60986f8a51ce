"""The summary as LaTeX: booktabs tables in one file that compiles alone."""

import pandas as pd

from utils.judge.comparison import LIFTED, NEURON
from utils.summary import across_folds, statistics
from utils.summary.fold_tables import FoldTables, seconds_of
from utils.summary.views import View

ROWS_PER_TABLE = 40
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    "−": "$-$", "²": r"\textsuperscript{2}", "–": "--",
}  # fmt: skip
COLUMNS = (
    r"In the comparisons: $>0$, folds in which the method is better than the reference; RBC, "
    r"matched-pairs rank-biserial correlation; $A_{12}$, Vargha and Delaney; ICC, intra-class "
    r"correlation of the differences across the settings of a fold."
)
PREAMBLE = r"""% Copy a table into a paper that uses booktabs, or compile this file as it is.
\documentclass[10pt]{article}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\usepackage{booktabs}
\begin{document}
"""


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; what pdflatex has no glyph for becomes U+XXXX."""
    return "".join(SPECIAL.get(c, c if " " <= c <= "~" else f"U+{ord(c):04X}") for c in str(text))


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
    for start in range(0, max(len(rows), 1), ROWS_PER_TABLE):
        part = rows[start : start + ROWS_PER_TABLE]
        title = caption if start == 0 else f"{caption} (continued)"
        name = label if start == 0 else f"{label}-{start // ROWS_PER_TABLE + 1}"
        body = "\n".join(" & ".join(row) + r" \\" for row in part)
        parts.append(
            f"\\begin{{table}}[htbp]\n\\centering\n\\caption{{{title}}}\n\\label{{{name}}}\n"
            f"\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}\n\\begin{{tabular}}{{{alignment}}}\n\\toprule\n"
            f"{' & '.join(header)} \\\\\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"
            "\\end{table}\n"
        )
    return "\n".join(parts)


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
        "truth",
        "method",
        escape(primary),
        "sd",
        "95\\% interval",
        *map(escape, others),
        "seconds",
    ]
    rows = []
    for row in main.to_dict("records"):
        key = row["level"], row["method"]
        rows.append(
            [
                escape(tables.truth),
                method_cell(*key),
                number(row["mean"]),
                number(row["sd"]),
                interval(row["corrected_low"], row["corrected_high"]),
                *(number(means.get((metric, *key), float("nan")), 3) for metric in others),
                number(seconds_of(*key, seconds), 3),
            ]
        )
    kind = "neurons" if neurons else "weights"
    star = "" if neurons else " $^{*}$neurons, each score given to its weights."
    caption = (
        f"{escape(tables.ds)}, ranking {kind} by the truth '{tables.truth}': mean over "
        f"{len(tables.folds)} fold{'s' if len(tables.folds) > 1 else ''} of the fold means. "
        f"Interval: t with the variance of Nadeau and Bengio.{star}"
    )
    label = f"tab:{tables.truth}-{kind}"
    return tabular("ll" + "r" * (len(header) - 2), header, rows, caption, label)


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
        "truth", "method", *(f"fold {fold}" for fold in folds), "$>0$", "mean", "95\\% $t$", "$p$",
        "Holm", "95\\% corrected", "$p$", "Holm", "95\\% wild", "RBC", "$A_{12}$", "ICC",
    ]  # fmt: skip
    rows = []
    for row in chosen.to_dict("records"):
        wild = interval(row["wild_low"], row["wild_high"])
        if "unbounded" in str(row["note"]):
            wild = "unbounded"
        rows.append(
            [
                escape(tables.truth),
                method_cell(row["level"], row["method"]),
                *(number(row[across_folds.fold_column(fold)]) for fold in folds),
                f"{row['n_positive']}/{row['n_folds']}",
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
    family = escape(chosen["family"].iloc[0])
    caption = (
        f"{escape(tables.ds)}, truth '{tables.truth}': {escape(metric)} minus that of "
        f"{escape(reference)}, paired by fold. "
        f"Holm: within the family {family}. "
        f"{escape(statistics.signed_rank_note(len(tables.folds)))}"
    )
    kind = "neurons" if neurons else "weights"
    label = f"tab:{tables.truth}-{kind}-against-{''.join(c for c in reference if c.isalnum())}"
    return tabular("ll" + "r" * (len(header) - 2), header, rows, caption, label)


def verdict_tabular(verdicts: pd.DataFrame, ds: str) -> str:
    """Which methods are beyond chance in these models, by each truth."""
    header = [
        "truth", "method", "folds", "lift", "by chance", "sd", "$z$", "$p$", "adjusted",
        "of ceiling", "of oracle",
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
        f"{escape(ds)}: lift of each method by each truth against trading the truth's neurons; two-"
        "sided $p$, adjusted over the methods of the truth. It speaks of these models, not of new "
        "folds. $^{*}$neurons, each score given to its weights."
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
    said = "\n\n".join([*(escape(note) for note in notes), COLUMNS])
    body = "\n\\clearpage\n".join(part for part in parts if part)
    return f"{PREAMBLE}\n{body}\n\\clearpage\n\\noindent\n{said}\n\\end{{document}}\n"
