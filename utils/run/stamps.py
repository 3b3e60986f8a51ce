"""What a workflow manager needs to agree with our ledger about what is finished.

A manager like Snakemake decides by files. It is given one for each step of each
fold: a stamp, the hash of what the ledger has on record of that step. Where a
step is called and nothing changes, neither does its stamp, and no later step is
called because of it.

    python -m utils.run.stamps --root . --ds digits --fold 0 --step 4 > STAMP

Only Python's own modules are imported: Snakemake reads this in an environment of its own.
"""

import argparse
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths

REPOSITORY = Path(__file__).resolve().parents[2]
TRAINING_STEP, SCORING_STEPS, LAST_STEP = 0, (7, 8, 10), 10


def code_and_constants(others: Iterable[Path] = ()) -> str:
    """Hash of every script and module, the constants among them, byte by byte.

    Where it changes every step has to be called: what is to be redone, and of
    which fold, is the ledger's to say, and a step with nothing to do takes seconds.

    others : more files that count, like one of a user's methods.
    """
    ours = sorted([*REPOSITORY.glob("exp-fl-5-*.py"), *(REPOSITORY / "utils").rglob("*.py")])
    digest = hashlib.sha256()
    for name, file in [(str(file.relative_to(REPOSITORY)), file) for file in ours] + [
        (file.name, file) for file in others
    ]:
        digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def stamp_of(paths: FoldPaths, step: int) -> str:
    """Hash of what is on record of a step, and of what it depends on that no step has on record.

    The record: recipe and results of each task, not when and how fast it was
    made. Besides: results that are gone; of step 0 size and time of each file of
    the data set and of the checkpoints, whoever made them; of steps 7, 8 and 10 those
    of scores that a user dropped in.

    Of the summary across folds the last step answers for all: each step makes
    anew what shows the results of those before it.
    """
    tasks = read_tasks(paths)
    of_folds = not isinstance(paths, SummaryPaths)
    record = {
        key: [task["recipe"], task["outputs"]]
        for key, task in tasks.items()
        if (task["step"] == step if of_folds else step == LAST_STEP)
    }
    gone = [
        name for _, outputs in record.values() for name in outputs
        if not (paths.results / name).is_file()
    ]  # fmt: skip
    loose: list[Path] = []
    if of_folds and step == TRAINING_STEP:
        loose = paths.given_inputs
    elif of_folds and step in SCORING_STEPS:
        ours = {paths.results / name for task in tasks.values() for name in task["outputs"]}
        loose = [path for path in paths.dropped_in if path not in ours]
    seen = [
        ["/".join(path.parts[-3:]), found.st_size, found.st_mtime_ns]
        for path, found in ((path, path.stat()) for path in loose)
    ]
    content = json.dumps([record, sorted(gone), seen], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def read_tasks(paths: FoldPaths) -> dict[str, Any]:
    """The tasks on record; none where there is no record that can be read."""
    try:
        return json.loads(paths.provenance.read_text(encoding="utf-8"))["tasks"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def forget_untrue(paths: FoldPaths, steps: range) -> None:
    """Take away the stamps of steps whose record is another one today.

    So a step is called again after somebody has worked on the fold by other
    ways, or has taken results away; of a summary, all of its steps are.
    """
    untrue = [
        step
        for step in steps
        if paths.stamp(step).is_file()
        and paths.stamp(step).read_text(encoding="utf-8").strip() != stamp_of(paths, step)
    ]
    for step in steps if untrue and isinstance(paths, SummaryPaths) else untrue:
        paths.stamp(step).unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the stamp of a finished step.")
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--ds", required=True)
    parser.add_argument("--fold", type=int, help="default: the summary across folds")
    parser.add_argument("--other-folds", type=int, nargs="*", default=[])
    parser.add_argument("--step", type=int, required=True)
    args = parser.parse_args()
    if args.fold is None:
        paths = SummaryPaths(args.root, args.ds, other_folds=tuple(args.other_folds))
    else:
        paths = FoldPaths(args.root, args.ds, args.fold)
    print(stamp_of(paths, args.step))


if __name__ == "__main__":
    main()
