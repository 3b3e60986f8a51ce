"""What users drop in: score files, and the seconds that stand beside them."""

import math
import re
from pathlib import Path

from utils import ranking
from utils.errors import UserError
from utils.judge.names import GIVEN, JUDGED_STEP, NEURON, WEIGHT
from utils.judge.rankings.files import read_file
from utils.judge.rankings.source import ScoreSource
from utils.model.inputs import Inputs
from utils.run.cli import Job
from utils.run.ledger import Ledger

CONSTANT = (
    "is constant: it ranks nothing, its values are those of chance and its correlations do not "
    "exist"
)
OLD = (
    "is as it was when the ground truth was another one: make it again if it was made from the "
    "old M1"
)


def user_method(path: Path) -> tuple[str, str] | None:
    """Level and name of a file `<level>_<name>_score.npy`, or None for another file."""
    level, _, rest = path.name.partition("_")
    name = rest.removesuffix("_score.npy")
    if level not in (WEIGHT, NEURON) or not rest.endswith("_score.npy") or not name:
        return None
    return level, name


def report_users(job: Job, inputs: Inputs, sources: list[ScoreSource], settings: list[str]) -> None:
    """Say what is odd about a user's files, in one line for those of one name."""
    odd: dict[tuple[str, str], list[Path]] = {}
    found: dict[tuple[str, str], list[str]] = {}
    for source in (source for source in sources if source.step is None):
        scores = read_file(source, inputs.m, ranking.n_weights(inputs.m, inputs.d))
        if scores.min() == scores.max():
            odd.setdefault((source.score.name, CONSTANT), []).append(source.score)
        if from_another_truth(inputs.ledger, source):
            odd.setdefault((source.score.name, OLD), []).append(source.score)
        found.setdefault((source.key.level, source.key.method), []).append(source.key.setting)
    for (_, said), (first, *others) in odd.items():
        more = f" (and in {len(others)} more settings)" if others else ""
        job.log.warning("%s%s %s", first, more, said)
    for (level, method), where in found.items():
        job.log.info("your method %s (%s) is compared in %d settings", method, level, len(where))
        absent = [setting for setting in settings if setting not in where]
        if absent:
            job.log.warning(
                "your method %s (%s) has no file in %d of %d settings (%s): "
                "it is compared where it has one",
                method, level, len(absent), len(settings), ", ".join(absent),
            )  # fmt: skip


def from_another_truth(ledger: Ledger, source: ScoreSource) -> bool:
    """Whether a user's file was compared with another ground truth before, and is as it was."""
    known = ledger.content["tasks"].get(f"{JUDGED_STEP}/scores", {"recipe": {"inputs": {}}})
    before = known["recipe"]["inputs"]
    names = [ledger.relative(path) for path in (source.score, ledger.paths.abs_diff)]
    now = [ledger.hashes.get(path) for path in (source.score, ledger.paths.abs_diff)]
    return before.get(names[0]) == now[0] and before.get(names[1], now[1]) != now[1]


def leave_out_alike(job: Job, found: list[tuple[str, Path, UserError]]) -> None:
    """Leave out files of a user's: those of one name and mistake have one line.

    found : setting, file and what is wrong with it.
    """
    alike: dict[str, list[tuple[str, str]]] = {}
    for setting, path, error in found:
        mistake = re.sub(r"\d[\d,.]*", "#", str(error).replace(str(path), ""))
        alike.setdefault(f"{path.name}: {mistake}", []).append((setting, str(error)))
    for about, where in alike.items():
        settings = tuple(setting for setting, _ in where)
        job.leave_out(where[0][1], about, settings if len(settings) > 1 else ())


def read_seconds(path: Path) -> float:
    """The one number of a `<level>_<name>_time.txt`."""
    remedy = "write the seconds as one number, or take the file away"
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
        seconds = float(text)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {remedy}") from None
    except ValueError:
        raise UserError(f"{path} holds no number of seconds; {remedy}") from None
    if not (math.isfinite(seconds) and seconds >= 0):
        raise UserError(f"{path} says {text} seconds; {remedy}")
    return seconds


def usable_seconds(
    job: Job, ledger: Ledger, settings: list[str], sources: list[ScoreSource]
) -> list[tuple[ScoreSource, Path, float]]:
    """Seconds that stand beside a user's scores; a file that cannot be used is left out."""
    users = {job.paths.given_seconds(s.score): s for s in sources if s.step is None}
    found, bad = [], []
    every = ((one, path) for one in settings for path in job.paths.all_given_seconds(one))
    for setting, path in every:
        try:
            ledger.relative(path)
            if path not in users:
                raise UserError(
                    f"{path} stands beside no score file of its name that is compared; name it "
                    "after one, <level>_<name>_time.txt, or take it away"
                )
            ledger.hashes.get(path)  # a file, and not what would never end
            found.append((users[path], path, read_seconds(path)))
        except UserError as error:
            bad.append((setting, path, error))
    leave_out_alike(job, bad)
    return found


def record_given_seconds(
    job: Job, ledger: Ledger, settings: list[str], sources: list[ScoreSource]
) -> None:
    """Rows of the step's time table with the seconds that users give."""
    found = usable_seconds(job, ledger, settings, sources)
    task = ledger.task(
        "given seconds", inputs=[path for _, path, _ in found], makes=record_given_seconds
    )
    if not (found or task.key in ledger.content["tasks"]) or task.done:
        return
    with task:
        for source, _, seconds in found:
            setting, level, method = source.key
            task.time(f"{level}/{method}", seconds, setting, device=GIVEN)
