"""What provenance.json holds: its form, and what tells two recipes apart."""

import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from utils.errors import UserError
from utils.run.machine import describe
from utils.run.paths import FoldPaths

# Where provenance.json keeps the place of each file of methods, by the hash of its code.
FILES = "files of methods"
TIME_COLUMNS = ["ds", "fold", "setting", "method", "n", "elapsed_s", "device"]


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def read_provenance(paths: FoldPaths) -> dict[str, Any]:
    """The record of a result folder; one without tasks where there is none yet.

    Raises
    ------
    UserError : it cannot be read, or is another fold's.
    """
    try:
        content = json.loads(paths.provenance.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"ds": paths.ds, "fold": paths.fold, "runs": {}, "tasks": {}}
    except (OSError, ValueError):
        content = None
    if not is_provenance(content):
        raise UserError(
            f"{paths.provenance} is not readable; move it away and run from step 1 again"
        )
    if [content.get("ds"), content.get("fold")] != [paths.ds, paths.fold]:
        raise UserError(
            f"{paths.results} was made as fold {content.get('fold')} of "
            f"{content.get('ds')}, whose seed is another one; move the folder away"
        )
    return content


def run_entry(
    step: int, device: str, constants: dict[str, Any], folders: dict[str, str]
) -> dict[str, Any]:
    """The entry of a run that begins now: the call, the machine and the values in force."""
    return {
        "step": step,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "start": now(),
        "end": None,
        "device": device,
        **describe(),
        "seed": constants.get("SEED"),
        "constants": constants,
        "folders": folders,
    }


def forget_code(content: dict[str, Any]) -> None:
    """Take out of a record the hashes of modules that none of its tasks was made by."""
    tasks = content["tasks"].values()
    used = {digest for task in tasks for digest in task["recipe"]["code"].values()}
    codes = content.get("code", {})
    content["code"] = {key: codes[key] for key in sorted(used & codes.keys())}


def remember_file(content: dict[str, Any], constant: str, digest: str, file: Path) -> None:
    """Note where the file of a user's methods lies, so that it is found when it changes.

    constant : under which tasks have the hash of such a file; those of no task are forgotten.
    """
    tasks = content["tasks"].values()
    on_record = {task["recipe"]["constants"].get(constant) for task in tasks}
    files = {k: v for k, v in content.get(FILES, {}).items() if k in on_record}
    content[FILES] = files | {digest: str(file)}


def times_table(
    content: dict[str, Any], step: int, shown: Callable[[dict[str, Any]], bool]
) -> pd.DataFrame:
    """The timed things of a step, one a row, in the columns TIME_COLUMNS.

    shown : whether a row (by setting, method, n) belongs into it.
    """
    rows = [
        {"ds": content["ds"], "fold": content["fold"], **row}
        for task in content["tasks"].values()
        if task["step"] == step
        for row in task["times"]
        if shown(row)
    ]
    return pd.DataFrame(rows, columns=TIME_COLUMNS).astype({"n": "Int64"})


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
                return f"{name} was used then, and is not now"
            if part == "code":
                return f"its code has changed ({changed_module(name, old.get(name))})"
            return f"{name} has changed" if name in old else f"{name} is new"
    return "its record has another form"
