"""Step 3: caches of the class token's states around the last FFN, and proof that they suffice."""

import argparse

import pandas as pd

from utils.model import caches, forward, proof, states
from utils.model.inputs import M1, REPAIR, SPLITS, TEST, Inputs
from utils.model.opening import choose_pair, open_inputs
from utils.run import cli
from utils.run.stopwatch import Stopwatch

STEP = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    cli.add_device(parser)


def work(job: cli.Job) -> dict[str, dict[str, float]]:
    inputs = open_inputs(job)
    cached = forward.ensure_states(job, inputs)
    found = {SPLITS[REPAIR]: prove(job, inputs, REPAIR, cached)}
    test = forward.test_states(job, inputs)
    if test is not None:
        found[SPLITS[TEST]] = prove(job, inputs, TEST, test)
    inputs.ledger.close()
    return found


def prove(job: cli.Job, inputs: Inputs, data: str, cached: states.States) -> dict[str, float]:
    """Compare the caches of a split with the model."""
    paths, split = job.paths, SPLITS[data]
    task = inputs.ledger.task(
        "proof" if data == REPAIR else f"proof of the {data}",
        inputs=[M1, *caches.cache_inputs(paths, split)],
        makes=proof.compare,
    )
    if task.done:
        job.log.info("%s is up to date: kept", paths.cache_proof(split))
    else:
        with task:
            watch = Stopwatch()
            model, m1_tail = forward.load_model(inputs.pair.m1), caches.load_tail(inputs.pair.m1)
            found = proof.compare(job, inputs, cached, model, m1_tail, split)
            task.time(f"proof/{split}", watch.seconds)
            task.save_table(paths.cache_proof(split), proof.proof_table(found))
            job.log.info("wrote %s", paths.cache_proof(split))
    found = pd.read_csv(paths.cache_proof(split)).set_index("quantity")["value"].to_dict()
    job.log.info(
        "%s: logits from the cache equal the model's (largest relative difference %.1e); "
        "the cached tail is %.0f times faster than the model",
        data, found["max_diff_logits"], found["speedup"],
    )  # fmt: skip
    return found


def show(finished: list[tuple[cli.Job, dict[str, dict[str, float]]]]) -> None:
    rows = [
        {
            "fold": job.paths.fold,
            "split": split,
            "samples": int(found["samples"]),
            "max diff (relative)": found["max_diff_logits"],
            "same prediction": found["same_prediction"],
            "tail speedup": found["speedup"],
        }
        for job, splits in finished
        for split, found in splits.items()
    ]
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3g}".format))


if __name__ == "__main__":
    cli.run(STEP, __doc__, work, add_options=add_options, ready=choose_pair, after=show)
