"""What docs/claims.md claims: its table is what is checked, and a number that moved is found."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import claims
from benchmarks.claims import Claim
from utils.errors import UserError
from utils.run.storage import save_table
from utils.run.summary_paths import SummaryPaths

TABLE = """
| claim | command | file | value | tolerance |
|---|---|---|---|---|
| one | `make demo` | `t.csv` `level=weight (from neuron), method==ig` `lift x` | -0.5 | 0.25 |
| two | `make demo` | `t.csv` `level=weight, method=b` `lift x` | 2 | 0 |
"""


@pytest.fixture
def summary(tmp_path):
    table = pd.DataFrame(
        {
            "level": ["weight (from neuron)", "weight", "weight", "weight"],
            "method": ["=ig", "b", "twice", "twice"],
            "lift x": [-0.25, 2.0, 1, 1],
            "empty": [None, 1, 1, 1],
        }
    )
    save_table(tmp_path / "t.csv", table)
    return tmp_path


def test_claims_are_compared_within_their_tolerance(summary):
    first, second = claims.read_claims(TABLE)
    assert first == Claim(
        "one", "t.csv", {"level": "weight (from neuron)", "method": "=ig"}, "lift x", -0.5, 0.25
    )
    assert [(now, holds) for _, now, holds in claims.compare([first, second], summary)] == [
        (-0.25, True),
        (2.0, True),
    ]
    for value, holds in [(-0.51, False), (0.0, True), (0.01, False)]:
        moved = Claim(first.text, first.file, first.cells, first.column, value, 0.25)
        assert claims.compare([moved], summary)[0][2] == holds, value


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("`u.csv` `method=b` `lift x`", "u.csv does not exist; run make demo first"),
        ("`t.csv` `method=c` `lift x`", "has 0 rows where method=c"),
        ("`t.csv` `method=twice` `lift x`", "has 2 rows where method=twice"),
        ("`t.csv` `method=b` `lift y`", "has no column lift y"),
        ("`t.csv` `method==ig` `empty`", "has no number"),
        ("`t.csv` `lift x`", "cannot be read"),
    ],
)
def test_a_claim_that_leads_nowhere_says_so(summary, where, said):
    table = TABLE.partition("| one")[0] + f"| one | `make demo` | {where} | 1 | 0 |\n"
    with pytest.raises(UserError, match=said):
        claims.compare(claims.read_claims(table), summary)


def test_without_a_table_there_is_nothing_to_check():
    with pytest.raises(UserError, match="no table with the columns claim"):
        claims.read_claims("# a page\n")


def test_the_page_claims_what_a_summary_can_hold():
    found = claims.read_claims(claims.PAGE.read_text(encoding="utf-8"))
    assert len(found) >= 12 and len({claim.text for claim in found}) == len(found)
    paths = SummaryPaths(Path(), "digits")
    files = {paths.table(name).name for name in ("truths", "overview", "summary", "planted",
                                                 "verdicts_agreement", "retrained")}  # fmt: skip
    assert {claim.file for claim in found} == files
    for claim in found:
        assert 0 < claim.tolerance <= max(0.05, 0.025 * abs(claim.value)), claim.text
