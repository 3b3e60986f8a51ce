"""Which items of a truth are positive: its top, as far as ties allow (docs/definitions.md 6).

An order among equal gains is only that of their indices, so the positives end
before a tie, and an item without any gain is never one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Border:
    """Where the positives of one level end.

    wanted : how many items were asked for, the top 1% for example.
    n_positives : how many are positive, R: the first R of the descending gains, 0 <= R <= wanted.
    gain : the wanted-th gain. n_tied : how many items have it.
    """

    n_items: int
    wanted: int
    n_positives: int
    gain: float
    n_tied: int

    def shortfall(self, items: str) -> str | None:
        """Why there are fewer positives than wanted, in words; None where there are not.

        items : what they are, "weights" or "neurons".
        """
        if self.n_positives == self.wanted:
            return None
        if self.n_positives == 0:
            return f"no positive is left among the {self.n_items:,} {items}: " + (
                f"the {self.n_tied:,} largest gains are equal ({self.gain:.3g}), more than the "
                f"{self.wanted:,} wanted, and positives end before a tie"
                if self.gain
                else "every gain is 0"
            )
        return f"R is {self.n_positives:,} among {items}, not {self.wanted:,}: " + (
            f"the next {self.n_tied:,} gains are equal ({self.gain:.3g}), and positives end "
            "before a tie"
            if self.gain
            else "every other gain is 0"
        )


def find_border(descending: np.ndarray, wanted: int) -> Border:
    """Where the positives end that `wanted` items were to be.

    Parameters
    ----------
    descending : float32 or float64 (N,), gains >= 0 in descending order.
    wanted : 1 to N.
    """
    gain = float(descending[wanted - 1])
    start, end = tied_range(descending, wanted)
    n_positives = wanted if end == wanted and gain > 0 else start
    return Border(len(descending), wanted, n_positives, gain, end - start)


def positive_mask(values: np.ndarray, wanted: int) -> np.ndarray:
    """Which items are positive, without sorting them: bool (N,).

    values : (N,); an item's gain is its value where that is above 0. wanted : 1 to N.
    """
    threshold = np.partition(values, len(values) - wanted)[len(values) - wanted]
    above = values > max(threshold, 0)
    reached = above | (values == threshold) if threshold > 0 else above
    return reached if np.count_nonzero(reached) <= wanted else above


def tied_range(descending: np.ndarray, place: int) -> tuple[int, int]:
    """The run of equal values around a place: values [start:end], start < place <= end.

    descending : (N,), in descending order. place : 1 to N.
    """
    value, ascending = descending[place - 1], descending[::-1]
    above = len(ascending) - np.searchsorted(ascending, value, side="right")
    below = np.searchsorted(ascending, value, side="left")
    return int(above), int(len(ascending) - below)


def require_positives(borders: Mapping[str, Border], source: str) -> None:
    """Refuse a truth without a positive at one of its levels.

    Parameters
    ----------
    borders : by what the level's items are, "weights" or "neurons".
    source : the truth, as the message names it.

    Raises
    ------
    ValueError : it has none; the message says why, and what to do.
    """
    for items, border in borders.items():
        if border.n_positives:
            continue
        remedy = "there is no ground truth in it"
        if border.gain:
            thousandths = -(-100_000 * border.n_tied // border.n_items)  # rounded up
            remedy = (
                "take checkpoints that are stored in float32, or set POSITIVE_PERCENT in "
                f"utils/constants.py to {thousandths / 1000:g} or more"
            )
        raise ValueError(f"{source}: {border.shortfall(items)}; {remedy}")
