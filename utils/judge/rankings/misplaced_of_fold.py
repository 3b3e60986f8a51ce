"""Files that look like scores of a user's and are read by no step: each is named."""

import re
from pathlib import Path

from utils.data.setting_names import ALL
from utils.judge.rankings.users import user_method
from utils.run.cli import Job
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths

LOOKS_LIKE_SCORES = re.compile(r"(neuron|weight)[_-]|.*scores?\.\w+$", re.IGNORECASE)
TIMES = "_time.txt"


def report_misplaced(job: Job, ledger: Ledger, settings: list[str]) -> None:
    """Name the score files that are not compared, those of one name and mistake in one line."""
    found: dict[tuple[str, str], list[Path]] = {}
    for path in not_ours(job.paths, ledger):
        reason = why_not_compared(path, job.paths, settings)
        if reason:
            found.setdefault((path.name, reason), []).append(path)
    for (_, reason), (first, *others) in found.items():
        more = f" (and {len(others)} more of its name)" if others else ""
        job.log.warning("%s%s is not compared: %s", ascii(str(first))[1:-1], more, reason)


def not_ours(paths: FoldPaths, ledger: Ledger) -> list[Path]:
    """What no step has written, in the results and beside checkpoints, and looks like scores."""
    tasks = ledger.content["tasks"].values()
    ours = {paths.results / name for task in tasks for name in task["outputs"]}
    places = (paths.results.rglob("*"), paths.results.parent.glob("*"), paths.training.glob("*"))
    found = {path for place in places for path in place if path not in ours and not path.is_dir()}
    found -= {paths.times(step) for step in range(11)}
    return sorted(path for path in found if LOOKS_LIKE_SCORES.match(path.name))


def why_not_compared(path: Path, paths: FoldPaths, settings: list[str]) -> str | None:
    """What is wrong with the place or the name of a score file; None if nothing is."""
    in_place = path.parent in [paths.setting(setting) for setting in settings]
    if in_place and (user_method(path) or path.name.endswith(TIMES)):
        return None
    if not path.name.endswith("_score.npy"):
        return "a score file is an .npy array, and its name has to end with _score.npy"
    if user_method(path) is None:
        return "its name has to begin with neuron_ or weight_, in small letters"
    return f"it has to lie in the folder of a setting, such as {paths.setting(ALL)}"
