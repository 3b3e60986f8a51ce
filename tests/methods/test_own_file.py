"""A user's file of methods: what it takes in, what it may not change, and how it is noticed."""

import logging
import os
import random
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from threadpoolctl import ThreadpoolController

from utils.methods import METHODS, own
from utils.methods.method import SOURCE
from utils.methods.own.load import code_digest, run_file
from utils.methods.own.names import MOST_BYTES, why_no_function
from utils.methods.own.option import why_edited
from utils.run.cli import left_out
from utils.run.hashing import HashCache
from utils.run.record import FILES, remember_file

NEG, POS = np.array([1, 4, 6]), np.array([0, 2, 3])
HEAD = "import numpy as np\nfrom utils.methods.own import fl_method\n"
METHOD = '@fl_method("neuron", "x")\ndef x(e):\n    return e.mean_act\n'


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(HEAD + METHOD)
    run_file.cache_clear()
    return path


def digest(path):
    return code_digest(path, HashCache(path.parent / "none"))


# What it imports


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("import helper", "helper.py"),
        ("from helper import f", "helper.py"),
        ("def late():\n    import helper", "helper.py"),
        ("import between", "helper.py"),
        ("from pack import part", "pack/part.py"),
        ("from pack.part import f", "pack/part.py"),
        ("import pack.part", "pack/part.py"),
        ("from pack.part import f", "pack/__init__.py"),
        ("from pack import f", "pack/__init__.py"),
    ],
)
def test_an_edit_beside_the_file_makes_its_scores_stale(mine, line, file):
    (mine.parent / "pack").mkdir()
    for name in ("helper.py", "pack/part.py", "pack/__init__.py"):
        (mine.parent / name).write_text("def f(): return 1\n")
    (mine.parent / "between.py").write_text("from helper import f\n")
    mine.write_text(f"{line}\n{HEAD}{METHOD}")
    before = digest(mine)
    (mine.parent / file).write_text("# said\ndef f():\n    return 1\n")
    assert digest(mine) == before
    (mine.parent / file).write_text("def f(): return 2\n")
    assert digest(mine) != before


def test_an_edit_of_something_else_does_not(mine):
    before = digest(mine)
    (mine.parent / "other.py").write_text("x = 1\n")
    mine.write_text(mine.read_text() + "# a remark\n")
    assert digest(mine) == before
    mine.write_text(mine.read_text() + "x = 1\n")
    assert digest(mine) != before


def test_what_it_imports_of_ours_counts_and_the_registry_does_not(mine):
    from utils.run import code

    seen = []
    original = code.read_code

    def reading(path, module):
        seen.append(module)
        return original(path, module)

    mine.write_text(f"from utils.methods.arachne import pareto_front\n{HEAD}{METHOD}")
    code.read_code = reading
    try:
        digest(mine)
    finally:
        code.read_code = original
    assert "utils.methods.arachne" in seen and "utils.model.gradients" in seen
    assert not {"utils.methods.registry", "utils.methods.spectrum", "utils.methods"} & set(seen)


def test_an_edited_file_is_noticed_and_one_that_is_away_is_not(mine):
    (method,) = own.load_methods(mine, METHODS).values()
    recipe = {"constants": method.parameters}
    ledger = SimpleNamespace(
        content={"tasks": {"5/a": {"recipe": recipe}, "4/b": {"recipe": {"constants": {}}}}},
        hashes=HashCache(mine.parent / "none"),
    )
    remember_file(ledger.content, SOURCE, method.source, method.file)
    assert ledger.content[FILES] == {method.source: str(mine)}
    assert why_edited(ledger, "5/a") is None and why_edited(ledger, "4/b") is None
    mine.write_text(mine.read_text() + "x = 1\n")
    assert why_edited(ledger, "5/a") == f"{mine}, or what it imports, has changed"
    mine.write_text("def f(:\n")
    assert why_edited(ledger, "5/a") is not None
    mine.unlink()
    assert why_edited(ledger, "5/a") is None


# What it changes

DISTURB = """
import logging, os, random, sys, warnings
import torch
from threadpoolctl import ThreadpoolController
def disturb():
    os.chdir("/")
    os.environ["FL_METHOD_WAS_HERE"] = "1"
    os.environ.pop("FL_METHOD_TAKES", None)
    warnings.simplefilter("error")
    logging.getLogger().addHandler(logging.NullHandler())
    logging.disable(logging.CRITICAL)
    sys.argv[:] = ["other"]
    random.seed(1); np.random.seed(1); torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(3)
    np.seterr(all="raise"); np.set_printoptions(precision=1)
    for library in ThreadpoolController().lib_controllers: library.set_num_threads(2)
"""


def state():
    return {
        "folder": Path.cwd(),
        "variables": dict(os.environ),
        "warnings": list(warnings.filters),
        "logging": (logging.getLogger().handlers[:], logging.root.manager.disable),
        "arguments": sys.argv[:],
        "random": random.getstate(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "torch": torch.get_rng_state().tolist(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "errors": np.geterr(),
        "printing": str(np.get_printoptions()),
        "libraries": [each.get_num_threads() for each in ThreadpoolController().lib_controllers],
    }


@pytest.mark.parametrize("where", ["import", "call", "raise"])
def test_nothing_of_the_process_is_other_than_before(mine, make_toy, monkeypatch, where):
    monkeypatch.setenv("FL_METHOD_TAKES", "1")
    toy = make_toy(13, 4, 16, 3)
    text = HEAD + DISTURB + METHOD
    if where == "import":
        text += "disturb()\n"
    else:
        text = text.replace("    return e.mean", "    disturb()\n    return e.mean")
    if where == "raise":
        text = text.replace("    return e.mean", "    raise ValueError('x')\n    return e.mean")
    mine.write_text(text)
    before = state()
    (method,) = own.load_methods(mine, METHODS).values()
    assert state() == before
    evidence = toy.evidence(NEG, POS)
    if where == "raise":
        with pytest.raises(own.MethodFailed):
            method.function(evidence)
    else:
        assert np.array_equal(method.function(evidence).score, evidence.mean_act)
    assert state() == before


# What it gives


@pytest.mark.parametrize(
    ("mask", "said"),
    [("[0, 1] + [0] * 14", "1 of 16 scores that are masked"), ("True", "16 of 16 scores")],
)
def test_masked_scores_are_refused(mine, make_toy, mask, said):
    body = f"    return np.ma.array(np.arange(16.0), mask={mask})"
    mine.write_text(HEAD + METHOD.replace("    return e.mean_act", body))
    (method,) = own.load_methods(mine, METHODS).values()
    with pytest.raises(own.MethodFailed, match=f"^neuron/x of mine.py returned {said}"):
        method.function(make_toy(13, 4, 16, 3).evidence(NEG, POS))


def test_a_masked_array_that_hides_nothing_is_an_array(mine, make_toy):
    body = "    return np.ma.array(np.arange(16.0))"
    mine.write_text(HEAD + METHOD.replace("    return e.mean_act", body))
    (method,) = own.load_methods(mine, METHODS).values()
    found = method.function(make_toy(13, 4, 16, 3).evidence(NEG, POS)).score
    assert type(found) is np.ndarray and np.array_equal(found, np.arange(16.0))


# Its name, and its line


@pytest.mark.parametrize("name", ["a", "a b", "my-method (2)", "方法", "=1+1", "x" * MOST_BYTES])
def test_names_may_hold_any_character_that_can_be_shown(name):
    assert own.why_no_name("neuron", name, METHODS) is None


@pytest.mark.parametrize(
    "name",
    ["", " ", "a/b", "a\nb", "a\u202eb", 3, "a (n=16)", "x" * (MOST_BYTES + 1), "方" * 67],
)
def test_what_cannot_be_a_name(name):
    assert "cannot name a method" in own.why_no_name("neuron", name, METHODS)


def test_rows_of_ours_are_no_free_names():
    from utils.judge import names

    ours = (names.RANDOM_EXPECTED, names.RANDOM_SAMPLED, *names.REFERENCES)
    for name in (*ours, "random", "ideal", "change", "random (stratified as bl)"):
        assert "name of a ranking of ours" in own.why_no_name("weight", name, METHODS), name
    assert "step 5 adds a budget" in why_no_function("weight", "a_n16", METHODS)
    assert own.why_no_name("weight", "a_n16", METHODS) is None


def test_one_bad_method_is_one_line_for_all_folds():
    bad = "--methods weight/bad"
    jobs = [
        SimpleNamespace(
            left_out={bad: (f"weight/bad returned {fold} NaN", ())} | more,
            paths=SimpleNamespace(fold=fold),
        )
        for fold, more in enumerate(({}, {"a file": ("a file", ())}, {}))
    ]
    lines = left_out([(job, None) for job in jobs])
    assert lines == ["left out in folds 0, 1, 2: weight/bad returned 0 NaN", "left out: a file"]
