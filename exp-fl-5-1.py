"""Step 1: the ground truth - which FFN weights changed from M1 to M2, and by how much."""

import pandas as pd

from utils.model.opening import choose_pair, open_inputs
from utils.run import cli
from utils.truth.change.fold import read_summary, write_change, write_top
from utils.truth.pooled.fold import write_pooled

STEP = 1
SHOWN = {
    "n_weights": "weights",
    "unchanged_weights": "unchanged",
    "n_positives": "positives",
    "threshold_abs_diff": "threshold",
    "share_of_top_in_W_bef": "in W_bef",
    "neurons_with_a_top_weight": "neurons",
    "share_of_total_change_in_top": "share of change",
}
COUNTS = ("weights", "unchanged", "positives", "neurons")


def work(job: cli.Job) -> dict[str, float]:
    inputs = open_inputs(job)  # M1, M2 and their replays
    ns = job.budgets(inputs.d, inputs.m)
    write_change(job, inputs)  # |W(M2) - W(M1)|, its ranking and summary
    for n in ns:
        write_top(job, inputs, n)  # its first 8 n^2 weights
    write_pooled(job, inputs)  # the mean over replays of the last epoch, where there are any
    inputs.ledger.close()
    return read_summary(job)


def show(finished: list[tuple[cli.Job, dict[str, float]]]) -> None:
    rows = [
        {"fold": job.paths.fold, **{label: value[key] for key, label in SHOWN.items()}}
        for job, value in finished
    ]
    table = pd.DataFrame(rows).astype(dict.fromkeys(COUNTS, int))
    print(table.to_string(index=False, float_format="{:.3g}".format))


if __name__ == "__main__":
    cli.run(
        STEP,
        __doc__,
        work,
        add_options=cli.add_budget,
        needs=("training",),
        ready=choose_pair,
        after=show,
    )
