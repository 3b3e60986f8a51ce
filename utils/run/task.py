"""One unit of resumable work: its recipe, its files and its seconds."""

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import pandas as pd

from utils.errors import UserError
from utils.run import storage
from utils.run.hashing import HashCache, hash_file
from utils.run.paths import FoldPaths
from utils.run.record import now, what_differs


class Book(Protocol):
    """What a task needs of the ledger that planned it."""

    content: dict[str, Any]
    paths: FoldPaths
    hashes: HashCache
    force: bool
    only_look: bool
    device: str

    def start_run(self) -> str: ...
    def commit(self) -> None: ...
    def relative(self, path: Path) -> str: ...
    def remove(self, outputs: dict[str, str]) -> None: ...
    def not_done(self, key: str, reason: str) -> UserError: ...
    def changed_module(self, name: str, digest: str) -> str: ...


class Task:
    """One unit of resumable work; use as a context manager around the work.

    The record is written when the block ends without an exception, after all
    its files: a run killed in between redoes the task and writes the same bytes.
    """

    def __init__(self, ledger: Book, step: int, name: str, recipe: dict[str, Any]) -> None:
        self.ledger = ledger
        self.step = step
        self.key = f"{step}/{name}"
        self.recipe = recipe
        self.outputs: dict[str, str] = {}
        self.times: list[dict[str, Any]] = []

    @property
    def done(self) -> bool:
        """Whether its results are there, made from what they would be made from now.

        Raises
        ------
        UserError : they are not, and the ledger is only looked at.
        """
        reason = self.why_not_done()
        if reason and self.ledger.only_look:
            raise self.ledger.not_done(self.key, reason)
        return reason is None

    def why_not_done(self) -> str | None:
        """What is to be done, in words; None if nothing is."""
        record = self.ledger.content["tasks"].get(self.key)
        if record is None:
            return "is not made yet"
        if self.ledger.force:
            return "is made anew with --force"
        if record["recipe"] != self.recipe:
            changed = self.ledger.changed_module
            return f"is out of date: {what_differs(record['recipe'], self.recipe, changed)}"
        for name, digest in record["outputs"].items():
            path = self.ledger.paths.results / name
            if not path.is_file():
                return f"is out of date: {name} is missing"
            if self.ledger.hashes.get(path) != digest:
                return f"is out of date: {name} has changed"
        return None

    def __enter__(self) -> "Task":
        self.run = self.ledger.start_run()
        self.started = now()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            return
        before = self.ledger.content["tasks"].get(self.key, {"outputs": {}})["outputs"]
        self.ledger.remove({k: v for k, v in before.items() if k not in self.outputs})
        self.ledger.content["tasks"][self.key] = {
            "step": self.step,
            "run": self.run,
            "start": self.started,
            "end": now(),
            "recipe": self.recipe,
            "outputs": self.outputs,
            "times": self.times,
        }
        self.ledger.commit()

    def save_array(self, path: Path, array: np.ndarray) -> None:
        storage.save_array(path, array)
        self.add_output(path)

    def save_table(self, path: Path, table: pd.DataFrame) -> None:
        storage.save_table(path, table)
        self.add_output(path)

    def save_bytes(self, path: Path, content: bytes) -> None:
        storage.save_bytes(path, content)
        self.add_output(path)

    def add_output(self, path: Path) -> None:
        """Record a file that the task has written itself."""
        digest = hash_file(path)
        self.ledger.hashes.put(path, digest)
        self.outputs[self.ledger.relative(path)] = digest

    def time(
        self,
        method: str,
        elapsed_s: float,
        setting: str = "",
        n: int | None = None,
        device: str | None = None,
    ) -> None:
        """One row of the step's time table, in seconds."""
        self.times.append(
            {
                "setting": setting,
                "method": method,
                "n": n,
                "elapsed_s": round(elapsed_s, 6),
                "device": device or self.ledger.device,
            }
        )
