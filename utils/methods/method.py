"""What a method is, and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from utils.methods.evidence import Evidence


@dataclass(frozen=True)
class Scores:
    """What a method returns: suspiciousness (m,) or (N,), float32, higher is more suspicious.

    ranking : given only where the method orders the items itself.
    extras : arrays to keep beside the scores, by file stem (docs/definitions.md 4).
    notes : lines for the log.
    """

    score: np.ndarray
    ranking: np.ndarray | None = None
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """One FL method.

    per_setting : False if the setting's samples do not matter; it then stands under `all` alone.
    elsewhere_if : the name of a constant; unless that is true, a method whose samples do matter
        stands under `all` alone too, because it takes long.
    constants : names of the constants (utils.constants) that its numbers depend on.
    with_budget : for a method whose scores, and not only their first entries,
        depend on n: (arrays of `budget_reads`, d, n) -> scores (N,).
    budget_reads : what it reads of its setting, as names of a method of FoldPaths
        and that method's arguments.
    source : of a user's own method, the hash of the file that defines it (utils.methods.own).
    """

    level: str
    step: int
    function: "Callable[[Evidence], Scores]"
    code: tuple[ModuleType, ...]
    per_setting: bool = True
    elsewhere_if: str | None = None
    constants: tuple[str, ...] = ()
    with_budget: Callable[..., np.ndarray] | None = None
    budget_reads: tuple[tuple[str, ...], ...] = ()
    source: str | None = None

    @property
    def recipe(self) -> dict[str, Any]:
        """Keywords of `Ledger.task` for what decides the method's numbers, besides its inputs."""
        if self.source is None:
            return {"constants": self.constants, "code": (*self.code, self.function)}
        own = {"file of the method": self.source}
        return {"constants": self.constants, "parameters": own, "code": self.code}
