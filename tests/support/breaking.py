"""Break functions of utils/ one at a time, as a user's edit would, and run their step again.

A step whose code has changed must not call itself up to date. So every step runs on a
tiny fold with a tracer that notes the functions that ran; then each of them gets
`raise` as its first line, in a copy of the tree, and its step runs again on the
finished results. It notices if it fails, or makes something anew. Results are restored
after each: a break that was not reached would be recorded, and hide the next.

    python tests/support/breaking.py [--every 1] [--seed 0]

breaks all of them (`make soak`). Exit status 1 if one goes unnoticed.
"""

import argparse
import ast
import compileall
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pipeline

# Each step; the later ones in their two halves, so that the summary, which any change makes
# anew, hides nothing of what a fold does.
FOLDS, SUMMARY = "--only-folds", "--only-summary"
Calls = tuple[tuple[int, tuple[str, ...]], ...]
CALLS: Calls = (
    *((step, ()) for step in range(1, 7)),
    *((step, (FOLDS,)) for step in (7, 8, 9, 10)),
    *((step, (SUMMARY,)) for step in (7, 8, 9, 10)),
)
BREAK = 'raise RuntimeError("broken by a test")'
Function = tuple[str, str, int]  # path below the tree, qualified name, line


@dataclass(frozen=True)
class Broken:
    """A function that ran in a call of a step."""

    step: int
    options: tuple[str, ...]
    path: str
    name: str
    line: int

    def __str__(self) -> str:
        call = " ".join([str(self.step), *self.options])
        return f"step {call}: {self.path}:{self.line} {self.name}"


@dataclass(frozen=True)
class Traced:
    """A call of a step: the results before and after it, and the functions that ran.

    again : those that run where there is nothing left to do, too.
    """

    step: int
    options: tuple[str, ...]
    functions: frozenset[Function]
    again: frozenset[Function]


def copy_tree(folder: Path) -> Path:
    """The scripts and utils/ in `folder`, compiled."""
    tree = folder / "tree"
    tree.mkdir()
    shutil.copytree(
        pipeline.ROOT / "utils", tree / "utils", ignore=shutil.ignore_patterns("__pycache__")
    )
    for script in pipeline.ROOT.glob("exp-fl-5-*.py"):
        shutil.copy2(script, tree)
    compileall.compile_dir(tree / "utils", quiet=1)
    return tree


def call(
    server: pipeline.Server, tree: Path, root: Path, step: int, options: Iterable[str], **more
) -> pipeline.Finished:
    more = {"constants": pipeline.QUICK} | more
    return server.run(step, root, *options, tree=str(tree), **more)


def trace_all(
    server: pipeline.Server, tree: Path, root: Path, calls: Calls = CALLS, **more
) -> list[Traced]:
    """Run the calls on the fold below `root`, twice each; the functions that ran.

    more : as of `Server.run`.
    """
    found = []
    for step, options in calls:
        ran = []
        for _ in range(2):
            done = call(server, tree, root, step, options, functions=True, **more)
            if done.status:
                raise RuntimeError(f"step {step} {options} fails undisturbed: {done.stderr}")
            ran.append(frozenset(of_utils(done.functions, tree)))
        found.append(Traced(step, options, ran[0], ran[1]))
    return found


def of_utils(functions: Iterable[list], tree: Path) -> Iterable[Function]:
    """Those of utils/, plumbing apart, by their path below the tree."""
    from utils.run.code import is_plumbing

    for file, name, line in functions:
        path = Path(file)
        if path.is_relative_to(tree / "utils"):
            below = path.relative_to(tree)
            if not is_plumbing(".".join(below.with_suffix("").parts)):
                yield str(below), name, line


def breaks(traced: Iterable[Traced], inside_tasks_only: bool = False) -> list[Broken]:
    """Every function of every call, in a fixed order.

    inside_tasks_only : leave out what runs where nothing is to be done, which fails anyway.
    """
    return [
        Broken(one.step, one.options, *function)
        for one in traced
        for function in sorted(one.functions - (one.again if inside_tasks_only else frozenset()))
    ]


def broken_source(source: str, name: str, line: int) -> str:
    """The source with `raise` as the first line of the function of that name that begins there.

    line : of its first decorator, or of its `def`: `co_firstlineno`.
    """
    (node,) = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and first_line(node) == line
        and node.name == name.rpartition(".")[2]
    )
    lines = source.splitlines(keepends=True)
    first = node.body[0]
    at = first_line(first) - 1
    if first.lineno == node.lineno or ":" in lines[at][: first.col_offset]:  # def f(): ...
        head, tail = lines[at][: first.col_offset], lines[at][first.col_offset :]
        lines[at] = f"{head}{BREAK}; {tail}"
    else:
        indent = " " * first.col_offset
        lines.insert(at, f"{indent}{BREAK}\n")
    return "".join(lines)


def first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def goes_unnoticed(
    server: pipeline.Server, tree: Path, root: Path, broken: Broken, **more
) -> str | None:
    """Break a function, run its step again on the finished results; what is wrong, or None."""
    file, results = tree / broken.path, root / "exp-fl-5"
    kept = root / "kept"
    whole, times = file.read_text(encoding="utf-8"), file.stat()
    results.rename(kept)  # so that the finished results keep what the memory of hashes goes by
    shutil.copytree(kept, results)
    try:
        file.write_text(broken_source(whole, broken.name, broken.line), encoding="utf-8")
        done = call(server, tree, root, broken.step, broken.options, **more)
    finally:
        file.write_text(whole, encoding="utf-8")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # the compiled file is good again
        shutil.rmtree(results)
        kept.rename(results)
        remember_hash(results, file)
    if done.status or any(point.endswith("provenance.json") for point in done.points):
        return None
    return f"{broken} goes unnoticed: {done.stdout[-300:]}"


def remember_hash(results: Path, file: Path) -> None:
    """Make the hash of a source good again: its content is as before, its stat is not."""
    from utils.run.hashing import HashCache

    for path in results.glob("*/.hashes.json"):
        hashes = HashCache(path)
        for key, entry in hashes.known.items():
            if key.endswith(f":{os.path.realpath(file)}"):
                entry[:-1] = HashCache._stat(file)
                hashes.changed = True
        hashes.save()


def make_finished_fold(
    server: pipeline.Server, folder: Path, **more
) -> tuple[Path, Path, list[Traced]]:
    """A copy of the tree, a tiny fold on which all its steps have run, and what ran."""
    tree, root = copy_tree(folder), folder / "root"
    pipeline.make_fold(root)
    return tree, root, trace_all(server, tree, root, **more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="break one in so many")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sys.path.insert(0, str(pipeline.ROOT))
    with tempfile.TemporaryDirectory(prefix="exp-fl-5-breaking-") as folder, pipeline.Server() as s:
        every = {"constants": pipeline.QUICK | pipeline.EVERY_METHOD}
        tree, root, traced = make_finished_fold(s, Path(folder), **every)
        chosen = breaks(traced)
        random.Random(args.seed).shuffle(chosen)
        chosen = chosen[:: args.every]
        faults = []
        for i, broken in enumerate(chosen):
            if fault := goes_unnoticed(s, tree, root, broken, **every):
                faults.append(fault)
                print(fault, flush=True)
            if i % 100 == 99:
                print(f"{i + 1} of {len(chosen)} broken, {len(faults)} unnoticed", flush=True)
    print(f"{len(chosen)} functions broken, {len(faults)} unnoticed")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
