"""--jobs: folds side by side make the bytes of one after the other, and end as one would."""

import io
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pipeline
import pytest
import small_experiment

from utils.errors import UserError
from utils.run import log, side_by_side
from utils.run.paths import FoldPaths
from utils.run.side_by_side import Defect, NamedLines, Workers, in_order

STEPS = (1, 2, 4)


def folds_of(root: Path, count: int) -> list[FoldPaths]:
    return [FoldPaths(root, "x", fold) for fold in range(count)]


def remember(root: Path):
    """A step that leaves a file for each fold that it works on; fold 1 is refused before 0 ends."""

    def work(paths: FoldPaths) -> tuple[int, int]:
        print(f"begins {paths.fold}")
        (root / f"begun_{paths.fold}").touch()
        if paths.fold == 1:
            (root / "refused_1").touch()
            raise UserError(f"fold {paths.fold} is refused")
        while not (root / "refused_1").exists():
            time.sleep(0.01)
        time.sleep(0.5)
        (root / f"done_{paths.fold}").touch()
        return paths.fold, os.getpid()

    return work


@pytest.fixture(scope="module")
def two_folds(tmp_path_factory):
    root = tmp_path_factory.mktemp("two") / "root"
    for fold in (0, 1):
        pipeline.make_fold(root, fold, seed=fold)
    return root


def run_steps(server, root: Path, *options: str) -> dict[int, pipeline.Finished]:
    found = {}
    for step in STEPS:
        found[step] = server.run(step, root, "--fold", "0", "1", *options)
        assert found[step].status == 0, found[step].stderr
    return found


TAKES = "takes about"


def without_numbers(line: str) -> str:
    """Seconds differ, and with their digits the width of a column."""
    return " ".join(re.sub(r"\d+[.,]?\d*", "", line).split())


def test_side_by_side_makes_the_bytes_of_one_after_the_other(server, two_folds, tmp_path):
    one, two = (shutil.copytree(two_folds, tmp_path / name / "root") for name in "ab")
    alone, together = run_steps(server, one), run_steps(server, two, "--jobs", "2")
    wanted, found = map(small_experiment.digests, (one, two))
    assert small_experiment.differences(wanted, found) == []
    assert any(name.endswith("_ranking.npy") for name in wanted)
    for step in STEPS:
        lines = [re.sub(r"^fold \d: ", "", x) for x in together[step].stdout.splitlines()]
        said = alone[step].stdout.replace(str(one), str(two)).splitlines()
        said, lines = ([without_numbers(x) for x in part] for part in (said, lines))
        # How long a pass will take is said only where it takes long, which the machine decides.
        said, lines = ({x for x in part if TAKES not in x} for part in (said, lines))
        assert said == lines, step
    named = [line for line in together[1].stdout.splitlines() if line.startswith("fold 1: ")]
    assert named[0].endswith("digits_fold1") and any("wrote" in line for line in named)


def test_a_fold_that_is_refused_ends_the_step_as_alone(server, two_folds, tmp_path):
    """The other fold is finished; the line and the status are those of one after the other."""
    root = shutil.copytree(two_folds, tmp_path / "root")
    broken = root / "out_vit_digits_fold1" / "checkpoint-20"
    for path in broken.glob("model*.safetensors"):
        path.write_bytes(b"no tensors")
    said = []
    for options in ((), ("--jobs", "2")):
        done = server.run(1, root, "--fold", "0", "1", *options)
        assert done.status == 2
        said.append(done.stderr.splitlines())
    assert said[0] == said[1] and len(said[0]) == 1 and "checkpoint-20" in said[0][0]


def test_no_fold_is_begun_after_one_that_is_refused(tmp_path):
    finished = []
    with (
        Workers(2, 1, remember(tmp_path)) as workers,
        pytest.raises(UserError, match=r"^fold 1 is refused$"),
    ):
        workers.run(folds_of(tmp_path, 6), finished)
    assert [fold for fold, _ in finished] == [0]  # and the one that ran beside it is kept
    assert {path.name for path in tmp_path.glob("begun_*")} == {"begun_0", "begun_1"}


def test_folds_are_in_their_order_and_processes_are_kept(tmp_path):
    finished = []

    def work(paths: FoldPaths) -> tuple[int, int]:
        time.sleep(0.3 if paths.fold == 0 else 0)
        return paths.fold, os.getpid()

    with Workers(2, 1, work) as workers:
        workers.run(folds_of(tmp_path, 5), finished)
    assert [fold for fold, _ in finished] == [0, 1, 2, 3, 4]
    assert len({process for _, process in finished}) == 2


@pytest.mark.parametrize(
    ("count", "step", "cores"),
    [
        (5, 1, [1, 1, 1, 1, 2]),  # a last round of one fold has both cores
        (4, 1, [1, 1, 1, 1]),
        (3, 0, [2, 2, 2]),  # a training's bits depend on its threads: as many as alone
    ],
)
def test_folds_share_the_cores(tmp_path, monkeypatch, count, step, cores):
    import torch

    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    finished = []

    def work(_: FoldPaths) -> int:
        return asked[-1]

    with Workers(2, step, work) as workers:
        workers.run(folds_of(tmp_path, count), finished)
    assert finished == cores


def test_pieces_are_made_by_several_processes_and_come_in_order(monkeypatch):
    def piece(number: int):
        def call() -> tuple[int, int]:
            time.sleep(0.2 if number == 0 else 0.01)
            return number, os.getpid()

        return call

    pieces = [piece(number) for number in range(5)]
    made = list(in_order(2, pieces))
    assert [number for number, _ in made] == [0, 1, 2, 3, 4]
    assert len({process for _, process in made}) == 2 and os.getpid() not in dict(made).values()
    assert {process for _, process in in_order(1, pieces)} == {os.getpid()}
    assert list(in_order(2, [])) == []

    with monkeypatch.context() as patch:  # a container without semaphores
        patch.setattr(side_by_side, "ProcessPoolExecutor", Mock(side_effect=OSError(28, "full")))
        assert {process for _, process in in_order(2, pieces)} == {os.getpid()}

    def divide() -> float:
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        list(in_order(2, [piece(1), divide]))

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(Defect, match=r"ended from outside.*smaller --jobs"):
        list(in_order(2, [piece(1), die]))


def test_a_defect_and_a_process_that_was_killed(tmp_path, capfd):
    def divide(paths: FoldPaths) -> float:
        return 1 / paths.fold

    with Workers(2, 1, divide) as workers, pytest.raises(Defect, match="x_fold0: a defect"):
        workers.run(folds_of(tmp_path, 2), [])
    assert "ZeroDivisionError" in capfd.readouterr().err

    def die(_: FoldPaths) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    said = r"x_fold0: its process was ended from outside \(exit status -9\).*smaller --jobs"
    with Workers(2, 1, die) as workers, pytest.raises(Defect, match=said):
        workers.run(folds_of(tmp_path, 1), [])


SLEEPS = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from utils.run.paths import FoldPaths
from utils.run.side_by_side import Workers
def work(paths):
    print(os.getpid(), flush=True)
    time.sleep(60)
with Workers(2, 1, work) as workers:
    workers.run([FoldPaths(Path(), "x", fold) for fold in range(2)], [])
"""


def hears_interrupts():
    """What a shell starts in the background ignores them, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupt_stops_the_children(how):
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPS, str(pipeline.ROOT)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=hears_interrupts,
    )  # fmt: skip
    children = [int(process.stdout.readline().partition(": ")[2]) for _ in range(2)]
    process.send_signal(how)
    process.communicate(timeout=20)
    for _ in range(100):
        if not any(Path(f"/proc/{child}").exists() for child in children):
            return
        time.sleep(0.1)
    pytest.fail("a child goes on")


def test_a_line_is_written_whole_and_says_its_fold():
    stream = io.StringIO()
    named = NamedLines(stream, "fold 3")
    print("a", "b", file=named)
    named.write("half ")
    assert stream.getvalue() == "fold 3: a b\n"
    named.write("a line\nand\n")
    assert stream.getvalue() == "fold 3: a b\nfold 3: half a line\nfold 3: and\n"


@pytest.mark.parametrize("jobs", ["0", "-1"])
def test_a_number_of_jobs(server, two_folds, jobs):
    done = server.run(1, two_folds, "--jobs", jobs)
    assert done.status == 2 and f"--jobs is {jobs}; expected the number of folds" in done.stderr


def lines_of(tmp_path, capsys, count: int, verbose: bool = False) -> list[str]:
    (tmp_path / "step.log").unlink(missing_ok=True)
    logger = log.open_log(tmp_path / "step.log", tmp_path / "other.log", verbose)
    logger.debug("a detail")
    for i in range(count):
        logger.info("line %d", i)
        if i == count - 2:
            logger.warning("take care")
    log.close_log(logger)
    written = (tmp_path / "step.log").read_text()
    assert written.count("INFO line") == count and "a detail" in written
    return capsys.readouterr().out.splitlines()


def test_a_step_shows_25_lines_of_a_fold_and_says_where_the_others_are(tmp_path, capsys):
    assert [x for x in lines_of(tmp_path, capsys, 25) if x != "take care"] == [
        f"line {i}" for i in range(25)
    ]
    said = lines_of(tmp_path, capsys, 100)
    assert len(said) == log.MOST_LINES + 1 and "take care" in said  # a warning is always shown
    assert said[:23] == [f"line {i}" for i in range(23)] and said[-1] == "line 99"
    assert said[-2] == f"76 more lines: --verbose shows them, {tmp_path / 'step.log'} has them"
    whole = lines_of(tmp_path, capsys, 100, verbose=True)
    assert len(whole) == 102 and whole[0] == "a detail"
    assert logging.getLogger("exp-fl-5").handlers == []


def test_details_of_settings_are_for_the_log(server, stages, tmp_path):
    """bl says of each setting how many weights lie on its Pareto front."""
    for options, shown in (((), 1), (("--verbose",), 3)):
        root = shutil.copytree(stages[5].before, tmp_path / f"root{shown}")
        done = server.run(5, root, *options)
        assert done.status == 0, done.stderr
        found = re.findall(r"bl: \d+ weights on the Pareto front", done.stdout)
        assert len(found) >= shown and (len(found) == 1) == (shown == 1)
        logs = (root / "out_vit_digits_fold0" / "logs").glob("*-5.log")
        assert next(logs).read_text().count("on the Pareto front") >= 3
