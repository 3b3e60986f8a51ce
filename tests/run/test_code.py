"""utils.run.code: the hash of what a file does, and of all that it imports."""

import time
from functools import partial
from pathlib import Path

import pytest

from utils.run import code
from utils.run.code import EVERYTHING, Source, digest_of, module_of, names_of, read_code
from utils.run.hashing import HashCache

CODE = """import math
from dataclasses import dataclass

LIMIT = 3


@dataclass(frozen=True)
class Pair:
    \'\'\'Two numbers.\'\'\'

    a: int
    b: float = 1.0

    def total(self):
        return self.a + self.b


def f(x, y=2, *, z=None):
    if x > LIMIT:
        return math.sqrt(x)
    return [i for i in range(y)]
"""
SAME = {
    "a comment": ("LIMIT = 3", "# why\nLIMIT = 3  # because"),
    "a docstring": ("def f(x, y=2, *, z=None):", 'def f(x, y=2, *, z=None):\n    """New."""\n'),
    "another docstring": ("Two numbers.", "Three words here."),
    "no docstring": ("    '''Two numbers.'''\n\n", ""),
    "the module's own": ("import math", '"""About."""\n\nimport math'),
    "layout": (
        "return self.a + self.b",
        "return (\n            self.a +\n            self.b\n        )",
    ),
    "a trailing comma": ("range(y)", "range(y,)"),
    "other quotes": ("LIMIT = 3", "LIMIT = 3\n"),
}
OTHER = {
    "a constant": ("LIMIT = 3", "LIMIT = 4"),
    "its type": ("LIMIT = 3", "LIMIT = 3.0"),
    "a field": ("    a: int\n", "    a: int\n    c: int = 0\n"),
    "a field's default": ("b: float = 1.0", "b: float = 2.0"),
    "a field's type": ("a: int", "a: float"),
    "the order of fields": ("    a: int\n    b: float = 1.0\n", "    b: float\n    a: int = 1\n"),
    "a decorator": ("@dataclass(frozen=True)\n", ""),
    "its argument": ("frozen=True", "frozen=False"),
    "a method": ("self.a + self.b", "self.a - self.b"),
    "a parameter's default": ("y=2", "y=3"),
    "a comparison": ("x > LIMIT", "x >= LIMIT"),
    "an import": ("import math", "import cmath as math"),
    "a string": ("return math.sqrt(x)", "return 'sqrt'"),
    "a line more": ("    return [", "    x += 1\n    return ["),
    "which branch": ("    return [", "        return ["),
}  # fmt: skip


def digest(folder: Path, text: str) -> str:
    (folder / "a.py").write_text(text, encoding="utf-8")
    return read_code(folder / "a.py", "a")[0]


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_a_reader_alone_sees_is_no_change(tmp_path, change):
    assert change[0] in CODE
    (tmp_path / "other").mkdir()
    assert digest(tmp_path, CODE) == digest(tmp_path / "other", CODE.replace(*change))


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_what_python_sees_is_a_change(tmp_path, change):
    assert change[0] in CODE
    (tmp_path / "other").mkdir()
    assert digest(tmp_path, CODE) != digest(tmp_path / "other", CODE.replace(*change))


def write(root: Path, **files: str) -> Path:
    """Files by name; two underscores stand for a slash."""
    for name, text in files.items():
        path = root / f"{name.replace('___', '/__init__').replace('__', '/', 1)}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def source(root: Path, *more: Path) -> Source:
    return Source(HashCache(root / ".hashes.json"), (root, *more))


def tree(root: Path, line: str) -> Path:
    """Package p with a.py that begins with `line`, b.py, c.py, and q with d.py."""
    for name, text in {
        "p/__init__.py": "from p.c import z\n",
        "p/a.py": f"{line}\n",
        "p/b.py": "from p import c\nx = 1\n",
        "p/c.py": "z = 2\n",
        "p/q/__init__.py": "",
        "p/q/d.py": "from .. import b\n",
        "top.py": "y = 1\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import numpy as np", ""),
        ("import p.b as c", "p.b p.c"),
        ("import p.b", "p p.b p.c"),
        ("from p import b", "p.b p.c"),
        ("from p.b import (\n    x,\n    y,\n)", "p.b p.c"),
        ("from p.b import *", "p.b p.c"),
        ("from p import *", "p p.c"),
        ("from p import z", "p p.c"),
        ("from . import c", "p.c"),
        ("from .b import x as y", "p.b p.c"),
        ("from .q.d import b", "p.b p.c p.q.d"),
        ("from p.q import d as e", "p.b p.c p.q.d"),
        ("import top", "top"),
        ("def f():\n    if 1:\n        from p import b", "p.b p.c"),
        ("class A:\n    def f(self):\n        import top", "top"),
        ("try:\n    import nothing\nexcept ImportError:\n    from p import c", "p.c"),
        ("match 1:\n    case 1:\n        from p import c", "p.c"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.c import z", "p.c"),
        ("x = 'from p import b'", ""),
    ],
)
def test_all_that_is_imported_is_in_the_closure(tmp_path, line, found):
    closure = source(tree(tmp_path, line)).closure("p.a")
    assert sorted(closure) == sorted({"p.a", *found.split()})


def test_a_file_beside_the_repository_is_none_of_its_code(tmp_path):
    """Whose name is the repository's, as a module's is that of its package."""
    root = tree(tmp_path / "repo", "import json\nfrom p import c")
    (tmp_path / "repo.py").write_text("x = 1\n")
    assert set(source(root).closure("p.a")) == {"p.a", "p.c"}


def test_a_change_anywhere_below_is_another_hash(tmp_path):
    tree(tmp_path, "from p import b")
    before = source(tmp_path)
    digest = before.digest("p.a")
    assert digest == digest_of(before.closure("p.a"))
    (tmp_path / "p" / "c.py").write_text("z = 3\n")
    after = source(tmp_path)
    assert after.digest("p.a") != digest
    assert [m for m, h in after.closure("p.a").items() if before.closure("p.a")[m] != h] == ["p.c"]
    (tmp_path / "p" / "c.py").write_text("z = 2  # as before\n")
    assert source(tmp_path).digest("p.a") == digest


def test_files_that_import_each_other_end(tmp_path):
    tree(tmp_path, "from p import b")
    (tmp_path / "p" / "c.py").write_text("from p import a\n")
    found = source(tmp_path)
    assert set(found.closure("p.a")) == set(found.closure("p.c")) == {"p.a", "p.b", "p.c"}


def test_plumbing_is_where_imports_end(tmp_path, monkeypatch):
    monkeypatch.setattr(code, "PLUMBING", ("p.q", "p.b"))
    tree(tmp_path, "from p import b\nfrom p.q import d\nfrom p import c")
    assert set(source(tmp_path).closure("p.a")) == {"p.a", "p.c"}
    assert "p.b" in source(tmp_path).closure("p.b")  # asked for by itself


def test_modules_beside_a_users_file_count(tmp_path):
    tree(tmp_path / "ours", "from p import c")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "method.py").write_text("import helper\nfrom p.a import c\n")
    (tmp_path / "mine" / "helper.py").write_text("import json\n")
    found = Source(HashCache(tmp_path / "h"), (tmp_path / "ours", tmp_path / "mine"))
    assert set(found.closure("method")) == {"method", "helper", "p.a", "p.c"}


def test_a_function_in_a_partial_is_in_its_own_module():
    assert module_of(partial(read_code, Path())) == "utils.run.code" == module_of(read_code)


def test_everything_is_every_file_of_utils_but_the_constants(tmp_path, monkeypatch):
    for name, text in {"a/b": "x = 1", "a/__init__": "", "run/c": "", "constants": "y = 2"}.items():
        path = tmp_path / "utils" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(code, "REPOSITORY", tmp_path)
    assert set(source(tmp_path).closure(EVERYTHING)) == {"utils.a", "utils.a.b", "utils.run.c"}
    assert names_of(EVERYTHING) == [EVERYTHING]
    before = source(tmp_path).digest(EVERYTHING)
    (tmp_path / "utils" / "constants.py").write_text("y = 3")
    assert source(tmp_path).digest(EVERYTHING) == before
    (tmp_path / "utils" / "run" / "c.py").write_text("z = 1")
    assert source(tmp_path).digest(EVERYTHING) != before


def test_everything_is_found_here():
    found = source(code.REPOSITORY).closure(EVERYTHING)
    assert {"utils.summary.scores.write", "utils.run.storage", "utils.judge"} <= found.keys()
    assert len(found) > 150


def test_the_closure_of_everything_is_quick(tmp_path):
    """What a step pays: the closures of all modules, their hashes known from the run before."""
    modules = [
        ".".join(path.relative_to(code.REPOSITORY).with_suffix("").parts)
        for path in (code.REPOSITORY / "utils").rglob("*.py")
        if path.name != "__init__.py"
    ]
    cache = tmp_path / ".hashes.json"
    first = HashCache(cache)
    for module in modules:
        Source(first).closure(module)
    first.save()
    code._read_code.cache_clear()
    began = time.process_time()
    again = Source(HashCache(cache))
    for module in modules:
        again.digest(module)
    assert time.process_time() - began < 0.5  # 0.05 s; this machine may be busy
    assert code._read_code.cache_info().misses == 0  # nothing was parsed
