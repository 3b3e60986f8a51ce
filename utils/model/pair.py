"""Which two checkpoints of a fold are M1 and M2, and that they are of one model."""

import re
from collections.abc import Callable
from pathlib import Path

from utils.errors import UserError
from utils.model import configs, training
from utils.model.inputs import Pair
from utils.run.paths import FoldPaths
from utils.run.profiles import profile_of

# The Trainer of transformers 4.3x saves under the second name first.
ENTRIES = ("checkpoint-", "tmp-checkpoint-")


def find_pair(paths: FoldPaths, m1_step: int | None = None, m2_step: int | None = None) -> Pair:
    """M2 is the checkpoint with the highest step, M1 the one before it, unless steps are named.

    Raises
    ------
    UserError : fewer than two folders `checkpoint-<number>`, or none of a step that is named.
    """
    found: dict[int, Path] = {}
    other: dict[str, str] = {}
    for entry in sorted(paths.training.glob("*checkpoint-*")):
        if entry.name.startswith(ENTRIES):
            match = re.fullmatch(r"checkpoint-(\d+)", entry.name)
            if not match or not entry.is_dir():
                other[entry.name] = _why_not(entry)
            elif int(match[1]) in found:
                same = found[int(match[1])]
                raise UserError(f"{same} and {entry.name} are of one step; take one away")
            else:
                found[int(match[1])] = entry
    if len(found) < 2:
        names = ", ".join(sorted(folder.name for folder in found.values())) or "none"
        raise UserError(
            f"{paths.training} has fewer than two checkpoint-<step> folders ({names}"
            f"{_listed(other, '; passed over: ')}); {_how_to_add(paths)}"
        )
    m2 = _named(found, "--m2", m2_step, paths.training, lambda: max(found))
    m1 = _named(found, "--m1", m1_step, paths.training, lambda: _before(found, m2, paths.training))
    if m1 >= m2:
        raise UserError(
            f"--m1 and --m2 name the steps {m1} and {m2} of {paths.training}; M1 is the earlier one"
        )
    other |= {found[step].name: "another step" for step in sorted(found) if step not in (m1, m2)}
    return Pair(found[m1], found[m2], tuple(f"{name} ({why})" for name, why in other.items()))


def _how_to_add(paths: FoldPaths) -> str:
    if profile_of(paths.ds) and training.can_go_on(paths):
        return "run exp-fl-5-0.py again"
    return "add the checkpoint of another epoch of the same run"


def _why_not(entry: Path) -> str:
    if entry.name.startswith("tmp-"):
        return "left by a save that did not end"
    if entry.is_symlink() and not entry.exists():
        return "a link to nothing"
    return "no step in its name" if entry.is_dir() else "no folder"


def _listed(other: dict[str, str], lead: str) -> str:
    return lead * bool(other) + ", ".join(f"{name} is {why}" for name, why in other.items())


def _named(
    found: dict[int, Path], option: str, step: int | None, where: Path, default: Callable[[], int]
) -> int:
    if step is None:
        return default()
    if step not in found:
        steps = ", ".join(map(str, sorted(found)))
        raise UserError(f"{option} {step}: {where} has checkpoints of the steps {steps}; name one")
    return step


def _before(found: dict[int, Path], m2: int, where: Path) -> int:
    earlier = [step for step in found if step < m2]
    if not earlier:
        raise UserError(f"{where} has no checkpoint before {found[m2].name}; name another --m2")
    return max(earlier)


def require_one_model(pair: Pair, first: dict, second: dict) -> None:
    """Refuse M1 and M2 whose configs are of two models.

    first, second : their `configs.read_config`.
    """

    def refuse(what: str, one: object, other: object) -> None:
        raise UserError(
            f"{pair.m1.name} and {pair.m2.name} in {pair.m1.parent} differ in {what} "
            f"({one} and {other}); both must come from one training run"
        )

    if first["model_type"] != second["model_type"]:
        refuse("model_type", first["model_type"], second["model_type"])
    family = configs.family_of(first)
    for key in (family.keys.d, family.keys.m, *family.shared):
        one, other = (config.get(key, family.shared.get(key)) for config in (first, second))
        if one != other:
            refuse(key, one, other)
    counts = [configs.count_classes(config) for config in (first, second)]
    if counts[0] != counts[1]:
        refuse("num_labels", *counts)
    names = [configs.class_names(config) for config in (first, second)]
    if None not in names:
        for i, (one, other) in enumerate(zip(*names, strict=True)):
            if one != other:
                refuse(f"the name of class {i}", repr(one), repr(other))
