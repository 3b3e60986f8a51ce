"""Work cut into pieces that depend on its size alone, each done by one thread.

torch and MKL split sums, products and vectors among as many threads as there
are, and where they split decides the last bits, in spite of MKL's strict mode.
Here the threads take whole pieces instead: their number decides who does a
piece and never what comes out of it. On a GPU nothing is cut.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from typing import TypeVar

import torch

Result = TypeVar("Result")
Tensors = torch.Tensor | tuple[torch.Tensor, ...]

# Samples of a piece, and rows and columns of a piece of a product: large enough for
# MKL to run at full speed, small enough for a ViT-Base layer to occupy many cores.
ROWS = 256
TILE = 512


@cache
def cores() -> int:
    """Threads that torch may use here: OMP_NUM_THREADS, else one a core, or a part of these."""
    return torch.get_num_threads()


def use_cores(count: int) -> None:
    """Let torch use `count` threads in this process from now on."""
    torch.set_num_threads(count)
    cores.cache_clear()


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Let torch use `count` threads, or as many as it likes, and put the old number back."""
    cores()  # remembers what it is without this
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _pool(process: int, size: int) -> ThreadPoolExecutor:
    """The workers of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(size, "piece", initializer=_work_alone)


def _work_alone() -> None:
    torch.get_num_threads()  # torch's first look sets the number anew, so it comes first
    torch.set_num_threads(1)


def run_pieces(pieces: list[Callable[[], Result]]) -> list[Result]:
    """Call each piece on one thread, several at a time; their results in order."""
    size = cores()  # asked before a worker sets its own number
    inside = threading.current_thread().name.startswith("piece")
    if inside or size == 1 or len(pieces) == 1:
        with cpu_threads(1):
            return [piece() for piece in pieces]
    return list(_pool(os.getpid(), size).map(lambda piece: piece(), pieces))


def by_rows(function: Callable[..., Tensors], *tensors: torch.Tensor, rows: int = ROWS) -> Tensors:
    """`function(*tensors)`, `rows` samples at a time.

    Parameters
    ----------
    function : treats each sample (row) by itself and returns a tensor, or a tuple
        of tensors, with as many rows. It is called without gradients; one that
        needs them enables them.
    tensors : of equal length, all on one device
    """
    call = torch.no_grad()(function)
    if tensors[0].device.type != "cpu":
        return call(*tensors)
    starts = range(0, max(1, len(tensors[0])), rows)
    parts = run_pieces([partial(call, *(t[i : i + rows] for t in tensors)) for i in starts])
    if len(parts) == 1:
        return parts[0]
    if torch.is_tensor(parts[0]):
        return torch.cat(parts)
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


@torch.no_grad()
def add_product(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor, weight: float = 1) -> None:
    """Add `weight` aᵀ b to `total` (p, q), in place; a (S, p) and b (S, q)."""
    if total.device.type != "cpu":
        total.addmm_(a.T, b, alpha=weight)
        return
    p, q = total.shape
    corners = [(i, j) for i in range(0, p, TILE) for j in range(0, q, TILE)]
    run_pieces([partial(_add_tile, total, a, b, weight, *corner) for corner in corners])


@torch.no_grad()
def _add_tile(
    total: torch.Tensor, a: torch.Tensor, b: torch.Tensor, weight: float, i: int, j: int
) -> None:
    rows, columns = slice(i, i + TILE), slice(j, j + TILE)
    total[rows, columns].addmm_(a[:, rows].T, b[:, columns], alpha=weight)
