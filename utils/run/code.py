"""The code on record: hashes of modules and of all that they import, found by reading them.

Nobody lists what a result depends on. The code behind a function is its module
and every module that this one imports, through any number of others, read from
the files with `ast`; imports inside functions and under TYPE_CHECKING count.
Comments, layout and docstrings do not, everything else does. What is imported
by a name made at run time (`importlib`) is not seen.
"""

import ast
import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from utils.run.hashing import REPOSITORY, HashCache, hash_bytes

# Where imports end: what reads, writes and records decides no number, and a constant's value is
# on record under its own name.
PLUMBING = ("utils.run", "utils.constants", "utils.errors")
# In the place of a function: all of utils/, for what is cheap to make anew and shows everything.
EVERYTHING = "all of utils"
# Parts of a syntax tree that follow from the others, or that nothing is done with.
UNREAD = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def is_plumbing(module: str) -> bool:
    return any(module == end or module.startswith(f"{end}.") for end in PLUMBING)


def module_of(function: Callable[..., Any]) -> str:
    """The module that defines a function, or the one inside a partial."""
    return getattr(function, "func", function).__module__


Maker = Callable[..., Any] | str  # a function, or EVERYTHING


def names_of(makes: Maker | Iterable[Maker]) -> list[str]:
    """The modules of one or more functions, sorted; EVERYTHING stands for itself."""
    makers = [makes] if callable(makes) or isinstance(makes, str) else makes
    return sorted({f if isinstance(f, str) else module_of(f) for f in makers})


class Source:
    """The files that code on record can stand in, each looked at once.

    roots : folders that top-level modules and packages lie in.
    """

    def __init__(self, hashes: HashCache, roots: Iterable[Path] = (REPOSITORY,)) -> None:
        self.hashes = hashes
        self.roots = tuple(roots)
        self._files: dict[str, Path | None] = {}
        self._seen: dict[str, tuple[str, list[str]]] = {}
        self._closures: dict[str, dict[str, str]] = {}
        self._digests: dict[str, str] = {}

    def file(self, module: str) -> Path | None:
        """Where a module or package is defined; None for one that is not ours."""
        if module not in self._files:
            top = module.partition(".")[0]
            ours = top == module or self.file(top) or self._is_folder(top)
            self._files[module] = self._find(module) if ours else None
        return self._files[module]

    def _find(self, module: str) -> Path | None:
        for root in self.roots:
            base = root.joinpath(*module.split("."))
            for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
                if path.is_file():
                    return path
        return None

    def _is_folder(self, package: str) -> bool:
        """Whether it is a package without an `__init__.py`."""
        return any((root / package).is_dir() for root in self.roots)

    def closure(self, module: str) -> dict[str, str]:
        """The hash of `module` and of all that it imports, by name, sorted; plumbing left out.

        Of EVERYTHING it is all of utils/ but the constants, whose values are on record by name.
        """
        if module not in self._closures:
            found: dict[str, str] = {}
            waiting = self._all() if module == EVERYTHING else [module]
            asked = frozenset(waiting)
            while waiting:
                name = waiting.pop()
                path = None if name in found else self.file(name)
                if path is None or (is_plumbing(name) and name not in asked):
                    continue
                found[name], imported = self._read(path, name)
                waiting += imported
            self._closures[module] = dict(sorted(found.items()))
        return self._closures[module]

    def _all(self) -> list[str]:
        """Every module and package of utils/, but for the constants."""
        package = REPOSITORY / "utils"
        names = {_dotted(path.relative_to(REPOSITORY)) for path in package.rglob("*.py")}
        return sorted(names - {"utils.constants"})

    def digest(self, module: str) -> str:
        """One hash of the closure of `module`."""
        if module not in self._digests:
            self._digests[module] = digest_of(self.closure(module))
        return self._digests[module]

    def _read(self, path: Path, module: str) -> tuple[str, list[str]]:
        """Hash of a file, and the modules of ours that it imports."""
        if module not in self._seen:
            kind = f"code {module}"
            known = self.hashes.get(path, kind, lambda p: json.dumps(read_code(p, module)))
            digest, names = json.loads(known)
            # What is no module of ours has no name here: "", which is none either.
            self._seen[module] = digest, sorted({self._defined(name) for name in names} - {""})
        return self._seen[module]

    def _defined(self, name: str) -> str:
        """`a.b.c` of `from a.b import c`: the module of that name, or the one that holds c."""
        above = name.rpartition(".")[0]
        holder = self.file(above) if above else None
        if holder and holder.name != "__init__.py":  # a module: it holds no modules
            return above
        return name if self.file(name) else above


def _dotted(path: Path) -> str:
    """`a.b` of a/b.py and of a/b/__init__.py."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def digest_of(closure: dict[str, str]) -> str:
    return hash_bytes(json.dumps(closure, sort_keys=True).encode())


def read_code(path: Path, module: str) -> tuple[str, list[str]]:
    """Hash of what a file does, and every `a.b` and `a.b.c` that it imports."""
    found = path.stat()
    return _read_code(path, module, found.st_mtime_ns, found.st_size)


@cache
def _read_code(path: Path, module: str, *_: int) -> tuple[str, list[str]]:
    tree = ast.parse(path.read_bytes())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return hash_code(tree), sorted(imported_names(tree, package))


def hash_code(tree: ast.AST) -> str:
    """Hash of a syntax tree without positions and without docstrings.

    What is absent leaves no trace, so that parts that a newer Python adds to its
    trees change nothing where they are not used.
    """
    parts: list[str] = []
    _write(tree, parts.append)
    return hash_bytes("\0".join(parts).encode("utf-8", "surrogatepass"))


def _write(node: ast.AST, add: Callable[[str], None]) -> None:
    """A node as its type and its fields by name; twice as fast as `ast.dump`."""
    add(node.__class__.__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == [] or name in UNREAD:
            continue
        add(name)
        if isinstance(value, ast.AST):
            _write(value, add)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST):
                    if not _says_nothing(item):
                        _write(item, add)
                else:
                    add(repr(item))
        else:
            add(repr(value))
    add(")")


def _says_nothing(node: ast.AST) -> bool:
    """A docstring, or `pass`."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Pass)


def imported_names(tree: ast.AST, package: str) -> set[str]:
    """`a` and `a.b` of `import a.b`, and `a.b.c` of `from a.b import c`; relative ones absolute.

    package : the package that the module lies in.
    """
    names = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names.add(alias.name)
                if not alias.asname:  # what is bound is `a`, and all of it is in reach
                    names.add(alias.name.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                parts = package.split(".")
                above = parts[: len(parts) - node.level + 1]
                start = ".".join([*above, *filter(None, [node.module])])
            names |= {f"{start}.{alias.name}".lstrip(".") for alias in node.names}
    return names


def _statements(tree: ast.AST) -> Iterable[ast.AST]:
    """Every statement, those inside others too; expressions hold no imports."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inside = getattr(node, name, None)
            if isinstance(inside, list):
                waiting += inside
