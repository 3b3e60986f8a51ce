"""The order of the rooms of utils/ is a fact: no file imports a later room, or one in a circle."""

import subprocess
import sys
from pathlib import Path

import imports
import pytest

UTILS = Path(__file__).resolve().parents[1] / "utils"
# truth and methods stand beside each other: neither looks at the other.
FLOORS = [
    {"constants", "errors"},
    {"ranking"},
    {"pieces"},
    {"drawing"},
    {"run"},
    {"data"},
    {"model"},
    {"truth", "methods"},
    {"judge"},
    {"summary"},
]
FLOOR_OF = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(UTILS.rglob("*.py"))


# What runs, that is has to do with tasks, files or logs, by the name of its file. All else in
# these rooms calculates; `own` is the package itself, which passes the runners' names on.
RUNNERS = {
    "fold", "users", "files", "truth_files", "chosen", "load", "m2_states", "option", "own",
    "read_records", "read_tables", "summarise", "write", "write_documents", "save", "refresh",
    "misplaced",
}  # fmt: skip
PURE_ROOMS = {"truth", "methods", "judge", "summary"}
# In the others it is the other way round: these calculate.
PURE_BELOW = {
    "utils.drawing", "utils.pieces", "utils.ranking",
    "utils.data.depth", "utils.data.doubts", "utils.data.misclassification", "utils.data.repeats",
    "utils.data.saved", "utils.data.setting_names", "utils.model.adam", "utils.model.blank",
    "utils.model.moments", "utils.model.class_token", "utils.model.gradients",
    "utils.model.states", "utils.model.tail", "utils.model.families", "utils.model.halves",
    "utils.model.names",
}  # fmt: skip


@pytest.fixture(scope="module")
def graph():
    return imports.graph_of(UTILS)


def floor_of(module: str) -> int:
    return FLOOR_OF[imports.room(module)]


def calculates(module: str) -> bool:
    name = module.rpartition(".")[2]
    if imports.room(module) in PURE_ROOMS:
        return name not in RUNNERS and not name.endswith("_of_fold")
    return module in PURE_BELOW


def is_plumbing(module: str) -> bool:
    return imports.room(module) in ("run", "errors", "constants")


def test_no_file_imports_itself_through_others(graph):
    assert imports.circles(graph) == []


def test_no_file_imports_a_later_room(graph):
    assert imports.arrows_up(graph, floor_of) == []


def test_the_ground_knows_nothing_of_the_users_mistakes(graph):
    assert {m: graph[m] for m in ("utils.constants", "utils.errors")} == {
        "utils.constants": set(), "utils.errors": set(),
    }  # fmt: skip


def test_what_calculates_reaches_nothing_that_runs(graph):
    pure = [module for module in graph if calculates(module)]
    assert len(pure) > 50
    assert imports.plumbing_reached(graph, pure, is_plumbing) == []


def test_no_file_is_long():
    long = {str(p.relative_to(UTILS)): n for p in MODULES if (n := p.read_text().count("\n")) > 330}
    assert long == {}


# -- the checker itself ------------------------------------------------------------------------


def tree_of(folder: Path, **files: str) -> Path:
    """A package `utils` of these files; two underscores stand for a slash."""
    for name, text in files.items():
        path = folder / "utils" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "utils"


@pytest.mark.parametrize(
    "back",
    [
        "from utils.judge.a import x",
        "from utils.judge import a",
        "import utils.judge.a as z",
        "from . import a",
        "from .a import (\n    x,\n    y,\n)",
        "from utils.judge.a import *",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from utils.judge.a import X",
        "def f():\n    try:\n        from utils.judge.a import x\n    finally:\n        pass",
    ],
)
def test_a_circle_is_seen_wherever_it_is_closed(tmp_path, back):
    utils = tree_of(tmp_path, judge__a="from utils.judge import b", judge__b="import utils.judge.c",
                    judge__c=back)  # fmt: skip
    found = imports.graph_of(utils)
    assert sorted(imports.circles(found)) == ["utils.judge.a", "utils.judge.b", "utils.judge.c"]
    (utils / "judge" / "c.py").write_text("x = 'from utils.judge.a import x'")
    assert imports.circles(imports.graph_of(utils)) == []


@pytest.mark.parametrize(
    ("file", "line", "seen"),
    [
        ("data__a", "from utils.judge import b", True),
        ("judge__b", "def f():\n    import utils.summary.c", True),
        ("truth__d", "from utils.methods import e", True),
        ("methods__e", "from utils.truth.d import x", True),
        ("methods__e", "from utils.data import a", False),
        ("summary__c", "from utils.judge.b import x", False),
        ("judge__b", "from utils.judge import z", False),
    ],
)
def test_an_arrow_that_runs_back_is_seen(tmp_path, file, line, seen):
    files = ("data__a", "judge__b", "summary__c", "truth__d", "methods__e", "judge__z")
    utils = tree_of(tmp_path, **dict.fromkeys(files, "x = 1") | {file: line})
    assert bool(imports.arrows_up(imports.graph_of(utils), floor_of)) is seen


def test_plumbing_is_seen_through_any_number_of_files(tmp_path):
    utils = tree_of(tmp_path, judge__a="from utils.judge import b", judge__b="import numpy",
                    judge__fold="from utils.judge import a\nfrom utils.run import storage",
                    run__storage="")  # fmt: skip

    def wrong() -> list[str]:
        graph = imports.graph_of(utils)
        return imports.plumbing_reached(graph, filter(calculates, graph), is_plumbing)

    assert wrong() == []
    (utils / "judge" / "b.py").write_text("def f():\n    from utils.run.storage import save")
    assert wrong() == [
        "utils.judge.a reaches utils.run.storage through utils.judge.b",
        "utils.judge.b reaches utils.run.storage through utils.judge.b",
    ]


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
