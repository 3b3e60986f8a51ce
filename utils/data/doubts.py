"""What should be known of a fold before its numbers are believed: labels, chance, shared images."""

from itertools import combinations

import numpy as np

# Two-sided 95% of a normal distribution.
STANDARD_ERRORS = 1.96


def other_classes(names: dict[str, list[str]]) -> str | None:
    """How the class names of two splits differ, in words; None where all are the same.

    names : of the classes, in order, by split.
    """
    for (one, first), (other, second) in combinations(names.items(), 2):
        if first == second:
            continue
        if sorted(first) == sorted(second):
            i = next(i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
            return (
                f"the classes of {one!r} and {other!r} stand in another order: class {i} is "
                f"{first[i]!a} and {second[i]!a}"
            )
        only = [n for n in first if n not in second] or [n for n in second if n not in first]
        odd = f": {only[0]!a} is in one of them only" if only else ""
        return (
            f"the splits {one!r} and {other!r} have {len(first)} and {len(second)} classes of "
            f"other names{odd}"
        )
    return None


def integers_out_of_order(names: list[str]) -> str | None:
    """Which class is called like the number of another one, in words; None where none is.

    names : of a model's classes whose data set has plain integers as labels. Sorted as text,
    "10" comes before "2": label 2 would then be the class that is called 10.
    """
    try:
        numbers = [int(name) for name in names]
    except ValueError:
        return None
    if numbers == sorted(numbers):
        return None
    i = next(i for i, number in enumerate(numbers) if number != sorted(numbers)[i])
    return f"class {i} is called {names[i]!a}"


def at_chance(labels: np.ndarray, predicted: np.ndarray) -> str | None:
    """The accuracy beside the largest class's share where it is not above it; else None.

    labels, predicted : int64 (S,). Above is by more than 1.96 standard errors of that share.
    """
    accuracy = float(np.mean(labels == predicted))
    share = float(np.bincount(labels).max() / len(labels))
    limit = share + STANDARD_ERRORS * np.sqrt(share * (1 - share) / len(labels))
    if accuracy > limit:
        return None
    return f"accuracy {accuracy:.3f}, the largest class alone gives {share:.3f}"


def shared(digests: dict[str, list[bytes]], what: str = "image") -> list[str]:
    """In words, for each two splits that share images or texts, how many and the first.

    digests : of each one's content, by split. what : one of them.
    """
    lines = []
    for one, other in combinations(digests, 2):
        both = set(digests[one]) & set(digests[other])
        if both:
            rows = [i for i, digest in enumerate(digests[other]) if digest in both]
            lines.append(
                f"{len(rows):,} of the {what}s of {other!r} are in {one!r} as well "
                f"(the first: {what} {rows[0]})"
            )
    return lines
