"""The summary as LaTeX: booktabs tables in one file that compiles alone."""

from collections.abc import Sequence

import pandas as pd

from utils.judge.names import LIFTED, NEURON
from utils.summary.documents.latex_text import (
    compilable,
    escape,
    heading,
    interval,
    number,
    p_value,
    prose,
    tabular,
)
from utils.summary.documents.short import BELOW_CHANCE
from utils.summary.folds.tables import FoldTables, seconds_of
from utils.summary.rankings import STAR, Key, levels_in_words
from utils.summary.scores.means import fold_column
from utils.summary.scores.views import View
from utils.summary.statistics import limits

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
# Verdicts beside the method's name, and those that are left out first where there are more.
MOST_VERDICTS = 9
SPARED = ("transplant back", "pooled")
APPENDIX = r"""\appendix
\begin{landscape}
\section*{Appendix: chance, and every metric and comparison}
"""
COMPARED = (
    "p: paired t test, two-sided; corrected: with the variance of Nadeau and Bengio (2003); Holm: "
    "adjusted over the methods of the table and of those against other references, on this "
    "metric; bootstrap: wild cluster bootstrap-t; rank-biserial: matched-pairs correlation; "
    "Vargha-Delaney: their A; intraclass: correlation of the differences across the settings of "
    "a fold."
)


def method_cell(level: str, method: str) -> str:
    return escape(method) + ("$^{*}$" if level == LIFTED else "")


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
    seconds: dict[Key, float],
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
        f"{escape(tables.ds)}, truth `{escape(tables.truth)}', {levels_in_words(neurons)}: "
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
                *(number(row[fold_column(fold)]) for fold in folds),
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
    signed_rank = limits.signed_rank_note(len(tables.folds))
    if compared["signed_rank_smallest_p"].isna().any():
        signed_rank = limits.NO_SIGNED_RANK
    caption = (
        f"{escape(tables.ds)}, truth `{escape(tables.truth)}', {levels_in_words(neurons)}: "
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
    return "" if neurons else f" $^{{*}}${escape(STAR.removeprefix('*'))}."


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
            share(row.share_of_ceiling),
            share(row.share_of_neuron_oracle),
        ]
        for row in verdicts.itertuples(index=False)
    ]
    caption = (
        f"{escape(ds)}: lift of each method by each truth, tested by relabelling the truth's "
        "neurons; p two-sided, and adjusted over the methods of the truth (Westfall and "
        "Young 1993). It speaks of these models, not of new folds. Shares: "
        "(lift - 1)/(reference - 1), the ceiling being the replays, the oracle "
        "the best score per neuron."
        f"{star(False)}"
    )
    return tabular("ll" + "r" * (len(header) - 2), header, rows, caption, "tab:verdict")


def overview_names(names: Sequence[str]) -> list[str]:
    """The verdicts of the first table, in their order: as many as an upright page is wide for."""
    spare = [*(name for name in names if "%" in name), *SPARED]
    dropped = [name for name in spare if name in names][: max(0, len(names) - MOST_VERDICTS)]
    return [name for name in names if name not in dropped][:MOST_VERDICTS]


def places_tabular(places: pd.DataFrame, ds: str, names: Sequence[str], label: str) -> str:
    """Each method by each of some verdicts: mean over folds, and its place in brackets."""
    header = [heading("method"), *(heading(*name.split(" ")) for name in names)]
    rows = [
        [
            method_cell(row["level"], row["method"]),
            *(placed(row[name], row[f"place {name}"]) for name in names),
        ]
        for row in places.to_dict("records")
    ]
    caption = (
        f"{escape(ds)}: each method by every verdict, mean over folds, its place in brackets. "
        "Truths: lift; transplant: loss recovered by the first 1%; planted: lift of the planted "
        "weights; retrained: loss mended on the test split where only the first 1% may move. A "
        "place is no finding: which methods are told apart, the notes say."
        f"{star(False)}"
    )
    return tabular("l" + "r" * len(names), header, rows, caption, label)


def placed(value: float, place: float) -> str:
    return f"{value:.3g} ({place:g})" if pd.notna(value) else number(value)


def share(value: float) -> str:
    """A share of the way from chance to a reference; a lift below chance has none."""
    return BELOW_CHANCE if value < 0 else number(value)


def document(
    views: list[View],
    verdicts: pd.DataFrame,
    places: pd.DataFrame,
    seconds: dict[Key, float],
    notes: list[str],
) -> str:
    """tables.tex: an overview upright; in the appendix, across, chance and each truth's tables.

    views : what each truth says. places : of `verdicts.verdicts_table`.
    """
    ds = views[0].tables.ds
    names = [name.removeprefix("place ") for name in places if name.startswith("place ")]
    first = overview_names(names)
    overview = places_tabular(places, ds, first, "tab:verdicts")
    parts = [verdict_tabular(verdicts, ds)]
    if first != names:
        parts.insert(0, places_tabular(places, ds, names, "tab:verdicts-all"))
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
    return compilable(
        f"{overview}\n\\clearpage\n\\noindent\n{said}\n\\clearpage\n{APPENDIX}{body}\n"
        "\\end{landscape}\n"
    )


def figures(captions: dict[str, str], widths: Sequence[str] = ("1col", "2col")) -> str:
    """Every figure with its caption, to be pasted, or compiled where the pictures lie.

    captions : by the figure's path below that folder, without width and suffix.
    widths : those that there are; a figure stands over both columns where it has that width.
    """
    parts = []
    for name, caption in captions.items():
        label = f"fig:{name.replace('/', '-').replace('_', '-')}"
        star, across, last = ("*", "text", "2col") if "2col" in widths else ("", "column", "1col")
        other = f"% one column: \\includegraphics[width=\\columnwidth]{{{name}_1col}}\n"
        parts.append(
            f"\\begin{{figure{star}}}[htbp]\n\\centering\n"
            f"{other if len(widths) > 1 else ''}"
            f"\\includegraphics[width=\\{across}width,height=0.6\\textheight,keepaspectratio]"
            f"{{{name}_{last}}}\n"
            f"\\caption[]{{{prose(caption.strip())}}}\n\\label{{{label}}}\n"
            f"\\end{{figure{star}}}\n"
        )
    body = "\n\\clearpage\n".join(parts) or "No figures.\n"
    return compilable(f"{body}\n")
