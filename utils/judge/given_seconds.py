"""The seconds that a user's method took, as its author gives them beside its scores."""

import math
from pathlib import Path

from utils.errors import UserError
from utils.judge.sources import Source
from utils.run.cli import Job
from utils.run.ledger import Ledger

# Stands in the column `device` of such a row.
GIVEN = "as given"


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
    job: Job, ledger: Ledger, settings: list[str], sources: list[Source]
) -> list[tuple[Source, Path, float]]:
    """Seconds that stand beside a user's scores; a file that cannot be used is left out."""
    users = {job.paths.given_seconds(s.score): s for s in sources if s.step is None}
    found = []
    for path in (path for setting in settings for path in job.paths.all_given_seconds(setting)):
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
            job.leave_out(str(error))
    return found


def record_given_seconds(
    job: Job, ledger: Ledger, settings: list[str], sources: list[Source]
) -> None:
    """Rows of the step's time table with the seconds that users give."""
    found = usable_seconds(job, ledger, settings, sources)
    task = ledger.task(
        "given seconds", inputs=[path for _, path, _ in found], code=[record_given_seconds]
    )
    if not (found or task.key in ledger.content["tasks"]) or task.done:
        return
    with task:
        for source, _, seconds in found:
            task.time(f"{source.level}/{source.method}", seconds, source.setting, device=GIVEN)
