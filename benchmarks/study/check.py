"""The study's tables beside those of a fresh run: `make check-study`.

Every number of docs/study/ is compared but times. It holds if the fresh one is within 2% of it,
or, for numbers near zero, within a tenth of the standard deviation of its column and 0.05
(docs/claims.md says why numbers of another processor may differ). Exit status 1 if one does not.

Run from the repository's root: python -m benchmarks.study.check [--root DIR]
"""

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.study.collect import COPIED, DESTINATION, gather
from benchmarks.study.page import read
from benchmarks.study.run import FOLDS
from utils.errors import UserError
from utils.run import storage
from utils.run.hashing import REPOSITORY

ABSOLUTE, RELATIVE, OF_SPREAD = 0.05, 0.02, 0.1
COMPARED = (*COPIED, "layers", "failures", "training")
NOT_COMPARED = {"commit", "seconds", "training_s", "replays_s", "commit_of_training"}


# Columns of numbers that say which row it is.
NUMBERED = ("fold", "layer", "percent")


def compare(committed: pd.DataFrame, fresh: pd.DataFrame) -> tuple[int, list[str]]:
    """How many numbers were compared, and a line for each that does not hold.

    Rows are found again by their texts and what numbers them. A place may turn on a last bit.
    """
    columns = [name for name in committed if name not in NOT_COMPARED]
    if missing := [name for name in columns if name not in fresh]:
        return 0, [f"no column {', '.join(missing)}"]
    texts = committed[columns].select_dtypes(exclude="number").columns
    keys = [*texts, *(name for name in NUMBERED if name in columns)]
    numbers = [name for name in columns if name not in keys and not name.startswith("place ")]
    both = committed.merge(fresh, on=keys, how="left", suffixes=("", " now"), indicator=True)
    lost = both[both["_merge"] == "left_only"]
    off = [f"no row {row}" for row in lost[keys].to_dict("records")]
    both = both[both["_merge"] == "both"]
    for name in numbers:
        old, new = both[name], both[f"{name} now"]
        least = min(ABSOLUTE, OF_SPREAD * old.std()) if len(old) > 1 else 0
        far = (old - new).abs() > (RELATIVE * old.abs()).clip(lower=least)
        far |= old.isna() != new.isna()
        off += [
            f"{name} {old[i]:.4g}, now {new[i]:.4g}, of {both.loc[i, keys].to_dict()}"
            for i in both.index[far]
        ]
    return len(both) * len(numbers), off


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=REPOSITORY, metavar="DIR")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            fresh_tables = gather(args.root.resolve(), list(FOLDS))
            fallen = 0
            for name in COMPARED:
                if name not in fresh_tables:
                    raise UserError(f"the fresh result has no table {name}")
                storage.save_table(Path(folder) / f"{name}.csv", fresh_tables[name])
                fresh = read(Path(folder) / f"{name}.csv")
                compared, off = compare(read(DESTINATION / f"{name}.csv"), fresh)
                print(f"{name:20} {compared:6} numbers, {len(off)} off")
                print("".join(f"    {line}\n" for line in off[:5]), end="")
                fallen += len(off)
    except (UserError, OSError) as error:
        print(f"check-study: {error}", file=sys.stderr)
        return 2
    print(f"{'every number holds' if not fallen else f'{fallen} numbers DO NOT HOLD'}")
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
