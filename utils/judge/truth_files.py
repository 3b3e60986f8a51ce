"""The files of the truths of one fold: which there are, in which settings, and reading them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from utils import ranking
from utils.data.setting_names import ALL
from utils.errors import UserError
from utils.judge.scores.ground_truth import GroundTruth, prepare_truth
from utils.model.inputs import Inputs
from utils.run import storage
from utils.run.cli import Job
from utils.truth import positives
from utils.truth.registry import CHANGE, REPAIR, TRUTHS


@dataclass(frozen=True, eq=False)
class TruthFiles:
    """One truth of one fold, and the settings whose rankings are compared with it.

    settings : with `all`.
    ns : the neuron budgets in force.
    """

    name: str
    settings: tuple[str, ...]
    job: Job
    m: int
    d: int
    ns: tuple[int, ...]
    _kept: dict[str, GroundTruth] = field(default_factory=dict, init=False, repr=False)
    _said: set[str] = field(default_factory=set, init=False, repr=False)

    @property
    def per_setting(self) -> bool:
        return TRUTHS[self.name].per_setting

    def file(self, setting: str) -> Path:
        return TRUTHS[self.name].file(self.job.paths, setting)

    @property
    def inputs(self) -> list[tuple[Path, int]]:
        """The files that hold it, with the step that writes them."""
        files = dict.fromkeys(self.file(setting) for setting in self.settings)
        return [(path, TRUTHS[self.name].step) for path in files]

    @property
    def file_under_all(self) -> tuple[Path, int]:
        """That of the setting `all`, with the step that writes it."""
        return self.file(ALL), TRUTHS[self.name].step

    @property
    def groups(self) -> Iterator[tuple[str, ...]]:
        """Settings that share their values, together."""
        return iter([(s,) for s in self.settings] if self.per_setting else [self.settings])

    def values(self, setting: str) -> np.ndarray:
        """float32 (N,), checked."""
        path, remedy = self.file(setting), storage.run_again(TRUTHS[self.name].step)
        size = ranking.n_weights(self.m, self.d)
        values = storage.load_array(path, (np.float32,), (size,), remedy)
        return storage.require_finite(np.asarray(values), path, remedy)

    def read(self, setting: str) -> GroundTruth:
        """The truth as the metrics take it; the last one read is kept until `forget`.

        Raises
        ------
        UserError : the file is not what its step wrote, or no weight is positive.
        """
        key = setting if self.per_setting else self.settings[0]
        if key not in self._kept:
            self._kept.clear()
            self._kept[key] = self._prepare(key)
        return self._kept[key]

    def forget(self) -> None:
        """Let go of the truth that was read: some 150 MiB at ViT-Base size."""
        self._kept.clear()

    def _prepare(self, setting: str) -> GroundTruth:
        constants = self.job.constants
        found = prepare_truth(
            self.values(setting),
            self.m,
            self.d,
            tuple(constants["K_PERCENTS"]),
            constants["POSITIVE_PERCENT"],
            self.ns,
        )
        path = self.file(setting)
        borders = found.borders
        if self.name != CHANGE:  # without a positive neuron there are no rows of neurons
            borders = {"weights": borders["weights"]}
        try:
            positives.require_positives(borders, str(path))
        except ValueError as error:
            raise UserError(str(error)) from None
        for items, border in found.borders.items():
            line = border.shortfall(items)
            if line and setting not in self._said:
                self.job.log.warning("%s: %s", self.shown(setting), line)
        self._said.add(setting)
        return found

    def shown(self, setting: str) -> str:
        """Its file, as messages name it."""
        path = self.file(setting)
        return f"{setting}/{path.name}" if self.per_setting else path.name

    def positives(self, setting: str) -> np.ndarray:
        """Which weights are positive, bool (N,), without sorting them."""
        values = self.values(setting)
        wanted = ranking.share_of(self.job.constants["POSITIVE_PERCENT"], len(values))
        return positives.positive_mask(values, wanted)


def find_truths(
    job: Job, inputs: Inputs, settings: list[str], credited: list[str]
) -> list[TruthFiles]:
    """The truths of TRUTHS that the fold has; a line for each that it lacks.

    Beside `change`, which a fold has or is refused, a truth counts where any
    weight is positive, and under `all` at least.

    credited : the settings that have repair credits.
    """
    found = []
    ns = tuple(job.budgets(inputs.d, inputs.m))
    for name in job.constants["TRUTHS"]:
        where = settings
        if name == REPAIR:
            where = [setting for setting in credited if setting in settings]
        elif not TRUTHS[name].file(job.paths, ALL).is_file():
            where = []
        truth = TruthFiles(name, tuple(where), job, inputs.m, inputs.d, ns)
        for path, step in truth.inputs:
            inputs.ledger.require(path, step)
        if where and name != CHANGE:
            truth = replace(truth, settings=with_positives(truth))
        if ALL in truth.settings:
            found.append(truth)
        elif where:
            job.log.warning("no truth '%s': it has no positive weight under '%s'", name, ALL)
        else:
            job.log.info("no truth '%s': it needs %s", name, TRUTHS[name].needs)
    return found


def with_positives(truth: TruthFiles) -> tuple[str, ...]:
    """The settings in which any weight is positive; a line for each other."""
    found: list[str] = []
    for group in truth.groups:
        if truth.positives(group[0]).any():
            found += group
            continue
        gains = np.sort(np.maximum(truth.values(group[0]), 0))[::-1]
        wanted = ranking.share_of(truth.job.constants["POSITIVE_PERCENT"], len(gains))
        reason = positives.find_border(gains, wanted).shortfall("weights")
        truth.job.log.warning("%s is no truth: %s", truth.shown(group[0]), reason)
    return tuple(found)


def require_truths(job: Job, inputs: Inputs) -> None:
    """Refuse a fold of which a truth that a step before this one made is out of date.

    Writes nothing: what find_truths would refuse only after hours of other folds' work.
    """
    for name in job.constants["TRUTHS"]:
        path, step = TRUTHS[name].file(job.paths, ALL), TRUTHS[name].step
        if step < job.step and path.is_file():
            inputs.ledger.require(path, step)


def task_name(kind: str, truth: str) -> str:
    """The ledger's name of a table of one truth."""
    return kind if truth == CHANGE else f"{kind}/{truth}"
