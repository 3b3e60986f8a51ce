"""How the folds of a summary were made, as tables for a reader: constants, inputs, versions."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from utils.summary.folds.records import FoldRecord, by_value, producers, tasks_behind


@dataclass(frozen=True)
class FoldMade:
    """What was used and written for one fold: SHA-256 by name, versions by name."""

    hashes: dict[str, str]
    versions: dict[str, str]


def made(
    records: list[FoldRecord], each: list[FoldMade], own: dict[str, Any], here: dict[str, str]
) -> dict[str, dict[str, str]]:
    """By heading, name -> value; where folds differ, each value with its folds.

    each : of `of_fold`, a fold each like `records`.
    own : the summary's own constants. here : versions of what makes the summary.
    """
    numbers = [record.fold for record in records]
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
        "Versions": merged([one.versions for one in each], numbers)
        | {f"summary: {name}": version for name, version in here.items()},
        "SHA-256 of inputs and tables": merged([one.hashes for one in each], numbers),
    }


def of_fold(provenance: Mapping[str, Any], read: list[str]) -> FoldMade:
    """What a fold's provenance says of the files that the summary reads, all the way up.

    provenance : content of its provenance.json. read : names of files of the fold.
    """
    tasks, made_by = provenance["tasks"], producers(provenance["tasks"])
    behind = sorted(tasks_behind(tasks, {made_by[name] for name in read}))
    inputs: dict[str, str] = {}
    code: dict[str, str] = {}
    for key in behind:
        recipe = tasks[key]["recipe"]
        inputs |= {k: v for k, v in recipe["inputs"].items() if k not in made_by}
        code |= recipe["code"]
    tables = {name: tasks[made_by[name]]["outputs"][name] for name in read if "_scores" in name}
    whole = json.dumps(dict(sorted(code.items()))).encode()
    hashes = dict(sorted(inputs.items())) | tables
    hashes["code of the steps"] = hashlib.sha256(whole).hexdigest()
    runs = [provenance["runs"][key] for key in {tasks[key]["run"] for key in behind}]
    return FoldMade(hashes, versions_of(runs))


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


def merged(each: list[dict[str, str]], folds: list[int]) -> dict[str, str]:
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
