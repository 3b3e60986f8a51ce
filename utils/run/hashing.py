"""Content hashes: of files, remembered while their stat stays the same, and of code."""

import ast
import hashlib
import json
import os
import stat
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from utils.errors import UserError
from utils.run import storage

REPOSITORY = Path(__file__).resolve().parents[2]


def hash_bytes(*parts: bytes | memoryview) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_source(path: Path, function: str | None = None) -> str:
    """Hash of what a module, or one function of it, does.

    Comments, layout and docstrings do not count.
    """
    found = path.stat()
    return _hash_of_tree(path, function, found.st_mtime_ns, found.st_size)


@cache
def _hash_of_tree(path: Path, function: str | None, *stat: int) -> str:
    tree: ast.AST = _tree_without_docstrings(path, *stat)
    if function is not None:
        tree = next(
            (
                node
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef) and node.name == function
            ),
            ast.Module([], []),
        )
    return hash_bytes(ast.dump(tree).encode())


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


def code_name(code: ModuleType | Callable[..., Any]) -> str:
    """A module by its name, a function as `module:name`."""
    return code.__name__ if isinstance(code, ModuleType) else f"{code.__module__}:{code.__name__}"


class HashCache:
    """Content hashes of files, remembered while a file's stat stays the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        self.known = known if isinstance(known, dict) else {}
        self.changed = False

    @staticmethod
    def _stat(path: Path) -> list[int]:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"{path} is not a file; take it away")
        return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]

    def get(
        self, path: Path, kind: str = "file", compute: Callable[[Path], str] = hash_file
    ) -> str:
        """Return `compute(path)`, from memory where the file's stat is unchanged."""
        return self.get_together([path], kind, lambda: compute(path))

    def get_together(self, paths: list[Path], kind: str, compute: Callable[[], str]) -> str:
        """`compute()`, from memory while the stat of every one of `paths` is unchanged."""
        try:
            key = f"{kind}:{'|'.join(os.path.realpath(path) for path in paths)}"
            before = [number for path in paths for number in self._stat(path)]
            entry = self.known.get(key)
            if not (isinstance(entry, list) and entry[:-1] == before):
                # The stat from before: a file that changes meanwhile is hashed again next time.
                entry = [*before, compute()]
                self.known[key] = entry
                self.changed = True
        except OSError as error:
            raise UserError(f"{paths[0]} cannot be read: {error.strerror or error}") from None
        return entry[-1]

    def put(self, path: Path, digest: str) -> None:
        self.known[f"file:{os.path.realpath(path)}"] = [*self._stat(path), digest]
        self.changed = True

    def save(self) -> None:
        if self.changed:
            storage.save_json(self.path, self.known)
            self.changed = False
