import numpy as np
import pytest
import references
from hypothesis import given
from hypothesis import strategies as st

from utils import ranking
from utils.truth import positives


@given(gain=st.lists(st.integers(0, 3), min_size=1, max_size=9), data=st.data())
def test_as_many_are_positive_as_whole_groups_fit(gain, data):
    wanted = data.draw(st.integers(1, len(gain)))
    descending = np.sort(np.array(gain, dtype=np.float32))[::-1]
    border = positives.find_border(descending, wanted)
    assert border.n_positives == len(references.positives(gain, wanted))
    assert border.gain == descending[wanted - 1]
    assert border.n_tied == gain.count(int(border.gain))
    assert (border.shortfall("weights") is None) == (border.n_positives == wanted)


@given(values=st.lists(st.integers(-2, 3), min_size=1, max_size=9), data=st.data())
def test_without_sorting_the_same_items_are_positive(values, data):
    """Also where values are signed, as credits are: below 0 there is no gain."""
    wanted = data.draw(st.integers(1, len(values)))
    found = positives.positive_mask(np.array(values, dtype=np.float32), wanted)
    expected = references.positives([max(value, 0) for value in values], wanted)
    assert set(np.flatnonzero(found)) == expected


def test_a_tied_range_is_the_group_around_a_place():
    values = np.array([5.0, 3, 3, 3, 0, 0])
    found = [positives.tied_range(values, place) for place in range(1, 7)]
    assert found == [(0, 1), (1, 4), (1, 4), (1, 4), (4, 6), (4, 6)]


def border(gains, wanted):
    return positives.find_border(np.array(gains, dtype=np.float64), wanted)


@pytest.mark.parametrize(
    ("gains", "wanted", "said"),
    [
        ([3, 2, 0, 0, 0], 4, "R is 2 among weights, not 4: every other gain is 0"),
        ([9, 0.5, 0.5, 0], 2,
         "R is 1 among weights, not 2: the next 2 gains are equal (0.5), and positives end before "
         "a tie"),
        ([0.5, 0.5, 0.5, 0], 1,
         "no positive is left among the 4 weights: the 3 largest gains are equal (0.5), more than "
         "the 1 wanted, and positives end before a tie"),
        ([0, 0, 0], 2, "no positive is left among the 3 weights: every gain is 0"),
        ([3, 2, 2, 0], 3, None),
    ],
)  # fmt: skip
def test_what_ties_took_away_is_said(gains, wanted, said):
    assert border(gains, wanted).shortfall("weights") == said


def test_a_truth_with_positives_at_either_level_is_accepted():
    positives.require_positives({"weights": border([2, 1, 1], 2), "neurons": border([1], 1)}, "x")


@pytest.mark.parametrize(("n_tied", "n_items"), [(10, 512), (1311, 131_072), (7, 7), (2, 3)])
def test_a_truth_without_positives_is_refused_with_a_percentage_that_leaves_some(n_tied, n_items):
    gains = np.r_[np.full(n_tied, 0.25), np.zeros(n_items - n_tied)]
    borders = {"weights": border([2, 1], 1), "neurons": positives.find_border(gains, 1)}
    with pytest.raises(
        ValueError, match=r"^the truth: no positive .* neurons: .*\(0\.25\)"
    ) as error:
        positives.require_positives(borders, "the truth")
    percent = float(str(error.value).split(" to ")[-1].removesuffix(" or more"))
    wanted = ranking.share_of(percent, n_items)
    assert positives.find_border(gains, wanted).n_positives == n_tied
    assert percent <= 100 * n_tied / n_items + 0.001


def test_a_truth_without_any_gain_is_refused():
    with pytest.raises(ValueError, match=r"every gain is 0; there is no ground truth in it"):
        positives.require_positives({"weights": border([0, 0], 1)}, "x")
