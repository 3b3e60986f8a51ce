"""A method is a file and an entry: what adding or editing one makes stale, and what it does not."""

import ast
import shutil
from pathlib import Path

import pytest

from utils.methods import METHODS
from utils.methods.own.call import own_scores
from utils.methods.rank import score_and_rank
from utils.run.code import Source, module_of
from utils.run.hashing import REPOSITORY, HashCache

NEW = '''"""neuron / loudest: the highest activation."""

from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores


def score_loudest(evidence: Evidence) -> Scores:
    return Scores(evidence.states.a[evidence.neg].max(axis=0))


METHODS = (Method("neuron", "loudest", 5, score_loudest),)
'''


@pytest.fixture
def tree(tmp_path):
    shutil.copytree(REPOSITORY / "utils", tmp_path / "utils")
    return tmp_path


def code_on_record(tree: Path) -> dict[tuple[str, str], dict[str, str]]:
    """What each method's scores are made by."""
    source = Source(HashCache(Path()), (tree,))
    common = source.closure(module_of(score_and_rank))
    return {k: source.closure(module_of(m.function)) | common for k, m in METHODS.items()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_new_method_makes_no_other_stale(tree):
    before = code_on_record(tree)
    methods = tree / "utils" / "methods"
    (methods / "loudest.py").write_text(NEW)
    edit(methods / "registry.py", "    magnitude,\n", "    loudest,\n    magnitude,\n")
    edit(
        methods / "registry.py", "    mask.METHODS,\n", "    mask.METHODS,\n    loudest.METHODS,\n"
    )
    namespace: dict = {}
    exec(compile(NEW, "loudest.py", "exec"), namespace)
    assert [method.key for method in namespace["METHODS"]] == [("neuron", "loudest")]
    assert code_on_record(tree) == before


@pytest.mark.parametrize("file", sorted({module_of(m.function) for m in METHODS.values()}))
def test_an_edit_in_a_methods_file_makes_stale_what_imports_it(tree, file):
    before = code_on_record(tree)
    path = tree / f"{file.replace('.', '/')}.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nMORE = 1\n", encoding="utf-8")
    after = code_on_record(tree)
    stale = {key for key in METHODS if after[key] != before[key]}
    assert stale == {key for key in METHODS if file in before[key]}
    own = {key for key, method in METHODS.items() if module_of(method.function) == file}
    borrowers = {
        "utils.methods.arachne": {("neuron", "mask")},
        "utils.methods.integrated_gradients": {("neuron", "expected_gradients")},
        "utils.methods.magnitude": {("weight", name) for name in ("snip", "fisher", "obd")},
    }
    assert stale == own | borrowers.get(file, set())


@pytest.mark.parametrize("file", ["fold", "cut", "registry", "chosen", "own/load", "__init__"])
def test_what_runs_methods_is_in_no_methods_code(tree, file):
    before = code_on_record(tree)
    path = tree / "utils" / "methods" / f"{file}.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nMORE = 1\n", encoding="utf-8")
    assert code_on_record(tree) == before


def test_the_functions_that_ask_and_rank_are_in_every_methods_code(tree):
    before = code_on_record(tree)
    path = tree / "utils" / "methods" / "evidence.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nMORE = 1\n", encoding="utf-8")
    after = code_on_record(tree)
    assert all(after[key] != before[key] for key in METHODS)
    assert module_of(own_scores) == "utils.methods.own.call"


def test_no_method_imports_the_registry_nor_each_other_in_a_circle():
    source = Source(HashCache(Path()))
    for path in (REPOSITORY / "utils" / "methods").rglob("*.py"):
        name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        name = name.removesuffix(".__init__")
        if name in ("utils.methods", "utils.methods.registry"):
            continue
        closure = source.closure(name)
        assert not {"utils.methods", "utils.methods.registry"} & closure.keys(), name
        others = [n for n in closure if n.startswith("utils.methods") and n != name]
        assert not [n for n in others if name in source.closure(n)], name


def test_no_level_and_name_is_written_twice():
    entries = []
    for path in sorted((REPOSITORY / "utils" / "methods").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Method":
                entries.append(tuple(argument.value for argument in node.args[:2]))
    assert sorted(entries) == sorted(METHODS)
