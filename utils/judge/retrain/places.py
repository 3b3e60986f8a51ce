"""Where the weights lie that may move, and products that are only made there.

A ranking's first 1% leaves 99% of the two matrices as they are. Of a product
whose result is needed at so few places only those are made; where they are many
the whole product is less work, and the rest of it is thrown away.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch

from utils import ranking

# Share of a matrix up to which its entries are made one by one: measured on two cores at
# the size of a ViT-Base and of the digits, the whole product takes over between 15 and 25%.
SPARSE_UP_TO = 0.15


@dataclass(frozen=True)
class Picks:
    """k entries of a matrix (r, d), row by row.

    at : int64 (k,), their places in the flattened matrix, ascending.
    pattern : the same places as a sparse matrix in CSR form, or None where whole
        products are less work.
    """

    shape: tuple[int, int]
    at: torch.Tensor
    pattern: torch.Tensor | None

    @property
    def whole(self) -> bool:
        return len(self.at) == self.shape[0] * self.shape[1]

    def add_multiplied(
        self, start: torch.Tensor, values: torch.Tensor, right: torch.Tensor
    ) -> torch.Tensor:
        """`start` plus matrices with `values` (g, k) at the places times `right`: (g, r, b).

        start : (r, b). right : (d, b).
        """
        if self.pattern is None:
            return (self._filled(values) @ right).add_(start)
        starts, columns = self.pattern.crow_indices(), self.pattern.col_indices()
        total = start.new_empty(len(values), *start.shape)
        for own, out in zip(values, total, strict=True):
            sparse = torch.sparse_csr_tensor(starts, columns, own, self.shape)
            torch.addmm(start, sparse, right, out=out)
        return total

    def _filled(self, values: torch.Tensor) -> torch.Tensor:
        """`values` (g, k) at the places and 0 elsewhere, (g, r, d)."""
        if self.whole:
            return values.view(len(values), *self.shape)
        filled = values.new_zeros(len(values), self.shape[0] * self.shape[1])
        return filled.index_copy_(1, self.at, values).view(len(values), *self.shape)

    def add_to(self, matrix: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """`matrix` (r, d) with `values` (g, k) added at the places, (g, r, d)."""
        if self.whole:
            return matrix + self._filled(values)
        copies = matrix.reshape(1, -1).repeat(len(values), 1)
        return copies.index_add_(1, self.at, values).view(len(values), *self.shape)

    def product(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Entries (g, k) of left @ right at the places; left (g, r, b), right (g or 1, b, d)."""
        if self.pattern is not None:
            pairs = zip(left, right.expand(len(left), -1, -1), strict=True)
            return torch.stack(
                [torch.sparse.sampled_addmm(self.pattern, *pair, beta=0).values() for pair in pairs]
            )
        every = torch.matmul(left, right).flatten(1)  # (g, r d)
        return every if self.whole else every[:, self.at]


@dataclass(frozen=True)
class Places:
    """The weights that may move, sorted by matrix, by neuron and inside a neuron.

    active : int64 (t,), neurons of which a weight of W_bef moves: their activation changes.
    quiet : int64 (q,), other neurons of which a weight of W_aft moves.
    bef : places in the rows of W_bef of the active neurons, (t, d).
    aft, aft_quiet : places in the rows of W_aft transposed, (t, d) and (q, d).
    order : int64 (K,), where in the ranking each weight stands.
    """

    active: torch.Tensor
    quiet: torch.Tensor
    bef: Picks
    aft: Picks
    aft_quiet: Picks
    order: np.ndarray

    def in_order_of_ranking(self, values: torch.Tensor) -> np.ndarray:
        """Values (K,) of the sorted weights, in the ranking's order instead, float32."""
        found = np.empty(len(values), dtype=np.float32)
        found[self.order] = values.cpu().numpy()
        return found

    def split(self, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Values (g, K) of the sorted weights as those of bef, aft and aft_quiet."""
        sizes = [len(picks.at) for picks in (self.bef, self.aft, self.aft_quiet)]
        return tuple(part.contiguous() for part in values.split(sizes, dim=1))


def find_places(weights: np.ndarray, m: int, d: int, like: torch.Tensor) -> Places:
    """Where `weights`, the first K of a ranking, lie.

    weights : int32 (K,), canonical indices. like : a tensor of the model.
    Raises ValueError where one stands there twice or is no index of a weight.
    """
    if len(weights) and not 0 <= weights.min() <= weights.max() < ranking.n_weights(m, d):
        raise ValueError("a ranking has indices that no weight has")
    matrix, row, column = ranking.locate(weights, m, d)
    neuron, other = np.where(matrix == 0, (row, column), (column, row))
    active = np.unique(neuron[matrix == 0])
    quiet = np.setdiff1d(neuron, active)
    place = np.zeros(m, dtype=np.int64)
    place[active], place[quiet] = np.arange(len(active)), np.arange(len(quiet))
    kind = np.where(matrix == 0, 0, np.where(np.isin(neuron, active), 1, 2))
    at = place[neuron] * d + other  # in the rows of its kind
    keys = kind * (m * d) + at
    order = np.argsort(keys)
    if (np.diff(keys[order]) == 0).any():
        raise ValueError("a ranking has a weight twice")
    parts = np.split(at[order], np.cumsum(np.bincount(kind, minlength=3))[:2])
    rows = len(active), len(active), len(quiet)
    return Places(
        *(torch.from_numpy(neurons).to(like.device) for neurons in (active, quiet)),
        *(_picks(part, (r, d), like) for part, r in zip(parts, rows, strict=True)),
        order,
    )


def _picks(at: np.ndarray, shape: tuple[int, int], like: torch.Tensor) -> Picks:
    """A GPU makes whole products sooner than single entries."""
    places = torch.from_numpy(at).to(like.device)
    if like.device.type != "cpu" or not 0 < len(at) <= SPARSE_UP_TO * shape[0] * shape[1]:
        return Picks(shape, places, None)
    rows, columns = np.divmod(at, shape[1])
    starts = np.searchsorted(rows, np.arange(shape[0] + 1)).astype(np.int32)
    with warnings.catch_warnings():  # torch calls its CSR a beta; what is used here is tested
        warnings.simplefilter("ignore", UserWarning)
        pattern = torch.sparse_csr_tensor(
            torch.from_numpy(starts),
            torch.from_numpy(columns.astype(np.int32)),
            like.new_zeros(len(at)),
            shape,
        )
    return Picks(shape, places, pattern)
