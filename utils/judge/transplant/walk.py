"""Does a ranking's top matter? M1 with M2's values in the first K weights of it, or M2 with M1's.

Only the class token's state h reaches the logits from the last FFN, so every
prediction follows from the cached h through the tail. A ranking is walked once,
from the smallest K to the largest, in place: between two K only the neurons
whose weights lie between them are made anew (docs/definitions.md 11). A
transplant needs M2: it checks a localisation and repairs nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from utils import ranking
from utils.model.states import States
from utils.model.tail import Tail
from utils.pieces import by_rows

# Where more of the neurons change, making all of them anew is less work than taking the
# old ones out and the new ones in: three products of a column against two.
WORTH_PICKING = 0.6
# K in percent of the weights under `all`; elsewhere 1% and the budget.
PERCENTS = (0.01, 0.1, 0.5, 1, 2, 5, 10, 25, 50)
ELSEWHERE = 1
WHOLE = 100
COUNTS = ("loss", "accuracy", "repaired", "broken", "target_repaired")
COLUMNS = [
    "ds", "fold", "setting", "level", "method", "k_percent", "k", "samples", "loss", "accuracy",
    "repaired", "broken", "target_samples", "target_repaired", "loss_recovered",
    "share_recovered",
]  # fmt: skip


@dataclass(frozen=True)
class Receiver:
    """A model on a split, and the matrices of another one that are put into it.

    tail : the model's. w_bef, w_aft : the donor's matrices, (m, d) and (d, m).
    h, u, y (S, d), a (S, m) : the model's own states of every sample. labels : int64 (S,).
    right : bool (S,), whether the model is right.
    """

    tail: Tail
    w_bef: torch.Tensor
    w_aft: torch.Tensor
    h: torch.Tensor
    u: torch.Tensor
    a: torch.Tensor
    y: torch.Tensor
    labels: np.ndarray
    right: np.ndarray

    @property
    def n_weights(self) -> int:
        return ranking.n_weights(self.tail.m, self.tail.d)


@torch.no_grad()
def make_receiver(tail: Tail, w_bef: np.ndarray, w_aft: np.ndarray, states: States) -> Receiver:
    """A model's tail with its states of a split, of which h and the labels are read.

    w_bef, w_aft : float32 (m, d) and (d, m), the matrices of the donor.
    """
    h = torch.from_numpy(np.array(states.h)).to(tail.device)
    u, a, y, logits = by_rows(partial(_all_states, tail), h)
    labels = np.array(states.labels)
    return Receiver(
        tail,
        *(torch.from_numpy(np.array(w)).to(tail.device) for w in (w_bef, w_aft)),
        h, u, a, y, labels, logits.argmax(1).cpu().numpy() == labels,
    )  # fmt: skip


def _all_states(tail: Tail, h: torch.Tensor) -> tuple[torch.Tensor, ...]:
    u = tail.ffn_input(h)
    a = tail.activate(tail.pre_activation(u))
    y = tail.output(h, a)
    return u, a, y, tail.logits_of_output(y)


def neuron_weights(neurons: np.ndarray, m: int, d: int) -> np.ndarray:
    """A ranking of neurons as one of weights: each neuron's 2d weights in canonical order.

    A K that ends inside a neuron takes the first of its weights: its row of W_bef
    before its column of W_aft.

    neurons : int32 (m,). Returns int32 (2 m d,).
    """
    bef = neurons[:, None].astype(np.int32) * d + np.arange(d, dtype=np.int32)
    aft = m * d + np.arange(d, dtype=np.int32) * m + neurons[:, None].astype(np.int32)
    return np.concatenate([bef, aft], axis=1).ravel()


@torch.no_grad()
def walk(receiver: Receiver, order: np.ndarray, ks: list[int]) -> Iterator[torch.Tensor]:
    """Logits (S, C) of the model with the donor's values in the first K weights of `order`.

    One for each K.

    order : int32 (N,) or longer than the last K, canonical indices. ks : ascending, 0 to N.
    """
    base = receiver.tail
    tail = replace(base, w_bef=base.w_bef.clone(), w_aft=base.w_aft.clone())
    a, y = receiver.a.clone(), receiver.y.clone()
    done = 0
    for k in ks:
        step = _Step(tail, *_touched(order[done:k], tail.m, tail.d))
        _put(tail, receiver, order[done:k])
        yield by_rows(step.follow, receiver.h, receiver.u, a, y)
        done = k


def _touched(indices: np.ndarray, m: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Neurons of which a weight of W_bef, and of which any weight is among `indices`; bool (m,)."""
    bef = np.zeros(m, dtype=bool)
    bef[indices[indices < m * d] // d] = True
    either = bef.copy()
    either[(indices[indices >= m * d] - m * d) % m] = True
    return bef, either


def _put(tail: Tail, receiver: Receiver, indices: np.ndarray) -> None:
    """Give the weights at canonical `indices` the donor's values, in place."""
    size = tail.m * tail.d
    places = indices[indices < size], indices[indices >= size] - size
    pairs = (tail.w_bef, receiver.w_bef), (tail.w_aft, receiver.w_aft)
    for (target, source), found in zip(pairs, places, strict=True):
        at = torch.from_numpy(found.astype(np.int64)).to(tail.device)
        target.view(-1)[at] = source.view(-1)[at]


class _Step:
    """From the states at one K to those at the next, made before the weights change."""

    def __init__(self, tail: Tail, bef: np.ndarray, either: np.ndarray) -> None:
        """bef, either : of `_touched`."""
        self.tail, self.any_bef = tail, bool(bef.any())
        self.pick = either.mean() < WORTH_PICKING
        self.neurons = torch.from_numpy(np.flatnonzero(either)).to(tail.device)
        self.old = tail.w_aft[:, self.neurons] if self.pick else None

    def follow(
        self, h: torch.Tensor, u: torch.Tensor, a: torch.Tensor, y: torch.Tensor
    ) -> torch.Tensor:
        """Logits (b, C) of some samples; their a (b, m) and y (b, d) become the next ones."""
        tail, chosen = self.tail, self.neurons
        if not self.pick:
            if self.any_bef:
                a.copy_(tail.activate(tail.pre_activation(u)))
            y.copy_(tail.output(h, a))
        elif len(chosen):
            before = a[:, chosen]
            after = before
            if self.any_bef:
                after = tail.activate(F.linear(u, tail.w_bef[chosen], tail.b_bef[chosen]))
                a[:, chosen] = after
            y.addmm_(after, tail.w_aft[:, chosen].T).addmm_(before, self.old.T, alpha=-1)
        return tail.logits_of_output(y)


def measure(receiver: Receiver, logits: torch.Tensor, target: np.ndarray) -> dict[str, float]:
    """What a transplant does to every sample, and how many of `target` it sets right.

    target : int64 (T,), a setting's failing samples: those that M1 gets wrong.
    """
    logits = logits.cpu()
    right = logits.argmax(1).numpy() == receiver.labels
    losses = F.cross_entropy(logits.double(), torch.from_numpy(receiver.labels), reduction="none")
    return {
        "loss": float(losses.numpy().mean()),
        "accuracy": float(right.mean()),
        "repaired": float(np.count_nonzero(right & ~receiver.right)),
        "broken": float(np.count_nonzero(receiver.right & ~right)),
        "target_repaired": float(np.count_nonzero(right[target])),
    }


def effects(
    receiver: Receiver,
    order: np.ndarray,
    ks: Mapping[float, int],
    targets: Mapping[str, tuple[np.ndarray, set[float]]],
) -> pd.DataFrame:
    """Columns setting, k_percent, k, target_samples and COUNTS: one row per setting and K.

    order : int32 (N,), canonical indices.
    ks : K by its percent of N.
    targets : by setting its failing samples, and the percents of which it has a row.
    """
    wanted = set().union(*(percents for _, percents in targets.values()))
    percents = sorted((percent for percent in ks if percent in wanted), key=lambda p: (ks[p], p))
    walked = walk(receiver, order, [ks[percent] for percent in percents])
    rows = []
    for percent, logits in zip(percents, walked, strict=True):
        for setting, (target, own) in targets.items():
            if percent in own:
                head = {"setting": setting, "k_percent": percent, "k": ks[percent]}
                size = {"target_samples": len(target)}
                rows.append(head | size | measure(receiver, logits, target))
    return pd.DataFrame(rows)


def mean_effects(draws: list[pd.DataFrame]) -> pd.DataFrame:
    """The mean of several `effects` with the same rows."""
    mean = draws[0].copy()
    for name in COUNTS:
        mean[name] = np.mean([draw[name] for draw in draws], axis=0)
    return mean


def random_orders(seed: int, draws: int, n_weights: int) -> Iterator[np.ndarray]:
    """Seeded random rankings of the weights, int32 (N,) each."""
    for i in range(draws):
        order = np.arange(n_weights, dtype=np.int32)
        np.random.default_rng([seed, 8, i]).shuffle(order)
        yield order


def percents_of(percents: list[float], ns: list[int], n_weights: int) -> dict[float, int]:
    """K by its percent of N: the given percents and the budgets 8 n^2."""
    ks = {percent: ranking.share_of(percent, n_weights) for percent in percents}
    for n in ns:
        budget = ranking.weight_budget(n, n_weights)
        ks.setdefault(round(100 * budget / n_weights, 6), budget)
    return ks


def finish(
    found: pd.DataFrame,
    ds: str,
    fold: int,
    samples: int,
    loss_first: float,
    loss_whole: float,
    back: bool = False,
) -> pd.DataFrame:
    """The table of docs/definitions.md 11.

    found : rows of `effects` with level and method.
    loss_first, loss_whole : mean loss of the receiver, and of it with both matrices of the
        donor. Where M2's do not lower it, or M1's on the way back do not raise it, there is
        no loss to recover, and no share.
    back : M1's values in M2: loss that is lost, not mended, counts.
    """
    sign = -1 if back else 1
    whole = sign * (loss_first - loss_whole)
    recovered = sign * (loss_first - found["loss"])
    table = found.assign(
        ds=ds, fold=fold, samples=samples, loss_recovered=recovered,
        share_recovered=recovered / whole if whole > 0 else np.nan,
    )  # fmt: skip
    return table[COLUMNS]


def in_order(table: pd.DataFrame, settings: list[str]) -> pd.DataFrame:
    """Sorted by setting, then by ranking as they come, then by K."""
    place = {setting: i for i, setting in enumerate(settings)}
    return table.sort_values(
        "setting", key=lambda s: s.map(place), kind="stable", ignore_index=True
    )
