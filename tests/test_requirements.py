"""requirements.txt is what steps 0 to 10 import, through utils/ too: no package more, none less."""

import ast
import importlib.metadata
import sys
from pathlib import Path

import imports
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def tops(path: Path) -> set[str]:
    """First names of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def named(module: str) -> set[str]:
    """Strings of a module's own: what runs late is imported by its name."""
    trees = [ast.parse(path.read_bytes()) for path in source(module)]
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def files_of_the_steps() -> list[Path]:
    """The eleven scripts, and every file of utils/ that one of them reaches."""
    scripts = sorted(ROOT.glob("exp-fl-5-*.py"))
    assert len(scripts) == 11
    graph = imports.graph_of(ROOT / "utils")
    graph = {module: others | named(module) & graph.keys() for module, others in graph.items()}
    first = {
        module
        for script in scripts
        for name in imports.imported_names(ast.parse(script.read_bytes()), "")
        for module in (name, name.rpartition(".")[0])
        if module in graph
    }
    reached = first.union(*(imports.reached(graph, module) for module in first))
    packages = {".".join(module.split(".")[:n]) for module in reached for n in (1, 2, 3)}
    return scripts + [path for name in packages | reached for path in source(name)]


def source(module: str) -> list[Path]:
    path = ROOT.joinpath(*module.split("."))
    return [one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()]


def installed_as() -> dict[str, set[str]]:
    """Module -> the packages that bring it."""
    return {
        module: {canonicalize_name(name) for name in names}
        for module, names in importlib.metadata.packages_distributions().items()
    }


def required() -> set[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_the_steps_reach_most_of_utils():
    files = files_of_the_steps()
    assert len(files) > 100 and len(files) == len(set(files))


def test_what_is_required_is_what_the_steps_import():
    modules = set().union(*map(tops, files_of_the_steps())) - {"utils"} - sys.stdlib_module_names
    packages = installed_as()
    unknown = {module for module in modules if module not in packages}
    assert unknown == set()
    imported = {name for module in modules for name in packages[module]}
    assert sorted(required() - imported) == [], "nothing imports it"
    assert sorted(imported - required()) == [], "only another package brings it along"
