"""Zeros that no training leaves: what a copy that broke off puts in the place of weights."""

import numpy as np

# What file systems and copies lose at once.
BLOCK_BYTES = 4096


def blank_block(values: np.ndarray, other: np.ndarray, item_size: int) -> tuple[int, int] | None:
    """The first run of zeros of a block or more in `values` that `other` does not have.

    Parameters
    ----------
    values, other : one tensor of two checkpoints, of one shape; runs are along C order, as in
        the file.
    item_size : bytes of a number in the file.

    Returns
    -------
    Where it begins and ends, as positions in `values.ravel()`; None without one. A run counts
    where `other` has half a block of other numbers in it: rows that were pruned are zero in both.
    """
    zero = (values == 0).ravel()
    edges = np.flatnonzero(np.diff(zero.view(np.int8), prepend=0, append=0))
    starts, ends = edges[::2], edges[1::2]
    for i in np.flatnonzero((ends - starts) * item_size >= BLOCK_BYTES):
        part = other.ravel()[starts[i] : ends[i]]
        if np.count_nonzero(part) * item_size >= BLOCK_BYTES // 2:
            return int(starts[i]), int(ends[i])
    return None
