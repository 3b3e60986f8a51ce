"""All verdicts side by side: two of planted faults, two of retraining, and what predicts repair."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau
from test_recovery import METHODS, lifts_of, planted_of, transplants_of

from utils.judge.retrain.effect import COLUMNS
from utils.summary.effects import recovery, retrained, verdicts

RANDOMS = [("weight", "random"), ("weight (from neuron)", "random neurons")]


def retrained_of(adam, sgd, folds=(0, 1, 2), chance=(0.1, 0.05)):
    """Loss mended by each of METHODS, then by random weights and random neurons; plus noise."""
    rows = []
    for fold in folds:
        rng = np.random.default_rng(fold)
        for optimizer, values in (("adam", adam), ("sgd", sgd)):
            for key, value in zip([*METHODS, *RANDOMS], [*values, *chance], strict=True):
                for setting, percent, more in (("all", 1, 0), ("all", 10, 5), ("tgt_top1", 1, 7)):
                    rows.append(
                        dict(zip(("level", "method"), key, strict=True))
                        | {"fold": fold, "optimizer": optimizer, "setting": setting, "r": 0.1,
                           "k_percent": percent, "steps": 5 * fold, "net": 2,
                           "loss_mended": value + more + 0.001 * rng.normal()}
                    )  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def values(adam=(3, 2, 1), sgd=(1, 2, 3), **given):
    lifts = {"change": lifts_of([1, 2, 3]), "repair": lifts_of([3, 2, 1])}
    faults = planted_of([2, 3, 1])
    faults.loc[faults["kind"] == "weights", "lift@R"] *= -1
    empty = transplants_of().iloc[:0]
    return verdicts.values_of(
        lifts, transplants_of(), given.get("back", empty), faults, retrained_of(adam, sgd)
    )


def test_kinds_and_optimisers_are_verdicts_of_their_own():
    back = transplants_of()
    found = values(back=back)
    assert list(found) == [
        "change", "repair", "transplant", "transplant back", "planted neurons", "planted weights",
        "retrained (adam)", "retrained (sgd)",
    ]  # fmt: skip
    assert "transplant back" not in values()
    table = verdicts.verdicts_table(found).set_index("method")
    assert list(table.index) == ["bad", "fair", "good"]  # by the first verdict
    assert table.loc["fair", "place planted neurons"] == 1
    assert table.loc["fair", "place planted weights"] == 3
    assert table.loc["good", "retrained (adam)"] == pytest.approx(3, abs=0.01)  # all, 1% alone
    assert "random" not in table.index and "random neurons" not in table.index
    # back: the setting `all` alone; 3 - place + fold
    assert table.loc["good", "transplant back"] == pytest.approx(3 + 1)
    assert table.loc["good", "transplant"] == pytest.approx(3 + 1 + 0.5)


def test_agreement_of_every_two():
    table = verdicts.verdict_agreement(verdicts.verdicts_table(values()))
    tau = table.set_index(["verdict_a", "verdict_b"])["kendall_tau"]
    assert tau[("change", "repair")] == -1 and tau[("repair", "transplant")] == 1
    assert tau[("retrained (adam)", "retrained (sgd)")] == -1
    assert tau[("repair", "planted neurons")] == pytest.approx(1 / 3)


def test_which_truth_predicts_repair():
    found = values()
    table = verdicts.predicts_table(found, 5).set_index(["verdict", "predicts"])
    assert table.loc[("repair", "retrained (adam)"), "mean"] == 1
    assert table.loc[("change", "retrained (adam)"), "mean"] == -1
    assert table.loc[("repair", "retrained (sgd)"), "mean"] == -1
    assert np.isnan(table.loc[("repair", "retrained (adam)"), "corrected_low"])  # all equal
    assert ("retrained (sgd)", "retrained (adam)") not in table.index
    # where folds differ, one tau each, and the corrected interval around their mean
    mixed = dict(found)
    mixed["repair"] = mixed["repair"].copy()
    mixed["repair"].loc[1] = [2.0, 3.0, 1.0]
    one = verdicts.predicts_table(mixed, 5).set_index(["verdict", "predicts"])
    row = one.loc[("repair", "retrained (adam)")]
    each = [
        kendalltau(
            mixed["repair"].loc[fold, METHODS], found["retrained (adam)"].loc[fold, METHODS]
        ).statistic
        for fold in (0, 1, 2)
    ]
    assert [row[f"fold{fold}"] for fold in (0, 1, 2)] == pytest.approx(each)
    assert row["corrected_low"] < row["low"] < row["mean"] == pytest.approx(np.mean(each))


def test_each_method_against_its_own_kind_of_random():
    table = retrained.retrained_table(retrained_of((0.3, 0.04, 0.02), (0.3, 0.3, 0.3)), 5)
    rows = table[table["optimizer"] == "adam"].set_index("method")
    assert rows.loc["good", "reference"] == "random"
    assert rows.loc["fair", "reference"] == "random neurons"
    assert rows.loc["good", "difference"] == pytest.approx(0.2, abs=0.01)
    assert rows.loc["fair", "difference"] == pytest.approx(-0.01, abs=0.01)
    assert rows.loc["good", "corrected_holm_p"] < 0.05
    assert rows.loc["good", "steps"] == 5 and rows.loc["good", "net"] == 2
    assert pd.isna(rows.loc["random", "reference"]) and pd.isna(rows.loc["random", "corrected_p"])
    said = retrained.sentences(table)
    assert said[0].startswith("Retrained (adam): 1 of 3 methods mend more than weights")
    assert "and 2 mend less" in said[0] or "and 1 mend less" in said[0]
    assert said[1].startswith("Retrained (sgd): 3 of 3 methods mend more")


def test_the_first_lines_answer_or_say_what_to_run():
    found = values()
    table = retrained.retrained_table(retrained_of((3, 2, 1), (1, 2, 3)), 5)
    first, adam, sgd, *_ = verdicts.prediction_in_words(verdicts.predicts_table(found, 5), table)
    assert first.startswith("Which truth predicts repair? retrained (adam): ")
    assert adam.startswith("Kendall's tau with retrained (adam) over 3 methods")
    assert "repair 1.00" in adam and "repair -1.00" in sgd
    without = {name: one for name, one in found.items() if "retrained" not in name}
    (only,) = verdicts.prediction_in_words(
        verdicts.predicts_table(without, 5),
        retrained.retrained_table(pd.DataFrame(columns=COLUMNS), 5),
    )
    assert "run exp-fl-5-10.py" in only


def test_other_shares_of_planted_weights_are_no_part_of_the_verdict():
    faults = pd.concat([planted_of([2, 3, 1]), planted_of([9, 9, 9]).assign(percent=0.1)])
    assert set(recovery.usual_faults(faults)["percent"]) == {1}
    assert set(recovery.usual_faults(faults[faults["percent"] < 1])["percent"]) == {0.1}


def test_nothing_at_all():
    empty = transplants_of().iloc[:0]
    found = verdicts.values_of({}, empty, empty, planted_of([1, 1, 1]).iloc[:0],
                               retrained_of((1, 1, 1), (1, 1, 1)).iloc[:0])  # fmt: skip
    assert found == {} and list(verdicts.verdicts_table(found)) == ["level", "method"]
