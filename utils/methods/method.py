"""What a method is, and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from utils.methods.evidence import Evidence

# What the ledger calls the code of a user's own file.
SOURCE = "file of the method"


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

    level, name : what tables and files call it.
    step : the script that runs it.
    function : what makes its scores; its module's imports are the code on record.
    per_setting : False if the setting's samples do not matter; it then stands under `all` alone.
    elsewhere_if : the name of a constant; unless that is true, a method whose samples do matter
        stands under `all` alone too, because it takes long.
    constants : names of the constants (utils.constants) that its numbers depend on.
    with_budget : for a method whose scores, and not only their first entries,
        depend on n: (arrays of `budget_reads`, d, n) -> scores (N,).
    budget_reads : what it reads of its setting, as names of a method of FoldPaths
        and that method's arguments.
    source : of a user's own method, the hash of its file and of what that imports.
    file : where that lies.
    """

    level: str
    name: str
    step: int
    function: Callable[[Evidence], Scores]
    per_setting: bool = True
    elsewhere_if: str | None = None
    constants: tuple[str, ...] = ()
    with_budget: Callable[..., np.ndarray] | None = None
    budget_reads: tuple[tuple[str, ...], ...] = ()
    source: str | None = None
    file: Path | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.level, self.name

    @property
    def label(self) -> str:
        """`weight/bl`: what logs, tasks and tables of seconds call it."""
        return f"{self.level}/{self.name}"

    @property
    def parameters(self) -> dict[str, str]:
        """Values that its numbers depend on besides constants, as `Ledger.task` takes them."""
        return {} if self.source is None else {SOURCE: self.source}
