"""Spectrum-based suspiciousness and the difference of means, which look at activations alone."""

import numpy as np
import pytest
import references

from utils.methods import METHODS, spectrum
from utils.methods.mean_difference import mean_difference

SHAPE = (13, 4, 16, 3, "relu")
NEG, POS = np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7, 9, 10, 11, 12])
NAMES = ["ochiai", "tarantula", "dstar"]


def score(toy, name, neg=NEG, pos=POS):
    return METHODS["neuron", name].function(toy.evidence(neg, pos)).score


@pytest.fixture(params=["relu", "gelu"])
def mixed(request, make_toy):
    """Some neurons are never active, some always, most in some samples."""

    def shift(weights):
        weights["b_bef"][:3], weights["b_bef"][3:5] = -100, 100

    return make_toy(*SHAPE[:4], request.param, change=shift)


@pytest.mark.parametrize("name", NAMES)
def test_a_neurons_suspiciousness_is_that_of_its_counts(mixed, name):
    expected = references.spectra(mixed.states.a[NEG], mixed.states.a[POS])[name]
    found = score(mixed, name)
    assert found.dtype == np.float32
    assert len(np.unique(found)) > 4
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_spectra_worked_out_by_hand():
    """4 failing and 2 passing samples; active in 4 and 2, 2 and 0, 0 and 2, none, 4 and 0."""
    failed, passed = np.array([4, 2, 0, 0, 4]), np.array([2, 0, 2, 0, 0])
    ochiai = spectrum.ochiai(failed, passed, 4)
    np.testing.assert_allclose(ochiai, [4 / 24**0.5, 2 / 8**0.5, 0, 0, 1], rtol=1e-6)
    tarantula = spectrum.tarantula(failed, passed, 4, 2)
    np.testing.assert_allclose(tarantula, [0.5, 1, 0, 0, 1])
    assert spectrum.dstar(failed, passed, 4).tolist() == [32, 4, 0, 0, 128]


@pytest.mark.parametrize("block", [1, 3, 4, 1024])
def test_counts_do_not_depend_on_the_block_size(block):
    rows = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    rows[3] = 0  # exactly 0 is not active
    samples = np.array([0, 3, 4, 7, 19])
    found = spectrum.active_counts(rows, samples, block)
    assert found.tolist() == [sum(rows[i, j] > 0 for i in samples) for j in range(5)]


def test_many_samples_do_not_overflow():
    """af³ of 10,000 samples does not fit 32-bit integers, nor (af + nf)(af + as)."""
    failed, passed = np.array([10_000]), np.array([90_000])
    assert spectrum.dstar(failed, passed, 10_000) == pytest.approx([1e12 / 90_000])
    assert spectrum.ochiai(failed, passed, 10_000) == pytest.approx([10_000 / (1e4 * 1e5) ** 0.5])


def test_mean_diff_is_the_distance_of_the_means(make_toy):
    toy = make_toy(*SHAPE)
    a = toy.states.a.astype(np.float64)
    expected = np.abs(a[NEG].mean(axis=0) - a[POS].mean(axis=0))
    found = score(toy, "mean_diff")
    assert found.dtype == np.float32
    assert references.relative_error(found, expected) < 1e-6
    assert np.array_equal(score(toy, "mean_diff", POS, NEG), found)
    assert mean_difference(np.float32([1, -2]), np.float32([3, 1])).tolist() == [2, 3]
