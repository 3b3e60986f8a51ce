"""Every file and folder name of the summary across folds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from utils.run.paths import FoldPaths

# What steps 7 to 10 write there, by name: what of it is on no record was left by another release.
TABLES = (
    "overview", "verdict", "summary", "comparisons", "times", "truths", "layer", "resolution",
    "transplant", "recovery", "planted", "retrained", "predicts", "verdicts", "verdicts_agreement",
)  # fmt: skip
DOCUMENTS = ("notes.txt", "effects.txt", "results.xlsx", "report.html", "tables.tex")
FIGURES = (
    "truths", "ceiling", "specificity", "metrics_at_k", "cumulative_gain", "settings", "locations",
    "time", "critical_difference", "loss_against_k", "repaired_and_broken", "blocks",
    "lift_and_recovery", "planted", "verdicts",
)  # fmt: skip
OF_FIGURE = re.compile(rf"({'|'.join(FIGURES)})_[12]col\.(png|pdf|svg)")
OF_ALL_FIGURES = ("captions.txt", "figures.tex", "figures_effects.tex")
# Characters of a list of folds in a folder's name, beyond which it is written in runs.
LONGEST_LIST = 60


@dataclass(frozen=True)
class SummaryPaths(FoldPaths):
    """Where step 7 writes what it finds across the folds of `ds`: <ds>_summary/.

    other_folds : the folds where they are not the usual ones; <ds>_summary_fold0_1/ then,
    or <ds>_summary_fold0-38/ where the list would be long.
    """

    fold: int | None = None
    other_folds: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        folds = "_".join(map(str, self.other_folds))
        if len(folds) > LONGEST_LIST:
            folds = "_".join(runs_of(self.other_folds))
        return f"{self.ds}_summary" + (f"_fold{folds}" if folds else "")

    @property
    def inputs(self) -> dict[str, str]:
        """None of its own: it is made from folds."""
        return {}

    def table(self, name: str) -> Path:
        """`name` is one of TABLES."""
        return self.results / f"{name}.csv"

    @property
    def notes(self) -> Path:
        """What the numbers can and cannot carry, in words."""
        return self.results / "notes.txt"

    @property
    def effect_notes(self) -> Path:
        """What steps 8 and 9 found, in words, and what each of their figures shows."""
        return self.results / "effects.txt"

    @property
    def workbook(self) -> Path:
        return self.results / "results.xlsx"

    @property
    def report(self) -> Path:
        """The summary on one page that needs no other file."""
        return self.results / "report.html"

    @property
    def latex(self) -> Path:
        return self.results / "tables.tex"

    @property
    def captions(self) -> Path:
        """What each figure shows, a paragraph each."""
        return self.results / "figures" / "captions.txt"

    @property
    def latex_captions(self) -> Path:
        """The same as LaTeX: each figure with its caption, to be pasted or compiled there."""
        return self.results / "figures" / "figures.tex"

    @property
    def latex_effect_captions(self) -> Path:
        """The figures of steps 8 and 9 with their captions, as LaTeX."""
        return self.results / "figures" / "figures_effects.tex"

    def of_ours(self) -> list[Path]:
        """The files that are there and are called as steps 7 to 10 call theirs."""
        found = [*map(self.table, TABLES), *(self.results / name for name in DOCUMENTS)]
        folder = self.results / "figures"
        found += [folder / name for name in OF_ALL_FIGURES]
        pictures = [*folder.glob("*col.*"), *folder.glob("*/*col.*")]
        found += [path for path in sorted(pictures) if OF_FIGURE.fullmatch(path.name)]
        return [path for path in found if path.is_file()]

    def figure(self, name: str, width: str, truth: str | None = None) -> Path:
        """Without suffix: each figure is saved as .png, .pdf and .svg, one or two columns wide.

        Those of one truth lie in a folder of its name.
        """
        folder = self.results / "figures"
        return (folder / truth if truth else folder) / f"{name}_{width}"


def runs_of(numbers: Sequence[int]) -> list[str]:
    """Ascending numbers, those that follow each other in one: 0, 1, 2, 5 are "0-2" and "5"."""
    starts = [i for i, number in enumerate(numbers) if not i or number != numbers[i - 1] + 1]
    runs = [numbers[i:j] for i, j in pairwise([*starts, len(numbers)])]
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
