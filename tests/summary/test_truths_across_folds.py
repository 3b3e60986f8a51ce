"""The summary of folds with several truths: golden methods, references, words from files alone."""

import re
import shutil

import folds_of_step7 as given
import numpy as np
import pandas as pd
import pytest

from utils import ranking
from utils.errors import UserError
from utils.judge.names import LIFTED, REFERENCES, WEIGHT
from utils.run.paths import FoldPaths
from utils.summary.figures import catalogue
from utils.summary.folds import read_records
from utils.summary.scores import overview, summarise
from utils.summary.scores.layer import in_words

TRUTHS = ("change", "pooled", "repair")
SMALLEST = 1 / 200  # 199 relabellings
# Many positives: of few, none found is no wonder.
CONSTANTS = {
    "POSITIVE_PERCENT": 20,
    "K_PERCENTS": (5, 20),
    "COMPARED_METRICS": ("lift@20%", "ap/random"),
}


def credit_of(fold: int, setting: str) -> np.ndarray:
    """Clustered by neuron; what two settings share is the neurons, not the weights."""
    by_fold = np.random.default_rng([fold, 3])
    neurons = ranking.spread(by_fold.gamma(0.5, size=given.M), given.D)
    rng = np.random.default_rng([fold, given.SETTINGS.index(setting), 4])
    return (neurons * rng.gamma(0.5, size=given.N) * rng.choice([-1, 1], given.N)).astype("f4")


def write(root, fold: int, whole: bool = True) -> None:
    """Methods `is_change` and `is_credit` are a truth; `not_` is its reverse; B is noise."""
    change = given.write_fold(root, fold)
    shutil.rmtree(FoldPaths(root, "digits", fold).results)
    rng = np.random.default_rng([fold, 5])
    replay = (change * rng.uniform(0.5, 1.5, given.N)).astype(np.float32)
    credits = {setting: credit_of(fold, setting) for setting in given.SETTINGS}
    given.write_fold(root, fold, change, [replay] if whole else (), credits if whole else None)
    given.drop_methods(root, fold, change)
    for setting in given.SETTINGS:
        folder = FoldPaths(root, "digits", fold).setting(setting)
        for name, values in (("change", change), ("credit", credits[setting])):
            np.save(folder / f"weight_is_{name}_score.npy", values)
            np.save(folder / f"weight_not_{name}_score.npy", -values)


def no_figures(*_):
    """test_summary_figures.py and test_truth_figures.py look at all of them."""
    return iter(())


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        given.without_models(patch)
        patch.setattr(catalogue, "every_figure", no_figures)
        patch.setenv("TQDM_DISABLE", "1")
        yield patch


@pytest.fixture(scope="module")
def jobs(patched, tmp_path_factory):
    root = tmp_path_factory.mktemp("folds")
    for fold in range(3):
        write(root, fold)
    return [given.evaluate(root, fold, **CONSTANTS) for fold in range(3)]


@pytest.fixture(scope="module")
def paths(jobs):
    return summarise.summarise(jobs, False)


@pytest.fixture(scope="module")
def verdict(paths):
    return pd.read_csv(paths.table("verdict"))


def by_method(verdict, truth):
    rows = verdict[(verdict["truth"] == truth) & (verdict["level"] == WEIGHT)]
    return rows.set_index("method")


# The golden methods


@pytest.mark.parametrize("truth", TRUTHS)
def test_the_truth_and_its_reverse_are_at_both_ends(verdict, truth):
    rows = by_method(verdict, truth)
    name = "credit" if truth == "repair" else "change"
    best, worst, noise = (rows.loc[m] for m in (f"is_{name}", f"not_{name}", "B"))
    if truth != "pooled":
        assert best["lift"] == pytest.approx(5)  # a fifth of the weights, every one of them
        assert rows["lift"].idxmax() == f"is_{name}"
    assert worst["lift"] < 0.1 and best["z"] > 5 and worst["z"] < -3
    for end in (best, worst):
        assert end["p"] == end["p_adjusted"] == pytest.approx(SMALLEST)
    assert noise["p_adjusted"] > 0.05 and abs(noise["z"]) < 3
    assert (rows["n_folds"] == 3).sum() == len(rows) - 1 and rows.loc["P", "n_folds"] == 2
    assert (rows["k"] == 128).all()


def test_a_method_of_one_truth_is_no_method_of_the_other(verdict):
    change, repair = by_method(verdict, "change"), by_method(verdict, "repair")
    assert change.loc["is_credit", "p_adjusted"] > 0.05
    assert repair.loc["is_change", "p_adjusted"] > 0.05


def test_references_are_in_no_family(paths, verdict):
    summary, compared = (pd.read_csv(paths.table(n)) for n in ("summary", "comparisons"))
    assert not set(verdict["method"]) & set(REFERENCES)
    assert not set(compared["method"]) & set(REFERENCES)
    assert {"neuron oracle", "replays (ceiling)"} <= set(summary["method"])
    assert not set(pd.read_csv(paths.table("overview"))["method"]) & set(REFERENCES)


def test_the_lift_of_the_verdict_is_that_of_the_summary(paths, verdict):
    summary = pd.read_csv(paths.table("summary"))
    lifts = summary[summary["metric"] == "lift@20%"]
    lifts = lifts.set_index(["truth", "level", "method"])["mean"]
    for row in verdict.itertuples(index=False):
        assert row.lift == pytest.approx(lifts[row.truth, row.level, row.method], rel=1e-6)
    ceiling = lifts["change", WEIGHT, "replays (ceiling)"]
    for row in by_method(verdict, "change").itertuples():
        assert row.share_of_ceiling == pytest.approx((row.lift - 1) / (ceiling - 1))
        oracle = lifts["change", LIFTED, "neuron oracle"]
        assert row.share_of_neuron_oracle == pytest.approx((row.lift - 1) / (oracle - 1))
    assert by_method(verdict, "repair")["share_of_ceiling"].isna().all()


def test_specificity_tells_own_weights_from_any(paths):
    table = pd.read_csv(paths.table("overview")).set_index("method")
    assert table.loc["is_credit", "specificity"] > 2
    assert abs(table.loc["B", "specificity"]) < 0.3
    assert np.isnan(table.loc["'=H_1%", "specificity"])  # one ranking for all settings


def test_every_setting_of_repair_has_its_own_chance(paths):
    """So a method is compared with it setting by setting."""
    compared = pd.read_csv(paths.table("comparisons"))
    rows = compared[(compared["reference"] == "random") & (compared["metric"] == "lift@20%")]
    repair = rows[(rows["truth"] == "repair") & (rows["level"] == WEIGHT)].set_index("method")
    assert (repair["n_settings"] == 3).all()
    assert repair.loc["is_credit", "mean"] == pytest.approx(4)


# Words


def rebuilt(paths) -> list[str]:
    """The sentences from the summary's files and nothing else."""
    verdict = pd.read_csv(paths.table("verdict"), keep_default_na=False, na_values=[""])
    verdict["method"] = verdict["method"].str.removeprefix("'")
    summary = pd.read_csv(paths.table("summary"))
    ends = summary[
        (summary["metric"] == "lift@20%")
        & summary["method"].isin(["replays (ceiling)", "neuron oracle"])
    ]
    order = ["replays (ceiling)", "neuron oracle"]
    ends = ends.sort_values("method", key=lambda names: names.map(order.index), kind="stable")
    ends = ends.rename(columns={"mean": "lift"})[["truth", "method", "lift"]]
    truths, layer = (pd.read_csv(paths.table(name)) for name in ("truths", "layer"))
    said = overview.sentences(verdict, ends, truths, "20%", values_of(verdict, summary), 5)
    return [*said, *in_words(layer)]


def values_of(verdict, summary) -> dict[str, pd.DataFrame]:
    """Each truth's lifts, (folds, methods), of the methods that the verdict has."""
    found = {}
    for truth, rows in verdict.groupby("truth", sort=False):
        lifts = summary[(summary["truth"] == truth) & (summary["metric"] == "lift@20%")]
        lifts = lifts.assign(method=lifts["method"].str.removeprefix("'"))
        by_method = lifts.set_index(["level", "method"]).filter(regex=r"^fold\d+$").T
        found[truth] = by_method[list(zip(rows["level"], rows["method"], strict=True))]
    return found


def test_the_sentences_hold_only_numbers_of_files(paths, jobs):
    said, _, notes = paths.notes.read_text(encoding="utf-8").partition("\n\n")
    first, *lines = said.splitlines()
    assert first.startswith("Which truth predicts repair? Not known yet: run exp-fl-5-10.py")
    assert lines == rebuilt(paths)
    assert summarise.finding(paths, jobs[0].constants).strip().startswith(said)
    assert len(said.splitlines()) == 1 + 3 + 3 + 1 and notes


def test_the_sentences_say_what_the_tables_say(paths, verdict):
    said = paths.notes.read_text(encoding="utf-8").split("\n\n")[0].splitlines()[1:]
    for truth, line in zip(TRUTHS, said, strict=False):
        rows = verdict[verdict["truth"] == truth]
        told = rows[rows["p_adjusted"] <= 0.05]
        above, below = (told["z"] > 0).sum(), (told["z"] < 0).sum()
        verb, be = "beats" if above == 1 else "beat", "is" if below == 1 else "are"
        assert line.startswith(
            f"By '{truth}', {above} of {len(rows)} methods {verb} chance in these models and "
            f"{below} {be} below it (p <= 0.05 adjusted over methods)."
        )
        best = rows.loc[rows["lift"].idxmax()]
        assert f"Best: {best['method']}, lift@20% {best['lift']:.2f}; not told apart: " in line
        times = best["lift"] / best["null_mean"]
        assert f"That lift is {times:.1f} times the {best['null_mean']:.2f} that trading" in line
    share = verdict.set_index(["truth", "method"]).loc[("change", "is_change"), "share_of_ceiling"]
    assert f"{100 * share:.0f}% of the way from chance to the ceiling" in said[0]
    assert not re.search("ceiling", said[2])
    layer = pd.read_csv(paths.table("layer"))
    share = f"({100 * layer['share_recovered'].mean():.0f}% of it, mean over folds)"
    assert said[-1].endswith(f" to {layer['loss_transplanted'].mean():.2f} {share}.")


def test_the_table_on_the_terminal_is_the_overview(paths, jobs):
    text = summarise.finding(paths, jobs[0].constants)
    table = pd.read_csv(paths.table("overview"))
    truths, head, *rows = text.partition("lift@20% by each truth. ")[2].split("\n")[1:]
    assert [truths.split(), head.split()] == [
        [*TRUTHS, "of", "ceiling", "specificity"],
        ["method", *3 * ["lift", "traded", "95%", "p", "#"], "(change)", "(repair)", "seconds"],
    ]
    ends = [found.end() for found in re.finditer("lift", head)]
    assert ends == [truths.index(f" {truth} ") + 1 + len(truth) for truth in TRUTHS]
    assert len(rows) == len(table)
    for line, row in zip(rows, table.to_dict("records"), strict=True):
        for truth in TRUTHS:
            assert f" {row[f'lift {truth}']:.2f} " in line
            assert f" {row[f'place {truth}']:g} " in line


# Folds that lack a truth


@pytest.fixture(scope="module")
def uneven(patched, tmp_path_factory):
    """Fold 1 has neither replays nor a test split."""
    root = tmp_path_factory.mktemp("uneven")
    for fold in range(3):
        write(root, fold, whole=fold != 1)
    return [given.evaluate(root, fold, **CONSTANTS) for fold in range(3)]


def test_a_fold_without_a_truth_is_named(uneven):
    paths = summarise.summarise(uneven, False)
    said = paths.notes.read_text(encoding="utf-8")
    for truth in ("pooled", "repair"):
        assert f"Fold 1 has no truth '{truth}': what is said by it is of the others." in said
    assert "Fold 1 has no truth 'change'" not in said
    verdict = pd.read_csv(paths.table("verdict"))
    folds = {truth: by_method(verdict, truth).loc["B", "n_folds"] for truth in TRUTHS}
    assert folds == {"change": 3, "pooled": 2, "repair": 2}
    summary = pd.read_csv(paths.table("summary")).set_index(["truth", "metric", "method"])
    row = summary.loc[("repair", "lift@20%", "B")]
    assert np.isnan(row["fold1"]) and row["n_folds"] == 2
    assert list(pd.read_csv(paths.table("layer"))["fold"]) == [0, 2]
    assert "fold1" in pd.read_csv(paths.table("times"))  # of all folds


def test_where_no_fold_has_it_a_truth_is_not_spoken_of(uneven):
    paths = summarise.summarise(uneven[1:2], False)
    assert set(pd.read_csv(paths.table("verdict"))["truth"]) == {"change"}
    assert len(pd.read_csv(paths.table("truths"))) == 0
    assert not paths.table("layer").exists()
    said = paths.notes.read_text(encoding="utf-8")
    assert "no truth 'repair'" not in said and "Does the layer matter" not in said


# What lies behind the tables


def test_constants_of_every_truth_are_compared(patched, tmp_path):
    """The draws of the verdict are no constant of the scores, and count as well."""
    for fold in (0, 1):
        write(tmp_path, fold)
        given.evaluate(tmp_path, fold, **CONSTANTS, PERMUTATION_DRAWS=199 if fold else 99)
    jobs = [given.job_of(tmp_path, fold, **CONSTANTS) for fold in (0, 1)]
    with pytest.raises(UserError, match=r"PERMUTATION_DRAWS is 99 in fold 0 and 199 in fold 1"):
        summarise.summarise(jobs, False)
    paths = summarise.summarise(jobs, True)
    verdict = pd.read_csv(paths.table("verdict"))
    assert by_method(verdict, "change").loc["is_change", "p"] == pytest.approx(1 / 100)


def test_the_record_is_of_every_truth(patched, tmp_path, jobs):
    root = shutil.copytree(jobs[0].paths.root, tmp_path / "root")
    job = given.job_of(root, 0, **CONSTANTS)
    first = read_records.read_record(job.paths, TRUTHS)
    alone = read_records.read_record(job.paths, ["change"])
    given_credit = root / "given" / job.paths.name / "tgt_top1.npy"
    np.save(given_credit, -np.load(given_credit))
    job.paths.repair_credit("tgt_top1").unlink()
    given.evaluate(root, 0, **CONSTANTS)
    assert read_records.read_record(job.paths, TRUTHS).digest != first.digest
    scores = read_records.read_record(job.paths, ["change"])
    assert scores.constants == alone.constants


def test_folds_of_different_settings_are_no_other_experiment(patched, tmp_path):
    """Which settings a fold has, and how many replays, is not chosen by a constant."""
    for fold in (0, 1):
        change = given.write_fold(tmp_path, fold)
        shutil.rmtree(FoldPaths(tmp_path, "digits", fold).results)
        replays = [change[::-1].copy()] * (1 + fold)
        credits = {setting: credit_of(fold, setting) for setting in given.SETTINGS}
        n_test = {"tgt_top2": 1} if fold else {}
        given.write_fold(tmp_path, fold, change, replays, credits, n_test)
        given.drop_methods(tmp_path, fold, change)
        given.evaluate(tmp_path, fold, **CONSTANTS)
    jobs = [given.job_of(tmp_path, fold, **CONSTANTS) for fold in (0, 1)]
    assert summarise.summarise(jobs, False).table("verdict").is_file()


def test_a_lost_table_of_a_truth_names_the_step(jobs, tmp_path):
    root = shutil.copytree(jobs[0].paths.root, tmp_path / "root")
    job = given.job_of(root, 0, **CONSTANTS)
    job.paths.judged("curves", "repair").unlink()
    with pytest.raises(UserError, match=r"curves_repair.csv does not exist; run exp-fl-5-7.py"):
        summarise.summarise([job], False)
    shutil.rmtree(job.paths.results)
    with pytest.raises(UserError, match=r"scores.csv does not exist; run exp-fl-5-7.py"):
        summarise.summarise([job], False)


def test_the_summary_of_truths_repeats_to_the_byte(jobs, paths, tmp_path):
    root = shutil.copytree(jobs[0].paths.root, tmp_path / "root")
    before = {p.relative_to(root): p.read_bytes() for p in root.rglob("digits_summary*/*.*")}
    (folder,) = {(root / name).parent for name in before}
    shutil.rmtree(folder)
    summarise.summarise([given.job_of(root, fold, **CONSTANTS) for fold in range(3)], False)
    after = {p.relative_to(root): p.read_bytes() for p in root.rglob("digits_summary*/*.*")}
    timed = ("provenance.json", ".hashes.json")
    assert {k: v for k, v in after.items() if k.name not in timed} == {
        k: v for k, v in before.items() if k.name not in timed
    }
