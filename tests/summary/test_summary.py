"""Step 7 across folds: tables against brute force, the golden case, and what is refused."""

import re
import shutil
from pathlib import Path

import folds_of_step7 as given
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from utils import constants, ranking
from utils.errors import UserError
from utils.judge import names
from utils.judge.details import curves as details
from utils.judge.names import LIFTED, WEIGHT
from utils.judge.rankings.users import user_method
from utils.judge.scores import comparison, ground_truth, metrics, ties
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.summary.figures import catalogue
from utils.summary.folds import read_records, read_tables, records
from utils.summary.folds import tables as fold_tables
from utils.summary.scores import comparisons, notes, summarise, write
from utils.summary.scores.comparisons import Contrast, Design, WrongConstant
from utils.summary.scores.means import summary_table
from utils.summary.scores.times import times_table

ROOT = Path(__file__).resolve().parents[2]
CHANCE = names.RANDOM_EXPECTED


def two_figures(*given, every=catalogue.every_figure):
    """Rendering is what takes long: test_summary_figures.py looks at all of them."""
    quick = ("locations", "critical_difference")
    yield from (one for one in every(*given) if one.name in quick)


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        given.without_models(patch)
        patch.setattr(catalogue, "every_figure", two_figures)
        patch.setenv("TQDM_DISABLE", "1")
        yield patch


@pytest.fixture(scope="module")
def jobs(patched, tmp_path_factory):
    return given.make_folds(tmp_path_factory.mktemp("folds"), range(4))


@pytest.fixture(scope="module")
def tables(jobs):
    return read_tables.load([job.paths for job in jobs])


@pytest.fixture(scope="module")
def summarised(tables):
    return summary_table(tables, ["lift@5%"], 5)


@pytest.fixture(scope="module")
def compared(tables):
    return comparisons.comparison_table(
        tables, ("random", "B"), ("lift@5%", "ap/random"), Design(5, 99, 777)
    )


def row(table, **wanted):
    found = table
    for column, value in wanted.items():
        found = found[found[column] == value]
    assert len(found) == 1, (wanted, len(found))
    return found.iloc[0]


# The golden case


def test_the_tables_tell_truth_plus_noise_from_noise(summarised, compared):
    a = row(summarised, metric="lift@5%", method="A")
    b = row(summarised, metric="lift@5%", method="B")
    assert a["mean"] > 5 and a["corrected_low"] > 1
    assert b["corrected_low"] < 1 < b["corrected_high"]
    assert row(summarised, metric="lift_stratified@5%", method="A")["mean"] > 5
    pair = row(compared, metric="lift@5%", method="A", reference="random")
    assert pair["n_positive"] == 4 and pair["corrected_holm_p"] < 0.05 and pair["corrected_low"] > 0
    noise = row(compared, metric="lift@5%", method="B", reference="random")
    assert noise["holm_p"] > 0.05
    folds = [f"fold{k}" for k in range(4)]
    p_a = row(summarised, metric="permutation_p@5%", method="A")[folds]
    p_b = row(summarised, metric="permutation_p@5%", method="B")[folds]
    assert p_a.max() == pytest.approx(1 / 200) and p_b.max() > 0.05


def test_a_preference_for_one_matrix_is_seen_to(jobs, tables, summarised):
    change = np.load(jobs[0].paths.abs_diff)
    top = np.argsort(-change, kind="stable")[: int(0.05 * given.N)]
    in_bef = np.mean(top < given.N // 2)
    # All of bef's first 5% are in W_bef: precision of its null is the density there.
    density = in_bef * len(top) / (given.N // 2)
    null = tables.stratified
    null = null[(null["method"] == "random (stratified as bef)") & (null["fold"] == 0)]
    assert null["precision@5%"].to_numpy() == pytest.approx([density] * 3)
    assert null["lift@5%"].to_numpy() == pytest.approx([density / 0.05] * 3)
    assert "random (stratified as bef)" in set(summarised["method"])


def test_the_finding_is_sorted_and_complete(jobs, patched):
    paths = summarise.summarise(jobs[:2], False)
    table = pd.read_csv(paths.table("overview"))
    assert table["lift change"].is_monotonic_decreasing
    assert table["place change"].tolist() == [1, 2, 3, 4, 5] and table["method"].iloc[0] == "A"
    assert set(table["method"]) == {"A", "B", "bef", "P", "'=H_1%"}  # no random row, no reference
    text = summarise.finding(paths, jobs[0].constants)
    sentences, where, head = text.strip().split("\n\n")
    assert "By 'change', " in sentences and "beat chance in these models" in sentences
    title, truths, columns, *rows = head.splitlines()  # the table comes last
    assert title.startswith("lift@5% by each truth. lift: 1 is") and columns.split()[:5] == [
        "method", "lift", "traded", "95%", "p"
    ]  # fmt: skip
    assert truths.index("change") + len("change") == columns.index("lift") + len("lift")
    assert where.endswith(str(paths.results))
    assert [row[: truths.index("change")].split()[0] for row in rows] == [
        name.removeprefix("'") for name in table["method"]
    ]
    assert "of new folds" in title
    assert max(map(len, [columns, *rows])) <= 100


# Tables against brute force


def test_the_unit_is_the_fold(jobs, summarised):
    raw = pd.concat([pd.read_csv(job.paths.judged("scores")) for job in jobs])
    raw = raw[raw["n"].isna() & (raw["method"] == "A") & (raw["level"] == "weight")]
    means = np.array([raw.loc[raw["fold"] == k, "ndcg@1%"].mean() for k in range(4)])
    found = row(summarised, metric="ndcg@1%", method="A")
    assert [found[f"fold{k}"] for k in range(4)] == pytest.approx(means)
    assert found["mean"] == pytest.approx(means.mean())
    assert found["sd"] == pytest.approx(means.std(ddof=1))
    t = stats.t.interval(0.95, 3, means.mean(), stats.sem(means))
    assert (found["low"], found["high"]) == pytest.approx(t)
    # Four folds of a cross-validation of five: 1/4 + 1/(5 - 1) in place of 1/4.
    stretch = (found["corrected_high"] - means.mean()) / (found["high"] - means.mean())
    assert stretch == pytest.approx(np.sqrt(2))
    assert (found["n_folds"], found["n_settings"]) == (4, 3)


def test_ap_is_divided_by_chance_at_the_same_level(tables):
    scores = tables.scores
    lifted = row(scores, fold=1, level=LIFTED, method="=H_1%")
    chance = row(scores, fold=1, level=WEIGHT, method=CHANCE)
    neuron = row(scores, fold=1, level="neuron", method="=H_1%")
    neuron_chance = row(scores, fold=1, level="neuron", method=CHANCE)
    assert lifted["ap/random"] == pytest.approx(lifted["ap"] / chance["ap"])
    assert neuron["ap/random"] == pytest.approx(neuron["ap"] / neuron_chance["ap"])


def test_comparison_is_the_paired_test_of_fold_means(tables, compared):
    found = row(compared, metric="lift@5%", method="A", reference="B")
    scores = tables.scores
    wide = scores[scores["level"] == WEIGHT].groupby(["fold", "method"])["lift@5%"].mean().unstack()
    test = stats.ttest_rel(wide["A"], wide["B"])
    assert found["p"] == pytest.approx(test.pvalue)
    interval = test.confidence_interval()
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))
    assert [found[f"fold{k}"] for k in range(4)] == pytest.approx((wide["A"] - wide["B"]).tolist())
    # Five folds of a cross-validation of which four are here: 1/4 + 1/(5 - 1).
    assert found["corrected_t"] == pytest.approx(
        test.statistic * np.sqrt((1 / 4) / (1 / 4 + 1 / 4))
    )


def test_holm_is_within_a_declared_family(compared):
    for family, found in compared.groupby("family"):
        p = found["p"].dropna().to_numpy()
        assert family.endswith(f"({len(p)} tests)")
        order = np.argsort(p)
        steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
        assert np.sort(found["holm_p"].dropna()) == pytest.approx(np.sort(steps))
    assert compared.groupby("family")["metric"].nunique().max() == 1


def test_chance_and_ceiling_are_references_only(compared, summarised):
    assert not compared["method"].isin([CHANCE, "random (sampled)", "neuron oracle"]).any()
    oracle = row(summarised, metric="lift@5%", method="neuron oracle", level=LIFTED)
    lifted = summarised[(summarised["metric"] == "lift@5%") & (summarised["level"] == LIFTED)]
    assert oracle["mean"] == lifted["mean"].max()
    assert set(summarised.loc[summarised["method"] == "neuron oracle", "level"]) == {LIFTED}
    assert not ((summarised["method"] == "oracle") & (summarised["level"] != WEIGHT)).any()


def test_a_partial_method_is_compared_where_both_are(tables, compared, summarised):
    assert row(summarised, metric="lift@5%", method="P")["n_folds"] == 2
    found = row(compared, metric="lift@5%", method="P", reference="B")
    assert found["n_folds"] == 2 and np.isnan(found["fold2"])
    assert "P (weight) has no file in fold 2, 3" in " ".join(notes.of(tables, ["ap"], 5))
    assert "no value in fold 2, 3" in found["note"] and "unbounded" in found["note"]
    assert np.isnan(found["wild_low"])
    one_setting = row(compared, metric="lift@5%", method="=H_1%", reference="B")
    assert one_setting["n_settings"] == 1


def test_a_method_without_setting_meets_the_mean_over_settings():
    rows = [
        {"fold": 0, "setting": s, "level": WEIGHT, "method": m, "x": v}
        for m, s, v in [("magnitude", "all", 5.0), ("bl", "all", 1.0), ("bl", "tgt_top1", 3.0),
                        ("mine", "all", 5.0)]
    ]  # fmt: skip
    scores = pd.DataFrame(rows)
    values = comparisons.grids(scores, "x")
    bl = (WEIGHT, "bl")
    free = comparisons.paired_grids(values, Contrast((WEIGHT, "magnitude"), bl, "bl"))
    assert free.method.to_numpy().tolist() == [[5, 5]] and free.n_settings == 2
    partial = comparisons.paired_grids(values, Contrast((WEIGHT, "mine"), bl, "bl"))
    assert partial.reference.to_numpy().tolist() == [[1]] and partial.n_settings == 1
    # A fold where one side lacks a setting: the other side's value there does not enter.
    holes = {
        (WEIGHT, "a"): pd.DataFrame([[1.0, 9.0], [2.0, 3.0]], columns=["all", "t"]),
        (WEIGHT, "b"): pd.DataFrame([[4.0, np.nan], [5.0, 6.0]], columns=["all", "t"]),
    }
    one = comparisons.paired_grids(holes, Contrast((WEIGHT, "a"), (WEIGHT, "b"), "b"))
    swapped = comparisons.paired_grids(holes, Contrast((WEIGHT, "b"), (WEIGHT, "a"), "a"))
    assert np.isnan(one.method.iloc[0, 1]) and np.isnan(swapped.reference.iloc[0, 1])
    assert one.method.notna().equals(one.reference.notna())


def test_budgets_have_rows_and_columns_of_their_own():
    keys = {"ds": "x", "fold": 0, "setting": "all", "level": WEIGHT}
    table = pd.DataFrame(
        [
            keys | {"method": CHANCE, "n": np.nan, "precision@n": np.nan, "ap": 0.2},
            keys | {"method": CHANCE, "n": 4, "precision@n": 0.1, "ap": np.nan},
            keys | {"method": CHANCE, "n": 8, "precision@n": 0.2, "ap": np.nan},
            keys | {"method": "bl", "n": np.nan, "precision@n": np.nan, "ap": 0.4},
            keys | {"method": "bl", "n": 4, "precision@n": 0.3, "ap": np.nan},
            keys | {"method": "bl", "n": 8, "precision@n": 0.5, "ap": np.nan},
            keys | {"method": "vdiff+mean_act+grad_loss", "n": 8, "precision@n": 0.6, "ap": np.nan},
        ]
    )
    for name in comparison.AT_K:
        table[f"{name}@n"] = table["precision@n"]
    found = fold_tables.tidy_scores(table).set_index("method")
    columns = ["precision@n=4", "precision@n=8"]
    assert found.loc["bl", columns].tolist() == [0.3, 0.5]
    assert found.loc[CHANCE, columns].tolist() == [0.1, 0.2]
    own = found.loc["vdiff+mean_act+grad_loss (n=8)", columns]
    assert np.isnan(own.iloc[0]) and own.iloc[1] == 0.6
    assert found.loc["bl", "ap/random"] == pytest.approx(2)
    # @n without a number would mean one K here and another there.
    assert "precision@n" not in found
    declared = ["lift@1%", "precision@n"]
    assert fold_tables.spread_budgets(declared, found.columns) == ["lift@1%", *columns]
    assert fold_tables.spread_budgets(declared, ["lift@1%", "precision@n"]) == declared


def test_several_budgets_are_compared_at_equal_k(tmp_path):
    """Whatever their order: each family is about one K, and chance has it too."""
    given.drop_methods(tmp_path, 0, given.write_fold(tmp_path, 0))
    metrics = ("lift@5%", "precision@n")
    args = given.arguments(n=[4, 2])
    jobs = [given.evaluate(tmp_path, 0, args, COMPARED_METRICS=metrics)]
    scores = pd.read_csv(jobs[0].paths.judged("scores"))
    assert scores.loc[scores["n"].isna(), "precision@n"].isna().all()
    tables = read_tables.load([job.paths for job in jobs])
    spread = fold_tables.spread_budgets(metrics, tables.scores.columns)
    assert spread == ["lift@5%", "precision@n=2", "precision@n=4"]
    compared = comparisons.comparison_table(tables, ["random", "B"], spread, Design(5, 49, 1))
    truth = np.load(jobs[0].paths.abs_diff)
    first = set(np.argsort(-truth, kind="stable")[: given.N // 20])
    for n in (2, 4):
        hits = []
        for setting in given.SETTINGS:
            mine = np.load(jobs[0].paths.setting(setting) / "weight_A_score.npy")
            top = np.argsort(-mine, kind="stable")[: 8 * n * n]
            hits.append(len(first & set(top)) / (8 * n * n))
        found = row(compared, metric=f"precision@n={n}", method="A", reference="random")
        assert found["mean"] == pytest.approx(np.mean(hits) - 32 / given.N)


# What every fold keeps


def test_curves_are_the_expected_mass(tables, jobs):
    truth = ground_truth.prepare_truth(
        np.load(jobs[1].paths.abs_diff), given.M, given.D, (1, 5, 10), 5, [1]
    )
    scores = np.load(jobs[1].paths.setting("all") / "neuron_=H_1%_score.npy")
    ks = details.curve_ks(given.N)
    found = details.method_curve(scores, None, "neuron", truth, ks)
    groups = ties.group_neurons(scores, truth.by_neuron)
    mass = [metrics.expected_total(groups.start, groups.gain, int(k)) for k in ks]
    assert found["mass"] == pytest.approx(np.array(mass) / truth.weights.total_gain)
    lifted = ranking.spread(scores, given.D)
    draws = []
    rng = np.random.default_rng(0)
    for _ in range(400):  # random orders within ties
        order = np.lexsort((rng.random(given.N), -lifted))
        draws.append(np.cumsum(truth.weights.gain[order])[ks - 1])
    sampled = np.mean(draws, axis=0) / truth.weights.total_gain
    assert found["mass"] == pytest.approx(sampled, abs=0.01)
    mine = np.load(jobs[1].paths.setting("all") / "weight_A_score.npy")
    order = np.argsort(-mine, kind="stable").astype(np.int32)
    curve = details.method_curve(mine, order, WEIGHT, truth, ks)
    hits = np.cumsum(truth.weights.positives[order])[ks - 1]
    assert curve["recall"] == pytest.approx(hits / truth.weights.n_positives)
    ideal = details.ideal_curve(truth, ks)
    best = np.cumsum(np.sort(truth.weights.gain.astype(float))[::-1])[ks - 1]
    assert ideal["mass"] == pytest.approx(best / best[-1])
    assert (found["mass"] <= ideal["mass"] + 1e-12).all()
    kept = tables.curves
    kept = kept[(kept["fold"] == 1) & (kept["method"] == "=H_1%")]
    assert kept["mass"].to_numpy() == pytest.approx(found["mass"])


def test_permutation_rows_agree_with_the_scores(tables):
    scores, tests = tables.scores, tables.permutation
    for method, level in [("A", WEIGHT), ("=H_1%", LIFTED), ("neuron oracle", LIFTED)]:
        found = row(tests, fold=0, method=method, top="5%")
        score = row(scores, fold=0, setting="all", method=method, level=level)
        assert found["observed"] == pytest.approx(found["k"] * score["overlap@5%"], rel=1e-5)
        budget = row(tests, fold=0, method=method, top="n1")
        assert budget["observed"] == pytest.approx(8 * score["overlap@n"], rel=1e-4)
    # A neuron's lifted score has the same null mean for all: K R / N.
    k = int(0.05 * given.N)
    assert row(tests, fold=0, method="=H_1%", top="5%")["null_mean"] == pytest.approx(
        k * k / given.N, rel=1e-4
    )


def test_locations_are_shares_by_neuron_and_matrix(tables, jobs):
    change = np.load(jobs[2].paths.abs_diff)
    top = np.zeros(given.N)
    top[np.argsort(-change, kind="stable")[: int(0.05 * given.N)]] = 1
    bef, aft = ranking.unflatten(top, given.M, given.D)
    per_neuron = bef.sum(axis=1) + aft.sum(axis=0)
    order = np.argsort(-per_neuron, kind="stable")
    found = tables.locations
    found = found[(found["fold"] == 2) & (found["method"] == names.TRUTH)]
    for matrix, counts in [("W_bef", bef.sum(axis=1)), ("W_aft", aft.sum(axis=0))]:
        share = found.loc[found["matrix"] == matrix, "share"].to_numpy()
        # M = 40: one neuron a bin, and neurons with equally many positives share theirs.
        spread = [counts[per_neuron == per_neuron[j]].mean() for j in order]
        assert share == pytest.approx(np.array(spread) / top.sum())
    sums = tables.locations.groupby(["fold", "level", "method"])["share"].sum()
    assert sums.to_numpy() == pytest.approx(1)


def test_times_add_up_settings_and_average_folds():
    times = pd.DataFrame(
        {"ds": "x", "fold": [0, 0, 1, 1], "setting": ["all", "b"] * 2, "method": "weight/bl",
         "n": np.nan, "elapsed_s": [1.0, 2.0, 3.0, 4.0], "device": "cpu", "step": 5}
    )  # fmt: skip
    found = times_table(times, [0, 1]).iloc[0]
    assert (found["mean_s"], found["fold0"], found["fold1"]) == (5.0, 3.0, 7.0)
    assert found["n_timed"] == 2
    seconds = fold_tables.seconds_per_fold(times_table(times, [0, 1]))
    assert seconds == {("weight", "bl"): 5.0}
    assert fold_tables.seconds_of(WEIGHT, "bl (n=4)", seconds) == 5.0


# Few folds, mistakes, repetition


@pytest.mark.parametrize("count", [1, 2])
def test_few_folds_say_what_is_left_out(jobs, patched, count):
    paths = summarise.summarise(jobs[:count], False)
    said = paths.notes.read_text()
    table = pd.read_csv(paths.table("comparisons"))
    if count == 1:
        assert "One fold has no variance" in said and "signed-rank" not in said
        assert table["p"].isna().all() and table["note"].str.contains("one fold").all()
        assert not list(paths.results.glob("figures/change/critical*"))
    else:
        assert "minus to plus infinity" in said
        assert (
            table["wild_low"].isna().all() and not np.isinf(table.select_dtypes(float)).any().any()
        )
        assert list(paths.results.glob("figures/change/critical*"))


def test_a_summary_of_more_folds_is_not_replaced_without_a_word(jobs, patched, capsys, monkeypatch):
    """Where FOLDS names other folds than before; folds of --fold have a folder of their own."""
    monkeypatch.setattr(constants, "FOLDS", (0, 1, 2))
    paths = summarise.summarise(jobs[:3], False)
    summarise.summarise(jobs[:3], False)
    assert "replaced" not in capsys.readouterr().out
    assert list(paths.results.glob("figures/change/critical*"))
    monkeypatch.setattr(constants, "FOLDS", (0,))
    summarise.summarise(jobs[:1], False)
    said = capsys.readouterr().out
    assert "was of digits_fold0, digits_fold1, digits_fold2: replaced" in said
    assert not list(paths.results.glob("figures/change/critical*"))  # one fold has no ranks
    monkeypatch.setattr(constants, "FOLDS", (0, 1))
    assert summarise.summarise(jobs[:2], False) == paths
    assert "replaced" not in capsys.readouterr().out  # more folds than before: nothing is lost


def test_the_same_inputs_give_the_same_bytes_and_are_kept(jobs, patched):
    paths = summarise.summarise(jobs[:2], False)
    first = contents(paths.results)
    stamps = {path: path.stat().st_mtime_ns for path in paths.results.rglob("*.*")}
    summarise.summarise(jobs[:2], False)
    assert stamps == {path: path.stat().st_mtime_ns for path in paths.results.rglob("*.*")}
    shutil.rmtree(paths.results)
    summarise.summarise(jobs[:2], False)
    assert contents(paths.results) == first
    assert len(first) >= 10
    for fold in jobs[:2]:
        assert fold.paths.name in paths.provenance.read_text()


def contents(folder: Path) -> dict[str, bytes]:
    skipped = ("provenance.json", ".hashes.json")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in skipped
    }


def record(fold, **constants):
    return records.FoldRecord(f"x_fold{fold}", fold, constants, "")


def test_everything_behind_the_scores_counts():
    made = {"1/a": ([], "a"), "2/b": (["a"], "b"), "2/c": ([], "c"), "7/scores": (["b", "x"], "s"),
            "9/other": (["a"], "o")}  # fmt: skip
    tasks = {
        key: {"recipe": {"inputs": dict.fromkeys(inputs, "")}, "outputs": {output: ""}}
        for key, (inputs, output) in made.items()
    }
    tasks["7/scores"]["recipe"]["inputs"]["c"] = ""
    assert records.tasks_behind(tasks, ["7/scores"]) == {"1/a", "2/b", "2/c", "7/scores"}


def test_folds_of_different_constants_are_refused():
    same = [record(0, SEED=1, K=[1]), record(1, SEED=1, K=[1])]
    read_records.refuse_mixed(same)
    with pytest.raises(UserError, match=r"SEED is 1 in fold 0, 1 and 2 in fold 4.*--mix-constants"):
        read_records.refuse_mixed([*same, record(4, SEED=2, K=[1])])


def test_constants_are_read_from_the_provenance(patched, tmp_path):
    given.make_folds(tmp_path, [0])
    given.drop_methods(tmp_path, 1, given.write_fold(tmp_path, 1))
    given.evaluate(tmp_path, 1, POSITIVE_PERCENT=10)
    jobs = [given.job_of(tmp_path, fold) for fold in (0, 1)]
    with pytest.raises(UserError, match="POSITIVE_PERCENT is 5 in fold 0 and 10 in fold 1"):
        summarise.summarise(jobs, False)
    first = read_records.read_record(jobs[0].paths, ["change"])
    np.save(jobs[0].paths.setting("all") / "weight_A_score.npy", np.ones(given.N, np.float32))
    given.evaluate(tmp_path, 0)
    assert read_records.read_record(jobs[0].paths, ["change"]).digest != first.digest


def test_unknown_names_in_the_constants_are_refused(tables):
    with pytest.raises(WrongConstant, match=r"REFERENCES names 'C', which is no method.*A, B"):
        comparisons.comparison_table(tables, ["C"], ["ap"], Design(5, 9, 1))
    with pytest.raises(WrongConstant, match="COMPARED_METRICS names 'lift@7%'"):
        comparisons.comparison_table(tables, ["B"], ["lift@7%"], Design(5, 9, 1))
    with pytest.raises(WrongConstant, match="names 'exam', of which less is better"):
        comparisons.comparison_table(tables, ["B"], ["exam"], Design(5, 9, 1))


def test_unknown_names_in_the_constants_are_the_user_s_mistake(jobs):
    folds, wrong = [job.paths for job in jobs], jobs[0].constants | {"REFERENCES": ("C",)}
    with pytest.raises(UserError, match="REFERENCES names 'C'"):
        write.gather(folds, wrong)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a readable CSV"),
        (b"\xff\xfe\x00", "not a readable CSV"),
        (b"ds,fold,setting\n", "no column method, n, elapsed_s, device"),
        (b"ds,fold,setting,method,n,elapsed_s,device\nx,0,all,a/b,,long,cpu\n", "no numbers"),
    ],
)
def test_a_broken_time_table_names_the_step(tmp_path, content, said):
    paths = FoldPaths(tmp_path, "digits", 0)
    paths.results.mkdir(parents=True)
    paths.times(5).write_bytes(content)
    with pytest.raises(UserError, match=rf"exp-fl-5-5_time.csv .*{said}.*run exp-fl-5-5.py again"):
        read_tables.read_times(paths)


def test_a_lost_table_names_the_step(jobs, patched, tmp_path):
    shutil.copytree(jobs[0].paths.root, tmp_path, dirs_exist_ok=True)
    job = given.job_of(tmp_path, 0)
    job.paths.judged("curves").unlink()
    with pytest.raises(UserError, match=r"curves.csv does not exist; run exp-fl-5-7.py first"):
        summarise.summarise([job], False)
    given.evaluate(tmp_path, 0)
    assert job.paths.judged("curves").is_file()


def test_a_file_name_that_looks_like_a_formula_is_itself_again(jobs, tables):
    text = jobs[0].paths.judged("scores").read_text()
    assert "'=H_1%" in text
    assert "=H_1%" in set(tables.scores["method"])


def test_every_column_is_explained(tables, summarised, compared):
    explained = set(re.split(r", | \.\. ", ", ".join(notes.COLUMNS)))
    columns = {
        *summarised.columns,
        *compared.columns,
        *tables.scores.columns,
        *tables.times.columns,
    }
    for column in columns:
        base = re.sub(r"@.*", "", column)
        base = re.sub(r"^(corrected|wild)_.*", r"\1_", base)
        base = re.sub(r"^fold\d+$", "fold", base)
        base = re.sub(r"^(first_hit|permutation)_.*", r"\1", base)
        assert base in explained or base == "elapsed_s", column


# README


def test_the_example_in_the_readme_works_as_written(patched, tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Your own method")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code, "README.md has no python block under 'Your own method'"
    lines = [line for line in code[1].splitlines() if line.strip()]
    assert len(lines) <= 10
    given.make_folds(tmp_path, [0, 1])
    monkeypatch.chdir(tmp_path)
    exec(compile(code[1], "README.md", "exec"), {})
    written = list((FoldPaths(tmp_path, "digits", 1).results).glob("*/*_score.npy"))
    mine = [path.name for path in written if "_my_" in path.name]
    assert len(mine) == len(given.SETTINGS)
    level, name = user_method(Path(mine[0]))
    jobs = [given.evaluate(tmp_path, fold) for fold in (0, 1)]
    tables = read_tables.load([job.paths for job in jobs])
    found = tables.scores[tables.scores["method"] == name]
    assert len(found) == 2 * len(given.SETTINGS) * (2 if level == "neuron" else 1)
    assert name in set(tables.permutation["method"]) and name in set(tables.curves["method"])


@pytest.mark.parametrize(
    ("folds", "name"),
    [((), "c100_summary"), ((1,), "c100_summary_fold1"), ((0, 1), "c100_summary_fold0_1")],
)
def test_the_summary_has_a_folder_of_its_own(tmp_path, folds, name):
    paths = SummaryPaths(tmp_path, "c100", other_folds=folds)
    assert paths.results == tmp_path / "exp-fl-5" / name
    assert paths.lock.parent == tmp_path / "exp-fl-5"
