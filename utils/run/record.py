"""What provenance.json holds: its form, and what tells two recipes apart."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def is_provenance(content: Any) -> bool:
    """Whether the content of a provenance.json has the parts that are read from it."""
    try:
        for task in content["tasks"].values():
            parts = [task["outputs"], *(task["recipe"][k] for k in ("inputs", "constants", "code"))]
            numbers = [task["step"], *(row["elapsed_s"] for row in task["times"])]
            numbers += [row["n"] for row in task["times"] if row["n"] is not None]
            texts = [row[k] for row in task["times"] for k in ("setting", "method", "device")]
            if not (
                all(isinstance(part, dict) for part in parts)
                and not any({"", "..", "/"} & set(Path(name).parts) for name in task["outputs"])
                and all(isinstance(number, int | float) for number in numbers)
                and all(isinstance(text, str) for text in texts)
            ):
                return False
        return isinstance(content["runs"], dict)
    except (KeyError, TypeError, AttributeError):
        return False


def what_differs(
    before: dict[str, Any], now: dict[str, Any], changed_module: Callable[[str, str], str]
) -> str:
    """The first entry in which two recipes differ, in words.

    changed_module : of `Ledger`: (name, digest on record) -> the module that has changed.
    """
    for part in ("constants", "code", "inputs"):
        old, new = before[part], now[part]
        for name in [*new, *(name for name in old if name not in new)]:
            if name in old and name in new and old[name] == new[name]:
                continue
            if part == "constants":
                return f"{name} was {old.get(name)}, now {new.get(name)}"
            if name not in new:
                return f"{name} has no part in it now"
            if part == "code":
                return f"its code has changed ({changed_module(name, old.get(name))})"
            return f"{name} has changed" if name in old else f"{name} is new"
    return "its record has another form"
