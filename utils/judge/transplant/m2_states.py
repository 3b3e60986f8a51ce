"""M2's own states of the test split: what it receives M1's weights with, on the way back.

Epoch 2 changed every layer, so that M2's h is not the one that is cached of M1.
"""

from pathlib import Path

import numpy as np

from utils.errors import UserError
from utils.judge.names import TRANSPLANT_STEP
from utils.model import caches, feeding, forward
from utils.model.inputs import M2, TEST, Inputs
from utils.model.states import States
from utils.model.tail import Tail
from utils.pieces import cpu_threads
from utils.run import storage
from utils.run.cli import Job
from utils.run.devices import pick_device
from utils.run.profiles import profile_of
from utils.run.stopwatch import Stopwatch
from utils.run.task import Task

SPLIT = "test"


def m2_state_inputs(job: Job) -> list[tuple[Path, int]]:
    """M2's h as an input of a task."""
    return [(job.paths.m2_hidden, TRANSPLANT_STEP)]


def ensure_m2_states(job: Job, inputs: Inputs) -> None:
    """Run M2 on the test split, or keep its h, float32 (S, d), where it is up to date.

    Both models are given M1's own pictures, or its own tokens.
    """
    if job.only_look:  # whether the data are still here is no matter to who reads the tables
        inputs.ledger.require(job.paths.m2_hidden, TRANSPLANT_STEP)
        return
    task = plan_m2_states(job, inputs)
    if task.done:
        return
    device = pick_device(job.args.device)
    model = forward.load_model(inputs.pair.m2)
    loader = forward.make_loader(job, inputs.pair.m1, model.config, device, SPLIT)
    job.log.info(
        "runs %s on %d %s of the %s on %s", inputs.pair.m2.name, len(loader.dataset),
        feeding.noun_of(inputs.pair.m1), TEST, device,
    )  # fmt: skip
    # Threads take whole pieces (utils.pieces).
    with task, cpu_threads(1):
        watch = Stopwatch()
        found = forward.run_model(
            model, loader, device, job.constants["INFERENCE_PRECISION"], job.log
        )
        task.time("forward_pass/M2", watch.seconds, device=str(device))
        hidden = found["hidden_before_layernorm"]
        storage.require_finite(hidden, job.paths.m2_hidden, "M2 is broken")
        task.save_array(job.paths.m2_hidden, hidden)


def plan_m2_states(job: Job, inputs: Inputs) -> Task:
    """The task that makes M2's h, under step 8 whichever step runs it."""
    return inputs.ledger.task(
        "forward pass of M2",
        inputs=[M2, TEST],
        constants=["INFERENCE_PRECISION", *feeding.column_constants(inputs.pair.m1)],
        parameters=feeding.foreign_tokenizer(
            inputs.pair.m1, profile_of(job.paths.ds), inputs.ledger.hashes
        ),
        makes=ensure_m2_states,
        step=TRANSPLANT_STEP,
    )


def read_m2(job: Job, inputs: Inputs, labels: np.ndarray) -> tuple[Tail, States]:
    """M2's tail, and its states of the test split, of which h and labels are there.

    labels : int64 (S,), of the test split.
    """
    tail = caches.load_tail(inputs.pair.m2)
    shape = (len(labels), tail.d)
    remedy = storage.run_again(TRANSPLANT_STEP)
    hidden = storage.load_array(job.paths.m2_hidden, (np.float32,), shape, remedy)
    if labels.max() >= tail.n_classes:
        raise UserError(f"{inputs.pair.m2} has fewer classes than the test split")
    nothing = np.empty((0, 0), dtype=np.float32)
    return tail, States(hidden, nothing, nothing, nothing, labels)
