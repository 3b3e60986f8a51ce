"""docs/study.md of the tables in docs/study/: every number on it comes from one of them.

Run from the repository's root: python -m benchmarks.study.page
"""

from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from benchmarks import claims
from utils.judge.names import LIFTED
from utils.run import storage
from utils.run.hashing import REPOSITORY
from utils.run.storage import undefused
from utils.summary.scores.layer import strongest_block
from utils.summary.statistics.resolution import SIGNIFICANT

FOLDER = REPOSITORY / "docs" / "study"
PAGE = REPOSITORY / "docs" / "study.md"
TEMPLATE = Path(__file__).parent / "page.md.jinja"


class Study:
    """The study's tables, by name, and what the page asks of them, as text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables = {path.stem: read(path) for path in sorted(folder.glob("*.csv"))}

    def rows(self, table: str, **where: object) -> pd.DataFrame:
        """The rows of a table whose columns have these values."""
        found = self.tables[table]
        for column, value in where.items():
            found = found[found[column] == value]
        return found

    def one(self, table: str, column: str, **where: object) -> float:
        """The one number in a column; LookupError where the rows are none or several."""
        found = self.rows(table, **where)
        if len(found) != 1:
            raise LookupError(f"{table}.csv has {len(found)} rows where {where}")
        return float(found[column].iloc[0])

    def mean(self, table: str, column: str, **where: object) -> float:
        return float(self.rows(table, **where)[column].mean())

    def tau(self, a: str, b: str) -> float:
        """Kendall's tau of two verdicts' orders of the methods."""
        pairs = self.tables["verdicts_agreement"].set_index(["verdict_a", "verdict_b"])
        return float(pairs.loc[(a, b) if (a, b) in pairs.index else (b, a), "kendall_tau"])

    def lift(self, verdict: str, method: str) -> float:
        return self.one("verdicts", verdict, method=method)

    def told(self, truth: str, sign: int) -> int:
        """How many methods are above (+1) or below (-1) chance by a truth."""
        rows = self.rows("verdict", truth=truth)
        return int(((rows["p_adjusted"] <= SIGNIFICANT) & (np.sign(rows["z"]) == sign)).sum())

    def mend_more(self, optimizer: str) -> tuple[int, int]:
        """Of how many methods retraining mends more than their random reference, and of all."""
        rows = self.rows("retrained", optimizer=optimizer)
        rows = rows[rows["corrected_holm_p"].notna()]
        told = (rows["corrected_holm_p"] <= SIGNIFICANT) & (rows["difference"] > 0)
        return int(told.sum()), len(rows)

    def mend_less(self, optimizer: str) -> int:
        rows = self.rows("retrained", optimizer=optimizer)
        told = (rows["corrected_holm_p"] <= SIGNIFICANT) & (rows["difference"] < 0)
        return int(told.sum())

    def mended(self, method: str, optimizer: str = "adam", level: str = "weight") -> float:
        return self.one("retrained", "mean", optimizer=optimizer, method=method, level=level)

    def places(self, verdict: str, first: int, last: int) -> list[str]:
        """Methods of a verdict from place `first` to `last`, best first, with their numbers."""
        rows = self.tables["verdicts"].dropna(subset=[verdict])
        rows = rows.sort_values(verdict, ascending=False, kind="stable")
        star = rows["level"].eq(LIFTED).map({True: " *", False: ""})
        said = rows["method"] + star + " " + rows[verdict].map(number)
        return said.to_list()[first - 1 : last]

    def best(self, verdict: str) -> str:
        """The method with the highest number."""
        rows = self.tables["verdicts"]
        return str(rows.loc[rows[verdict].idxmax(), "method"])

    def highest(self, verdict: str) -> float:
        return float(self.tables["verdicts"][verdict].max())

    def leader(self, verdict: str) -> str:
        """The highest number by a verdict and its method, or that there is none."""
        if not self.has(verdict):
            return "none could be planted"
        return f"{number(self.highest(verdict))} ({self.best(verdict)})"

    def n_methods(self) -> int:
        return len(self.tables["verdicts"])

    def strongest_block(self) -> str:
        """The block of M2 that lowers M1's loss most."""
        found = strongest_block(self.tables["layers"])
        return found[0] if found else "not known"

    def has(self, verdict: str) -> bool:
        """Whether the study has a verdict: without a fault that was planted there is none."""
        return verdict in self.tables["verdicts"]

    def claims(self) -> list[tuple[str, float, str]]:
        """What docs/claims.md claims of digits: the claim, its number there, and the study's.

        A number that the study does not have is "none": no fault of that kind was planted.
        """
        rows = []
        for one in claims.read_claims(claims.PAGE.read_text(encoding="utf-8")):
            kind = one.cells.get("kind")
            there = kind is None or self.has(f"planted {kind}")
            rows.append((
                one.text, one.value, number(claims.look_up(one, self.folder)) if there else "none"
            ))  # fmt: skip
        return rows

    def resolution(self, verdict: str) -> pd.Series:
        return self.rows("resolution", verdict=verdict).iloc[0]


def main_numbers(s: Study) -> dict[str, str]:
    """README's column `fashion`: what its table asks, and the study's answer."""
    base = s.tables["base"].iloc[0]
    adam = "retrained (adam)"
    chance = [s.told(truth, sign) for truth in ("change", "repair") for sign in (1, -1)]
    traded = s.one("verdict", "null_mean", truth="repair", method="grad_loss")
    mended = {name: number(s.mended(name)) for name in ("change", "random", "grad_loss", "bl")}
    taus = [f"{s.tau(verdict, adam):.2f}" for verdict in ("change", "repair", "transplant")]
    return {
        "network": f"{base['num_hidden_layers']} layers, fine-tuned from one base model",
        "share of the failures' loss that the layer's change mends":
            f"{number(100 * s.mean('layer', 'share_recovered'))}%",
        "tau of the orders by `change` and by `repair`": f"{s.tau('change', 'repair'):.2f}",
        "methods above and below chance by `change`; by `repair`":
            "{}, {}; {}, {}".format(*chance),
        "lift of grad_loss by `repair`, and what trading neurons gives it":
            f"{number(s.lift('repair', 'grad_loss'))}, {number(traded)}",
        "tau of the orders by `transplant` and by `repair`":
            f"{s.tau('transplant', 'repair'):.2f}",
        "highest lift on `planted neurons`, on `planted weights`":
            f"{s.leader('planted neurons')}, {s.leader('planted weights')}",
        "loss mended by `retrained` (Adam): the first 1% of \\|ΔW\\|, of random weights":
            f"{mended['change']}, {mended['random']}",
        "the same for grad_loss, bl, magnitude":
            f"{mended['grad_loss']}, {mended['bl']}, {number(s.mended('magnitude'))}",
        "methods that mend more than random weights (neurons: random neurons), by the test":
            "{} of {}".format(*s.mend_more("adam")),
        "tau of `change`, `repair`, `transplant` with `retrained` (Adam)": ", ".join(taus),
    }  # fmt: skip


def read(path: Path) -> pd.DataFrame:
    """A table of the study, its texts as they were before they were kept from spreadsheets."""
    table = pd.read_csv(path, encoding="utf-8-sig")
    for column in table.select_dtypes(exclude="number"):
        table[column] = table[column].map(undefused, na_action="ignore")
    return table


def number(value: float) -> str:
    """Three digits that count, six decimals at most."""
    if value == 0 or abs(value) >= 100:
        return f"{value:z.0f}"
    decimals = 2 - int(np.floor(np.log10(abs(value))))
    return f"{value:z.{min(max(decimals, 0), 6)}f}"


def render(folder: Path) -> str:
    """The page's text."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    environment.filters["n"] = number
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(s=Study(folder))


def write_page(folder: Path) -> None:
    storage.save_bytes(PAGE, render(folder).encode())


if __name__ == "__main__":
    write_page(FOLDER)
