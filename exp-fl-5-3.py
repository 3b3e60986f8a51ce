"""Step 3: caches of the class token's states around the last FFN, and proof that they suffice."""

import argparse

import pandas as pd

from utils.model import forward, states, tail
from utils.model.inputs import M1, open_inputs
from utils.run import cli
from utils.run.stopwatch import Stopwatch

STEP = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    cli.add_device(parser)


def work(job: cli.Job) -> dict[str, float]:
    inputs = open_inputs(job)
    paths, ledger = job.paths, inputs.ledger
    cached = forward.ensure_states(job, inputs)
    task = ledger.task(
        "proof", inputs=[M1, *states.cache_inputs(paths)], code=(forward, states, tail)
    )
    if not task.done:
        with task:
            watch = Stopwatch()
            model = forward.load_model(inputs.pair.m1)
            found = forward.prove(job, inputs, cached, model, states.load_tail(inputs.pair.m1))
            task.time("proof", watch.seconds)
            task.save_table(paths.cache_proof, forward.proof_table(found))
            job.log.info("wrote %s", paths.cache_proof)
    found = pd.read_csv(paths.cache_proof).set_index("quantity")["value"].to_dict()
    job.log.info(
        "logits from the cache equal the model's (largest relative difference %.1e); "
        "the cached tail is %.0f times faster than the model",
        found["max_diff_logits"], found["speedup"],
    )  # fmt: skip
    ledger.close()
    return found


def show(finished: list[tuple[cli.Job, dict[str, float]]]) -> None:
    rows = [
        {
            "fold": job.paths.fold,
            "samples": int(found["samples"]),
            "max diff (relative)": found["max_diff_logits"],
            "same prediction": found["same_prediction"],
            "tail speedup": found["speedup"],
        }
        for job, found in finished
    ]
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3g}".format))


if __name__ == "__main__":
    cli.run(STEP, __doc__, work, add_options=add_options, after=show)
