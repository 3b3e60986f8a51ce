"""The graph of imports between the files of a package, and what is wrong with it."""

import ast
from collections.abc import Callable, Iterable
from pathlib import Path

from utils.run.code import imported_names

Graph = dict[str, set[str]]


def graph_of(package: Path) -> Graph:
    """Module -> the modules of the package that it imports, wherever in the file.

    The package itself, which every import of `utils.x` runs, is left out.
    """
    files = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for module, path in files.items():
        inside = module if path.name == "__init__.py" else module.rpartition(".")[0]
        names = imported_names(ast.parse(path.read_bytes()), inside)
        found = {name if name in files else name.rpartition(".")[0] for name in names}
        graph[module] = (found & files.keys()) - {module, package.name}
    graph.pop(package.name, None)
    return graph


def reached(graph: Graph, module: str) -> dict[str, str]:
    """Every module that one imports, through any number of others -> the one it is imported by."""
    by: dict[str, str] = {}
    waiting = [module]
    while waiting:
        here = waiting.pop()
        for other in sorted(graph[here] - by.keys()):
            by[other] = here
            waiting.append(other)
    return by


def circles(graph: Graph) -> list[str]:
    """The modules that import themselves through others."""
    return [module for module in graph if module in reached(graph, module)]


def arrows_up(graph: Graph, floor: Callable[[str], int]) -> list[str]:
    """ "a imports b" for each import of a higher floor, or of another room of the same one."""
    return [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in sorted(others)
        if floor(other) > floor(module)
        or (floor(other) == floor(module) and room(other) != room(module))
    ]


def plumbing_reached(
    graph: Graph, modules: Iterable[str], is_plumbing: Callable[[str], bool]
) -> list[str]:
    """ "a reaches b through c" for each of `modules` from which plumbing can be reached."""
    wrong = []
    for module in modules:
        by = reached(graph, module)
        for other in sorted(filter(is_plumbing, by)):
            wrong.append(f"{module} reaches {other} through {by[other]}")
            break
    return wrong


def room(module: str) -> str:
    return module.split(".")[1]
