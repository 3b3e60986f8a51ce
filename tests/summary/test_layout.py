"""utils/summary: what calculates knows nothing of what runs, and imports make no circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[2] / "utils"
SUMMARY = UTILS / "summary"
MODULES = {
    ".".join(("utils", *path.relative_to(UTILS).with_suffix("").parts)): path
    for path in sorted(SUMMARY.rglob("*.py"))
}
# Modules that read, write and decide what is made anew are called by verbs.
VERBS = ("read", "write", "save", "summarise", "refresh")


def runs(module: str) -> bool:
    return module.rpartition(".")[2].partition("_")[0] in VERBS


def imports_of(source: str) -> set[str]:
    """`a.b` of `import a.b`, `a.b.c` of `from a.b import c`, wherever they stand."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def module_of(name: str) -> str:
    """The module that an imported name is, or lies in."""
    return name if name in MODULES else name.rpartition(".")[0]


def unfit(source: str) -> list[str]:
    """What a module that calculates must not import, and does; files that it opens."""
    bad = []
    for name in imports_of(source):
        plumbing = name.startswith(("utils.run.", "utils.errors"))
        if plumbing or runs(module_of(name)):
            bad.append(name)
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    bad += [c.id for c in calls if isinstance(c, ast.Name) and c.id in ("open", "print")]
    files = ("read_text", "read_bytes", "write_text", "write_bytes", "read_csv", "is_file")
    return sorted(bad + [c.attr for c in calls if isinstance(c, ast.Attribute) and c.attr in files])


@pytest.mark.parametrize("module", [name for name in MODULES if not runs(name)])
def test_what_calculates_runs_nothing(module):
    assert unfit(MODULES[module].read_text(encoding="utf-8")) == []


def test_what_runs_would_be_seen():
    assert unfit("from utils.run import storage\nfrom utils import drawing") == [
        "utils.run.storage"
    ]
    assert unfit("def f():\n    import utils.errors") == ["utils.errors"]
    inner = "if TYPE_CHECKING:\n    from utils.summary.folds.read_tables import load"
    assert unfit(inner) == ["utils.summary.folds.read_tables.load"]
    assert unfit("from pathlib import Path\nPath('x').read_text()") == ["read_text"]


def test_there_is_no_circle():
    graph = {
        name: {module_of(found) for found in imports_of(path.read_text(encoding="utf-8"))}
        - {name, "utils.summary"}
        for name, path in MODULES.items()
        if path.name != "__init__.py"
    }
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("utils.summary.scores.write") > order.index("utils.summary.scores.views")


def test_no_file_is_long():
    long = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in long.items() if lines > 330} == {}
