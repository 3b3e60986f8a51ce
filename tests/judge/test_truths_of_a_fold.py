"""Step 7 on one fold with several truths: which it has, what each table holds, what is left out."""

import json
import logging
import shutil

import folds_of_step7 as given
import numpy as np
import pandas as pd
import pytest

from utils import ranking
from utils.judge.names import LIFTED, NEURON, REFERENCES, WEIGHT
from utils.run.paths import FoldPaths
from utils.summary.folds import read_tables
from utils.summary.scores.layer import layer_table

CHANCE, SAMPLED = "random (expected)", "random (sampled)"
TOP = given.N // 20  # 5%
KINDS = ("scores", "stratified", "permutation", "curves", "locations", "relabelled")
REFERENCES_OF = {
    "change": {"neuron oracle", "replays (ceiling)"},
    "pooled": {"neuron oracle"},
    "repair": {"neuron oracle", "|change| x other gradient"},
}


def credit_of(seed: int) -> np.ndarray:
    """Signed, and clustered by neuron."""
    rng = np.random.default_rng([seed, 8])
    by_neuron = ranking.spread(rng.gamma(0.5, size=given.M), given.D)
    return (by_neuron * rng.normal(0.2, 1.0, given.N)).astype(np.float32)


def credits() -> dict[str, np.ndarray]:
    return {setting: credit_of(i) for i, setting in enumerate(given.SETTINGS)}


def replays_of(change: np.ndarray, count: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [change * rng.uniform(0.2, 1.8, given.N).astype(np.float32) for _ in range(count)]


def write(root, fold=0, **more):
    change = given.write_fold(root, fold)
    shutil.rmtree(FoldPaths(root, "digits", fold).results)
    whole = {"replays": replays_of(change), "credits": credits()} | more
    given.write_fold(root, fold, change, **whole)
    given.drop_methods(root, fold, change)
    return change


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        given.without_models(patch)
        patch.setenv("TQDM_DISABLE", "1")
        yield patch


@pytest.fixture(scope="module")
def job(patched, tmp_path_factory):
    """A fold with all three truths, step 7 run."""
    root = tmp_path_factory.mktemp("fold")
    write(root)
    return given.evaluate(root, 0)


@pytest.fixture
def copy(job, tmp_path):
    """The same fold, to be changed."""
    shutil.copytree(job.paths.root, tmp_path / "root")
    return tmp_path / "root"


def read(job, kind, truth="change"):
    return pd.read_csv(job.paths.judged(kind, truth))


def score(job, setting, name):
    return np.load(job.paths.setting(setting) / f"{name}_score.npy")


def top(values, k=TOP):
    return set(np.argsort(-np.asarray(values, np.float64), kind="stable")[:k])


def one(table, **wanted):
    for column, value in wanted.items():
        table = table[table[column] == value]
    table = table[table["n"].isna()] if "n" in table else table
    assert len(table) == 1, wanted
    return table.iloc[0]


def written(job) -> dict[str, bytes]:
    return {
        path.relative_to(job.paths.results).as_posix(): path.read_bytes()
        for path in job.paths.results.rglob("*")
        if path.is_file() and not path.name.endswith(("_time.csv", ".json"))
    }


# Every truth's tables


def test_every_truth_has_its_tables(job):
    columns = list(read(job, "scores"))
    assert columns[:8] == ["ds", "fold", "setting", "level", "method", "n", "n_items",
                           "n_positives"]  # fmt: skip
    for truth in ("change", "pooled", "repair"):
        assert list(read(job, "scores", truth)) == columns
        for kind in KINDS:
            assert len(read(job, kind, truth)), (kind, truth)
        assert np.load(job.paths.relabelled_lifts(truth)).shape == (
            len(read(job, "relabelled", truth)), 199,
        )  # fmt: skip


@pytest.mark.parametrize("truth", ["change", "pooled", "repair"])
def test_lifts_are_counts_against_that_truth(job, truth):
    table = read(job, "scores", truth)
    for setting in given.SETTINGS:
        gain = {
            "change": lambda: np.load(job.paths.abs_diff),
            "pooled": lambda: np.load(job.paths.pooled_change),
            "repair": lambda: credits()[setting],  # noqa: B023
        }[truth]()
        positive = top(gain)
        for method in ("A", "B", "bef"):
            hits = len(top(score(job, setting, f"weight_{method}")) & positive)
            row = one(table, setting=setting, level=WEIGHT, method=method)
            assert row["lift@5%"] == pytest.approx(hits / TOP / 0.05)
            assert row["n_positives"] == TOP
            mine = np.maximum(gain, 0, dtype=np.float64)
            found = mine[list(top(score(job, setting, f"weight_{method}")))].sum()
            assert row["mass@5%"] == pytest.approx(found / mine.sum(), rel=1e-5)


def test_a_neurons_repair_is_the_sum_of_its_credits(job):
    """Of all of them, those that hurt too: not the sum of its weights' gains."""
    table = read(job, "scores", "repair")
    bef, aft = ranking.unflatten(credits()["all"], given.M, given.D)
    sums = bef.sum(axis=1, dtype=np.float64) + aft.sum(axis=0, dtype=np.float64)
    positive = set(np.flatnonzero(sums > 0)) & top(sums, 2)  # 5% of 40
    row = one(table, setting="all", level=NEURON, method="'=H_1%")
    assert row["n_positives"] == len(positive) == 2
    scores = score(job, "all", "neuron_=H_1%").astype(np.float64)
    first, others = scores[list(positive)], np.delete(scores, list(positive))
    wins = (first[:, None] > others).mean() + 0.5 * (first[:, None] == others).mean()
    assert row["auc"] == pytest.approx(wins)
    gains = np.maximum(bef, 0).sum(axis=1) + np.maximum(aft, 0).sum(axis=0)
    assert positive != top(gains, 2)


def test_random_stands_under_every_setting_of_repair(job):
    table = read(job, "scores", "repair")
    for setting in given.SETTINGS:
        for level, n_items in ((WEIGHT, given.N), (NEURON, given.M)):
            row = one(table, setting=setting, level=level, method=CHANCE)
            assert row["n_items"] == n_items and row["lift@5%"] == pytest.approx(1)
            assert len(table[(table["setting"] == setting) & (table["method"] == SAMPLED)])
    tables = read_tables.load([job.paths], "repair")
    kept = tables.scores[tables.scores["method"] == CHANCE]
    assert set(kept["setting"]) == set(given.SETTINGS)
    # and so every AP is divided by that of its own setting's truth
    scores = tables.scores
    mine = one(scores, setting="tgt_top1", level=WEIGHT, method="A")
    chance = one(scores, setting="tgt_top1", level=WEIGHT, method=CHANCE)
    assert mine["ap/random"] == pytest.approx(mine["ap"] / chance["ap"])


def test_references_stand_where_they_belong(job):
    for truth, wanted in REFERENCES_OF.items():
        table = read(job, "scores", truth)
        rows = table[table["method"].isin(REFERENCES)]
        assert set(rows["method"]) == wanted
        assert set(rows["level"]) == {WEIGHT, LIFTED} & set(rows["level"])
        oracle = rows[rows["method"] == "neuron oracle"]
        settings = given.SETTINGS if truth == "repair" else ("all",)
        assert list(oracle["setting"]) == list(settings) and set(oracle["level"]) == {LIFTED}
        assert rows["n"].isna().all()
        for kind in ("permutation", "curves"):
            assert wanted <= set(read(job, kind, truth)["method"])
        # in no family of tests
        assert set(read(job, "relabelled", truth)["method"]) == {"A", "B", "bef", "P", "'=H_1%"}
    crossed = pd.read_csv(job.paths.specificity)
    assert set(crossed["method"]) == {"A", "B", "bef", "P", "'=H_1%"}


def test_the_ceiling_is_the_mean_of_the_replays_without_m2(job):
    changes = [np.load(job.paths.replay_change(r)) for r in (1, 2)]
    mean = np.mean(changes, axis=0, dtype=np.float64)
    hits = len(top(mean.astype(np.float32)) & top(np.load(job.paths.abs_diff)))
    row = one(read(job, "scores"), method="replays (ceiling)")
    assert row["lift@5%"] == pytest.approx(hits / TOP / 0.05) and row["level"] == WEIGHT
    assert row["setting"] == "all"


def test_the_oracle_of_repair_is_of_its_own_setting(job):
    table = read(job, "scores", "repair")
    for setting in given.SETTINGS:
        positive = np.zeros(given.N)
        positive[list(top(credits()[setting]))] = 1
        bef, aft = ranking.unflatten(positive, given.M, given.D)
        counts = bef.sum(axis=1) + aft.sum(axis=0)
        best = np.sort(counts)[::-1]
        whole, rest = divmod(TOP, 2 * given.D)
        tied = counts[counts == best[whole]].mean()
        expected = best[:whole].sum() + tied * rest / (2 * given.D)
        row = one(table, setting=setting, method="neuron oracle")
        assert row["lift@5%"] == pytest.approx(expected / TOP / 0.05)


# The verdict's part


def neuron_rows(values):
    bef, aft = ranking.unflatten(np.asarray(values, np.float64), given.M, given.D)
    return np.concatenate([bef, aft.T], axis=1)


def members(values):
    rows = np.zeros(given.N)
    rows[list(top(values))] = 1
    return neuron_rows(rows)


@pytest.mark.parametrize("truth", ["change", "repair"])
def test_relabelled_lifts_are_the_metrics_and_their_moments_those_of_draws(job, truth):
    table = read(job, "relabelled", truth)
    draws = np.load(job.paths.relabelled_lifts(truth))
    scores = read(job, "scores", truth)
    for i, row in enumerate(table.itertuples(index=False)):
        level = row.level
        found = scores[(scores["method"] == row.method) & (scores["level"] == level)]
        found = found[found["n"].isna()]
        assert row.lift == pytest.approx(found["lift@5%"].mean(), rel=1e-6)
        assert row.n_settings == len(found) and row.k == TOP
        assert np.mean(draws[i]) == pytest.approx(row.null_mean, abs=5 * row.null_sd / 199**0.5)
        assert np.std(draws[i]) == pytest.approx(row.null_sd, rel=0.35)
    gains = {
        s: np.load(job.paths.abs_diff) if truth == "change" else credits()[s]
        for s in given.SETTINGS
    }
    rng = np.random.default_rng(0)
    lifts = []
    pairs = [(members(score(job, s, "weight_A")), members(gains[s])) for s in given.SETTINGS]
    for _ in range(300):  # the same relabelling in every setting
        order = rng.permutation(given.M)
        lifts.append(np.mean([(a * b[order]).sum() / TOP / 0.05 for a, b in pairs]))
    row = one(table, method="A")
    assert np.mean(lifts) == pytest.approx(row["null_mean"], abs=5 * row["null_sd"] / 300**0.5)
    assert np.std(lifts) == pytest.approx(row["null_sd"], rel=0.25)


def test_specificity_is_every_ranking_against_every_setting(job):
    table = pd.read_csv(job.paths.specificity)
    assert list(table) == ["ds", "fold", "level", "method", "setting", "truth_setting", "lift@5%"]
    for setting in given.SETTINGS:
        for other in given.SETTINGS:
            hits = len(top(score(job, setting, "weight_A")) & top(credits()[other]))
            row = one(table, method="A", setting=setting, truth_setting=other)
            assert row["lift@5%"] == pytest.approx(hits / TOP / 0.05)
    own = read(job, "scores", "repair")
    for row in table[table["setting"] == table["truth_setting"]].itertuples(index=False):
        same = one(own, setting=row.setting, level=row.level, method=row.method)
        assert row[-1] == pytest.approx(same["lift@5%"], rel=1e-6)


def test_repair_csv_is_the_sum_of_the_credits(job):
    table = pd.read_csv(job.paths.repair_table)
    assert list(table) == ["setting", "n_test", "loss_m1", "loss_transplanted", "credit", "gap",
                           "share_helping", "credit_in_top1%"]  # fmt: skip
    assert list(table["setting"]) == list(given.SETTINGS)
    for row in table.itertuples(index=False):
        values = credits()[row.setting]
        assert np.array_equal(np.load(job.paths.repair_credit(row.setting)), values)
        total = values.sum(dtype=np.float64)
        assert row.credit == pytest.approx(total) and row.n_test == 3
        assert row.gap == pytest.approx(row.credit - (row.loss_m1 - row.loss_transplanted))
        assert row.gap == pytest.approx(-0.25 + 0.5)
        assert row.share_helping == pytest.approx(np.mean(values > 0))
        assert row[-1] == pytest.approx(np.sort(values)[-TOP:].sum(dtype=np.float64), rel=1e-6)
    layer = layer_table(table.assign(fold=0)).iloc[0]
    assert layer["share_recovered"] == pytest.approx((2 - table["loss_transplanted"][0]) / 2)


# What a fold lacks


def test_a_setting_with_too_few_failing_test_samples(patched, tmp_path, caplog):
    write(tmp_path, n_test={"tgt_top2": 1})
    with caplog.at_level(logging.INFO):
        job = given.evaluate(tmp_path, 0)
    line = "tgt_top2 has no repair truth: 1 failing test samples, 2 are needed"
    assert caplog.text.count(line) == 1
    assert not job.paths.repair_credit("tgt_top2").exists()
    assert set(read(job, "scores", "repair")["setting"]) == {"all", "tgt_top1"}
    assert set(read(job, "scores")["setting"]) == set(given.SETTINGS)
    crossed = pd.read_csv(job.paths.specificity)
    assert set(crossed["setting"]) == set(given.SETTINGS)
    assert set(crossed["truth_setting"]) == {"all", "tgt_top1"}
    rows = read(job, "relabelled", "repair")
    assert one(rows, method="A")["n_settings"] == 2
    assert one(read(job, "relabelled"), method="A")["n_settings"] == 3


def test_a_credit_that_is_nowhere_positive_is_left_out(patched, tmp_path, caplog):
    write(tmp_path, credits=credits() | {"tgt_top1": -np.abs(credit_of(1))})
    job = given.evaluate(tmp_path, 0)
    lines = [x.getMessage() for x in caplog.records if "credit" in x.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("tgt_top1/repair_credit.npy is no truth: no positive")
    assert set(read(job, "scores", "repair")["setting"]) == {"all", "tgt_top2"}
    table = pd.read_csv(job.paths.repair_table)
    assert one(table, setting="tgt_top1")["share_helping"] == 0
    assert one(table, setting="tgt_top1")["credit"] < 0


@pytest.mark.parametrize(
    "worst", [np.full(given.N, -1.0), np.zeros(given.N), np.ones(given.N)],
    ids=["hurts everywhere", "does nothing", "ties everywhere"],
)  # fmt: skip
def test_without_all_there_is_no_repair_truth(patched, tmp_path, caplog, worst):
    """It would have no curves, no places and no permutation tests."""
    write(tmp_path, credits=credits() | {"all": worst})
    job = given.evaluate(tmp_path, 0)
    assert "no truth 'repair': it has no positive weight under 'all'" in caplog.text
    assert not job.paths.judged("scores", "repair").exists()
    assert not job.paths.specificity.exists()
    assert len(read(job, "scores")) and len(read(job, "scores", "pooled"))


def test_without_a_test_split_and_replays_the_change_is_compared(patched, tmp_path, caplog):
    write(tmp_path, credits=None, replays=())
    with caplog.at_level(logging.INFO):
        job = given.evaluate(tmp_path, 0)
    assert "no truth 'pooled': it needs replays" in caplog.text
    assert "no truth 'repair': it needs failing samples of the test split" in caplog.text
    assert "no reference 'optimizer step'" in caplog.text
    names = {path.name for path in job.paths.results.glob("exp-fl-5-7_*")}
    assert not [name for name in names if "pooled" in name or "repair" in name]
    assert set(read(job, "scores")["method"]) & set(REFERENCES) == {"neuron oracle"}


def test_a_pooled_truth_that_ties_everywhere_is_left_out(patched, tmp_path, caplog):
    change = np.random.default_rng(0).permutation(given.N).astype(np.float32)
    given.write_fold(tmp_path, 0, change, replays=[given.N - change])
    given.drop_methods(tmp_path, 0, change)
    paths = FoldPaths(tmp_path, "digits", 0)
    job = given.evaluate(tmp_path, 0)
    assert "pooled_abs_diff.npy is no truth" in caplog.text
    assert not paths.judged("scores", "pooled").exists() and len(read(job, "scores"))


def test_the_change_alone(job, copy):
    """TRUTHS names one: the others' tables that are made together with it go, the rest stays."""
    changed = given.evaluate(copy, 0, TRUTHS=("change",))
    before, after = written(job), written(changed)
    assert not {name for name in after if "specificity" in name or "relabelled_" in name}
    same = {name for name in after if name in before and "relabelled" not in name}
    assert all(after[name] == before[name] for name in same)
    assert after["exp-fl-5-7_relabelled.csv"] == before["exp-fl-5-7_relabelled.csv"]
    given.evaluate(copy, 0)
    assert written(changed) == before


# Run again


def test_run_again_nothing_is_made(job, copy):
    before = {p: p.stat().st_mtime_ns for p in copy.rglob("*.*") if p.suffix in (".npy", ".csv")}
    given.evaluate(copy, 0)
    after = {p: p.stat().st_mtime_ns for p in copy.rglob("*.*") if p.suffix in (".npy", ".csv")}
    assert {p.name for p in after if after[p] != before.get(p)} <= {"exp-fl-5-7_time.csv"}


@pytest.mark.parametrize(
    "lost",
    ["all/neuron_oracle_score.npy", "tgt_top1/repair_credit.npy", "ground_truth/repair.csv",
     "exp-fl-5-7_relabelled_pooled.npy", "exp-fl-5-7_specificity.csv",
     "exp-fl-5-7_curves_repair.csv", "exp-fl-5-7_stratified_pooled.csv"],
)  # fmt: skip
def test_what_is_lost_is_made_again(job, copy, lost):
    changed = given.job_of(copy, 0)
    (changed.paths.results / lost).unlink()
    given.evaluate(copy, 0)
    assert written(changed) == written(job)


def test_a_setting_that_has_no_credit_any_more_leaves_nothing(copy, caplog):
    paths = FoldPaths(copy, "digits", 0)
    np.save(copy / "given" / paths.name / "tgt_top2.npy", credit_of(7))
    given.give_credits(paths, given.Ledger(paths, 3, given.job_of(copy, 0).constants, {}), {})
    rewrite_settings(copy, tgt_top1=1)
    job = given.evaluate(copy, 0)
    assert not paths.repair_credit("tgt_top1").exists()
    assert set(read(job, "scores", "repair")["setting"]) == {"all", "tgt_top2"}
    assert set(pd.read_csv(paths.specificity)["truth_setting"]) == {"all", "tgt_top2"}
    assert list(pd.read_csv(paths.repair_table)["setting"]) == ["all", "tgt_top2"]


def rewrite_settings(root, **sizes):
    """Step 2 again, with other numbers of failing test samples."""
    job = given.job_of(root, 0)
    ledger = given.Ledger(job.paths, 2, job.constants, {})
    table = pd.read_csv(job.paths.settings)
    with ledger.task("misclf_info") as task:
        for i, row in table.iterrows():
            size = sizes.get(row["setting"], 3)
            table.loc[i, "n_neg_test"] = size
            task.save_array(job.paths.neg_test(row["setting"]), np.arange(size))
        task.save_table(job.paths.settings, table)


def test_the_line_about_missing_positives_is_said_once(patched, tmp_path, caplog):
    few = np.where(np.arange(given.N) < 10, credit_of(0), np.float32(0))
    few[:3] = 1 + np.arange(3)
    write(tmp_path, credits=credits() | {"all": few})
    given.evaluate(tmp_path, 0)
    lines = [x.getMessage() for x in caplog.records if "R is " in x.getMessage()]
    assert len([x for x in lines if x.startswith("all/repair_credit.npy: ")]) == len(lines) > 0
    assert len(set(lines)) == len(lines)


def test_truths_of_two_folds_and_of_other_constants_are_not_mixed_up(patched, tmp_path):
    """In one process, one after the other."""
    for fold in (0, 1):
        write(tmp_path, fold)
    for percent in (5, 10):
        for fold in (0, 1):
            job = given.evaluate(tmp_path, fold, POSITIVE_PERCENT=percent)
            table = one(read(job, "scores"), setting="all", level=WEIGHT, method="A")
            assert table["n_positives"] == given.N * percent // 100
            positive = top(np.load(job.paths.abs_diff), given.N * percent // 100)
            hits = len(top(score(job, "all", "weight_A")) & positive)
            assert table["precision@5%"] == pytest.approx(hits / TOP)


# More of a user's


def test_several_budgets_by_every_truth(patched, tmp_path):
    write(tmp_path)
    job = given.evaluate(tmp_path, 0, given.arguments(n=[1, 2]))
    for truth in ("change", "pooled", "repair"):
        table = read(job, "scores", truth)
        mine = table[(table["method"] == "A") & (table["setting"] == "all")]
        assert sorted(mine["n"].dropna()) == [1, 2]
        assert mine.loc[mine["n"].isna(), "precision@n"].isna().all()
        positive = top(
            {"change": np.load(job.paths.abs_diff), "pooled": np.load(job.paths.pooled_change),
             "repair": credits()["all"]}[truth]
        )  # fmt: skip
        for n in (1, 2):
            first = top(score(job, "all", "weight_A"), 8 * n * n)
            row = mine[mine["n"] == n].iloc[0]
            assert row["precision@n"] == pytest.approx(len(first & positive) / (8 * n * n))
        tables = read_tables.load([job.paths], truth)
        assert {"precision@n=1", "precision@n=2"} <= set(tables.scores)


def test_a_file_in_some_settings_is_compared_where_it_is(patched, tmp_path, caplog):
    write(tmp_path)
    np.save(
        tmp_path / "exp-fl-5" / "digits_fold0" / "tgt_top2" / "weight_Q_score.npy",
        credits()["tgt_top2"],
    )
    job = given.evaluate(tmp_path, 0)
    assert "Q (weight) has no file in 2 of 3 settings (all, tgt_top1)" in caplog.text
    row = one(read(job, "scores", "repair"), method="Q", level=WEIGHT)
    assert row["lift@5%"] == pytest.approx(20) and row["setting"] == "tgt_top2"
    assert one(read(job, "relabelled", "repair"), method="Q")["n_settings"] == 1
    crossed = pd.read_csv(job.paths.specificity)
    assert set(crossed.loc[crossed["method"] == "Q", "setting"]) == {"tgt_top2"}
    assert "Q" not in set(read(job, "curves", "repair")["method"])


def test_provenance_says_what_each_truth_was_made_from(job):
    tasks = json.loads(job.paths.provenance.read_text())["tasks"]
    assert "ground_truth/pooled_abs_diff.npy" in tasks["7/scores/pooled"]["recipe"]["inputs"]
    inputs = tasks["7/scores/repair"]["recipe"]["inputs"]
    assert {f"{s}/repair_credit.npy" for s in given.SETTINGS} <= set(inputs)
    assert "utils.judge.references.fold" in tasks["7/scores/repair"]["recipe"]["code"]
    credit = tasks["7/all/repair_credit"]["recipe"]["inputs"]
    assert {"checkpoint M1", "FFN of M2", "misclf_info/all_neg_test.npy"} <= set(credit)
