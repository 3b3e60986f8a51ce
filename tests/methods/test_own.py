"""A user's own methods: the file, what a function gets and gives, and steps 5 and 7 with them."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pipeline
import pytest
from pipeline import NAME, SUMMARY, run_stage

from utils.errors import UserError
from utils.methods import METHODS, own
from utils.methods.chosen import stands_under
from utils.methods.evidence import Evidence
from utils.methods.own.load import run_file
from utils.ranking import rank_by

RESULTS = Path("exp-fl-5") / NAME
NEG, POS = np.array([1, 4, 6]), np.array([0, 2, 3])
HEAD = "import numpy as np\nfrom utils.methods.own import fl_method\n"


@pytest.fixture
def toy(make_toy):
    return make_toy(13, 4, 16, 3)


def load(folder: Path, text: str, name: str = "mine.py"):
    path = folder / name
    path.write_text(HEAD + text)
    run_file.cache_clear()
    return own.load_methods(path, METHODS)


def define(level: str, name: str, body: str) -> str:
    function = f"{level}_{''.join(c for c in name if c.isalnum())}"
    return f'@fl_method("{level}", "{name}")\ndef {function}(e):\n    {body}\n'


def given_by(folder: Path, toy, level: str, body: str):
    (method,) = load(folder, define(level, "x", body)).values()
    return method.function(toy.evidence(NEG, POS)).score


def test_functions_by_level_and_name_in_the_order_of_the_file(tmp_path):
    text = define("weight", "b", "return 1") + define("neuron", "b", "return 1")
    text += '@fl_method("neuron", "a.1+x-y", per_setting=False)\ndef a(e): return 1\n'
    found = load(tmp_path, text + "c = a\n")  # a second name for one function is no second method
    assert list(found) == [("weight", "b"), ("neuron", "b"), ("neuron", "a.1+x-y")]
    assert [method.per_setting for method in found.values()] == [True, True, False]
    for setting, names in (("tgt_top1", list(found)[:2]), ("all", list(found))):
        assert [k for k, method in found.items() if stands_under(method, setting, {})] == names


def test_scores_are_what_the_function_returns(tmp_path, toy):
    found = given_by(tmp_path, toy, "neuron", "return e.states.a[e.neg[:2]].max(axis=0)")
    expected = toy.states.a[NEG[:2]].max(axis=0)
    assert found.dtype == np.float32 and np.array_equal(found, expected)
    signed = given_by(tmp_path, toy, "weight", "return -e.grad_loss")
    assert np.array_equal(signed, -toy.evidence(NEG, POS).grad_loss)


@pytest.mark.parametrize(
    ("body", "dtype"),
    [
        ("return np.arange(e.tail.m)", np.float64),
        ("return [float(i) for i in range(e.tail.m)]", np.float64),
        ("return np.arange(e.tail.m, dtype=np.float16)", np.float64),
        ("return e.tail.b_bef.double() * 0 + 1", np.float64),
        ("return e.tail.b_bef", np.float32),
    ],
)
def test_numbers_of_any_kind_become_float(tmp_path, toy, body, dtype):
    assert given_by(tmp_path, toy, "neuron", body).dtype == dtype


@pytest.mark.parametrize(
    ("level", "body", "said"),
    [
        ("neuron", "return np.zeros(e.tail.m + 1)", r"returned the shape \(\d+,\); \(\d+,\) is"),
        ("weight", "return np.zeros(e.tail.m)", r"returned the shape \(\d+,\); \(\d+,\) is"),
        ("neuron", "return np.full(e.tail.m, np.nan)", r"returned (\d+) of \1 scores that are NaN"),
        ("neuron", "return np.full(e.tail.m, 'x')", "returned values of type <U1, no numbers"),
        ("neuron", "pass", "returned values of type object, no numbers"),
        ("neuron", "raise ValueError('two\\n lines')", r"raised ValueError: two lines \(line 5\)"),
        ("neuron", "raise SystemExit(3)", r"raised SystemExit: 3 \(line 5\)"),
        ("neuron", "e.states.a[0] = 0", "raised ValueError: .*read-only"),
        ("neuron", "e.neg[0] = 0", "raised ValueError: .*read-only"),
    ],
)
def test_what_is_no_score_is_one_line(tmp_path, toy, level, body, said):
    with pytest.raises(own.MethodFailed, match=f"^{level}/x of mine.py {said}") as error:
        given_by(tmp_path, toy, level, body)
    assert "\n" not in str(error.value)


def test_nothing_that_it_does_reaches_another_method(tmp_path, toy):
    body = "e.tail.w_bef.zero_(); e.grad_loss[:] = 7; e.mean_act[:] = 7; return e.grad_loss"
    (method,) = load(tmp_path, define("weight", "x", body)).values()
    evidence = toy.evidence(NEG, POS)
    evidence.grad_loss  # noqa: B018  computed before, and shared
    method.function(evidence)
    fresh = toy.evidence(NEG, POS)
    assert toy.tail.w_bef.abs().max() > 0
    assert np.array_equal(evidence.grad_loss, fresh.grad_loss)
    assert np.array_equal(evidence.mean_act, fresh.mean_act)


def test_evidence_holds_nothing_of_m2(toy):
    """What a function can reach by name: M1, the repair split, and samples."""
    names = {name for name in dir(Evidence) if not name.startswith("_")} | set(
        Evidence.__annotations__
    )
    assert names <= {
        "tail", "states", "neg", "pos", "seed", "ig_points", "fold_memo", "setting_memo", "saved_s",
        "once", "once_per_fold", "once_of", "everyone", "grad_loss", "mean_of", "mean_act",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "defines no method; mark its functions"),
        ("1 / 0\n", r"cannot be run: ZeroDivisionError: division by zero \(line 3\)"),
        ("def f(:\n", r"cannot be run: SyntaxError: .* \(line 3\)"),
        ("import no_such_module\n", "cannot be run: ModuleNotFoundError: .*no_such_module"),
        (define("layer", "x", "pass"), "level 'layer' of 'x' is unknown"),
        (define("weight", "bl", "pass"), "weight/bl is the name of a ranking of ours"),
        (define("weight", "random", "pass"), "weight/random is the name of a ranking of ours"),
        (define("weight", "a/b", "pass"), "'a/b' cannot name a method"),
        (define("weight", "a_n16", "pass"), "'a_n16' cannot name a method"),
        (define("weight", "../a", "pass"), "'../a' cannot name a method"),
        (
            define("weight", "x", "pass") + '@fl_method("weight", "x")\ndef other(e): pass\n',
            "defines weight/x twice",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, text, said):
    with pytest.raises(
        UserError, match=f"--methods .*mine.py {said}|cannot be run: {said}"
    ) as error:
        load(tmp_path, text)
    assert "\n" not in str(error.value)


def test_no_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"--methods .*none\.py cannot be read: No such file"):
        own.load_methods(tmp_path / "none.py", METHODS)


# -- the steps -----------------------------------------------------------------------------------


def readme_example() -> tuple[str, list[list[str]]]:
    """The file of the README, and the options of its three commands."""
    text = (pipeline.ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(# my_methods\.py\n.*?)```", text, re.DOTALL)[1]
    after = text[text.index(code) :].split("The file name says")[0]
    commands = re.findall(r"^    python exp-fl-5-(\d)\.py ?([^#\n]*?) *#", after, re.MULTILINE)
    return code, [[step, *options.split()] for step, options in commands]


@pytest.fixture
def root(stages, tmp_path):
    return shutil.copytree(stages[SUMMARY].before, tmp_path / "root")


def rows_of(root, name):
    table = pd.read_csv(root / RESULTS / "exp-fl-5-7_scores.csv")
    return table[table["method"] == name]


def test_the_readmes_example_as_it_stands_there(server, root):
    code, commands = readme_example()
    assert [command[0] for command in commands] == ["5", "7", "9"]
    assert commands[0][1:] == commands[2][1:] == ["--methods", "my_methods.py"]
    (root / "my_methods.py").write_text(code)
    done = run_stage(server, 5, root, "--methods", str(root / "my_methods.py"))
    assert done.status == 0, done.stderr
    a = np.load(root / RESULTS / "cache_states_repair" / "intermediate.npy")
    for setting in ("all", "tgt_top1"):
        neg = np.load(root / RESULTS / "misclf_info" / f"{setting}_neg.npy")
        folder = root / RESULTS / setting
        loud = np.load(folder / "neuron_loudest_score.npy")
        assert np.array_equal(loud, a[neg].max(axis=0))
        assert np.array_equal(np.load(folder / "neuron_loudest_ranking.npy"), rank_by(loud))
        signed = np.load(folder / "weight_gradient_signed_score.npy")
        assert np.array_equal(signed, -np.load(folder / "grad_loss.npy"))
        assert (folder / "weight_gradient_signed_n2_ranking.csv").is_file() or list(
            folder.glob("weight_gradient_signed_n*_ranking.csv")
        )
    times = pd.read_csv(root / RESULTS / "exp-fl-5-5_time.csv")
    assert {"neuron/loudest", "weight/gradient_signed", "weight/bl"} <= set(times["method"])
    done = run_stage(server, 7, root)
    assert done.status == 0, done.stderr
    assert set(rows_of(root, "loudest")["level"]) == {"neuron", "weight (from neuron)"}
    assert set(rows_of(root, "gradient_signed")["level"]) == {"weight"}
    # Without the option, what there is stays: the files, the rows and the seconds.
    known = pipeline.results(root)
    for step in (5, 7):
        assert run_stage(server, step, root).status == 0
    assert pipeline.results(root) == known
    times = pd.read_csv(root / RESULTS / "exp-fl-5-5_time.csv")
    assert "neuron/loudest" in set(times["method"])


def test_a_method_that_fails_costs_one_line_and_the_others_go_on(server, root):
    mine = root / "mine.py"
    good, bad = define("neuron", "good", "return e.mean_act"), "return e.tail.b_bef[:2]"
    mine.write_text(HEAD + define("weight", "bad", "return np.ones(2 * 8 * 32)") + good)
    assert run_stage(server, 5, root, "--methods", str(mine)).status == 0
    mine.write_text(HEAD + define("weight", "bad", bad) + good)
    done = run_stage(server, 5, root, "--methods", str(mine))
    assert done.status == 2
    (line,) = done.stderr.splitlines()
    assert "left out: weight/bad of mine.py returned the shape (2,); (512,) is needed" in line
    assert "(setting all and " in line
    assert not list((root / RESULTS).glob("*/weight_bad*"))
    assert len(list((root / RESULTS).glob("*/neuron_good_score.npy"))) > 1
    assert run_stage(server, 7, root).status == 0
    assert len(rows_of(root, "good")) and not len(rows_of(root, "bad"))


def test_scores_of_another_m1_are_left_out_until_they_are_made_again(server, root):
    mine = root / "mine.py"
    mine.write_text(HEAD + define("neuron", "good", "return e.mean_act"))
    assert run_stage(server, 5, root, "--methods", str(mine)).status == 0
    changed = pipeline.QUICK | {"SEED": 5}
    for step in (4, 5):
        run_stage(server, step, root, constants=changed)
    # The step took away what it could not make again.
    assert not list((root / RESULTS).glob("*/neuron_good_score.npy"))
    assert run_stage(server, 5, root, "--methods", str(mine), constants=changed).status == 0
    assert list((root / RESULTS).glob("*/neuron_good_score.npy"))


def test_step_7_leaves_out_what_is_out_of_date(server, root):
    mine = root / "mine.py"
    mine.write_text(HEAD + define("neuron", "good", "return e.mean_act"))
    assert run_stage(server, 5, root, "--methods", str(mine)).status == 0
    changed = pipeline.QUICK | {"IG_POINTS": 7}  # of step 5 it concerns a user's methods alone
    assert run_stage(server, 4, root, constants=changed).status == 0
    done = run_stage(server, 7, root, constants=changed)
    assert done.status == 2
    (line,) = done.stderr.splitlines()
    assert "IG_POINTS was 20, now 7; give the file of your methods" in line
    scored = {path.parent.name for path in (root / RESULTS).glob("*/neuron_good_score.npy")}
    named = re.search("left out in the settings (.*?): ", line)[1]
    assert set(named.split(", ")) == scored and len(scored) > 1
    assert not len(rows_of(root, "good")) and len(rows_of(root, "bl"))


def test_step_7_notices_that_what_the_file_imports_was_edited(server, root):
    mine, helper = root / "mine.py", root / "helper.py"
    mine.write_text(f"from helper import f\n{HEAD}{define('neuron', 'good', 'return f(e)')}")
    helper.write_text("def f(e): return e.mean_act\n")
    assert run_stage(server, 5, root, "--methods", str(mine)).status == 0
    helper.write_text("def f(e): return -e.mean_act\n")
    done = run_stage(server, 7, root)
    assert done.status == 2
    assert all(f"{mine}, or what it imports, has changed" in x for x in done.stderr.splitlines())
    assert not len(rows_of(root, "good")) and len(rows_of(root, "bl"))
    before = np.load(root / RESULTS / "all" / "neuron_good_score.npy")
    assert run_stage(server, 5, root, "--methods", str(mine)).status == 0
    assert np.array_equal(np.load(root / RESULTS / "all" / "neuron_good_score.npy"), -before)
    assert run_stage(server, 7, root).status == 0
    assert len(rows_of(root, "good"))


def test_a_method_that_stands_under_all_alone_now_leaves_nothing_elsewhere(server, root):
    mine, results = root / "mine.py", root / RESULTS
    text = HEAD + define("neuron", "good", "return e.mean_act")
    mine.write_text(text)
    assert run_stage(server, 5, root, "--methods", str(mine)).status == 0
    assert list(results.glob("tgt_*/neuron_good_*"))
    mine.write_text(text.replace('"good")', '"good", per_setting=False)'))
    assert run_stage(server, 5, root, "--methods", str(mine)).status == 0
    found = {path.parent.name for path in results.glob("*/neuron_good_*")}
    assert found == {"all"}


def test_a_score_file_of_the_users_is_not_overwritten(server, root):
    mine, score = root / "mine.py", root / RESULTS / "all" / "neuron_good_score.npy"
    mine.write_text(HEAD + define("neuron", "good", "return e.mean_act"))
    np.save(score, np.ones(32, dtype=np.float32))
    before = pipeline.snapshot(root)
    done = run_stage(server, 5, root, "--methods", str(mine))
    assert done.status == 2
    (line,) = done.stderr.splitlines()
    assert "neuron_good_score.npy is a file of your own, and --methods has" in line
    assert pipeline.snapshot(root) == before


def test_killed_and_run_again_ends_the_same(server, root, tmp_path):
    mine = root / "mine.py"
    mine.write_text(HEAD + define("neuron", "good", "return e.mean_act"))
    other = shutil.copytree(root, tmp_path / "other")
    whole = run_stage(server, 5, root, "--methods", str(mine))
    for at in range(2, len(whole.points), max(1, len(whole.points) // 6)):
        done = run_stage(server, 5, other, "--methods", str(mine), mode="kill", at=at)
        assert done.status in (-9, 0)
    assert run_stage(server, 5, other, "--methods", str(mine)).status == 0
    assert pipeline.results(other) == pipeline.results(root)


def test_no_name_of_ours_is_free():
    for level, name in METHODS:
        assert "of a ranking of ours" in own.why_no_name(level, name, METHODS)
