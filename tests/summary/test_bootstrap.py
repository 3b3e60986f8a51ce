import itertools
import math

import numpy as np
import pytest
import statsmodels.api as sm

from benchmarks import coverage
from utils.summary.statistics.bootstrap import webb_weights, wild_cluster_interval
from utils.summary.statistics.t_tests import t_interval

SIX = [-math.sqrt(1.5), -1, -math.sqrt(0.5), math.sqrt(0.5), 1, math.sqrt(1.5)]


def table(folds, settings=4, seed=0):
    rng = np.random.default_rng(seed)
    return 0.4 + rng.normal(size=(folds, 1)) + 0.5 * rng.normal(size=(folds, settings))


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_few_folds_take_every_weight_vector_once_up_to_its_sign(folds):
    weights = webb_weights(folds, draws=7, seed=0)
    both = {tuple(v) for v in np.round(np.vstack([weights, -weights]), 6)}
    every = set(itertools.product(np.round(SIX, 6), repeat=folds))
    assert both == every
    assert len(weights) == len(every) / 2


def test_many_folds_draw_weights_with_the_right_moments():
    weights = webb_weights(20, draws=20_000, seed=1)
    assert weights.shape == (20_000, 20)
    assert weights.mean() == pytest.approx(0, abs=0.01)
    assert (weights**2).mean() == pytest.approx(1, abs=0.01)
    values, counts = np.unique(np.round(weights, 6), return_counts=True)
    np.testing.assert_allclose(values, np.round(SIX, 6))
    assert counts.min() > 0.98 * weights.size / 6
    assert not np.array_equal(weights[0], weights[1])


def test_interval_agrees_with_refitting_every_resampled_table():
    """Cell by cell with statsmodels' cluster-robust t, over all 6^3 weight vectors."""
    data = table(3)
    clusters = np.repeat(np.arange(3), 4)
    ones = np.ones(12)

    def fit(values):
        return sm.OLS(values.ravel(), ones).fit(cov_type="cluster", cov_kwds={"groups": clusters})

    original = fit(data)
    mean, error = original.params[0], original.bse[0]
    resampled = []
    for vector in itertools.product(SIX, repeat=3):
        refit = fit(mean + np.array(vector)[:, None] * (data - mean))
        resampled.append(abs(refit.params[0] - mean) / refit.bse[0])
    low, high = wild_cluster_interval(data, level=0.9)
    # The interval is closed: at its ends the share of |t*| as large is above 0.1,
    # and just outside it is not.
    for edge in (low, high):
        inside, outside = (abs(edge - mean) / error * stretch for stretch in (1 - 1e-6, 1 + 1e-6))
        assert np.mean(np.array(resampled) >= inside) > 0.1
        assert np.mean(np.array(resampled) >= outside) <= 0.1


def test_golden_interval():
    """From a loop over all 7,776 weight vectors in plain Python: |t*| = 2.79323 is the
    largest critical value that more than 5% of them reach."""
    low, high = wild_cluster_interval(np.array([[0.1], [0.2], [0.15], [0.3], [0.05]]))
    assert (low, high) == pytest.approx((0.0398585245701, 0.2801414754299), abs=1e-12)


@pytest.mark.parametrize("folds", [2, 3, 4, 5, 6, 7, 20, 50])
def test_two_to_fifty_folds(folds):
    data = table(folds)
    low, high = wild_cluster_interval(data, draws=1999)
    middle = data.mean(axis=1).mean()
    if folds == 2:
        assert (low, high) == (-math.inf, math.inf)
    else:
        assert low < middle < high
        assert high - middle == pytest.approx(middle - low)
        t_low, t_high = t_interval(data.mean(axis=1))
        assert 0.6 < (high - low) / (t_high - t_low) < 1.6
        wide = wild_cluster_interval(data, level=0.99, draws=1999)
        assert wide[0] < low
        assert wide[1] > high


def test_two_folds_never_bound_it_whatever_the_rounding():
    for seed in range(50):
        assert wild_cluster_interval(table(2, seed=seed)) == (-math.inf, math.inf)


def test_with_fifty_folds_it_is_close_to_the_t_interval():
    data = table(50)
    ours = wild_cluster_interval(data, draws=20_000)
    assert ours == pytest.approx(t_interval(data.mean(axis=1)), rel=0.05)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "data", [[[0.3, 0.4]], [[0.1], [0.1], [0.1]], np.zeros((5, 3)), [[np.nan], [0.2]]]
)
def test_without_variance_between_folds_there_is_no_interval(data):
    assert np.isnan(wild_cluster_interval(np.array(data))).all()


@pytest.mark.filterwarnings("error")
def test_a_skipped_setting_or_fold_changes_only_what_is_averaged():
    data = table(5)
    data[0, 1:] = np.nan
    means = np.nanmean(data, axis=1)
    assert wild_cluster_interval(data) == pytest.approx(wild_cluster_interval(means[:, None]))
    with_empty = np.vstack([data, np.full(4, np.nan)])
    assert wild_cluster_interval(with_empty) == wild_cluster_interval(data)


def test_interval_follows_shift_scale_sign_and_order():
    data = table(5)
    low, high = wild_cluster_interval(data)
    assert wild_cluster_interval(3 * data + 7) == pytest.approx((3 * low + 7, 3 * high + 7))
    assert wild_cluster_interval(-data) == pytest.approx((-high, -low))
    assert wild_cluster_interval(data[::-1]) == pytest.approx((low, high))


def test_the_seed_decides_beyond_six_folds_and_is_not_needed_below():
    data = table(8)
    assert wild_cluster_interval(data, seed=1) == wild_cluster_interval(data, seed=1)
    assert wild_cluster_interval(data, seed=1) != wild_cluster_interval(data, seed=2)
    assert wild_cluster_interval(data[:6], seed=1) == wild_cluster_interval(data[:6], seed=2)


@pytest.mark.parametrize("icc", [0.1, 0.3, 0.9])
def test_coverage_at_five_folds(icc):
    """1,500 replicates: a standard error of 0.0056, so 0.93 to 0.97 are 3.5 of them."""
    rng = np.random.default_rng(11)
    tables = coverage.simulate(rng, 1500, 5, 13, icc, 0.0, "normal")
    intervals = np.array([wild_cluster_interval(one) for one in tables])
    covered = (intervals[:, 0] <= 0) & (intervals[:, 1] >= 0)
    assert 0.93 <= covered.mean() <= 0.97


def test_the_simulation_has_the_correlations_it_is_asked_for():
    rng = np.random.default_rng(12)
    tables = coverage.simulate(rng, 40_000, 5, 13, 0.3, 0.0, "normal")
    assert np.corrcoef(tables[:, 0, 0], tables[:, 0, 1])[0, 1] == pytest.approx(0.3, abs=0.02)
    assert np.corrcoef(tables[:, 0, 0], tables[:, 1, 1])[0, 1] == pytest.approx(0, abs=0.02)
    assert tables.var() == pytest.approx(1, abs=0.02)
    means = coverage.simulate(rng, 40_000, 5, 13, 0.3, 0.2, "normal").mean(axis=2)
    assert np.corrcoef(means[:, 0], means[:, 1])[0, 1] == pytest.approx(0.2, abs=0.02)
    for shape in ("uniform", "t3", "exponential"):
        draws = coverage.fold_part(rng, shape, (200_000,))
        assert draws.mean() == pytest.approx(0, abs=0.02)
        assert draws.std() == pytest.approx(1, abs=0.1)


def test_why_cells_are_not_observations():
    """Wilcoxon over the 65 cells rejects true hypotheses; the tests on fold means do not."""
    row = coverage.measure(5, 0.3, 0.0, "normal", replicates=800)
    assert row["reject_wilcoxon_blocks"] > 0.3
    assert row["reject_t"] == pytest.approx(0.05, abs=0.025)
    assert row["reject_nadeau_bengio"] < 0.03
    assert row["coverage_wild"] == pytest.approx(0.95, abs=0.025)
    assert row["coverage_wild_restricted"] == pytest.approx(0.94, abs=0.025)


def test_what_is_left_when_folds_correlate():
    row = coverage.measure(5, 0.3, 0.2, "normal", replicates=800)
    assert row["coverage_wild"] < 0.92
    assert row["coverage_t"] < 0.92
    assert row["coverage_nadeau_bengio"] == pytest.approx(0.95, abs=0.025)
