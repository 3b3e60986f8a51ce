"""Every file and folder name of the summary across folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from utils.run.paths import FoldPaths

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
        """`name` is "overview", "verdict", "summary", "comparisons", "times", "truths",
        "layer", "resolution" of step 7, "transplant", "recovery", "planted", "retrained",
        "predicts", "verdicts" or "verdicts_agreement" of steps 8, 9 and 10.
        """
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
