"""Where the scores of a ranking come from: a file of ours, a user's, or the truth itself."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.judge.names import (
    JUDGED_STEP,
    LIFTED,
    NEURON,
    RANDOM,
    RANDOM_SAMPLED,
    REFERENCES,
    WEIGHT,
)
from utils.judge.scores.ground_truth import GroundTruth
from utils.ranking import RankingKey


@dataclass(frozen=True)
class ScoreSource:
    """Where the scores of one method in one setting are.

    score, order : the file of the scores, and that of their ranking where there is one.
    step : the step that makes them, None for a user's file.
    n : None, or the budget of scores that depend on it.
    cut_is_apart : a method whose scores depend on n has its rows with n from those scores.
    values : of a reference that is no file: how its scores come from the truth.
    made_from : the files behind a reference, with their steps.
    """

    key: RankingKey
    score: Path | None
    order: Path | None
    step: int | None
    n: int | None = None
    cut_is_apart: bool = False
    values: Callable[[GroundTruth], np.ndarray] | None = None
    made_from: tuple[tuple[Path, int], ...] = ()

    @property
    def is_reference(self) -> bool:
        return self.key.method in REFERENCES

    @property
    def levels(self) -> tuple[str, ...]:
        """Where it is compared; the oracle, made of positives, is a ceiling among weights only."""
        if self.key.level == WEIGHT:
            return (WEIGHT,)
        return (LIFTED,) if self.is_reference else (NEURON, LIFTED)

    @property
    def has_cut(self) -> bool:
        """Whether its rows with n come from these scores."""
        return self.n is not None or not (self.cut_is_apart or self.is_reference)

    @property
    def inputs(self) -> list[Path | tuple[Path, int]]:
        """The files that it is read from, as inputs of a task."""
        if self.values is not None:
            return list(self.made_from)
        if self.step is None:
            return [self.score]
        paths = [self.score] if self.order is None else [self.score, self.order]
        return [(path, self.step) for path in paths]

    @property
    def shown_name(self) -> str:
        """The method's name in tables; the seeded sample is one of two random rows."""
        sampled = self.key.method == RANDOM and self.step == JUDGED_STEP
        return RANDOM_SAMPLED if sampled else self.key.method


@dataclass(frozen=True)
class Rankings:
    """What is compared with one truth: methods, ours and a user's, and what stands beside them."""

    methods: list[ScoreSource]
    references: list[ScoreSource]
    random: list[ScoreSource]

    @property
    def all(self) -> list[ScoreSource]:
        return [*self.methods, *self.references, *self.random]

    def whole_under(self, setting: str) -> list[ScoreSource]:
        """The rankings of one setting that no budget cuts."""
        return [s for s in self.all if s.key.setting == setting and s.n is None]


def files_of(sources: Iterable[ScoreSource]) -> list[Path | tuple[Path, int]]:
    """All that several rankings are read from."""
    return [path for source in sources for path in source.inputs]


def by_method(sources: Iterable[ScoreSource]) -> dict[tuple[str, str], list[ScoreSource]]:
    """Whole rankings of each method, (level, method), in the order they come; no reference."""
    found: dict[tuple[str, str], list[ScoreSource]] = {}
    for source in sources:
        if source.n is None and not source.is_reference:
            found.setdefault((source.key.level, source.key.method), []).append(source)
    return found
