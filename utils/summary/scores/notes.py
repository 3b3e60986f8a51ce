"""What the numbers across folds can and cannot carry, in words; and what each column means."""

import pandas as pd

from utils import ranking
from utils.data.repeats import describe
from utils.judge.names import LIFTED, NEURON, WEIGHT
from utils.summary.folds.tables import FoldTables
from utils.summary.rankings import STAR, Key
from utils.summary.statistics import limits

COLUMNS = {
    "truth": "what a ranking is compared with: 'change' |W(M2) - W(M1)|; 'pooled' its mean over "
    "replays of the last epoch; 'repair' the loss over a setting's failing test samples that the "
    "weight's change mends",
    "place ..": "the method's place by its lift by that truth, 1 is best",
    "lift, null_mean, null_sd, z": "verdict: mean lift over folds, and its exact mean and standard "
    "deviation when neurons of the truth trade places",
    "p (verdict)": "two-sided, from relabelled neurons: beyond chance in these models, above or "
    "below; says nothing about new folds",
    "p_adjusted": "the same against the largest |z| of any method of that truth (Westfall-Young)",
    "share_of_ceiling": "(lift - 1)/(ceiling - 1), the ceiling being the mean |dW| of the replays: "
    "what a method would score that knows all but the order of the data",
    "share_of_neuron_oracle": "(lift - 1)/(oracle - 1), the oracle being the best score per neuron",
    "specificity": "lift against the own setting's repair truth minus the mean against the others",
    "kendall_tau": "rank correlation of the methods' lifts by two truths",
    "share_recovered": "share of the loss over failing test samples that M2's two matrices mend",
    "ds": "data set",
    "fold": "fold number",
    "setting": "misclassification setting: which samples count as failing and as passing",
    "level": "weight; neuron; or weight (from neuron): a neuron's score given to its 2d weights",
    "method": "fault localisation method; 'random (expected)' is the closed form, "
    "'random (sampled)' one seeded ranking, 'random (stratified as X)' a random ranking that "
    "mixes the two matrices as X does. References that know the training and are no methods: "
    "'neuron oracle', the most positives that a score per neuron can find; 'replays (ceiling)', "
    "the mean |dW| of replays; 'optimizer step', what M1's Adam would do next; '|change| x other "
    "gradient', the repair credit's form with a shuffled gradient; "
    "'(n=..)' marks scores that were made for one neuron budget",
    "n": "neuron budget, where the timed work depends on it",
    "n_items": "weights or neurons ranked (N)",
    "n_positives": "positives (R): the top 1% by the truth's gain, fewer where gains are 0 or tie "
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
    "ndcg": "normalised discounted cumulative gain at K, gain as the truth says",
    "mass": "share of the truth's total gain inside the first K items",
    "ap": "average precision over the whole ranking",
    "ap/random": "average precision divided by that of a random ranking",
    "auc": "area under the ROC curve: 0.5 is chance",
    "spearman": "rank correlation with the truth's gain",
    "kendall": "Kendall's tau-b with the truth's gain; empty unless WITH_KENDALL",
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
    "data that folds share, of one repeat or of several (Bouckaert and Frank 2004)",
    "holm_p": "p after Holm's adjustment within the family",
    "wild_": "95% wild cluster bootstrap-t interval (Webb weights); takes folds as independent, "
    "with several repeats repeats and the folds inside them; empty where it is unbounded",
    "rank_biserial": "matched-pairs rank-biserial correlation, -1 to 1; above 0 favours the method",
    "a12": "Vargha-Delaney A12, 0 to 1; above 0.5 favours the method",
    "icc_settings": "intra-class correlation ICC(1) of the settings of one fold: near 1 means that "
    "further settings of a fold say nothing new",
    "signed_rank_smallest_p": "the smallest p that an exact two-sided signed-rank test could give; "
    "empty with several repeats, whose folds are not independent",
    "family": "tests that Holm's adjustment treats together",
    "reference": "what the method is compared with; differences are method minus reference",
    "n_positive": "folds in which the method is better (difference above 0)",
    "note": "what is left out of the row, and why",
    "fold0 ..": "the fold mean (Summary), or the paired difference (Comparisons)",
    "step": "script number",
    "n_timed": "timed things in a fold, such as settings",
    "mean_s, sd_s": "seconds per fold, summed over its settings: mean and sd over folds",
    "device": "where it ran; 'as given': seconds that came with a user's scores",
    "misclf_type .. n_neg_test": "how the setting was chosen: see settings.csv of the fold",
    "lift@1% X": "on the sheet Settings: what method X scores in that fold and setting; " + STAR,
}


WHICH_INTERVAL = (
    "The t and the wild cluster bootstrap interval take folds as independent, but folds "
    "share training data: where their results correlate for that reason, only the "
    "corrected (Nadeau-Bengio) interval still comes close to covering 95%. Intervals over "
    "folds speak of new folds; the verdict's p of these models alone."
)
WHICH_INTERVAL_OF_REPEATS = (
    "Every repeat splits the same data again, and folds share training data. The t test and its "
    "interval take all folds as independent, the wild cluster bootstrap all repeats and the folds "
    "inside them: both become ever more certain with the number of repeats, though the data stay "
    "the same. Only the corrected test and interval (Nadeau-Bengio; for repeats Bouckaert and "
    "Frank) allow for that. Intervals over folds speak of new folds; the verdict's p of these "
    "models alone."
)


def partial(scores: pd.DataFrame, folds: list[int]) -> list[Key]:
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


def absent_truth(truth: str, folds: list[int], all_folds: list[int]) -> list[str]:
    """Where a truth is not in every fold."""
    missing = [str(fold) for fold in all_folds if fold not in folds]
    if not missing:
        return []
    return [
        f"Fold {', '.join(missing)} has no truth '{truth}': what is said by it is of the others."
    ]


def fewer_positives(tables: FoldTables, percent: float) -> list[str]:
    """Where ties of the truth left fewer positives than the top `percent`."""
    counts = tables.scores[["fold", "level", "n_items", "n_positives"]].drop_duplicates()
    few = []
    for level, items in [(WEIGHT, "weights"), (NEURON, "neurons")]:
        for row in counts[counts["level"] == level].itertuples():
            wanted = ranking.share_of(percent, int(row.n_items))
            if row.n_positives < wanted:
                few.append(f"{row.n_positives:,} of {wanted:,} {items} in fold {row.fold}")
    if not few:
        return []
    return [
        f"Fewer positives than the top {percent:g}% by '{tables.truth}': {', '.join(few)}. Others "
        "have no gain, or tie across the border; lift and recall are those of the positives that "
        "there are."
    ]


def of(tables: FoldTables, metrics: list[str], n_folds: int) -> list[str]:
    """The sentences that stand beside every table.

    metrics : COMPARED_METRICS, the primary one first.
    n_folds : folds of one repeat of the cross-validation.
    """
    folds = tables.folds
    repeated = describe(folds, n_folds)
    draws = int(tables.permutation["draws"].max())
    count = f"{len(folds)} fold{'s' if len(folds) > 1 else ''}"
    said = [
        f"{tables.ds}: {count} ({', '.join(map(str, folds))})"
        f"{f': {repeated}' if repeated else ''}. The unit is the fold: settings are "
        "averaged inside a fold first. A method that does not depend on the setting has one value "
        "per fold.",
        limits.left_out(len(folds)),
    ]
    if len(folds) > 1:
        said += [
            limits.NO_SIGNED_RANK if repeated else limits.signed_rank_note(len(folds)),
            WHICH_INTERVAL_OF_REPEATS if repeated else WHICH_INTERVAL,
            f"The family that was declared in advance is {metrics[0]}; the comparisons on "
            f"{', '.join(metrics[1:]) or 'nothing else'} are secondary. p values are Holm-adjusted "
            "within a family.",
        ]
        said.append(
            f"Assumed: N_FOLDS = {n_folds} folds share their data as those of one {n_folds}-fold "
            "cross-validation do; the corrected intervals follow from it."
        )
    if len(folds) < n_folds and not repeated:
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
        "Verdict (p, adjusted p): beyond chance in these models, above or below, when the neurons "
        f"of the truth trade places ({draws:,} relabellings: no p is below {1 / (draws + 1):.2g}); "
        "adjusted over all methods of that truth. Draw b is the same relabelling in every fold: "
        "folds fine-tuned from one base model share their neurons, and the same coincidence in "
        "each would count as several. Two lifts of chance: a random ranking has 1; null_mean is "
        "what trading neurons gives, which keeps a ranking's preference for inputs, outputs or a "
        "matrix. Times chance, in words, means null_mean."
    )
    return [sentence for sentence in said if sentence]
