"""What a method may look at: M1's tail, the cached states and the setting's samples."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from utils.model.gradients import mean_loss_gradient
from utils.model.states import BLOCK, States
from utils.model.tail import Tail, blocks

Value = TypeVar("Value")


@dataclass
class Evidence:
    """The inputs of one setting, and what several methods make of them.

    neg, pos : int64 indices into the repair split, ascending.
    fold_memo : what settings of a fold share (several have the same pos).

    What a method asks for through `once` and its kin is made once and charged to each
    that asks, so that a method's time does not depend on which method ran before.
    """

    tail: Tail
    states: States
    neg: np.ndarray
    pos: np.ndarray
    seed: int
    ig_points: int
    fold_memo: dict[Any, tuple[Any, float]]
    setting_memo: dict[Any, tuple[Any, float]] = field(default_factory=dict)
    saved_s: float = 0.0

    def once(self, key: Any, make: Callable[[], Value]) -> Value:
        """`make()`, once for all methods of this setting; never written to.

        key : begins with the name of the module that owns the quantity.
        """
        return self._remembered(self.setting_memo, key, make)

    def once_per_fold(self, key: Any, make: Callable[[], Value]) -> Value:
        """`once`, for all settings: what does not depend on neg and pos."""
        return self._remembered(self.fold_memo, key, make)

    def once_of(self, which: str, key: Any, make: Callable[[np.ndarray], Value]) -> Value:
        """`make(samples)` of "neg" or "pos", once; settings with the same pos share the latter."""
        if which == "neg":
            return self.once((key, which), lambda: make(self.neg))
        return self.once_per_fold((key, which, self.pos.tobytes()), lambda: make(self.pos))

    def _remembered(
        self, memo: dict[Any, tuple[Any, float]], key: Any, make: Callable[[], Value]
    ) -> Value:
        if key in memo:
            self.saved_s += memo[key][1]
        else:
            start = time.perf_counter()
            value = make()
            memo[key] = (value, time.perf_counter() - start)
        return memo[key][0]

    @property
    def everyone(self) -> np.ndarray:
        """All samples of the repair split."""
        return np.arange(self.states.n_samples)

    @property
    def grad_loss(self) -> np.ndarray:
        """Mean gradient of the loss over neg, signed, (N,)."""
        return self.once(
            "evidence.grad_loss", lambda: mean_loss_gradient(self.tail, self.states, self.neg)
        )

    def mean_of(self, which: str) -> np.ndarray:
        """Mean of each intermediate neuron over "neg" or "pos", (m,)."""
        return self.once_of(
            which, "evidence.mean", lambda samples: mean_activation(self.states.a, samples)
        )

    @property
    def mean_act(self) -> np.ndarray:
        """Mean of each intermediate neuron over neg, (m,)."""
        return self.mean_of("neg")


def mean_activation(rows: np.ndarray, samples: np.ndarray, block: int = BLOCK) -> np.ndarray:
    """Mean of each column of `rows` over `samples`, float32 (m,)."""
    total = np.zeros(rows.shape[1])
    for part in blocks(len(samples), block):
        total += np.take(rows, samples[part], axis=0).sum(axis=0, dtype=np.float64)
    return (total / len(samples)).astype(np.float32)
