"""What M1 gets wrong, and the 13 settings made of it (docs/definitions.md 5.1)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from utils.data.setting_names import COLUMNS


@dataclass(frozen=True)
class Setting:
    """One row of settings.csv; neg and pos are ascending int64 indices into the repair split.

    neg_test : into the test split, the samples that M1 gets wrong there in the same way.
    """

    setting: str
    misclf_type: str
    fpfn: str | None
    rank: int | None
    pred_label: int | None
    true_label: int | None
    tgt_label: int | None
    neg: np.ndarray
    pos: np.ndarray
    status: str
    reason: str | None
    neg_test: np.ndarray | None = None


@dataclass(frozen=True)
class Candidate:
    """A pair of classes or a class that could become a setting."""

    neg: np.ndarray
    pos: np.ndarray
    pred_label: int | None = None
    true_label: int | None = None
    tgt_label: int | None = None


def predicted_classes(logits: np.ndarray) -> np.ndarray:
    """The class of the highest logit, int64 (S,); among equal logits the lowest class."""
    return logits.astype(np.float64).argmax(axis=1)


def predictions(logits: np.ndarray, labels: np.ndarray, names: list[str]) -> pd.DataFrame:
    """predictions.csv: one row per sample; confidence is the softmax of the predicted class.

    logits : (S, C); labels : (S,); names : of the C classes. Equal logits: the lowest
    class is predicted.
    """
    wide = logits.astype(np.float64)
    predicted = predicted_classes(logits)
    exponentials = np.exp(wide - wide.max(axis=1, keepdims=True))
    confidence = exponentials.max(axis=1) / exponentials.sum(axis=1)
    return pd.DataFrame(
        {
            "index": np.arange(len(labels)),
            "true_label": labels,
            "pred_label": predicted,
            "correct": (predicted == labels).astype(np.int64),
            "confidence": confidence,
            "true_name": names_of(labels, names),
            "pred_name": names_of(predicted, names),
        }
    )


def names_of(labels: Iterable[int | None], names: list[str]) -> pd.Series:
    """Class names beside their numbers; missing where there is no number."""
    return pd.Series([None if label is None else names[label] for label in labels], dtype="str")


def confusion_table(true: np.ndarray, predicted: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Counts with true classes in rows and predicted classes in columns, by class name.

    The first column holds the true class's name. Repeated names get their label.
    """
    unique = names if len(set(names)) == len(names) else [f"{n} ({i})" for i, n in enumerate(names)]
    counts = confusion_matrix(true, predicted, labels=range(len(names)))
    table = pd.DataFrame(counts, columns=unique)
    table.insert(0, "true \\ predicted", unique, allow_duplicates=True)
    return table


def class_metrics(true: np.ndarray, predicted: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Precision, recall, F1 and support of each class; 0/0 is missing (NaN), not 0."""
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=range(len(names)), zero_division=np.nan
    )
    return pd.DataFrame(
        {
            "label": np.arange(len(names)),
            "name": names,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "support": support,
        }
    )


def mis_ranking(true: np.ndarray, predicted: np.ndarray, names: list[str]) -> pd.DataFrame:
    """mis_ranking.csv: misclassified (pred, true) pairs by count, descending; ties by the pair."""
    wrong = true != predicted
    pairs, counts = np.unique(
        np.stack([predicted[wrong], true[wrong]], axis=1), axis=0, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")  # np.unique sorts by (pred, true)
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "pred_label": pairs[order, 0],
            "true_label": pairs[order, 1],
            "count": counts[order],
            "pred_name": names_of(pairs[order, 0], names),
            "true_name": names_of(pairs[order, 1], names),
        }
    )


def find_settings(
    true: np.ndarray,
    predicted: np.ndarray,
    metrics: pd.DataFrame,
    pairs: pd.DataFrame,
    top_ranks: int,
    min_samples: int,
) -> list[Setting]:
    """The settings of docs/definitions.md 5.1, in its order.

    A candidate with fewer than `min_samples` neg or pos samples is passed over
    for the next one; where none is left the setting is skipped, with a reason.

    metrics, pairs : the tables of `class_metrics` and `mis_ranking`.
    """
    wrong, right = true != predicted, true == predicted
    everyone = Candidate(_where(wrong), _where(right))
    kinds: list[tuple[str, str | None, str, Iterable[Candidate]]] = [
        ("src_tgt", None, "src_tgt_top", _pair_candidates(true, predicted, pairs)),
        ("tgt", None, "tgt_top", _class_candidates(true, predicted, metrics, "f1")),
        ("tgt", "fp", "tgt_fp_top", _class_candidates(true, predicted, metrics, "precision")),
        ("tgt", "fn", "tgt_fn_top", _class_candidates(true, predicted, metrics, "recall")),
    ]
    settings = [_setting("all", "all", None, None, _first([everyone], min_samples), min_samples)]
    for misclf_type, fpfn, prefix, candidates in kinds:
        valid = iter([c for c in candidates if _enough(c, min_samples)])
        for rank in range(1, top_ranks + 1):
            chosen = next(valid, None)
            settings.append(
                _setting(f"{prefix}{rank}", misclf_type, fpfn, rank, chosen, min_samples)
            )
    return settings


def _where(mask: np.ndarray) -> np.ndarray:
    return np.flatnonzero(mask).astype(np.int64)


def _enough(candidate: Candidate, min_samples: int) -> bool:
    return min(len(candidate.neg), len(candidate.pos)) >= min_samples


def _first(candidates: list[Candidate], min_samples: int) -> Candidate | None:
    return next((c for c in candidates if _enough(c, min_samples)), None)


def _pair_candidates(
    true: np.ndarray, predicted: np.ndarray, pairs: pd.DataFrame
) -> Iterator[Candidate]:
    pos = _where(true == predicted)
    for pred_label, true_label in zip(pairs["pred_label"], pairs["true_label"], strict=True):
        neg = _where((predicted == pred_label) & (true == true_label))
        yield Candidate(neg, pos, pred_label=int(pred_label), true_label=int(true_label))


# Classes ranked by a metric fail by what it counts: false positives, false negatives, or both.
BY_METRIC = {"precision": "fp", "recall": "fn", "f1": None}


def class_failures(
    true: np.ndarray, predicted: np.ndarray, label: int, fpfn: str | None
) -> np.ndarray:
    """Samples that are false positives ("fp"), false negatives ("fn") or either of a class."""
    false_pos = (predicted == label) & (true != label)
    false_neg = (true == label) & (predicted != label)
    return {"fp": false_pos, "fn": false_neg, None: false_pos | false_neg}[fpfn]


def with_test_failures(
    settings: list[Setting], true: np.ndarray, predicted: np.ndarray
) -> list[Setting]:
    """The settings with the samples of the test split that M1 gets wrong in each one's way.

    true, predicted : (S,) of the test split.
    """
    return [
        replace(s, neg_test=_where(_test_failures(s, true, predicted))) if s.status == "ok" else s
        for s in settings
    ]


def _test_failures(setting: Setting, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    if setting.misclf_type == "src_tgt":
        return (predicted == setting.pred_label) & (true == setting.true_label)
    if setting.misclf_type == "tgt":
        return class_failures(true, predicted, setting.tgt_label, setting.fpfn)
    return true != predicted


def _class_candidates(
    true: np.ndarray, predicted: np.ndarray, metrics: pd.DataFrame, by: str
) -> Iterator[Candidate]:
    """Classes by a metric, ascending; ties by label; classes without the metric come last."""
    ordered = metrics.sort_values([by, "label"], na_position="last", kind="stable")
    for label in ordered["label"]:
        wrong = class_failures(true, predicted, label, BY_METRIC[by])
        pos = _where((true == label) & (predicted == label))
        yield Candidate(_where(wrong), pos, tgt_label=int(label))


def _setting(
    name: str,
    misclf_type: str,
    fpfn: str | None,
    rank: int | None,
    chosen: Candidate | None,
    min_samples: int,
) -> Setting:
    empty = np.empty(0, dtype=np.int64)
    reason = f"no candidate left with at least {min_samples} misclassified and correct samples"
    return Setting(
        setting=name,
        misclf_type=misclf_type,
        fpfn=fpfn,
        rank=rank,
        pred_label=chosen.pred_label if chosen else None,
        true_label=chosen.true_label if chosen else None,
        tgt_label=chosen.tgt_label if chosen else None,
        neg=chosen.neg if chosen else empty,
        pos=chosen.pos if chosen else empty,
        status="ok" if chosen else "skipped",
        reason=None if chosen else reason,
    )


def settings_table(settings: list[Setting], names: list[str]) -> pd.DataFrame:
    """settings.csv; labels, names and ranks that a setting does not have are empty cells.

    names : of the classes. `n_neg_test` is empty where no test samples are given.
    """
    rows = [
        {
            **{column: getattr(s, column, None) for column in COLUMNS},
            "n_neg": len(s.neg),
            "n_pos": len(s.pos),
            "n_neg_test": None if s.neg_test is None else len(s.neg_test),
        }
        for s in settings
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    for kind in ("pred", "true", "tgt"):
        labels = [getattr(s, f"{kind}_label") for s in settings]
        table[f"{kind}_name"] = names_of(labels, names)
    whole = ["rank", "pred_label", "true_label", "tgt_label", "n_neg", "n_pos", "n_neg_test"]
    return table.astype(dict.fromkeys(whole, "Int64"))
