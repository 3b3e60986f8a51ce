"""Transplants and planted faults across folds: areas, means, correlations and places by hand."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from utils.judge.planted.fault import COLUMNS
from utils.judge.retrain.effect import COLUMNS as RETRAINED
from utils.judge.transplant import walk as transplant
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.summary.effects import recovery, verdicts
from utils.summary.effects import write as effect_files
from utils.summary.figures import effects as effect_figures
from utils.summary.figures import styles

CONSTANTS = {
    "N_FOLDS": 5,
    "POSITIVE_PERCENT": 1,
    "TRUTHS": ["change", "repair"],
    "COMPARED_METRICS": ["lift@1%"],
    "FIGURE_WIDTHS": ("1col",),
    "FIGURE_FORMATS": ("png",),
}
KS = [0.01, 1, 100]
METHODS = [("weight", "good"), ("weight (from neuron)", "fair"), ("weight", "bad")]


def transplants_of(folds=(0, 1, 2), settings=("all", "tgt_top1")):
    """Loss recovered at 1%: good 3, fair 2, bad 1, plus the fold and the setting's place."""
    rows = []
    for fold in folds:
        for i, setting in enumerate(settings):
            for place, (level, method) in enumerate([*METHODS, ("weight", "random")]):
                for k in KS if setting == "all" else [1]:
                    value = {0.01: 0.0, 1: 3 - place + fold + i, 100: 10.0}[k]
                    rows.append(
                        {"fold": fold, "setting": setting, "level": level, "method": method,
                         "k_percent": k, "loss_recovered": value, "share_recovered": value / 10,
                         "repaired": 1, "broken": 0}
                    )  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=transplant.COLUMNS)


def lifts_of(order):
    return pd.DataFrame([
        {"fold": fold, "setting": setting, "level": level, "method": method, "lift": lift}
        for fold in (0, 1, 2)
        for setting in ("all", "tgt_top1")
        for (level, method), lift in zip(METHODS, order, strict=True)
    ])  # fmt: skip


def planted_of(values, faults=2):
    return pd.DataFrame([
        {"fold": fold, "kind": kind, "fault": fault, "level": level, "method": method,
         "lift@R": value + fault, "ap/random": 1, "first_hit": 1}
        for fold in (0, 1, 2) for kind in ("neurons", "weights") for fault in range(faults)
        for (level, method), value in zip(METHODS, values, strict=True)
    ]).assign(percent=1).reindex(columns=list(dict.fromkeys([*COLUMNS, "percent"])))  # fmt: skip


def test_area_is_the_mean_over_log_k():
    k = np.array([0.01, 1, 100])
    assert recovery.area(k, np.array([2.0, 2.0, 2.0])) == pytest.approx(2)
    assert recovery.area(k, np.array([0.0, 1.0, 2.0])) == pytest.approx(1)
    assert recovery.area(np.array([1, 10, 1000]), np.array([0.0, 3.0, 0.0])) == pytest.approx(1.5)


def test_area_begins_at_a_tenth_of_a_percent_and_is_of_plain_shares():
    rows = transplants_of(folds=(0,), settings=("all",))
    # K of 0.01, 1 and 100%: what lies below 0.1% does not count; shares 0.3 and 1
    found = recovery.areas(rows).set_index("method")
    assert found.loc["good", "area"] == pytest.approx((0.3 + 1.0) / 2)
    rows["share_recovered"] *= -2  # is not clipped
    assert recovery.areas(rows).set_index("method").loc["good", "area"] == pytest.approx(-1.3)


def test_transplant_table_averages_settings_inside_folds():
    moved = {"into_m1": transplants_of(), "back_to_m1": transplants_of(settings=("all",))}
    table = recovery.transplant_table(moved, 5).set_index(["direction", "method", "metric"])
    at_one = table.loc[("into_m1", "good", "loss_recovered")]
    assert at_one["mean"] == pytest.approx(3 + 1 + 0.5) and at_one["fold2"] == 5.5
    assert at_one["n_folds"] == 3 and at_one["corrected_low"] < at_one["low"] < at_one["mean"]
    assert table.loc[("back_to_m1", "good", "loss_recovered")]["fold2"] == 5
    assert table.loc[("into_m1", "good", "area")]["fold0"] == pytest.approx((0.3 + 1.0) / 2)


def test_being_right_predicts_repair_or_its_opposite():
    both = {
        "repair": recovery.joined(lifts_of([9, 5, 1]), transplants_of()),
        "change": recovery.joined(lifts_of([1, 5, 9]), transplants_of()),
    }
    assert len(both["repair"]) == 3 * 2 * 3 and "random" not in set(both["repair"]["method"])
    table = recovery.recovery_table(both, 5).set_index("truth")
    # in two settings that differ by one: 3 2 1 and 4 3 2 against 9 5 1 and 9 5 1
    brute = []
    x, y = [9, 5, 1, 9, 5, 1], [3, 2, 1, 4, 3, 2]
    for i in range(6):
        brute += [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for j in range(i)]
    ties = [sum(v[i] == v[j] for i in range(6) for j in range(i)) for v in (x, y)]
    expected = sum(brute) / np.sqrt((15 - ties[0]) * (15 - ties[1]))
    assert table.loc["repair", "mean"] == pytest.approx(expected)
    assert table.loc["change", "mean"] == pytest.approx(-expected)


def test_planted_table_keeps_kinds_apart():
    faults = planted_of([5, 3, 1])
    faults.loc[faults["kind"] == "weights", "lift@R"] *= 2
    table = recovery.planted_table(faults, 5).set_index(["kind", "percent", "method", "metric"])
    assert table.loc[("neurons", 1, "good", "lift@R"), "mean"] == 5.5
    assert table.loc[("weights", 1, "good", "lift@R"), "mean"] == 11
    assert table.loc[("neurons", 1, "bad", "lift@R"), "n_settings"] == 2  # faults


def test_what_no_fold_has_is_left_out(tmp_path):
    fold, paths = FoldPaths(tmp_path, "digits", 0), SummaryPaths(tmp_path, "digits")

    class Task:
        def save_table(self, path, table):
            saved[path.name] = table

        def save_bytes(self, path, content):
            saved[path.name] = content

    for with_faults in (False, True):
        saved = {}
        if with_faults:
            fold.results.mkdir(parents=True)
            faults = planted_of([5, 3, 1])
            faults[faults["fold"] == 0].to_csv(fold.planted_table, index=False)
        files = {fold.name: [fold.planted_table] if with_faults else []}
        effect_files.write(Task(), paths, [fold], CONSTANTS, files)
        drawn = {name.rpartition("_")[0] for name in saved if name.endswith(".png")}
        assert drawn == ({"planted", "verdicts"} if with_faults else set())
        assert ("planted.csv" in saved) == with_faults and "transplant.csv" not in saved
        assert b"A transplant needs M2" in saved["effects.txt"]


def test_every_figure_of_a_whole_set(tmp_path):
    moved, faults = transplants_of(), planted_of([5, 3, 1])
    blocks = pd.DataFrame([
        {"fold": fold, "layer": layer, "block": block, "direction": direction, "samples": 10,
         "repaired": 2, "broken": 1}
        for fold in (0, 1) for direction in ("into_m1", "back_to_m1")
        for layer, block in [(np.nan, "embeddings"), (0, "attention"), (0, "ffn"), (np.nan, "head")]
    ])  # fmt: skip
    lifts = {"change": lifts_of([1, 2, 3]), "pooled": lifts_of([1, 3, 2])}
    lifts["repair"] = lifts_of([3, 2, 1])
    both = {truth: recovery.joined(table, moved) for truth, table in lifts.items()}
    places = verdicts.verdicts_table(
        verdicts.values_of(lifts, moved, moved.iloc[:0], faults, pd.DataFrame(columns=RETRAINED))
    )
    look = styles.assign([METHODS])
    found = recovery.planted_table(faults, 5)
    tables = effect_figures.EffectTables(moved, blocks, both, found, places)
    drawn = list(effect_figures.every_figure(tables, look))
    figures = {(one.name, one.width): one.draw() for one in drawn}
    assert [one.title for one in drawn[::2]] == list(effect_figures.CAPTIONS)
    assert [one.width for one in drawn] == ["1col", "2col"] * 6
    for one in drawn:
        figure = figures[one.name, one.width]
        figure.draw_without_rendering()
        box, (wide, high) = figure.get_tightbbox(), figure.get_size_inches()
        over = max(-box.x0, -box.y0, box.x1 - wide, box.y1 - high)
        assert over < 0.02, f"{one.name} {one.width}: {over:.2f} inches beyond the edge"
    by_name = {one.name: figures[one.name, "2col"] for one in drawn}
    narrow = figures["lift_and_recovery", "1col"]
    assert [axes.get_xlabel()[-8:] for axes in narrow.axes] == ["'change'", "'repair'"]
    assert narrow.get_size_inches()[1] <= 5
    for method in METHODS:
        style = look.of(*method)
        for name in ("loss_against_k", "lift_and_recovery", "verdicts"):
            lines = [line for axes in by_name[name].axes for line in axes.lines]
            assert any(line.get_color() == style.color and line.get_marker() == style.marker
                       for line in lines), (name, method)  # fmt: skip
        for name in ("repaired_and_broken", "planted"):
            bars = by_name[name].axes[0].patches
            assert any(to_hex(bar.get_edgecolor()).upper() == style.color for bar in bars)
    panels = [axes.get_xlabel() for axes in by_name["lift_and_recovery"].axes]
    assert panels == ["lift@1% by 'change'", "lift@1% by 'pooled'", "lift@1% by 'repair'"]


def test_steps_8_and_9_use_the_colours_of_step_7(tmp_path):
    """By the primary metric of each truth, as the scores of step 7 have it."""
    fold = FoldPaths(tmp_path, "digits", 0)
    rows = [
        {"ds": "digits", "fold": 0, "setting": "all", "level": "weight", "method": f"m{i}",
         "n": np.nan, "ap": 1.0, "lift@1%": float(i)} for i in range(20)
    ]  # fmt: skip
    rows.append(rows[0] | {"method": "random (expected)", "lift@1%": 1.0})
    fold.results.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(fold.judged("scores", "change"), index=False)
    constants = {"TRUTHS": ("change", "repair"), "COMPARED_METRICS": ("lift@1%",)}
    (ranking,) = effect_files.method_rankings([fold], {fold.judged("scores", "change")}, constants)
    assert [name for _, name in ranking if name.startswith("m")] == [f"m{i}" for i in range(20)][
        ::-1
    ]
    look = styles.assign([ranking])
    bright = {i for i in range(20) if look.of("weight", f"m{i}").standing == "best"}
    assert bright == set(range(12, 20))
