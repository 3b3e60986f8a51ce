import itertools
import math

import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy import stats
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from utils.summary.statistics import effect_sizes, limits, pairs, t_tests

TABLE = np.array(
    [
        [0.31, 0.28, np.nan, 0.35],
        [0.22, 0.25, 0.19, 0.24],
        [0.41, np.nan, np.nan, 0.37],
        [0.30, 0.33, 0.29, 0.26],
        [0.27, 0.21, 0.25, 0.30],
    ]
)


def pair(seed=0, folds=5, shift=0.5):
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, folds), rng.normal(0, 1, folds)


def test_fold_means_are_those_of_pandas_and_keep_an_empty_fold_as_nan():
    table = np.vstack([TABLE, np.full(4, np.nan)])
    expected = pd.DataFrame(table).mean(axis=1).to_numpy()
    np.testing.assert_allclose(t_tests.fold_means(pd.DataFrame(table)), expected)
    assert math.isnan(t_tests.fold_means(table)[-1])


def test_fold_means_do_not_hide_an_infinite_value():
    assert np.isinf(t_tests.fold_means(np.array([[1.0, np.inf], [1.0, 2.0]]))[0])


@pytest.mark.parametrize("folds", [2, 3, 5, 50])
def test_pair_agrees_with_scipy_statsmodels_and_pingouin(folds):
    a, b = pair(folds, folds)
    result = pairs.compare_pair(a, b)
    reference = stats.ttest_rel(a, b)
    assert result.t == pytest.approx(reference.statistic)
    assert result.p == pytest.approx(reference.pvalue)
    low, high = DescrStatsW(a - b).tconfint_mean(0.05)
    assert (result.low, result.high) == pytest.approx((low, high))
    assert t_tests.t_interval(a - b, 0.99) == pytest.approx(DescrStatsW(a - b).tconfint_mean(0.01))
    assert result.mean == pytest.approx(a.mean() - b.mean())
    assert result.n_positive == sum(x > y for x, y in zip(a, b, strict=True))
    np.testing.assert_allclose(result.differences, a - b)
    ours = pingouin.ttest(a, b, paired=True)
    assert result.p == pytest.approx(ours["p_val"].iloc[0])


def closed_form_p(t_squared):
    """Two-sided p of Student's t with 4 degrees of freedom, where it is elementary."""
    spread = 1 + t_squared / 4
    return 1 - 0.75 * math.sqrt(t_squared / spread) * (1 - t_squared / (12 * spread))


def test_golden_pair():
    """Worked by hand: differences 1, 2, 3, 4, -5; s² = 12.5, variance factor 0.2 or 0.45."""
    result = pairs.compare_pair(np.array([3.0, 4, 5, 6, 0]), np.array([2.0, 2, 2, 2, 5]))
    assert (result.mean, result.n_positive, result.n_folds) == (1.0, 4, 5)
    assert result.t == pytest.approx(1 / math.sqrt(12.5 * 0.2))
    assert result.corrected_t == pytest.approx(1 / math.sqrt(12.5 * 0.45))
    assert result.p == pytest.approx(closed_form_p(0.4))
    assert result.corrected_p == pytest.approx(closed_form_p(8 / 45))
    half = 2.7764451 * math.sqrt(12.5 * 0.2)
    assert (result.low, result.high) == pytest.approx((1 - half, 1 + half))
    half = 2.7764451 * math.sqrt(12.5 * 0.45)
    assert (result.corrected_low, result.corrected_high) == pytest.approx((1 - half, 1 + half))
    assert result.rank_biserial == pytest.approx((1 + 2 + 3 + 4 - 5) / 15)
    # 3, 4, 5, 6 beat 2 four times each, 5 ties and 6 beats 5 once, 0 beats nothing.
    assert result.a12 == pytest.approx((4 * 4 + 0.5 + 1) / 25)


@pytest.mark.parametrize(("k", "factor"), [(2, 1.5), (5, 0.45), (10, 0.1 + 1 / 9)])
def test_nadeau_bengio_widens_the_variance_by_its_factor(k, factor):
    differences = np.subtract(*pair(1, k))
    plain = t_tests.paired_t(differences)
    corrected = t_tests.nadeau_bengio(differences, k)
    assert corrected.t == pytest.approx(plain.t / math.sqrt(factor * k))
    assert corrected.p == pytest.approx(2 * stats.t.sf(abs(corrected.t), k - 1))
    assert corrected.p > plain.p
    assert corrected.high - corrected.low == pytest.approx(
        (plain.high - plain.low) * math.sqrt(factor * k)
    )


def test_nadeau_bengio_with_three_of_five_folds_keeps_the_share_of_five():
    differences = np.array([0.1, 0.3, 0.15])
    t = differences.mean() / math.sqrt(differences.var(ddof=1) * (1 / 3 + 1 / 4))
    assert t_tests.nadeau_bengio(differences, 5).t == pytest.approx(t)
    a = differences + 1
    assert pairs.compare_pair(a, np.ones(3), n_folds=5).corrected_t == pytest.approx(t)


def test_an_interval_holds_zero_exactly_when_its_test_does_not_reject():
    for seed in range(50):
        differences = np.subtract(*pair(seed, shift=1.5))
        for test in (
            t_tests.paired_t(differences),
            t_tests.nadeau_bengio(differences, 5),
        ):
            assert (test.low <= 0 <= test.high) == (test.p >= 0.05)


def brute_rank_biserial(differences):
    nonzero = [x for x in differences if x != 0]
    ranks = [
        sum(abs(y) < abs(x) for y in nonzero) + (sum(abs(y) == abs(x) for y in nonzero) + 1) / 2
        for x in nonzero
    ]
    signed = sum(math.copysign(r, x) for r, x in zip(ranks, nonzero, strict=True))
    return signed / sum(ranks)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "differences",
    [[1.0, 2, 3, 4, 5], [-1.0, -2], [1.0, -1, 2, -2, 3], [0.0, 0, 2, -1, 2], [0.0, 3, 0, 0, 0]],
)
def test_rank_biserial_is_its_definition_with_ties_and_zeros(differences):
    value = effect_sizes.rank_biserial(np.array(differences))
    assert value == pytest.approx(brute_rank_biserial(differences))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("folds", [2, 5, 30, 60])
def test_rank_biserial_and_a12_on_random_tied_data(folds):
    rng = np.random.default_rng(folds)
    for _ in range(5):
        a, b = rng.integers(0, 4, folds) / 4 + 0.01, rng.integers(0, 4, folds) / 4
        assert effect_sizes.rank_biserial(a - b) == pytest.approx(brute_rank_biserial(a - b))
        wins = [(x > y) + (x == y) / 2 for x, y in itertools.product(a, b)]
        assert effect_sizes.a12(a, b) == pytest.approx(np.mean(wins))
        assert effect_sizes.a12(a, b) + effect_sizes.a12(b, a) == pytest.approx(1)


@pytest.mark.filterwarnings("error")
def test_identical_methods_give_nan_and_not_a_significant_zero():
    values = np.array([0.3, 0.4, 0.5, 0.6, 0.7])
    result = pairs.compare_pair(values, values)
    assert result.mean == 0
    assert result.n_positive == 0
    assert result.a12 == 0.5
    for name in ("low", "high", "t", "p", "corrected_t", "corrected_p", "rank_biserial"):
        assert math.isnan(getattr(result, name)), name


@pytest.mark.filterwarnings("error")
def test_a_constant_difference_has_no_test_although_rounding_gives_it_a_variance():
    values = np.array([0.3, 0.4, 0.5, 0.6, 0.7])
    result = pairs.compare_pair(values + 0.1, values)
    assert np.ptp(result.differences) > 0
    assert result.mean == pytest.approx(0.1)
    assert result.n_positive == 5
    assert result.rank_biserial == 1
    assert math.isnan(result.p)
    assert math.isnan(result.corrected_p)


def test_differences_that_are_rounding_count_as_none():
    values = np.array([0.3, 0.4, 0.5, 0.6, 0.7])
    result = pairs.compare_pair(np.nextafter(values, 1), values)
    assert result.differences == (0, 0, 0, 0, 0)
    assert result.n_positive == 0
    assert result.a12 == 0.5


@pytest.mark.filterwarnings("error")
def test_one_fold_leaves_nan():
    result = pairs.compare_pair(np.array([0.4]), np.array([0.1]))
    assert result.mean == pytest.approx(0.3)
    assert result.n_positive == 1
    for name in ("low", "high", "t", "p", "corrected_p", "rank_biserial", "a12"):
        assert math.isnan(getattr(result, name)), name
    assert math.isnan(t_tests.nadeau_bengio(np.array([0.3]), 1).p)
    assert math.isnan(effect_sizes.intra_class_correlation(TABLE[:1]))
    assert "left out" in limits.left_out(1)
    assert "infinity" in limits.left_out(2)
    assert limits.left_out(5) == ""


def test_no_fold_leaves_nan():
    result = pairs.compare_pair(np.array([]), np.array([]))
    assert math.isnan(result.mean)
    assert math.isnan(result.p)


@pytest.mark.parametrize("b", [[0.1, np.nan], [0.1], [0.1, np.inf]])
def test_unpaired_values_are_refused(b):
    with pytest.raises(ValueError, match="one finite value per fold"):
        pairs.compare_pair(np.array([0.2, 0.3]), np.array(b))


def test_holm_is_the_step_down_procedure_over_the_values_that_exist():
    p = np.array([[0.01, np.nan, 0.04], [0.03, 0.005, np.nan]])
    # Ascending 0.005, 0.01, 0.03, 0.04, times 4, 3, 2, 1, then the running maximum.
    expected = [[0.03, np.nan, 0.06], [0.06, 0.02, np.nan]]
    np.testing.assert_allclose(t_tests.holm(p), expected)
    plain = np.array([0.2, 0.01, 0.9, 0.012, 0.6, 0.012])  # 0.6 twice is more than 1
    np.testing.assert_allclose(t_tests.holm(plain), multipletests(plain, method="holm")[1])


def test_holm_of_nothing():
    assert np.isnan(t_tests.holm(np.array([np.nan, np.nan]))).all()
    assert t_tests.holm(np.array([])).shape == (0,)


@pytest.mark.parametrize("icc", [0.0, 0.3, 0.9])
def test_icc_agrees_with_pingouin_when_balanced(icc):
    rng = np.random.default_rng(3)
    table = math.sqrt(icc) * rng.normal(size=(5, 1)) + math.sqrt(1 - icc) * rng.normal(size=(5, 13))
    long = pd.DataFrame(table).melt(ignore_index=False).reset_index()
    reference = pingouin.intraclass_corr(long, "index", "variable", "value").set_index("Type")
    value = effect_sizes.intra_class_correlation(pd.DataFrame(table))
    assert value == pytest.approx(reference.loc["ICC(1,1)", "ICC"])


def test_icc_agrees_with_the_anova_of_statsmodels_when_cells_are_missing():
    from statsmodels.formula.api import ols

    long = pd.DataFrame(TABLE).melt(ignore_index=False).reset_index().dropna()
    anova = anova_lm(ols("value ~ C(index)", long).fit())
    between, within = anova["mean_sq"]
    sizes = long.groupby("index").size().to_numpy()
    size = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / 4
    expected = (between - within) / (between + (size - 1) * within)
    assert effect_sizes.intra_class_correlation(TABLE) == pytest.approx(expected)
    empty_fold = np.vstack([TABLE, np.full(4, np.nan)])
    assert effect_sizes.intra_class_correlation(empty_fold) == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_icc_at_its_ends():
    same_inside = np.repeat(np.arange(5.0)[:, None], 4, axis=1)
    assert effect_sizes.intra_class_correlation(same_inside) == pytest.approx(1)
    assert effect_sizes.intra_class_correlation(same_inside.T) == pytest.approx(-1 / 4)
    assert math.isnan(effect_sizes.intra_class_correlation(np.arange(5.0)[:, None]))
    assert math.isnan(effect_sizes.intra_class_correlation(np.full((5, 4), 0.1)))


@pytest.mark.parametrize("folds", [2, 3, 5, 8])
def test_signed_rank_floor_is_what_scipy_gives_for_the_clearest_data(folds):
    clearest = stats.wilcoxon(np.arange(1.0, folds + 1), method="exact").pvalue
    assert limits.signed_rank_floor(folds) == pytest.approx(clearest)


def test_signed_rank_note_says_the_number_and_what_follows():
    assert "0.0625" in limits.signed_rank_note(5)
    assert "cannot reject at 0.05" in limits.signed_rank_note(5)
    assert "0.03125" in limits.signed_rank_note(6)
    assert "cannot" not in limits.signed_rank_note(6)
    assert limits.signed_rank_floor(1) == 1
    assert "1 fold " in limits.signed_rank_note(1)


def test_average_ranks_are_those_of_scipy():
    rng = np.random.default_rng(5)
    table = pd.DataFrame(rng.integers(0, 4, (7, 5)), columns=list("abcde"), dtype=float)
    expected = stats.rankdata(-table.to_numpy(), axis=1).mean(axis=0)
    np.testing.assert_allclose(pairs.average_ranks(table), expected)
    np.testing.assert_allclose(pairs.average_ranks(table, False), 6 - expected)
    table.iloc[0, 0] = np.nan
    np.testing.assert_allclose(
        pairs.average_ranks(table), stats.rankdata(-table.to_numpy()[1:], axis=1).mean(axis=0)
    )
    assert list(pairs.average_ranks(table).index) == list("abcde")


def test_pairwise_matrix_is_holm_over_paired_t_tests():
    rng = np.random.default_rng(6)
    table = pd.DataFrame(rng.normal([0, 1, 3], 0.5, (5, 3)), columns=["x", "y", "z"])
    matrix = pairs.pairwise_holm(table)
    each = [("x", "y"), ("x", "z"), ("y", "z")]
    raw = [stats.ttest_rel(table[i], table[j]).pvalue for i, j in each]
    for (i, j), p in zip(each, multipletests(raw, method="holm")[1], strict=True):
        assert matrix.loc[i, j] == matrix.loc[j, i] == pytest.approx(p)
    assert np.diag(matrix).tolist() == [1, 1, 1]


def test_pairwise_matrix_of_a_method_and_its_copy_and_of_one_fold():
    rng = np.random.default_rng(7)
    table = pd.DataFrame(rng.normal(size=(5, 2)), columns=["x", "y"])
    table["copy"] = table["x"]
    assert pairs.pairwise_holm(table).loc["x", "copy"] == 1
    assert math.isnan(pairs.pairwise_holm(table.iloc[:1]).loc["x", "y"])
    assert math.isnan(pairs.pairwise_holm(table.iloc[:0]).loc["x", "copy"])


def test_the_matrix_draws_a_critical_difference_diagram():
    import matplotlib
    import scikit_posthocs

    matplotlib.use("Agg")
    rng = np.random.default_rng(8)
    table = pd.DataFrame(rng.normal([0, 0.1, 9], 0.5, (5, 3)), columns=["x", "y", "z"])
    drawn = scikit_posthocs.critical_difference_diagram(
        pairs.average_ranks(table), pairs.pairwise_holm(table)
    )
    assert len(drawn["markers"]) == 3
    assert len(drawn["crossbars"]) == 1
    matplotlib.pyplot.close("all")
