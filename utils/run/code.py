"""The code on record: hashes of modules and of all that they import, found by reading them.

Nobody lists what a result depends on. The code behind a function is its module
and every module that this one imports, through any number of others, read from
the files with `ast`; imports inside functions and under TYPE_CHECKING count.
Comments, layout and docstrings do not, everything else does.
"""

import ast
import json
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from utils.run.hashing import REPOSITORY, HashCache, hash_bytes

# Where imports end: what reads, writes and records decides no number, and a constant's value is
# on record under its own name.
PLUMBING = ("utils.run", "utils.constants", "utils.errors")


def is_plumbing(module: str) -> bool:
    return any(module == end or module.startswith(f"{end}.") for end in PLUMBING)


def module_of(function: Callable[..., Any]) -> str:
    """The module that defines a function, or the one inside a partial."""
    return getattr(function, "func", function).__module__


class Source:
    """The files that code on record can stand in, each read and hashed once per change.

    roots : folders that top-level modules and packages lie in.
    """

    def __init__(self, hashes: HashCache, roots: Iterable[Path] = (REPOSITORY,)) -> None:
        self.hashes = hashes
        self.roots = tuple(roots)
        self._closures: dict[str, dict[str, str]] = {}

    def file(self, module: str) -> Path | None:
        """Where a module or package is defined; None for one that is not ours."""
        for root in self.roots:
            base = root.joinpath(*module.split("."))
            for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
                if path.is_file():
                    return path
        return None

    def closure(self, module: str) -> dict[str, str]:
        """The hash of `module` and of all that it imports, by name, sorted; plumbing left out."""
        if module not in self._closures:
            found: dict[str, str] = {}
            waiting = [module]
            while waiting:
                name = waiting.pop()
                path = self.file(name)
                if name in found or path is None or (is_plumbing(name) and name != module):
                    continue
                found[name], imported = self._read(path, name)
                waiting += imported
            self._closures[module] = dict(sorted(found.items()))
        return self._closures[module]

    def _read(self, path: Path, module: str) -> tuple[str, list[str]]:
        """Hash of a file, and the names that it may import modules by."""
        known = self.hashes.get(path, f"code {module}", lambda p: json.dumps(read_code(p, module)))
        digest, candidates = json.loads(known)
        return digest, [self._defined(name) for name in candidates]

    def _defined(self, name: str) -> str:
        """`a.b.c` of `from a.b import c`: the module of that name, or the one that holds c."""
        return name if self.file(name) else name.rpartition(".")[0]


def digest_of(closure: dict[str, str]) -> str:
    return hash_bytes(json.dumps(closure, sort_keys=True).encode())


def read_code(path: Path, module: str) -> tuple[str, list[str]]:
    """Hash of what a file does, and every `a.b` and `a.b.c` that it imports."""
    found = path.stat()
    return _read_code(path, module, found.st_mtime_ns, found.st_size)


@cache
def _read_code(path: Path, module: str, *stat: int) -> tuple[str, list[str]]:
    tree = _tree_without_docstrings(path, *stat)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return hash_bytes(ast.dump(tree).encode()), sorted(imported_names(tree, package))


def imported_names(tree: ast.AST, package: str) -> set[str]:
    """`a.b` of `import a.b`, and `a.b.c` of `from a.b import c`; relative ones made absolute.

    package : the package that the module lies in.
    """
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                parts = package.split(".")
                above = parts[: len(parts) - node.level + 1]
                start = ".".join([*above, *filter(None, [node.module])])
            names |= {f"{start}.{alias.name}".lstrip(".") for alias in node.names}
    return names


@lru_cache(maxsize=1)
def _tree_without_docstrings(path: Path, *_: int) -> ast.Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            body[0].value.value = ""
    return tree
