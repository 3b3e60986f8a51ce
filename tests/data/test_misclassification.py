"""Tables and settings against brute force on random labels, and against scikit-learn."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

from utils.data import misclassification as misclf
from utils.data import settings as settings_file

SETTINGS = [
    "all",
    "src_tgt_top1", "src_tgt_top2", "src_tgt_top3",
    "tgt_top1", "tgt_top2", "tgt_top3",
    "tgt_fp_top1", "tgt_fp_top2", "tgt_fp_top3",
    "tgt_fn_top1", "tgt_fn_top2", "tgt_fn_top3",
]  # fmt: skip


def random_labels(seed, n_samples=120, n_classes=6, accuracy=0.6):
    rng = np.random.default_rng(seed)
    true, guess = rng.integers(0, n_classes, (2, n_samples))
    return true, np.where(rng.random(n_samples) < accuracy, true, guess)


def names(n_classes):
    return [f"class {i}" for i in range(n_classes)]


def find(true, predicted, n_classes=6, top_ranks=3, min_samples=2):
    metrics = misclf.class_metrics(true, predicted, names(n_classes))
    pairs = misclf.mis_ranking(true, predicted, names(n_classes))
    return misclf.find_settings(true, predicted, metrics, pairs, top_ranks, min_samples)


# Tables


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_are_the_softmax_of_the_highest_logit(dtype):
    logits = np.array([[1, 3, 2], [0, 0, 0], [1000, 0, -1000], [-5, -5, 4]], dtype=dtype)
    table = misclf.predictions(logits, np.array([1, 0, 0, 1]), ["a", "b", "c"])
    assert table["index"].tolist() == [0, 1, 2, 3]
    assert table["pred_label"].tolist() == [1, 0, 0, 2]  # equal logits: the lowest class
    assert table["correct"].tolist() == [1, 1, 1, 0]
    assert table["true_name"].tolist() == ["b", "a", "a", "b"]
    assert table["pred_name"].tolist() == ["b", "a", "a", "c"]
    head = ["index", "true_label", "pred_label", "correct", "confidence", "true_name", "pred_name"]
    assert list(table.columns) == head
    expected = [
        math.exp(3) / (math.e + math.exp(3) + math.exp(2)), 1 / 3, 1, 1 / (1 + 2 * math.exp(-9)),
    ]  # fmt: skip
    np.testing.assert_allclose(table["confidence"], expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_confusion_has_true_classes_in_rows_and_predicted_ones_in_columns(seed):
    true, predicted = random_labels(seed)
    table = misclf.confusion_table(true, predicted, names(7))  # the last class never occurs
    assert table.iloc[:, 0].tolist() == names(7)
    assert list(table.columns[1:]) == names(7)
    counts = table.iloc[:, 1:].to_numpy()
    for t in range(7):
        for p in range(7):
            assert counts[t, p] == sum((true == t) & (predicted == p))
    assert np.array_equal(counts, confusion_matrix(true, predicted, labels=range(7)))


def test_classes_of_one_name_stay_apart():
    true, predicted = np.array([0, 1, 2]), np.array([1, 1, 2])
    table = misclf.confusion_table(true, predicted, ["bat", "cat", "bat"])
    assert list(table.columns[1:]) == ["bat (0)", "cat (1)", "bat (2)"]
    assert table["cat (1)"].tolist() == [1, 1, 0]


@pytest.mark.parametrize("seed", range(3))
def test_class_metrics_agree_with_scikit_learn(seed):
    true, predicted = random_labels(seed)
    table = misclf.class_metrics(true, predicted, names(6))
    for column, metric in (
        ("precision", precision_score), ("recall", recall_score), ("f1", f1_score),
    ):  # fmt: skip
        np.testing.assert_allclose(table[column], metric(true, predicted, average=None))
    assert table["support"].tolist() == [sum(true == c) for c in range(6)]
    assert table["name"].tolist() == names(6)


def test_a_metric_that_is_zero_by_zero_is_missing_and_not_zero():
    """Class 1 is never predicted, class 2 never occurs, class 3 neither."""
    true, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 0, 0])
    table = misclf.class_metrics(true, predicted, names(4))
    assert table["precision"].isna().tolist() == [False, True, False, True]
    assert table["recall"].isna().tolist() == [False, False, True, True]
    assert table["f1"].isna().tolist() == [False, False, False, True]
    assert table["recall"][1] == table["f1"][1] == table["precision"][2] == 0


@pytest.mark.parametrize("seed", range(4))
def test_misclassified_pairs_come_by_count_then_by_labels(seed):
    true, predicted = random_labels(seed, n_samples=60)
    pairs = Counter((int(p), int(t)) for p, t in zip(predicted, true, strict=True) if p != t)
    expected = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    table = misclf.mis_ranking(true, predicted, names(6))
    assert table["rank"].tolist() == list(range(1, len(expected) + 1))
    rows = table[["pred_label", "true_label", "count"]].itertuples(index=False, name=None)
    assert [((p, t), c) for p, t, c in rows] == expected
    assert table["pred_name"].tolist() == [f"class {p}" for (p, _), _ in expected]
    assert table["true_name"].tolist() == [f"class {t}" for (_, t), _ in expected]


def test_without_a_mistake_there_are_no_pairs():
    table = misclf.mis_ranking(np.arange(4), np.arange(4), names(4))
    head = ["rank", "pred_label", "true_label", "count", "pred_name", "true_name"]
    assert list(table.columns) == head
    assert len(table) == 0


# Settings


def candidates(kind, true, predicted, n_classes):
    """(order, labels, neg, pos) of each candidate in the order of docs/definitions.md 5.1."""
    samples = range(len(true))
    found = []
    if kind == "src_tgt":
        pos = [s for s in samples if true[s] == predicted[s]]
        for p in range(n_classes):
            for t in range(n_classes):
                neg = [s for s in samples if (predicted[s], true[s]) == (p, t)]
                if p != t and neg:
                    found.append(((-len(neg), p, t), (p, t, None), neg, pos))
        return sorted(found, key=lambda c: c[0])
    for c in range(n_classes):
        fp = [s for s in samples if predicted[s] == c and true[s] != c]
        fn = [s for s in samples if true[s] == c and predicted[s] != c]
        tp = [s for s in samples if true[s] == predicted[s] == c]
        neg, base = {
            "tgt_fp": (fp, len(tp) + len(fp)),
            "tgt_fn": (fn, len(tp) + len(fn)),
            "tgt": (sorted(fp + fn), len(tp) + (len(fp) + len(fn)) / 2),
        }[kind]
        metric = len(tp) / base if base else math.inf
        found.append(((metric, c), (None, None, c), neg, tp))
    return sorted(found, key=lambda c: c[0])


def expected_settings(true, predicted, n_classes, top_ranks, min_samples):
    """(name, labels, neg, pos) of every setting, None for labels where it is skipped."""
    right = [s for s in range(len(true)) if true[s] == predicted[s]]
    wrong = [s for s in range(len(true)) if true[s] != predicted[s]]
    enough = min(len(right), len(wrong)) >= min_samples
    rows = [("all", (None,) * 3, wrong, right) if enough else ("all", None, [], [])]
    for kind in ("src_tgt", "tgt", "tgt_fp", "tgt_fn"):
        usable = [
            (labels, neg, pos)
            for _, labels, neg, pos in candidates(kind, true, predicted, n_classes)
            if min(len(neg), len(pos)) >= min_samples
        ]
        for rank in range(1, top_ranks + 1):
            chosen = usable[rank - 1] if rank <= len(usable) else (None, [], [])
            rows.append((f"{kind}_top{rank}", *chosen))
    return rows


CASES = [
    {"n_samples": 120},
    {"n_samples": 300, "n_classes": 10},
    {"n_samples": 14, "accuracy": 0.5},  # hardly any candidate has two samples
    {"n_samples": 40, "n_classes": 2},  # two pairs of classes only
    {"n_samples": 60, "accuracy": 0.95},
    {"n_samples": 30, "accuracy": 1.0},
    {"n_samples": 1},
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("min_samples", [2, 4])
def test_settings_are_those_of_the_specification(case, seed, min_samples):
    n_classes = case.get("n_classes", 6)
    true, predicted = random_labels(seed, **case)
    found = find(true, predicted, n_classes, min_samples=min_samples)
    expected = expected_settings(true, predicted, n_classes, 3, min_samples)
    assert [s.setting for s in found] == SETTINGS
    for setting, (name, labels, neg, pos) in zip(found, expected, strict=True):
        assert setting.setting == name
        assert setting.status == ("ok" if labels is not None else "skipped"), name
        assert (setting.reason is None) == (labels is not None)
        chosen = (setting.pred_label, setting.true_label, setting.tgt_label)
        assert chosen == (labels or (None, None, None)), name
        assert setting.neg.tolist() == neg, name
        assert setting.pos.tolist() == pos, name
        assert setting.neg.dtype == setting.pos.dtype == np.int64


def test_ties_go_to_the_lower_label():
    """Every class has the same counts: the settings are classes 0, 1 and 2."""
    true = np.repeat(np.arange(4), 6)
    predicted = np.where(np.arange(24) % 6 < 2, (true + 1) % 4, true)
    by_name = {s.setting: s for s in find(true, predicted, 4)}
    for kind in ("tgt", "tgt_fp", "tgt_fn"):
        assert [by_name[f"{kind}_top{r}"].tgt_label for r in (1, 2, 3)] == [0, 1, 2]
    pairs = [by_name[f"src_tgt_top{r}"] for r in (1, 2, 3)]
    assert [(s.pred_label, s.true_label) for s in pairs] == [(0, 3), (1, 0), (2, 1)]


def test_a_candidate_with_one_sample_is_passed_over():
    """The worst class by precision has one false positive, the next one has two."""
    true = np.array([0, 0, 0, 1, 1, 1, 1, 1, 2, 2])
    predicted = np.array([0, 1, 1, 1, 1, 1, 1, 1, 0, 2])
    settings = {s.setting: s for s in find(true, predicted, 3)}
    assert settings["tgt_fp_top1"].tgt_label == 1
    assert settings["tgt_fp_top1"].neg.tolist() == [1, 2]
    assert settings["tgt_fp_top2"].status == "skipped"


def test_a_class_that_is_never_predicted_is_no_setting_of_precision():
    """Its precision does not exist; taken for 0 it would come first."""
    true = np.array([0] * 6 + [1] * 6 + [2] * 3)
    predicted = np.array([0] * 4 + [1] * 2 + [1] * 4 + [0] * 2 + [0, 1, 0])
    settings = {s.setting: s for s in find(true, predicted, 3)}
    assert [settings[f"tgt_fp_top{r}"].tgt_label for r in (1, 2, 3)] == [0, 1, None]


def test_table_says_what_was_chosen_and_why_not():
    true, predicted = random_labels(0, n_samples=40, n_classes=2)
    found = find(true, predicted, 2)
    table = misclf.settings_table(found, ["=no", "yes"])
    assert list(table.columns) == settings_file.COLUMNS
    head = "setting,misclf_type,fpfn,rank,pred_label,true_label,tgt_label,n_neg,n_pos,status,reason"
    assert list(table.columns) == [
        *head.split(","), "pred_name", "true_name", "tgt_name", "n_neg_test"
    ]  # fmt: skip
    for kind in ("pred", "true", "tgt"):
        for label, name in zip(table[f"{kind}_label"], table[f"{kind}_name"], strict=True):
            assert (pd.isna(label) and pd.isna(name)) or name == ["=no", "yes"][label]
    assert table["tgt_name"].notna().any() and table["pred_name"].notna().any()
    assert table["n_neg_test"].isna().all()
    assert table["setting"].tolist() == SETTINGS
    assert table["n_neg"].tolist() == [len(s.neg) for s in found]
    assert table["n_pos"].tolist() == [len(s.pos) for s in found]
    assert table["misclf_type"].tolist() == ["all"] + ["src_tgt"] * 3 + ["tgt"] * 9
    assert table["fpfn"].isna().tolist() == [True] * 7 + [False] * 6
    assert table["fpfn"].tolist()[7:] == ["fp"] * 3 + ["fn"] * 3
    skipped = table["status"] == "skipped"
    assert skipped.any()
    assert table.loc[skipped, "reason"].str.contains("at least 2").all()
    assert table.loc[~skipped, "reason"].isna().all()
    for column in ("rank", "pred_label", "true_label", "tgt_label", "n_neg", "n_pos"):
        assert table[column].dtype == pd.Int64Dtype()
    assert table.loc[skipped, ["pred_label", "true_label", "tgt_label"]].isna().all(axis=None)
    assert table["rank"].isna().tolist() == [True] + [False] * 12
