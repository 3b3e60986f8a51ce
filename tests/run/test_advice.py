"""A refusal's advice helps: after what its line says, the step runs (issue 20, 18)."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pipeline
import pytest
from pipeline import NAME, QUICK

# A command as `whole_commands` completes it.
OPTIONS = r"(?: --(?:ds|fold|root) \S+| --(?:accept-pair|only-folds))*"
COMMAND = re.compile(rf"run exp-fl-5-(\d+)\.py({OPTIONS})")
MOST_ROUNDS = 5


def results(root: Path) -> Path:
    return root / "exp-fl-5" / NAME


def remove(*parts: str) -> Callable[[Path], None]:
    return lambda root: results(root).joinpath(*parts).unlink()


def spoil(*parts: str) -> Callable[[Path], None]:
    """Change a value: a file of the same shape that no step wrote."""

    def change(root: Path) -> None:
        path = results(root).joinpath(*parts)
        array = np.load(path)
        array.ravel()[0] += 1
        np.save(path, array)

    return change


def cut(*parts: str) -> Callable[[Path], None]:
    """The first half, as a copy that was not finished leaves it."""

    def change(root: Path) -> None:
        path = results(root).joinpath(*parts)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def nothing(_: Path) -> None:
    pass


# What is done to a fold on which every step before has run: step, what, its constants, the step
# that the line sends to first.
CASES = {
    "a truth is gone": (7, remove("ground_truth", "abs_diff.npy"), {}, 1),
    "a truth has changed": (7, spoil("ground_truth", "abs_diff.npy"), {}, 1),
    "settings are gone": (4, remove("misclf_info", "settings.csv"), {}, 2),
    "a table is half": (4, cut("misclf_info", "settings.csv"), {}, 2),
    "samples have changed": (5, spoil("misclf_info", "all_neg.npy"), {}, 2),
    "a cache is gone": (4, remove("cache_states_repair", "intermediate.npy"), {}, 3),
    "a cache is half": (5, cut("cache_states_repair", "output.npy"), {}, 3),
    "a ranking is gone": (7, remove("all", "weight_bl_ranking.npy"), {}, 5),
    "a score has changed": (7, spoil("all", "neuron_ig_score.npy"), {}, 4),
    "another constant": (7, nothing, {"IG_POINTS": 7}, 4),
    "another seed": (7, nothing, {"SEED": 778}, 4),
}


def follow(server, root: Path, stderr: str, constants: dict) -> list[int]:
    """Run each command of the lines, as a user would copy them; the steps."""
    found = list(dict.fromkeys(COMMAND.findall(stderr)))
    assert found, f"no command in: {stderr}"
    for step, options in found:
        done = server.run(int(step), root, *options.split(), constants=constants)
        assert done.status == 0, f"{step}{options}: {done.stderr}"
    return [int(step) for step, _ in found]


@pytest.mark.parametrize("case", CASES)
def test_after_the_command_the_step_runs(server, stages, tmp_path, case):
    step, change, constants, first = CASES[case]
    constants = QUICK | constants
    root = shutil.copytree(stages[7].before, tmp_path / "root")
    change(root)
    halves = ("--only-folds",) if step == 7 else ()
    sent: list[int] = []
    for _ in range(MOST_ROUNDS):
        done = server.run(step, root, *halves, constants=constants)
        if done.status == 0:
            break
        assert done.status == 2, done.stderr
        assert all(f"--root {root}" in line for line in done.stderr.splitlines()), done.stderr
        sent += follow(server, root, done.stderr, constants)
    assert done.status == 0, done.stderr
    assert sent and sent[0] == first, sent


def test_a_summary_of_folds_that_are_not_done(server, stages, tmp_path):
    root = shutil.copytree(stages[7].before, tmp_path / "root")
    done = server.run(7, root, "--only-summary", constants=QUICK)
    assert done.status == 2 and "--only-folds" in done.stderr
    assert follow(server, root, done.stderr, QUICK) == [7]
    done = server.run(7, root, "--only-summary", constants=QUICK, draw=False)
    assert done.status == 0, done.stderr


def test_a_pair_that_is_accepted(server, stages, tmp_path):
    """The line names a flag: with it the step runs."""
    root = shutil.copytree(stages[1].before, tmp_path / "root")
    training = root / f"out_vit_{NAME}"
    pipeline.write_state(training / "checkpoint-10", 1)
    pipeline.write_state(training / "checkpoint-20", 2, num_train_epochs=9)
    done = server.run(1, root)
    assert done.status == 2 and "--accept-pair" in done.stderr
    done = server.run(1, root, "--accept-pair")
    assert done.status == 0, done.stderr


@pytest.mark.parametrize(
    ("step", "options", "advised"),
    [
        (1, ("--n", "9999"), r"not between (\d+) and"),
        (1, ("--fold", "7"), r"--fold takes (\d+) to"),
    ],
)
def test_a_number_that_the_line_names(server, stages, tmp_path, step, options, advised):
    root = shutil.copytree(stages[step].before, tmp_path / "root")
    done = server.run(step, root, *options)
    assert done.status == 2
    (number,) = re.findall(advised, done.stderr)
    done = server.run(step, root, options[0], number)
    assert done.status == 0, done.stderr
