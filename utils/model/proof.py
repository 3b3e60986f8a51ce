"""Proof that the caches and M1's tail give the whole model's own numbers."""

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Subset
from transformers import PreTrainedModel

from utils.errors import UserError
from utils.model.caches import CACHE_STEP
from utils.model.class_token import forward_states, model_states
from utils.model.feeding import noun_of
from utils.model.forward import make_loader, split_batch
from utils.model.inputs import Inputs
from utils.model.states import BLOCK, States, states_from_h
from utils.model.tail import Tail
from utils.run import storage
from utils.run.cli import Job
from utils.run.stopwatch import Stopwatch, in_words

# Samples whose a and y are compared with what the whole model computes inside.
PROOF_SAMPLES = 16
# How far float32 may drift between the model and its tail, relative to the
# largest logit; bf16 keeps 8 bits.
TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}


def compare(
    job: Job,
    inputs: Inputs,
    cached: States,
    model: PreTrainedModel,
    m1_tail: Tail,
    split: str,
) -> dict[str, float]:
    """Compare a split's caches with the model: largest differences, seconds per sample of both.

    Raises
    ------
    UserError : the caches do not reproduce the model.
    """
    cpu = torch.device("cpu")
    loader = make_loader(job, inputs.pair.m1, model.config, cpu, split)
    few = Subset(loader.dataset, range(min(PROOF_SAMPLES, cached.n_samples)))
    _, batch = split_batch(loader.collate_fn([few[i] for i in range(len(few))]), cpu)
    first = {name: values[:1] for name, values in batch.items()}
    watch = Stopwatch()
    forward_states(model, first)  # the first call pays for warming up
    model_s = watch.seconds
    watch = Stopwatch()
    states_from_h(m1_tail, cached.h[:BLOCK])
    tail_s = watch.seconds / min(BLOCK, cached.n_samples)
    job.log.info(
        "compares the caches of %d %s with %s, run on %d of them: takes about %s",
        cached.n_samples, noun_of(inputs.pair.m1), inputs.pair.m1.name, len(few),
        in_words(tail_s * cached.n_samples + model_s * len(few)),
    )  # fmt: skip
    watch = Stopwatch()
    _, _, logits = states_from_h(m1_tail, cached.h)
    tail_s = watch.seconds / cached.n_samples
    watch = Stopwatch()
    inside = model_states(model, batch)
    model_s = watch.seconds / len(few)
    scale = float(np.abs(cached.logits).max())
    found = {
        "samples": cached.n_samples,
        "max_diff_logits": float(np.abs(logits - cached.logits).max()) / scale,
        "same_prediction": float((logits.argmax(1) == cached.logits.argmax(1)).mean()),
        "max_diff_intermediate": _relative(inside["a"], cached.a[: len(few)]),
        "max_diff_output": _relative(inside["y"], cached.y[: len(few)]),
        "model_s_per_sample": model_s,
        "tail_s_per_sample": tail_s,
        "speedup": model_s / tail_s,
    }
    limit = TOLERANCE[job.constants["INFERENCE_PRECISION"]]
    worst = max(value for name, value in found.items() if name.startswith("max_diff"))
    if worst > limit:
        raise UserError(
            f"{job.paths.caches(split)} does not reproduce {inputs.pair.m1} "
            f"(relative difference {worst:.1e} > {limit:g}); delete the folder and "
            f"{storage.run_again(CACHE_STEP)}"
        )
    return found


def _relative(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / np.abs(one).max())


def proof_table(found: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame({"quantity": list(found), "value": list(found.values())})
