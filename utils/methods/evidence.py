"""What a method may look at: M1's tail, the cached states and the setting's samples."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from utils.methods import arachne, interventions, pruning, spectrum, variance
from utils.model import gradients
from utils.model.states import States
from utils.model.tail import Tail
from utils.pieces import by_rows
from utils.run.stopwatch import Stopwatch


@dataclass
class Evidence:
    """The inputs of one setting, with quantities that several methods share.

    neg, pos : int64 indices into the repair split, ascending.
    fold_memo : results that settings of a fold share (several have the same pos).

    A shared quantity is computed once and charged to each method that asks for
    it, so that a method's time does not depend on which method ran before.
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

    @property
    def everyone(self) -> np.ndarray:
        """All samples of the repair split."""
        return np.arange(self.states.n_samples)

    def _once(self, memo: dict[Any, tuple[Any, float]], key: Any, make: Callable[[], Any]) -> Any:
        if key in memo:
            self.saved_s += memo[key][1]
        else:
            watch = Stopwatch()
            value = make()
            memo[key] = (value, watch.seconds)
        return memo[key][0]

    @property
    def grad_loss(self) -> np.ndarray:
        """Mean gradient of the loss over neg, signed, (N,)."""
        return self._once(
            self.setting_memo,
            "grad_loss",
            lambda: gradients.mean_loss_gradient(self.tail, self.states, self.neg),
        )

    @property
    def impact(self) -> np.ndarray:
        """Forward impact over neg, (N,)."""
        return self._once(
            self.setting_memo,
            "impact",
            lambda: arachne.forward_impact(self.tail, self.states, self.neg),
        )

    @property
    def fisher(self) -> np.ndarray:
        """Mean squared gradient of the loss over neg, (N,)."""
        return self._once(
            self.setting_memo,
            "fisher",
            lambda: pruning.fisher(self.tail, self.states, self.neg),
        )

    @property
    def range_of_a(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of each intermediate neuron over all samples, each (m,)."""
        return self._once(self.fold_memo, "range", lambda: interventions.value_range(self.states.a))

    def _of(self, which: str, what: Any, make: Callable[[np.ndarray], Any]) -> Any:
        """`make(samples)` of "neg" or "pos"; settings with the same pos share the latter."""
        if which == "neg":
            return self._once(self.setting_memo, (what, which), lambda: make(self.neg))
        key = (what, which, self.pos.tobytes())
        return self._once(self.fold_memo, key, lambda: make(self.pos))

    def mean_of(self, which: str) -> np.ndarray:
        """Mean of each intermediate neuron over "neg" or "pos", (m,)."""
        return self._of(which, "mean", lambda s: variance.mean_activation(self.states.a, s))

    @property
    def mean_act(self) -> np.ndarray:
        """Mean of each intermediate neuron over neg, (m,)."""
        return self.mean_of("neg")

    def active(self, which: str) -> np.ndarray:
        """In how many samples of "neg" or "pos" each intermediate neuron is above 0, (m,)."""
        return self._of(which, "active", lambda s: spectrum.active_counts(self.states.a, s))

    def v(self, group: str, which: str) -> np.ndarray:
        """V over "neg" or "pos" of a neuron group: "u" (d,), "a" (m,) or "y" (d,)."""
        return self._of(
            which,
            ("v", group),
            lambda s: variance.v_scores(self._rows(group), s, self.tail.device),
        )

    def vdiff(self, group: str) -> np.ndarray:
        return variance.vdiff(self.v(group, "pos"), self.v(group, "neg"))

    def _rows(self, group: str) -> np.ndarray:
        if group == "u":
            return self._once(self.fold_memo, "u", self._normalised_h)
        return {"a": self.states.a, "y": self.states.y}[group]

    def _normalised_h(self) -> np.ndarray:
        """u of every sample, (S, d): as small as the cache of h."""
        parts = gradients.sample_blocks(self.states, self.everyone, "h", self.tail.device)
        return np.concatenate([by_rows(self.tail.ffn_input, h).cpu().numpy() for (h,) in parts])
