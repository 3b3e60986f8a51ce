"""Step 2 on one fold: what M1 misclassifies, and the settings made of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from utils.data import folds, misclassification, schema
from utils.data.misclassification import Setting
from utils.errors import UserError
from utils.run.cli import Job
from utils.run.ledger import Ledger
from utils.run.profiles import profile_of
from utils.run.stopwatch import Stopwatch
from utils.run.task import Task


class Predicted(Protocol):
    """What M1 says of a split: logits float32 (S, C), labels int64 (S,)."""

    logits: np.ndarray
    labels: np.ndarray


def find_failures(
    job: Job,
    ledger: Ledger,
    inputs: Iterable[str | tuple[Path, int]],
    repair: Predicted,
    test: Predicted | None,
) -> pd.DataFrame:
    """Write misclf_info/ where it is not up to date; the table of settings.

    Parameters
    ----------
    inputs : what `repair` and `test` were read from, as the ledger takes it.
    test : None where nothing is asked of the test split.

    Raises
    ------
    UserError : no setting has enough samples.
    """
    task = ledger.task(
        "misclf_info",
        inputs=inputs,
        constants=["TOP_RANKS", "MIN_SAMPLES"],
        makes=find_failures,
    )
    if task.done:
        job.log.info("misclf_info/ is up to date: kept")
    else:
        write_failures(job, task, repair, test)
        job.log.info("wrote %s", job.paths.misclf_info)
    return pd.read_csv(job.paths.settings, encoding="utf-8-sig")


def write_failures(job: Job, task: Task, repair: Predicted, test: Predicted | None) -> None:
    watch = Stopwatch()
    paths, constants = job.paths, job.constants
    names = class_names(job, repair.logits.shape[1])
    table = misclassification.predictions(repair.logits, repair.labels, names)
    true, predicted = table["true_label"].to_numpy(), table["pred_label"].to_numpy()
    metrics = misclassification.class_metrics(true, predicted, names)
    pairs = misclassification.mis_ranking(true, predicted, names)
    settings = misclassification.find_settings(
        true, predicted, metrics, pairs, constants["TOP_RANKS"], constants["MIN_SAMPLES"]
    )
    require_usable(job, true, predicted, settings)
    if test is not None:
        settings = misclassification.with_test_failures(
            settings, test.labels, misclassification.predicted_classes(test.logits)
        )
    with task:
        task.time("misclf_info", watch.seconds)
        task.save_table(paths.predictions, table)
        confusion = misclassification.confusion_table(true, predicted, names)
        task.save_table(paths.confusion_matrix, confusion)
        task.save_table(paths.mis_ranking, pairs)
        task.save_table(paths.class_metrics, metrics)
        for setting in settings:
            write_samples(job, task, setting)
        task.save_table(paths.settings, misclassification.settings_table(settings, names))


def write_samples(job: Job, task: Task, setting: Setting) -> None:
    if setting.status != "ok":
        job.log.info("%s is left out: %s", setting.setting, setting.reason)
        return
    task.save_array(job.paths.neg(setting.setting), setting.neg)
    task.save_array(job.paths.pos(setting.setting), setting.pos)
    if setting.neg_test is not None:
        task.save_array(job.paths.neg_test(setting.setting), setting.neg_test)


def class_names(job: Job, n_classes: int) -> list[str]:
    """Names of the model's classes from the data set; a number where it has none."""
    dataset = folds.load_split(job.paths, "repair")
    where = str(job.paths.dataset / "repair")
    label_column = schema.label_in(dataset.features, profile_of(job.paths.ds), where)
    names = schema.class_names(dataset, label_column)
    return [*names, *(str(i) for i in range(len(names), n_classes))]


def require_usable(
    job: Job, true: np.ndarray, predicted: np.ndarray, settings: list[Setting]
) -> None:
    if any(setting.status == "ok" for setting in settings):
        return
    wrong, least = int(np.count_nonzero(true != predicted)), job.constants["MIN_SAMPLES"]
    raise UserError(
        f"M1 of {job.paths.name} misclassifies {wrong} of {len(true)} samples of the repair split: "
        f"every setting needs {least} misclassified and "
        f"{least} correct ones; train M1 to another accuracy"
    )
