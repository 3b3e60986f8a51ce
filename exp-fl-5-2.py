"""Step 2: what M1 misclassifies on the repair split, and the 13 settings made of it."""

import argparse

import numpy as np
import pandas as pd

from utils.data import folds, misclassification, schema
from utils.errors import UserError
from utils.model import caches, forward
from utils.model.inputs import REPAIR, choose_pair, open_inputs
from utils.run import cli
from utils.run.profiles import profile_of
from utils.run.stopwatch import Stopwatch

STEP = 2


def add_options(parser: argparse.ArgumentParser) -> None:
    cli.add_device(parser)


def work(job: cli.Job) -> pd.DataFrame:
    inputs = open_inputs(job)
    paths, ledger = job.paths, inputs.ledger
    cached = forward.ensure_states(job, inputs)
    test = forward.test_states(job, inputs)
    splits = ["repair"] if test is None else ["repair", "test"]
    task = ledger.task(
        "misclf_info",
        inputs=[
            REPAIR,
            *(
                (paths.cache(name, split), caches.CACHE_STEP)
                for split in splits
                for name in ("logits", "labels")
            ),
        ],
        constants=["TOP_RANKS", "MIN_SAMPLES"],
        makes=(misclassification.find_settings, folds.load_split, schema.class_names),
    )
    if task.done:
        job.log.info("misclf_info/ is up to date: kept")
    else:
        watch = Stopwatch()
        names = class_names(job, cached.logits.shape[1])
        table = misclassification.predictions(cached.logits, cached.labels, names)
        true, predicted = table["true_label"].to_numpy(), table["pred_label"].to_numpy()
        metrics = misclassification.class_metrics(true, predicted, names)
        pairs = misclassification.mis_ranking(true, predicted, names)
        settings = misclassification.find_settings(
            true,
            predicted,
            metrics,
            pairs,
            job.constants["TOP_RANKS"],
            job.constants["MIN_SAMPLES"],
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
                if setting.status == "ok":
                    task.save_array(paths.neg(setting.setting), setting.neg)
                    task.save_array(paths.pos(setting.setting), setting.pos)
                    if setting.neg_test is not None:
                        task.save_array(paths.neg_test(setting.setting), setting.neg_test)
                else:
                    job.log.info("%s is left out: %s", setting.setting, setting.reason)
            task.save_table(paths.settings, misclassification.settings_table(settings, names))
        job.log.info("wrote %s", paths.misclf_info)
    ledger.close()
    return pd.read_csv(paths.settings, encoding="utf-8-sig")


def class_names(job: cli.Job, n_classes: int) -> list[str]:
    """Names of the model's classes from the data set; a number where it has none."""
    dataset = folds.load_split(job.paths, "repair")
    where = str(job.paths.dataset / "repair")
    _, label_column = schema.columns_of(dataset, profile_of(job.paths.ds), where)
    names = schema.class_names(dataset, label_column)
    return [*names, *(str(i) for i in range(len(names), n_classes))]


def require_usable(
    job: cli.Job,
    true: np.ndarray,
    predicted: np.ndarray,
    settings: list[misclassification.Setting],
) -> None:
    if any(setting.status == "ok" for setting in settings):
        return
    wrong = int(np.count_nonzero(true != predicted))
    raise UserError(
        f"M1 of {job.paths.name} misclassifies {wrong} of {len(true)} samples of the repair split: "
        f"every setting needs {job.constants['MIN_SAMPLES']} misclassified and "
        f"{job.constants['MIN_SAMPLES']} correct ones; train M1 to another accuracy"
    )


def show(finished: list[tuple[cli.Job, pd.DataFrame]]) -> None:
    rows = []
    for job, table in finished:
        whole = table[table["setting"] == "all"].iloc[0]
        rows.append(
            {
                "fold": job.paths.fold,
                "samples": whole["n_neg"] + whole["n_pos"],
                "misclassified": whole["n_neg"],
                "accuracy": whole["n_pos"] / (whole["n_neg"] + whole["n_pos"]),
                "settings": int((table["status"] == "ok").sum()),
                "skipped": int((table["status"] != "ok").sum()),
            }
        )
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    cli.run(STEP, __doc__, work, add_options=add_options, ready=choose_pair, after=show)
