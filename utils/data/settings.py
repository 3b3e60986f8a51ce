"""The misclassification settings of a fold, as steps 4 to 7 read them."""

from pathlib import Path

import numpy as np

from utils.data.setting_names import ALL, COLUMNS
from utils.errors import UserError
from utils.run import storage
from utils.run.paths import FoldPaths

SETTINGS_STEP = 2


def read_settings(paths: FoldPaths) -> list[str]:
    """Names of the settings that are not skipped, in the order of settings.csv."""
    table = storage.read_table(paths.settings, COLUMNS, SETTINGS_STEP)
    names = [str(name) for name in table.loc[table["status"] == "ok", "setting"]]
    for name in names:
        if Path(name).name != name or name in ("", ".", ".."):
            raise UserError(
                f"{paths.settings} names a setting {name!r}, which is not a folder name; "
                f"{storage.run_again(SETTINGS_STEP)}"
            )
    if ALL not in names:
        raise UserError(
            f"{paths.settings} has no usable setting {ALL!r}; {storage.run_again(SETTINGS_STEP)}"
        )
    return names


def read_samples(paths: FoldPaths, setting: str, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """neg and pos of a setting, checked: ascending, inside the repair split, disjoint."""
    remedy = storage.run_again(SETTINGS_STEP)
    sets = []
    for path in (paths.neg(setting), paths.pos(setting)):
        samples = np.array(storage.load_array(path, (np.int64,), (None,), remedy))
        if len(samples) < 2 or np.any(np.diff(samples) <= 0):
            raise UserError(f"{path} is not an ascending list of at least 2 samples; {remedy}")
        if samples[0] < 0 or samples[-1] >= n_samples:
            raise UserError(f"{path} has samples outside 0..{n_samples - 1}; {remedy}")
        sets.append(samples)
    if np.intersect1d(*sets).size:
        raise UserError(f"{paths.neg(setting)} and its pos share samples; {remedy}")
    return sets[0], sets[1]


def read_test_failures(paths: FoldPaths, setting: str, n_samples: int) -> np.ndarray:
    """The test samples of a setting that M1 gets wrong, int64, ascending, inside the test split."""
    remedy = storage.run_again(SETTINGS_STEP)
    path = paths.neg_test(setting)
    samples = np.array(storage.load_array(path, (np.int64,), (None,), remedy))
    if np.any(np.diff(samples) <= 0):
        raise UserError(f"{path} is not an ascending list of samples; {remedy}")
    if len(samples) and (samples[0] < 0 or samples[-1] >= n_samples):
        raise UserError(f"{path} has samples outside 0..{n_samples - 1}; {remedy}")
    return samples


def setting_inputs(paths: FoldPaths, setting: str) -> list[tuple[Path, int]]:
    """The sample lists of a setting as inputs of a task."""
    return [(paths.neg(setting), SETTINGS_STEP), (paths.pos(setting), SETTINGS_STEP)]
