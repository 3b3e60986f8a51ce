"""What docs/claims.md claims beside what the demo's summary says: `make check-claims`.

The table there is the only list. Its columns are claim, command, file, value and tolerance;
`file` says in code where the number lies, a table of the summary, the row by its cells, and
the column: `truths.csv` `truth_a=change, truth_b=repair` `kendall_tau`.

    python -m benchmarks.claims [--page docs/claims.md] [--summary exp-fl-5/digits_summary]

Exit status 1 if a number is further from its value than the tolerance, or is not there.
"""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from utils.errors import UserError
from utils.run.storage import undefused

PAGE = Path(__file__).resolve().parents[1] / "docs" / "claims.md"
COLUMNS = ["claim", "command", "file", "value", "tolerance"]


@dataclass(frozen=True)
class Claim:
    """A number that the page claims.

    cells : column -> text, of the one row that holds it.
    value, tolerance : as the page has them; further apart than the tolerance is a fault.
    """

    text: str
    file: str
    cells: dict[str, str]
    column: str
    value: float
    tolerance: float


def read_claims(page: str) -> list[Claim]:
    """The rows of a page's table of claims.

    Raises
    ------
    UserError : there is no such table, or a row of it cannot be read.
    """
    lines = iter(page.splitlines())
    for line in lines:
        if cells_of(line) == COLUMNS:
            break
    else:
        raise UserError(f"the page of claims has no table with the columns {', '.join(COLUMNS)}")
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append(read_claim(line))
    return found


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def read_claim(line: str) -> Claim:
    try:
        text, _, where, value, tolerance = cells_of(line)
        file, row, column = re.findall(r"`([^`]+)`", where)
        cells = dict(pair.strip().split("=", 1) for pair in row.split(","))
        return Claim(text, file, cells, column, float(value), float(tolerance))
    except ValueError:
        raise UserError(f"the claim {line!r} cannot be read") from None


def look_up(claim: Claim, summary: Path) -> float:
    """What the summary says today.

    Raises
    ------
    UserError : the table, its one row or its column is not there.
    """
    path = summary / claim.file
    if not path.is_file():
        raise UserError(f"{path} does not exist; run make demo first")
    table = pd.read_csv(path, dtype=str, encoding="utf-8-sig", keep_default_na=False)
    missing = {*claim.cells, claim.column} - set(table.columns)
    if missing:
        raise UserError(f"{path} has no column {', '.join(sorted(missing))}")
    for name, wanted in claim.cells.items():
        table = table[table[name].map(undefused) == wanted]
    if len(table) != 1:
        row = ", ".join(f"{name}={cell}" for name, cell in claim.cells.items())
        raise UserError(f"{path} has {len(table)} rows where {row}; one is needed")
    try:
        return float(table[claim.column].iloc[0])
    except ValueError:
        raise UserError(f"{path} has no number for {claim.text!r}") from None


def compare(claims: list[Claim], summary: Path) -> list[tuple[Claim, float, bool]]:
    """Each claim, what the summary says, and whether that is within the tolerance."""
    found = [(claim, look_up(claim, summary)) for claim in claims]
    return [(c, value, abs(value - c.value) <= c.tolerance) for c, value in found]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--summary", type=Path, default=Path("exp-fl-5/digits_summary"))
    args = parser.parse_args()
    try:
        rows = compare(read_claims(args.page.read_text(encoding="utf-8")), args.summary)
    except UserError as error:
        print(f"claims: {error}", file=sys.stderr)
        return 2
    width = max(len(claim.text) for claim, _, _ in rows)
    print(f"{'claim':{width}}  {'claimed':>9}  {'now':>9}  {'tolerance':>9}")
    for claim, value, holds in rows:
        numbers = f"{claim.value:9g}  {value:9.4g}  {claim.tolerance:9g}"
        print(f"{claim.text:{width}}  {numbers}  {'holds' if holds else 'DOES NOT HOLD'}")
    fallen = sum(not holds for _, _, holds in rows)
    print(f"{len(rows) - fallen} of {len(rows)} claims hold")
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
