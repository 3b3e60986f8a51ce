"""One unit of resumable work: its recipe, its files and its seconds."""

import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from utils.run import storage
from utils.run.hashing import hash_file

if TYPE_CHECKING:
    from utils.run.ledger import Ledger


class Task:
    """One unit of resumable work; use as a context manager around the work.

    The record is written when the block ends without an exception, after all
    its files: a run killed in between redoes the task and writes the same bytes.
    """

    def __init__(self, ledger: "Ledger", step: int, name: str, recipe: dict[str, Any]) -> None:
        self.ledger = ledger
        self.step = step
        self.key = f"{step}/{name}"
        self.recipe = recipe
        self.outputs: dict[str, str] = {}
        self.times: list[dict[str, Any]] = []

    @property
    def done(self) -> bool:
        record = self.ledger.content["tasks"].get(self.key)
        if self.ledger.force or record is None or record["recipe"] != self.recipe:
            return False
        for name, digest in record["outputs"].items():
            path = self.ledger.paths.results / name
            if not path.is_file() or self.ledger.hashes.get(path) != digest:
                return False
        return True

    def __enter__(self) -> "Task":
        self.run = self.ledger.start_run()
        self.started = _now()
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
            "end": _now(),
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


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
