"""No broken function of utils/ goes unnoticed: a seeded sample; `make soak` breaks them all."""

import random

import breaking
import pytest

SAMPLE = 6
# Steps 8 to 10 cost more than all before them; a few methods call most of what there is.
CALLS = tuple(call for call in breaking.CALLS if call[0] <= 7)
FEW = {
    "constants": {
        "METHODS_TO_RUN": ("ig", "bl", "vdiff", "mean_act"),
        "TRUTHS": ("change", "repair"),
        "COMPARED_METRICS": ("lift@1%",),
    }
}


@pytest.mark.parametrize(
    ("source", "name", "line", "result"),
    [
        ("def f(x):\n    return x\n", "f", 1, "def f(x):\n    BREAK\n    return x\n"),
        ("def f(x): return x\n", "f", 1, "def f(x): BREAK; return x\n"),
        (
            "class A:\n    @property\n    def f(self):\n"
            "        '''Doc.'''\n        yield 1\n",
            "A.f", 2,
            "class A:\n    @property\n    def f(self):\n        BREAK\n        \'\'\'Doc.\'\'\'\n"
            "        yield 1\n",
        ),
        (
            "def f():\n    @cache\n    def f():\n        pass\n", "f", 1,
            "def f():\n    BREAK\n    @cache\n    def f():\n        pass\n",
        ),
        (
            "def f(\n    x,\n): return (\n    x)\n", "f", 1,
            "def f(\n    x,\n): BREAK; return (\n    x)\n",
        ),
    ],
)  # fmt: skip
def test_a_function_is_broken_in_its_first_line(source, name, line, result):
    expected = result.replace("BREAK", breaking.BREAK)
    assert breaking.broken_source(source, name, line) == expected
    compile(expected, "x", "exec")


@pytest.fixture(scope="module")
def finished(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("breaking")
    return breaking.make_finished_fold(server, folder, calls=CALLS, **FEW)


def test_the_tracer_sees_what_runs_in_tasks_and_in_threads(finished):
    _, _, traced = finished
    inside = {(b.step, b.name) for b in breaking.breaks(traced, inside_tasks_only=True)}
    assert (1, "change_borders") in inside
    assert (2, "mis_ranking") in inside
    assert {(step, "add_product") for step in (5,)} <= inside
    assert any(b.options == (breaking.SUMMARY,) for b in breaking.breaks(traced))
    assert not [b for b in breaking.breaks(traced) if b.path.startswith("utils/run/")]


def test_no_broken_function_goes_unnoticed(server, finished):
    """Of those that run inside tasks alone: the others fail in any case."""
    tree, root, traced = finished
    inside = breaking.breaks(traced, inside_tasks_only=True)
    assert len(inside) > 200
    chosen = random.Random(18).sample(inside, SAMPLE)
    faults = [breaking.goes_unnoticed(server, tree, root, one, **FEW) for one in chosen]
    assert list(filter(None, faults)) == []


def test_a_function_that_no_task_names_would_be_seen(server, finished):
    """The test itself: what is called plumbing is on no record, and its break is missed."""
    tree, root, traced = finished
    one = next(b for b in breaking.breaks(traced, True) if b.name == "mis_ranking")
    file = tree / "utils" / "run" / "code.py"
    text = file.read_text()
    file.write_text(text.replace("PLUMBING = (", 'PLUMBING = ("utils.data", '))
    try:
        done = breaking.call(server, tree, root, 2, (), **FEW)  # made anew with the shorter list
        assert done.status == 0
        assert breaking.goes_unnoticed(server, tree, root, one, **FEW)
    finally:
        file.write_text(text)
