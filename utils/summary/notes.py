"""What the numbers across folds can and cannot carry, in words; and what each column means."""

import pandas as pd

from utils import ranking
from utils.judge.comparison import LIFTED, NEURON, WEIGHT
from utils.summary import statistics
from utils.summary.fold_tables import FoldTables

COLUMNS = {
    "ds": "data set",
    "fold": "fold number",
    "setting": "misclassification setting: which samples count as failing and as passing",
    "level": "weight; neuron; or weight (from neuron): a neuron's score given to its 2d weights",
    "method": "fault localisation method; 'random (expected)' is the closed form, "
    "'random (sampled)' one seeded ranking, 'random (stratified as X)' a random ranking that "
    "mixes the two matrices as X does, 'neuron oracle' the most positives that a score per "
    "neuron can find; "
    "'(n=..)' marks scores that were made for one neuron budget",
    "n": "neuron budget, where the timed work depends on it",
    "n_items": "weights or neurons ranked (N)",
    "n_positives": "positives (R): the top 1% by |W(M2) - W(M1)|, fewer where gains are 0 or tie "
    "across the border",
    "metric": "name@K: of the first K items; K in percent of all items, or n: the budget "
    "(8n^2 weights, n neurons)",
    "precision": "share of the first K items that are positives",
    "recall": "share of the positives among the first K items",
    "f1": "harmonic mean of precision and recall at K",
    "overlap": "share of the first K items that are among the truth's first K",
    "lift": "precision divided by that of a random ranking: 1 is chance",
    "lift_stratified": "precision divided by that of a random ranking that mixes the two matrices "
    "in the same way: 1 means that the method knows no more than which matrix to look at",
    "ndcg": "normalised discounted cumulative gain at K, gain |W(M2) - W(M1)|",
    "mass": "share of the total |W(M2) - W(M1)| inside the first K items",
    "ap": "average precision over the whole ranking",
    "ap/random": "average precision divided by that of a random ranking",
    "auc": "area under the ROC curve: 0.5 is chance",
    "spearman": "rank correlation with |W(M2) - W(M1)|",
    "kendall": "Kendall's tau-b with |W(M2) - W(M1)|; empty unless WITH_KENDALL",
    "first_hit": "expected rank of the first positive (wasted effort); lower is better; "
    "_best and _worst: over the orders within ties",
    "exam": "first_hit divided by the number of items; lower is better",
    "permutation": "neuron-permutation test under the setting 'all': observed overlap in weights, "
    "its exact mean over all relabellings of the neurons, z, and the one-sided p of each fold",
    "n_folds": "folds with a value",
    "n_settings": "settings averaged inside a fold (the most of any fold)",
    "mean": "mean of the fold means (Summary), or of their paired differences (Comparisons)",
    "sd": "standard deviation of the fold means",
    "low, high": "95% t interval of the mean, df = folds - 1; takes folds as independent",
    "t, p": "paired t test of the mean difference, two-sided, df = folds - 1",
    "corrected_": "the same with the variance of Nadeau and Bengio (2003), which allows for the "
    "training data that folds share",
    "holm_p": "p after Holm's adjustment within the family",
    "wild_": "95% wild cluster bootstrap-t interval (Webb weights); takes folds as independent; "
    "empty where it is unbounded",
    "rank_biserial": "matched-pairs rank-biserial correlation, -1 to 1; above 0 favours the method",
    "a12": "Vargha-Delaney A12, 0 to 1; above 0.5 favours the method",
    "icc_settings": "intra-class correlation ICC(1) of the settings of one fold: near 1 means that "
    "further settings of a fold say nothing new",
    "signed_rank_smallest_p": "the smallest p that an exact two-sided signed-rank test could give",
    "family": "tests that Holm's adjustment treats together",
    "reference": "what the method is compared with; differences are method minus reference",
    "n_positive": "folds in which the method is better (difference above 0)",
    "note": "what is left out of the row, and why",
    "fold0 ..": "the fold mean (Summary), or the paired difference (Comparisons)",
    "step": "script number",
    "n_timed": "timed things in a fold, such as settings",
    "mean_s, sd_s": "seconds per fold, summed over its settings: mean and sd over folds",
    "device": "where it ran",
    "misclf_type .. reason": "how the setting was chosen: see settings.csv of the fold",
    "lift@1% X": "on the sheet Settings: what method X scores in that fold and setting; * marks "
    "neuron scores given to weights",
}


def partial(scores: pd.DataFrame, folds: list[int]) -> list[tuple[str, str]]:
    """The methods, (level, method), that are not in every fold; lifted ones count once."""
    present = scores.groupby(["level", "method"], sort=False)["fold"].nunique()
    return [
        (level, method)
        for (level, method), count in present.items()
        if count < len(folds) and level != LIFTED
    ]


def too_short(scores: pd.DataFrame, metric: str) -> list[str]:
    """Rankings that end before the K of a metric."""
    exists = scores.groupby("method", sort=False)[metric].count()
    return [method for method, count in exists.items() if not count]


def absence(scores: pd.DataFrame, level: str, method: str, folds: list[int]) -> str:
    rows = scores[(scores["level"] == level) & (scores["method"] == method)]
    missing = ", ".join(str(fold) for fold in folds if fold not in set(rows["fold"]))
    return (
        f"{method} ({level}) has no file in fold {missing}: its values are those of the other "
        "folds, and it is compared there."
    )


def fewer_positives(scores: pd.DataFrame, percent: float) -> list[str]:
    """Where ties of the truth left fewer positives than the top `percent`."""
    counts = scores[["fold", "level", "n_items", "n_positives"]].drop_duplicates()
    few = []
    for level, items in [(WEIGHT, "weights"), (NEURON, "neurons")]:
        for row in counts[counts["level"] == level].itertuples():
            wanted = ranking.share_of(percent, int(row.n_items))
            if row.n_positives < wanted:
                few.append(f"{row.n_positives:,} of {wanted:,} {items} in fold {row.fold}")
    if not few:
        return []
    return [
        f"Fewer positives than the top {percent:g}%: {', '.join(few)}. Others did not change, or "
        "tie across the border; lift and recall are those of the positives there are."
    ]


def of(tables: FoldTables, metrics: list[str], n_folds: int) -> list[str]:
    """The sentences that stand beside every table.

    metrics : COMPARED_METRICS, the primary one first.
    n_folds : folds of the cross-validation.
    """
    folds = tables.folds
    draws = int(tables.permutation["draws"].max())
    count = f"{len(folds)} fold{'s' if len(folds) > 1 else ''}"
    said = [
        f"{tables.ds}: {count} ({', '.join(map(str, folds))}). The unit is the fold: settings are "
        "averaged inside a fold first. A method that does not depend on the setting has one value "
        "per fold.",
        statistics.left_out(len(folds)),
    ]
    if len(folds) > 1:
        said += [
            statistics.signed_rank_note(len(folds)),
            "The t and the wild cluster bootstrap interval take folds as independent, but folds "
            "share training data: where their results correlate for that reason, only the "
            "corrected (Nadeau-Bengio) interval still comes close to covering 95%. The 95% "
            "interval in short tables is the corrected one.",
            f"The family that was declared in advance is {metrics[0]}; the comparisons on "
            f"{', '.join(metrics[1:]) or 'nothing else'} are secondary. p values are Holm-adjusted "
            "within a family.",
        ]
    if len(folds) < n_folds:
        said.append(
            f"{len(folds)} of the {n_folds} folds of the cross-validation "
            f"{'is' if len(folds) == 1 else 'are'} here; name the others with --fold to include "
            "them."
        )
    said += [absence(tables.scores, *key, folds) for key in partial(tables.scores, folds)]
    short = too_short(tables.scores, metrics[0])
    if short:
        said.append(
            f"{', '.join(short)}: cut before the K of {metrics[0]}, and so without a value there."
        )
    said.append(
        f"perm p: the largest p of any fold in the neuron-permutation test of the setting 'all' "
        f"({draws:,} relabellings: no p is below {1 / (draws + 1):.2g}), not adjusted for the "
        "number of methods."
    )
    return [sentence for sentence in said if sentence]
