"""Step 2: what M1 misclassifies on the repair split, and the 13 settings made of it."""

import argparse

import pandas as pd

from utils.data import failures_of_fold
from utils.model import caches, forward
from utils.model.inputs import REPAIR
from utils.model.opening import choose_pair, open_inputs
from utils.run import cli

STEP = 2


def add_options(parser: argparse.ArgumentParser) -> None:
    cli.add_device(parser)


def work(job: cli.Job) -> pd.DataFrame:
    inputs = open_inputs(job)
    repair = forward.ensure_states(job, inputs)
    test = forward.test_states(job, inputs)
    read = [
        (job.paths.cache(name, split), caches.CACHE_STEP)
        for split in (["repair"] if test is None else ["repair", "test"])
        for name in ("logits", "labels")
    ]
    settings = failures_of_fold.find_failures(job, inputs.ledger, [REPAIR, *read], repair, test)
    inputs.ledger.close()
    return settings


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
