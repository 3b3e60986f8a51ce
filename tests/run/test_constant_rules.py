"""utils.run.constant_rules: what cannot be meant gets one line before any work."""

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import ViTConfig

from utils import constants
from utils.constants import PROFILES, Profile
from utils.errors import UserError
from utils.judge.scores import comparison
from utils.run import constant_rules, profile_rules
from utils.summary import across_folds, fold_tables

ROOT = Path(__file__).resolve().parents[2]
GOOD = {"source": "flowers", "base_model": "vit", "batch_size": 4, "learning_rate": 0.1}


def check(monkeypatch, **values):
    for name, value in values.items():
        monkeypatch.setattr(constants, name, value, raising=False)
    constant_rules.check_constants()


def profile(**changes):
    """A good profile with other fields; a field that is None here is left out."""
    fields = {k: v for k, v in (GOOD | changes).items() if v is not NotImplemented}
    return {"DEFAULT_DS": "mine", "PROFILES": {"mine": Profile(**fields)}}


def shape(**changes):
    whole = PROFILES["digits"].vit_config | changes
    return profile(base_model=None, vit_config=whole)


def test_the_constants_as_they_are_and_others_that_can_be_meant(monkeypatch):
    check(monkeypatch)
    check(
        monkeypatch, **profile(), POSITIVE_PERCENT=99.9, K_PERCENTS=[100, 2], MY_OWN=3,
        COMPARED_METRICS=("lift@2%", "ndcg@n", "mass@n=48", "auc", "kendall"), WITH_KENDALL=True,
        REFERENCES=(),
    )  # fmt: skip
    check(monkeypatch, **shape(image_size=(8, 6), hidden_dropout_prob=0.5, qkv_bias=False))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"POSITIVE_PERCENT": 100}, "POSITIVE_PERCENT .* is 100; expected .* below 100"),
        ({"POSITIVE_PERCENT": float("nan")}, "POSITIVE_PERCENT"),
        ({"K_PERCENTS": (1, 101)}, "K_PERCENTS"),
        ({"FOLDS": (0, 0)}, "FOLDS .* expected different fold numbers"),
        ({"FOLDS": (0, 5)}, "FOLDS .* has 5; expected folds below N_FOLDS, which is 5"),
        ({"N_FOLDS": 4}, "FOLDS .* has 4; expected folds below N_FOLDS, which is 4"),
        ({"DEFAULT_DS": "mnist"}, "DEFAULT_DS .* 'mnist'; expected one of PROFILES: c100, tiny"),
        ({"DEFAULT_DS": 5}, "DEFAULT_DS .* expected a name"),
        ({"COMPARED_METRICS": ("lift@3%",)}, "'lift@3%', but K_PERCENTS has no 3%; expected .* 5%"),
        ({"K_PERCENTS": (5,)}, "'lift@1%', but K_PERCENTS has no 1%; expected lift@ with .* 5%, n"),
        ({"COMPARED_METRICS": ("lift@m",)}, "K_PERCENTS has no m"),
        ({"COMPARED_METRICS": ("lift",)}, "names 'lift', which is none; expected one of"),
        ({"COMPARED_METRICS": ("auc@1%",)}, "names 'auc@1%', which is none"),
        ({"COMPARED_METRICS": ("exam",)}, "'exam', of which less is better"),
        ({"COMPARED_METRICS": ("kendall",)}, "'kendall', .* WITH_KENDALL = True"),
        ({"PERMUTATION_DRAW": 9}, "PERMUTATION_DRAW .*; is 'PERMUTATION_DRAWS' meant"),
        ({"PROFILES": {}}, "PROFILES in .* has to be a dictionary"),
        ({"PROFILES": [1]}, "PROFILES in .* has to be a dictionary"),
        ({"PROFILES": {"a/b": Profile(**GOOD)}}, "the name 'a/b'; expected letters"),
        ({"PROFILES": {"": Profile(**GOOD)}}, "the name ''"),
        ({"PROFILES": {"mine": GOOD}}, "the profile mine .* expected Profile"),
        (profile(lable_column="x"), "lable_column of the profile mine .*; is 'label_column' meant"),
        (profile(flavour="x"), "flavour of the profile mine .* is no field.*; take it out"),
        (profile(source=NotImplemented), "the profile mine .* has no source; expected a folder"),
        (profile(learning_rate=NotImplemented), "mine .* has no learning_rate; expected a number"),
        (profile(source=5), "source of the profile mine .* is 5; expected a folder"),
        (profile(base_model=["vit"]), "base_model .* expected a folder or a name .* or None"),
        (profile(image_column=None), "image_column .* is None; expected a name in quotes"),
        (profile(image_column="label"), "image_column and label_column .* both 'label'"),
        (profile(test_split="train"), "test_split .* 'train'; expected the name of the split"),
        (profile(batch_size="8"), "batch_size .* is '8'; expected a whole number"),
        (profile(learning_rate=-1), "learning_rate .* above 0"),
        (profile(epochs=1), "epochs .* at least 2"),
        (profile(cpu_threads=0), "cpu_threads .* at least 1, or None"),
        (profile(vit_config={"hidden_size": 8}), "a base_model and a vit_config"),
        (profile(vit_config=[8]), "vit_config .* expected a dictionary"),
        (shape(hiden_size=8), "hiden_size in vit_config of the profile mine .* 'hidden_size' mea"),
        (shape(hidden_size="8"), "hidden_size in vit_config .* is '8'; expected a whole number"),
        (shape(hidden_size=10), "hidden_size 10 .* by 3 heads; expected a multiple"),
        (shape(patch_size=(9, 2)), r"patch_size \(9, 2\) .* larger than image_size 8"),
        (shape(num_channels=2), r"num_channels .* 1 \(grey\) or 3"),
        (shape(hidden_dropout_prob=1), "hidden_dropout_prob .* below 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_one_line(monkeypatch, values, said):
    with pytest.raises(UserError, match=said) as error:
        check(monkeypatch, **values)
    assert "utils/constants.py" in str(error.value) and "\n" not in str(error.value)


def test_a_constant_that_is_gone_or_misspelled_is_named(monkeypatch):
    monkeypatch.delattr(constants, "SEED")
    monkeypatch.setattr(constants, "SEDE", 777, raising=False)
    with pytest.raises(UserError, match=r"SEED is not in utils/constants.py; is 'SEDE' meant"):
        constant_rules.check_constants()


def test_every_constant_and_every_field_has_a_rule():
    names = {name for name in vars(constants) if name.isupper()}
    assert names == {*constant_rules.RULES, "PROFILES"}
    fields = {field.name for field in dataclasses.fields(Profile)}
    assert fields == set(profile_rules.PROFILE_RULES)
    general = set(ViTConfig.__mro__[1]().to_dict()) | {"model_type"}
    assert set(ViTConfig().to_dict()) - general == set(profile_rules.VIT_RULES)
    defaults = ViTConfig().to_dict()
    for name, value in profile_rules.VIT_DEFAULTS.items():
        assert defaults[name] == value


def test_the_metrics_are_those_that_step_7_computes():
    assert constant_rules.METRICS_AT_K == comparison.AT_K
    assert constant_rules.LESS_IS_BETTER == across_folds.LOWER_IS_BETTER
    assert {*constant_rules.WHOLE_METRICS, *constant_rules.LESS_IS_BETTER} == {
        *comparison.WHOLE,
        fold_tables.AP_RATIO,
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\nSEED = 777", "\nSEED = ", r"line \d+ is not readable \(SyntaxError"),
        ("\nSEED = 777", "\nSEED = none", r"line \d+ is not readable \(NameError: name 'none'"),
        ("\nPROFILES =", "\nPROFILS =", "cannot import name 'PROFILES'"),
        ("vit_config={", "vit_confg={", "vit_confg of the profile digits .* 'vit_config' meant"),
    ],
)
def test_a_slip_in_the_file_gets_one_line(tmp_path, old, new, said):
    copy = tmp_path / "project"
    shutil.copytree(ROOT / "utils", copy / "utils", ignore=shutil.ignore_patterns("__pycache__"))
    script = shutil.copy(ROOT / "exp-fl-5-1.py", copy)
    path = copy / "utils" / "constants.py"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(old, new), encoding="utf-8")
    assert old in before
    done = subprocess.run(
        [sys.executable, script, "--root", str(tmp_path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert re.match(f"exp-fl-5-1.py: .*{said}", done.stderr), done.stderr
