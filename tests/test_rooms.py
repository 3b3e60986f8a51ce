"""The order of the rooms of utils/ is a fact: no package imports a later one."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[1] / "utils"
# truth and methods stand beside each other: neither looks at the other.
FLOORS = [
    {"constants", "errors", "ranking", "pieces"},
    {"run"},
    {"data"},
    {"model"},
    {"truth", "methods"},
    {"judge"},
    {"summary"},
]
FLOOR_OF = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(UTILS.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(UTILS).with_suffix("").parts[0]


def imported_rooms(source: str) -> set[str]:
    """Rooms of utils that a module imports, at its top or inside a function."""
    rooms = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            parts = node.module.split(".")
            if parts[0] == "utils":
                rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            rooms |= {parts[1] for parts in names if parts[0] == "utils" and len(parts) > 1}
    return rooms


def looks_back(room: str, source: str) -> list[str]:
    """The rooms that a module of `room` must not import, and does."""
    allowed = {
        other for other, floor in FLOOR_OF.items() if floor < FLOOR_OF[room] or other == room
    }
    if room in FLOORS[0]:  # the ground: constants and errors stand alone, ranking on them
        allowed = {"errors"} if room == "ranking" else set()
    return sorted(imported_rooms(source) - allowed)


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if p != UTILS / "__init__.py"],
    ids=lambda p: str(p.relative_to(UTILS)),
)
def test_no_room_imports_a_later_one(path):
    assert looks_back(room_of(path), path.read_text()) == []


def test_an_arrow_that_runs_back_is_seen():
    assert looks_back("data", "from utils.judge import metrics") == ["judge"]
    assert looks_back("judge", "def f():\n    import utils.summary.notes") == ["summary"]
    assert looks_back("truth", "from utils.methods import arachne") == ["methods"]
    assert looks_back("methods", "from utils import ranking\nfrom utils.model import tail") == []


@pytest.mark.parametrize("module", ["utils.methods.fold", "utils.judge.scores.fold"])
def test_steps_that_need_no_pictures_start_without_datasets_and_transformers(module):
    code = (
        f"import sys, {module}\n"
        "heavy = {'datasets', 'transformers', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=UTILS.parent, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
