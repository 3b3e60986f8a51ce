"""Passes of M1 in which K weights of the last FFN may move, and nothing else.

What does not move is computed once: M1's pre-activations, and what the other
neurons give to y. Samples are columns here, so that a neuron's values lie
together in memory. A pass takes g deltas at once, where they are small.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from utils.judge.retrain.places import Places, find_places
from utils.model.tail import Tail, blocks
from utils.pieces import ROWS, run_pieces

Result = TypeVar("Result")


@dataclass(frozen=True)
class Block:
    """M1's states of b samples: u (d, b), pre-activation (m, b), y (d, b), labels (b,)."""

    u: torch.Tensor
    pre: torch.Tensor
    y: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Part:
    """What the weights that may move need of a block.

    u (d, b), labels (b,) : the block's.
    pre (t, b) : M1's pre-activation of the active neurons.
    quiet (q, b) : activation of the quiet ones.
    rest (d, b) : y without what these t + q neurons give to it.
    """

    u: torch.Tensor
    pre: torch.Tensor
    quiet: torch.Tensor
    rest: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Moved:
    """g times: what is added to the weights of W_bef (g, k); columns of W_aft (g, d, t or q)."""

    bef: torch.Tensor
    aft: torch.Tensor
    aft_quiet: torch.Tensor


@torch.no_grad()
def m1_blocks(tail: Tail, h: np.ndarray, labels: np.ndarray) -> list[Block]:
    """M1's states of samples, cut where `utils.pieces` cuts; on a GPU in one block.

    h : float32 (S, d). labels : int64 (S,). The states have the tail's precision.
    """

    def block(rows: slice) -> Block:
        inputs = torch.from_numpy(np.ascontiguousarray(h[rows])).to(tail.w_bef)
        u = tail.ffn_input(inputs)
        pre = tail.pre_activation(u)
        y = tail.output(inputs, tail.activate(pre))
        wanted = torch.from_numpy(np.ascontiguousarray(labels[rows])).to(tail.device)
        return Block(*(x.T.contiguous() for x in (u, pre, y)), wanted)

    size = ROWS if tail.device.type == "cpu" else max(1, len(h))
    return each([partial(block, rows) for rows in blocks(len(h), size)], tail.device)


def each(pieces: list[Callable[[], Result]], device: torch.device) -> list[Result]:
    """The results of `pieces` in order; only a CPU makes several at a time."""
    return run_pieces(pieces) if device.type == "cpu" else [piece() for piece in pieces]


class Movable:
    """M1 of which K weights may move; they and their deltas stand in the order of `places`."""

    def __init__(self, tail: Tail, weights: np.ndarray) -> None:
        """weights : int32 (K,), canonical indices."""
        self.tail = tail
        self.places: Places = find_places(weights, tail.m, tail.d, tail.w_bef)
        self.device = tail.device
        self.aft, self.aft_quiet = (
            tail.w_aft[:, neurons].T.contiguous()  # (t or q, d)
            for neurons in (self.places.active, self.places.quiet)
        )

    def zeros(self, count: int = 1) -> torch.Tensor:
        """Deltas of M1 itself, (count, K)."""
        return self.aft.new_zeros(count, len(self.places.order))

    def values(self) -> torch.Tensor:
        """M1's values of these weights, (K,)."""
        places = self.places
        rows = self.tail.w_bef[places.active], self.aft, self.aft_quiet
        picks = places.bef, places.aft, places.aft_quiet
        return torch.cat([w.view(-1)[p.at] for w, p in zip(rows, picks, strict=True)])

    @torch.no_grad()
    def part(self, block: Block) -> Part:
        pre = block.pre[self.places.active]  # (t, b)
        quiet = self.tail.activate(block.pre[self.places.quiet])  # (q, b)
        given = torch.addmm(self.aft_quiet.T @ quiet, self.aft.T, self.tail.activate(pre))
        return Part(block.u, pre, quiet, block.y - given, block.labels)

    def move(self, deltas: torch.Tensor) -> Moved:
        """deltas : (g, K)."""
        bef, aft, aft_quiet = self.places.split(deltas)
        return Moved(
            bef,
            self.places.aft.add_to(self.aft, aft).transpose(1, 2),
            self.places.aft_quiet.add_to(self.aft_quiet, aft_quiet).transpose(1, 2),
        )

    def gradients(self, moved: Moved, parts: list[Part]) -> torch.Tensor:
        """Gradients (g, K) of the mean cross-entropy over the samples of `parts`."""
        sums = each([partial(self._summed_gradients, moved, part) for part in parts], self.device)
        total = sums[0]
        for found in sums[1:]:
            total += found
        return total.div_(sum(len(part.labels) for part in parts))

    @torch.no_grad()
    def _summed_gradients(self, moved: Moved, part: Part) -> torch.Tensor:
        with torch.enable_grad():
            pre = self._pre(moved, part).requires_grad_(True)  # (g, t, b)
            a = self.tail.activate(pre)
            y = self._output(moved, part, a)
            loss = self._losses(y, part, y.dtype).sum()
            grad_pre, grad_y = torch.autograd.grad(loss, (pre, y))
        places = self.places
        bef = places.bef.product(grad_pre, part.u.T[None])
        aft = places.aft.product(a.detach(), grad_y)
        aft_quiet = places.aft_quiet.product(part.quiet.expand(len(a), -1, -1), grad_y)
        return torch.cat([bef, aft, aft_quiet], dim=1)

    def losses(self, moved: Moved, parts: list[Part]) -> np.ndarray:
        """Mean cross-entropy over the samples of `parts` with each delta, float64 (g,)."""
        sums = each([partial(self._summed_losses, moved, part) for part in parts], self.device)
        return sum(sums) / sum(len(part.labels) for part in parts)

    @torch.no_grad()
    def _summed_losses(self, moved: Moved, part: Part) -> np.ndarray:
        y = self._output(moved, part, self.tail.activate(self._pre(moved, part)))
        return self._losses(y, part, torch.float64).sum(dim=1).cpu().numpy()

    @torch.no_grad()
    def _pre(self, moved: Moved, part: Part) -> torch.Tensor:
        """Pre-activations (g, t, b)."""
        return self.places.bef.add_multiplied(part.pre, moved.bef, part.u)

    def _output(self, moved: Moved, part: Part, a: torch.Tensor) -> torch.Tensor:
        """y (g, b, d) from the activations (g, t, b)."""
        rest = part.rest.expand(len(a), -1, -1)
        if len(part.quiet):
            rest = rest + moved.aft_quiet @ part.quiet
        return torch.baddbmm(rest, moved.aft, a).transpose(1, 2).contiguous()

    def _losses(self, y: torch.Tensor, part: Part, dtype: torch.dtype) -> torch.Tensor:
        """Cross-entropy of each sample (g, b), from y (g, b, d)."""
        logits = self.tail.logits_of_output(y.flatten(0, 1)).to(dtype)  # (g b, C)
        labels = part.labels.repeat(len(y))
        return F.cross_entropy(logits, labels, reduction="none").view(y.shape[:2])
