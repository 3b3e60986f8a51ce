"""Class names across splits, accuracy at chance, images that two splits share."""

import numpy as np
import pytest

from utils.data import doubts


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"train": ["a", "b"], "repair": ["a", "b"], "test": ["a", "b"]}, None),
        ({"train": ["a", "b"], "repair": ["b", "a"]},
         "'train' and 'repair' stand in another order: class 0 is 'a' and 'b'"),
        ({"repair": ["a", "b", "c"], "test": ["a", "c", "b"]}, "class 1 is 'b' and 'c'"),
        ({"repair": ["a", "b"], "test": ["a", "c"]}, "other names: 'b' is in one of them only"),
        ({"repair": ["a", "b"], "test": ["a", "b", "c"]},
         "'repair' and 'test' have 2 and 3 classes of other names: 'c' is in one"),
        ({}, None),
        ({"test": ["a"]}, None),
    ],
)  # fmt: skip
def test_splits_that_disagree_about_the_classes(names, said):
    found = doubts.other_classes(names)
    assert found is None if said is None else said in found


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([str(i) for i in range(12)], None),
        (sorted(str(i) for i in range(12)), "class 2 is called '10'"),
        (["1", "10", "2"], "class 1 is called '10'"),
        (["00", "01", "02"], None),
        (["1", "2", "3"], None),
        (["2", "1", "0"], "class 0 is called '2'"),
        (["10", "2", "x"], None),
        ([], None),
    ],
)
def test_integers_that_were_sorted_as_text(names, said):
    assert doubts.integers_out_of_order(names) == said


def slow_limit(labels):
    """The largest class's share and 1.96 of its standard errors, by counting."""
    share = max(labels.count(c) for c in set(labels)) / len(labels)
    return share + 1.96 * (share * (1 - share) / len(labels)) ** 0.5


@pytest.mark.parametrize("right", range(0, 101, 5))
def test_accuracy_is_above_chance_from_two_standard_errors_on(right):
    labels = [0] * 40 + [1] * 35 + [2] * 25
    predicted = [*labels[:right], *((c + 1) % 3 for c in labels[right:])]
    found = doubts.at_chance(np.array(labels), np.array(predicted))
    assert (found is None) == (right / 100 > slow_limit(labels))
    if found:
        assert found == f"accuracy {right / 100:.3f}, the largest class alone gives 0.400"


def test_shared_images_are_counted_by_pairs_of_splits():
    a, b, c, d = (bytes([i]) for i in range(4))
    digests = {"train": [a, b, b], "repair": [c, b, b], "test": [d, c]}
    assert doubts.shared(digests) == [
        "2 of the images of 'repair' are in 'train' as well (the first: image 1)",
        "1 of the images of 'test' are in 'repair' as well (the first: image 1)",
    ]
    assert doubts.shared({"repair": [a, a], "test": [b]}) == []
