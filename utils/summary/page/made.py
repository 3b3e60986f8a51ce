"""How the folds of a summary were made, as tables for a reader: constants, inputs, versions."""

import importlib.metadata
import json
import platform
from collections.abc import Iterable
from typing import Any

from utils.run.hashing import hash_bytes
from utils.run.paths import FoldPaths
from utils.summary.folds.records import FoldRecord, by_value, producers, tasks_behind
from utils.summary.folds.tables import judged_files, truths_of

# What makes the summary; the folds' provenance names what made the folds.
PACKAGES = ("numpy", "pandas", "scipy", "pingouin", "matplotlib", "openpyxl", "Jinja2")


def made(
    folds: list[FoldPaths], records: list[FoldRecord], own: dict[str, Any]
) -> dict[str, dict[str, str]]:
    """By heading, name -> value; where folds differ, each value with its folds.

    own : the summary's own constants.
    """
    each = [of_fold(paths, list(own["TRUTHS"])) for paths in folds]
    numbers = [paths.fold for paths in folds]
    constants = dict.fromkeys(name for record in records for name in record.constants)
    decided = {
        name: said(
            {r.fold: as_text(r.constants[name]) for r in records if name in r.constants}, numbers
        )
        for name in sorted(constants)
    }
    decided |= {name: as_text(value) for name, value in sorted(own.items()) if name not in decided}
    return {
        "Constants": decided,
        "Versions": joined([one["versions"] for one in each], numbers)
        | {f"summary: {name}": version for name, version in versions_here().items()},
        "SHA-256 of inputs and tables": joined([one["hashes"] for one in each], numbers),
    }


def of_fold(paths: FoldPaths, truths: list[str]) -> dict[str, dict[str, str]]:
    """What a fold's provenance says of the tables that the summary reads, all the way up."""
    content = json.loads(paths.provenance.read_text(encoding="utf-8"))
    tasks, made_by = content["tasks"], producers(content["tasks"])
    read = [
        path.relative_to(paths.results).as_posix()
        for path in judged_files(paths, truths_of(paths, truths))
    ]
    behind = sorted(tasks_behind(tasks, {made_by[name] for name in read}))
    inputs: dict[str, str] = {}
    code: dict[str, str] = {}
    for key in behind:
        recipe = tasks[key]["recipe"]
        inputs |= {k: v for k, v in recipe["inputs"].items() if k not in made_by}
        code |= recipe["code"]
    tables = {name: tasks[made_by[name]]["outputs"][name] for name in read if "_scores" in name}
    whole = json.dumps(dict(sorted(code.items()))).encode()
    hashes = dict(sorted(inputs.items())) | tables | {"code of the steps": hash_bytes(whole)}
    runs = [content["runs"][key] for key in {tasks[key]["run"] for key in behind}]
    return {"hashes": hashes, "versions": versions_of(runs)}


def versions_of(runs: Iterable[dict[str, Any]]) -> dict[str, str]:
    """What ran, without the times at which and the threads with which it did."""
    found: dict[str, set[str]] = {}
    for run in runs:
        dirty = " with changes" if run.get("git_dirty") else ""
        values = {
            "python": run.get("python"),
            "platform": run.get("platform"),
            "device": run.get("device"),
            **run.get("packages", {}),
            "git commit": run["git_commit"] + dirty if run.get("git_commit") else None,
        }
        for name, value in values.items():
            if value is not None:
                found.setdefault(name, set()).add(str(value))
    return {name: ", ".join(sorted(values)) for name, values in found.items()}


def versions_here() -> dict[str, str]:
    """Versions of Python and of PACKAGES in this process."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found}


def joined(each: list[dict[str, str]], folds: list[int]) -> dict[str, str]:
    """One dictionary of several folds', by name."""
    names = dict.fromkeys(name for one in each for name in one)
    return {
        name: said({k: one[name] for k, one in zip(folds, each, strict=True) if name in one}, folds)
        for name in names
    }


def said(values: dict[int, str], folds: list[int]) -> str:
    """The value that all folds share, or every value with its folds."""
    if len(set(values.values())) == 1 and len(values) == len(folds):
        return next(iter(values.values()))
    return by_value(values)


def as_text(value: Any) -> str:
    """A constant as a reader writes it: 1, c100, [1, 5]."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
