"""Step 8 on one fold: the change of each block of the network, put in and put back."""

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from utils.judge.layers import swap as layers
from utils.judge.names import TRANSPLANT_STEP
from utils.model import feeding, forward
from utils.model.inputs import M1, M2, TEST, Inputs
from utils.pieces import cpu_threads
from utils.run import storage
from utils.run.cli import Job
from utils.run.devices import pick_device
from utils.run.profiles import is_from_scratch, profile_of
from utils.run.stopwatch import Stopwatch

SPLIT = "test"


def swap_blocks(job: Job, inputs: Inputs) -> None:
    """Make the fold's table of layers, a direction at a time; none where LAYER_SAMPLES is 0."""
    paths = job.paths
    if not job.constants["LAYER_SAMPLES"]:
        return
    if job.only_look:  # whether a GPU was there is no matter to who reads the table
        inputs.ledger.require(paths.layers, TRANSPLANT_STEP)
        return
    directions = (layers.INTO_M1, layers.BACK_TO_M1)
    for direction in directions:
        swap_direction(job, inputs, direction)
    parts = [(paths.layers_of(direction), TRANSPLANT_STEP) for direction in directions]
    task = inputs.ledger.task("layers", inputs=parts, makes=swap_blocks)
    if task.done:
        return
    with task:
        rows = [storage.read_table(path, layers.COLUMNS, TRANSPLANT_STEP) for path, _ in parts]
        table = pd.concat(rows, ignore_index=True).astype({"layer": "Int64"})
        task.save_table(paths.layers, table)
    job.log.info("wrote %s", paths.layers)


def swap_direction(job: Job, inputs: Inputs, direction: str) -> None:
    device = pick_device(job.args.device)
    task = inputs.ledger.task(
        f"layers/{direction}",
        inputs=[M1, M2, TEST],
        constants=["SEED", "LAYER_SAMPLES", *feeding.column_constants(inputs.pair.m1)],
        parameters={"every image": device.type != "cpu"}
        | feeding.foreign_tokenizer(inputs.pair.m1, profile_of(job.paths.ds), inputs.ledger.hashes),
        makes=swap_direction,
    )
    if task.done:
        return
    models = [forward.load_model(folder).to(device) for folder in (inputs.pair.m1, inputs.pair.m2)]
    receiver, donor = models if direction == layers.INTO_M1 else reversed(models)
    # M1's own pictures or tokens: both are given what M1 was given.
    whole = forward.make_loader(job, inputs.pair.m1, models[0].config, device, SPLIT)
    samples = layers.chosen_images(len(whole.dataset), images_to_run(job, device), job.seed)
    few = Subset(whole.dataset, samples.tolist())
    loader = DataLoader(few, batch_size=whole.batch_size, collate_fn=whole.collate_fn)
    job.log.info(
        "runs the whole model on %d %s, once per block (%s) on %s",
        len(samples), feeding.noun_of(inputs.pair.m1), direction, device,
    )  # fmt: skip
    with task, cpu_threads(1):  # threads take whole pieces (utils.pieces)
        watch = Stopwatch()
        logits, labels = [], []
        for batch in tqdm(loader, desc=f"layers, {direction}", unit="batch"):
            found, few_inputs = forward.split_batch(batch, device)
            logits.append(layers.piecewise_logits(receiver, donor, few_inputs).cpu().numpy())
            labels.append(found)
        task.time(f"layers/{direction}", watch.seconds, device=str(device))
        count = models[0].config.num_hidden_layers
        rows = layers.rows_of(np.concatenate(logits), np.concatenate(labels), count)
        head = {"ds": job.paths.ds, "fold": job.paths.fold, "direction": direction}
        table = pd.DataFrame([head | row for row in rows])[layers.COLUMNS]
        task.save_table(job.paths.layers_of(direction), table.astype({"layer": "Int64"}))


def images_to_run(job: Job, device: torch.device) -> int | None:
    """How many; None for all: on a GPU and for models trained from scratch."""
    every = device.type != "cpu" or is_from_scratch(job.paths.ds)
    return None if every else job.constants["LAYER_SAMPLES"]
