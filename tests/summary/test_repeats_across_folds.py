"""Folds of several repeats: the corrected variance, a bootstrap of two levels, what is said."""

import itertools
import json
import math
import re

import folds_of_step7 as given
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import repeats as simulation
from utils import constants
from utils.data.repeats import repeats_of
from utils.summary import across_folds, bootstrap, fold_tables, notes, statistics, summarise
from utils.summary.bootstrap import reflated_residuals, spread, variances, wild_cluster_interval
from utils.summary.figures import catalogue

SIX = [s * math.sqrt(x) for s in (-1, 1) for x in (0.5, 1, 1.5)]
UNEVEN = np.array([0, 0, 1])


def member_of(repeats):
    return (np.asarray(repeats)[:, None] == np.unique(repeats)).astype(float)


# -- the corrected variance --------------------------------------------------------------------


def test_two_repeats_of_three_folds_by_hand():
    """1, 2, 3, 4, 5, -3: mean 2, s² 40/5 = 8, factor 1/6 + 1/2, standard error √(16/3)."""
    found = statistics.nadeau_bengio(np.array([1.0, 2, 3, 4, 5, -3]), 3)
    assert found.t == pytest.approx(math.sqrt(3) / 2)
    assert found.p == pytest.approx(2 * stats.t.sf(math.sqrt(3) / 2, 5))
    half = 2.5705818 * math.sqrt(16 / 3)  # the 97.5% point of t with 5 degrees of freedom
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))


@pytest.mark.parametrize(("k", "folds"), [(5, 20), (5, 7), (3, 9), (10, 11)])
def test_the_factor_is_exact_where_any_two_folds_correlate_by_one_in_k(k, folds):
    """Var(mean) over E[s²] of any number of folds, from their covariances."""
    covariance = np.full((folds, folds), 1 / k) + (1 - 1 / k) * np.eye(folds)
    centring = np.eye(folds) - 1 / folds
    mean_square = np.trace(centring @ covariance) / (folds - 1)
    factor = covariance.sum() / folds**2 / mean_square
    values = np.random.default_rng(folds).normal(0.4, 1, folds)
    t = values.mean() / math.sqrt(factor * values.var(ddof=1))
    assert statistics.nadeau_bengio(values, k).t == pytest.approx(t)


def test_no_number_of_repeats_takes_the_shared_data_away():
    values = np.tile([0.2, 0.5, 0.1, 0.4, 0.3], 200)
    found = statistics.nadeau_bengio(values, 5)
    limit = stats.norm.ppf(0.975) * values.std() / 2  # √(1/(5 - 1))
    assert found.high - found.low == pytest.approx(2 * limit, rel=0.01)
    plain = statistics.paired_t(values)
    assert plain.high - plain.low < 0.1 * (found.high - found.low)


def test_methods_are_told_apart_by_the_corrected_test_in_repeats():
    rng = np.random.default_rng(6)
    table = pd.DataFrame(rng.normal([0, 0.5, 0.5], 0.5, (10, 3)), columns=list("xyz"))
    matrix = statistics.pairwise_holm(table, 5)
    raw = [
        statistics.nadeau_bengio((table[i] - table[j]).to_numpy(), 5).p
        for i, j in (("x", "y"), ("x", "z"), ("y", "z"))
    ]
    expected = statistics.holm(np.array(raw))
    found = [matrix.loc[i, j] for i, j in (("x", "y"), ("x", "z"), ("y", "z"))]
    assert found == pytest.approx(expected)
    assert (statistics.pairwise_holm(table).to_numpy() <= matrix.to_numpy() + 1e-12).all()


# -- the bootstrap -----------------------------------------------------------------------------


def test_variances_of_two_levels_by_hand():
    """1, 3 and 4, 8: mean squares 16 between and 5 inside, so (16 - 5)/2 between repeats."""
    values, member = np.array([1.0, 3, 4, 8]), member_of([0, 0, 1, 1])
    between, inside = variances(values, member)
    assert (between, inside) == pytest.approx((5.5, 5))
    assert spread(values, member) == pytest.approx(4)  # √16: of whole repeats alone
    outer, inner = reflated_residuals(values, member)
    assert outer.tolist() == pytest.approx([-math.sqrt(5.5), math.sqrt(5.5)])
    assert inner.tolist() == pytest.approx(np.sqrt(2) * np.array([-1, 1, -2, 2]))


def test_repeats_that_agree_leave_the_folds_alone():
    values, member = np.array([1.0, 3, 1, 3]), member_of([0, 0, 1, 1])
    assert variances(values, member)[0] == 0
    assert spread(values, member) == pytest.approx(math.sqrt(2))
    assert reflated_residuals(values, member)[0].tolist() == [0, 0]


def slow_error(values, repeats):
    """Standard error of a mean of two levels, written out for repeats of any size."""
    groups = [values[repeats == r] for r in np.unique(repeats)]
    total, count = len(values), len(groups)
    inside = sum(((g - g.mean()) ** 2).sum() for g in groups) / (total - count)
    between = sum(len(g) * (g.mean() - values.mean()) ** 2 for g in groups) / (count - 1)
    size = (total - sum(len(g) ** 2 for g in groups) / total) / (count - 1)
    component = max(between - inside, 0) / size
    return math.sqrt(inside / total + component * sum(len(g) ** 2 for g in groups) / total**2)


def test_the_interval_is_that_of_every_weight_vector():
    """Two repeats, of two folds and of one: all 6^5 vectors, one by one."""
    means = np.array([0.9, 0.1, -0.6])
    centres = np.array([0.5, 0.5, -0.6])
    outer, inner = centres - means.mean(), means - centres
    square = max((2 * 0.5**2 + 0.6**2 - 3 * means.mean() ** 2) - 0.32, 0) / (3 - 5 / 3)
    outer *= math.sqrt(square / ((outer[0] ** 2 + outer[2] ** 2) / 2))
    inner *= math.sqrt(0.32 / (inner**2).mean())
    ts = []
    for v in itertools.product(SIX, repeat=5):
        value = np.array([v[3], v[3], v[4]]) * outer + np.array(v[:3]) * inner
        error = slow_error(value, UNEVEN)
        ts.append(abs(value.mean()) / error if error > 1e-12 * abs(value.mean()) else math.inf)
    low, high = wild_cluster_interval(means[:, None], level=0.8, repeats=UNEVEN)
    assert (low + high) / 2 == pytest.approx(means.mean())
    critical = (high - low) / 2 / slow_error(means, UNEVEN)
    assert np.mean(np.array(ts) >= critical * (1 - 1e-6)) > 0.2
    assert np.mean(np.array(ts) >= critical * (1 + 1e-6)) <= 0.2


@pytest.mark.parametrize("folds", [5, 9])
def test_one_repeat_has_the_bytes_of_the_bootstrap_without_repeats(folds):
    means = np.random.default_rng(folds).normal(0.3, 1, folds)
    weights = bootstrap.webb_weights(folds, 499, 7)
    values = weights * (means - means.mean())
    t = np.abs(values.mean(axis=1)) / (values.std(axis=1, ddof=1) / math.sqrt(folds))
    critical = np.sort(t)[math.ceil(0.95 * (len(t) - 1))]
    half = critical * means.std(ddof=1) / math.sqrt(folds)
    expected = (means.mean() - half, means.mean() + half)
    for repeats in (None, np.full(folds, 3), np.arange(folds)):
        assert wild_cluster_interval(means[:, None], 0.95, 499, 7, repeats) == expected


def test_repeats_that_differ_widen_the_interval():
    repeats = np.repeat(np.arange(4), 5)
    rng = np.random.default_rng(3)
    means = 2.0 * np.array([-1, 0.5, 1, -0.5])[repeats] + rng.normal(size=20)

    def width(*repeats):
        low, high = wild_cluster_interval(means[:, None], 0.95, 999, 7, *repeats)
        return high - low

    assert width(repeats) > 1.8 * width()


def test_a_fold_without_a_value_is_left_out_with_its_repeat():
    table = np.array([[0.9], [0.1], [np.nan], [-0.6]])
    expected = wild_cluster_interval(table[[0, 1, 3]], repeats=UNEVEN)
    assert wild_cluster_interval(table, repeats=np.array([0, 0, 1, 1])) == expected


# -- the simulation ----------------------------------------------------------------------------


def test_the_simulated_folds_share_what_folds_share():
    rng = np.random.default_rng(1)
    held = simulation.splits(rng, 5, 2)
    assert held[:5].sum(axis=0).tolist() == held[5:].sum(axis=0).tolist() == [1] * 200
    draws = np.array([simulation.results(rng, 5, 2, (1, 0, 0, 0)) for _ in range(3000)])
    correlation = np.corrcoef(draws.T)
    assert draws.var() == pytest.approx(1, abs=0.05)
    assert correlation[0, 1] == pytest.approx(3 / 4, abs=0.03)
    assert correlation[0, 5:].mean() == pytest.approx(4 / 5, abs=0.03)
    tested = np.array([simulation.results(rng, 5, 2, (0, 1, 0, 0)) for _ in range(3000)])
    assert np.corrcoef(tested.T)[0, 5:].mean() == pytest.approx(1 / 5, abs=0.03)


def test_only_the_corrected_interval_survives_repeats():
    row = simulation.measure(5, 4, "held-out items alone", replicates=200)
    assert row["coverage_t"] < 0.75
    assert row["coverage_corrected"] > 0.9


# -- the summary -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """Two repeats of two folds, on which step 7 has run."""
    with pytest.MonkeyPatch.context() as patch:
        given.without_models(patch)
        patch.setattr(catalogue, "every_figure", lambda *given: iter(()))
        patch.setattr(constants, "FOLDS", (0, 1, 2, 3))
        patch.setattr(constants, "N_FOLDS", 2)
        patch.setattr(constants, "REPEATS", 2)
        patch.setenv("TQDM_DISABLE", "1")
        jobs = given.make_folds(tmp_path_factory.mktemp("folds"), range(4))
        summarise.summarise(jobs, False)
        yield jobs


@pytest.fixture(scope="module")
def tables(jobs):
    return fold_tables.load([job.paths for job in jobs])


def test_the_tables_count_folds_by_repeat(tables):
    summary = across_folds.summary_table(tables, ["lift@5%"], 2)
    found = summary[(summary["metric"] == "lift@5%") & (summary["method"] == "A")].iloc[0]
    values = found[["fold0", "fold1", "fold2", "fold3"]].to_numpy(float)
    expected = statistics.nadeau_bengio(values, 2)
    assert (found["corrected_low"], found["corrected_high"]) == (expected.low, expected.high)
    # 1/4 + 1/(2 - 1) in place of 1/4
    stretch = (found["corrected_high"] - found["mean"]) / (found["high"] - found["mean"])
    assert stretch == pytest.approx(math.sqrt(5))


def test_comparisons_know_the_repeats(tables):
    table = across_folds.comparison_table(tables, ("B",), ["lift@5%"], 2, 99, 777)
    found = table[table["method"] == "A"].iloc[0]
    values = found[["fold0", "fold1", "fold2", "fold3"]].to_numpy(float)
    assert found["corrected_p"] == pytest.approx(statistics.nadeau_bengio(values, 2).p)
    wild = wild_cluster_interval(values[:, None], 0.95, 99, 777, repeats_of(range(4), 2))
    assert (found["wild_low"], found["wild_high"]) == pytest.approx(wild)
    assert (found["wild_low"], found["wild_high"]) != pytest.approx(
        wild_cluster_interval(values[:, None], 0.95, 99, 777)
    )
    assert np.isnan(found["signed_rank_smallest_p"])
    # P is in the first repeat alone.
    alone = table[table["method"] == "P"].iloc[0]
    assert alone["signed_rank_smallest_p"] == statistics.signed_rank_floor(2)


def test_the_notes_say_what_the_folds_are(tables):
    said = " ".join(notes.of(tables, ["lift@5%"], 2))
    assert "4 folds (0, 1, 2, 3): 2 repeats of 2 folds. The unit is the fold" in said
    assert statistics.NO_SIGNED_RANK in said and "smallest p that an exact" not in said
    assert notes.WHICH_INTERVAL_OF_REPEATS in said and notes.WHICH_INTERVAL not in said
    assert "of the cross-validation" not in said
    short = " ".join(notes.of(tables, ["lift@5%"], 3))
    assert "2 repeats of 3 folds, of which repeat 1 has 1 here." in short
    once = " ".join(notes.of(tables, ["lift@5%"], 5))
    assert "repeats" not in once and "4 of the 5 folds" in once


def test_the_summary_of_repeats(jobs):
    root = jobs[0].paths.root / "exp-fl-5" / "digits_summary"
    assert "2 repeats of 2 folds" in (root / "notes.txt").read_text()
    latex = (root / "tables.tex").read_text()
    assert statistics.NO_SIGNED_RANK in latex and "smallest p that an exact" not in latex
    recipe = json.loads((root / "provenance.json").read_text())["tasks"]["7/summary"]["recipe"]
    assert recipe["constants"]["N_FOLDS"] == 2 and "REPEATS" not in recipe["constants"]


def test_the_diagram_and_its_caption_say_which_test():
    rng = np.random.default_rng(5)
    table = pd.DataFrame(rng.normal([0, 1, 2], 1, (10, 3)), columns=list("xyz"))
    assert "variance is that of Nadeau" in catalogue.caption(
        "critical_difference", True, metric="lift"
    )
    once = catalogue.caption("critical_difference", False, metric="lift")
    assert "takes folds as independent" in once
    words = {"metric": "a", "percent": 1, "gain": "b"}
    for name in catalogue.CAPTIONS:
        assert not re.search(r"[{}]", catalogue.caption(name, True, **words))
    assert (statistics.pairwise_holm(table, 5) > statistics.pairwise_holm(table)).any(axis=None)
