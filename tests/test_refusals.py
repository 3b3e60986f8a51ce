"""Every refusal in the code is met in a test: words of its message stand in one."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = Path(__file__).parent
ERRORS = ("UserError", "WrongConstant")
# Message -> why no test provokes it. Those that can be provoked stand in no list.
UNTESTED = {
    "the folds' layers have different sizes: ": "needs two folds of two models",
    " seconds; ": "short: test_users_files.py has `says -3 seconds`",
}


def parts_of(node: ast.expr) -> list[str]:
    """The constant parts of a message, in order."""
    return [
        one.value
        for one in ast.walk(node)
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and len(one.value) > 6
    ]


def refusals() -> list[tuple[str, tuple[str, ...]]]:
    """Where each refusal stands, and the parts of its message."""
    found = []
    files = [*(ROOT / "utils").rglob("*.py"), *ROOT.glob("exp-fl-5-*.py")]
    for path in sorted(files):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS and node.args:
                parts = tuple(parts_of(node.args[0]))
                if parts:
                    found.append((f"{path.relative_to(ROOT)}:{node.lineno}", parts))
    return found


@cache
def text_of_tests() -> str:
    """What the tests say, without what only looks: their strings, one space for any."""
    texts = []
    for path in TESTS.rglob("*.py"):
        if path.name == Path(__file__).name:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value.replace("\\", ""))
    return "\n".join(texts)


def is_met(parts: tuple[str, ...]) -> bool:
    """Whether three words in a row of the message stand in a test, or two with ten letters."""
    said = text_of_tests()
    for part in parts:
        words = [word.strip(";:,(") for word in part.split()]
        for i in range(len(words) - 1):
            three = " ".join(words[i : i + 3])
            two = " ".join(words[i : i + 2])
            if three in said or (len(two) >= 11 and two in said):
                return True
    return False


REFUSALS = refusals()


def test_there_are_refusals():
    assert len(REFUSALS) > 100
    assert not is_met(("a message of which no test says a word here",))


@pytest.mark.parametrize(("where", "parts"), REFUSALS, ids=[where for where, _ in REFUSALS])
def test_every_refusal_is_met_in_a_test(where, parts):
    assert is_met(parts) or any(part in UNTESTED for part in parts), parts
