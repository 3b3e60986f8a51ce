"""Fine-tuning a classifier on one fold with the HF Trainer, a checkpoint per epoch."""

import gc
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import PartialState
from safetensors import SafetensorError
from torch.utils.data import ConcatDataset
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from utils.constants import Profile
from utils.data import images
from utils.errors import UserError
from utils.model import feeding
from utils.model.base_model import build_model
from utils.model.progress import Progress
from utils.model.training_data import make_rows, read_splits
from utils.pieces import cpu_threads
from utils.run.cli import Job
from utils.run.log import silent_log
from utils.run.paths import FoldPaths

LOGGED = ("batch_size", "learning_rate", "weight_decay", "epochs", "repeats_per_epoch")
LOG_EVERY = 0.01  # of all steps


def train_fold(
    paths: FoldPaths,
    profile: Profile,
    seed: int,
    base_model: str | None,
    workers: int,
    resume_from: Path | None,
    log: logging.Logger,
) -> str:
    """Train `profile.epochs` epochs; on the CPU, resumed or not, the same bytes come out.

    Parameters
    ----------
    seed : decides the new weights and the order of the images.
    base_model : folder or hub name; None trains from scratch.
    resume_from : the last complete checkpoint of a run that was killed.

    Returns
    -------
    The device it ran on, such as "cuda:0".
    """
    trainer = make_trainer(
        paths, profile, seed, seed, str(resume_from) if resume_from else base_model, workers,
        paths.training,
    )  # fmt: skip
    origin = f"from {base_model or 'scratch'}"
    if resume_from:
        origin = f"going on from {resume_from.name}"
    log.info(
        "%s: training on %d x %s, %s, seed %d, %s",
        paths.name,
        device_count(),
        trainer.args.device.type,
        origin,
        seed,
        ", ".join(f"{name} {getattr(profile, name)}" for name in LOGGED),
    )
    for rows in (trainer.train_dataset.datasets[0], trainer.eval_dataset):
        for note in feeding.notes_on(rows, profile):
            if not note.startswith("takes ") or rows is trainer.eval_dataset:
                log.info(note)
    return train(trainer, paths, profile, resume_from, log)


def replay_epoch(
    paths: FoldPaths,
    profile: Profile,
    seed: int,
    data_seed: int,
    m1: Path,
    destination: Path,
    workers: int,
) -> str:
    """The last epoch again from M1 (weights, optimizer, scheduler), the data in another order.

    On the CPU, `data_seed` = `seed` gives M2's bytes. The checkpoint, weights
    and config alone, comes to lie in `destination`.

    Returns
    -------
    The device it ran on.

    Raises
    ------
    UserError : another `data_seed` begins with the same batch as M2's training did.
    """
    trainer = make_trainer(
        paths, profile, seed, data_seed, str(m1), workers, destination, save_only_model=True
    )
    if data_seed != seed:
        trained = make_trainer(paths, profile, seed, seed, str(m1), workers, destination)
        last = profile.epochs - 1
        if first_batch(trainer, last) == first_batch(trained, last):
            raise UserError(
                f"a replay of {paths.name} with the data seed {data_seed} begins as M2's training "
                "did, so it is no other order of the data; change SEED in utils/constants.py"
            )
    return train(trainer, paths, profile, m1)


def first_batch(trainer: Trainer, epoch: int) -> list[int]:
    """Positions in the training set of the first batch of an epoch, from 0."""
    loader = trainer.get_train_dataloader()
    loader.set_epoch(epoch)
    return list(next(iter(loader.batch_sampler)))


def make_trainer(
    paths: FoldPaths,
    profile: Profile,
    seed: int,
    data_seed: int,
    base_model: str | None,
    workers: int,
    destination: Path,
    save_only_model: bool = False,
) -> Trainer:
    """A Trainer of the fold whose checkpoints come to lie in `destination` when they are whole."""
    # A new classification head is no news, and the bar of saving one file neither.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    splits, classes = read_splits(paths, profile)
    transformers.set_seed(seed)
    model, feed = build_model(profile, base_model, classes)
    rows = make_rows(splits, feed, paths, profile)
    arguments = training_arguments(
        paths.training_staging, profile, seed, workers, data_seed, save_only_model
    )
    batch = max(profile.batch_size, arguments.per_device_eval_batch_size * device_count())
    arguments.dataloader_num_workers = feed.workers(arguments.dataloader_num_workers, batch)
    with arguments.main_process_first(local=False, desc="clearing"):
        shutil.rmtree(paths.training_staging, ignore_errors=True)
    return Trainer(
        model=model,
        args=arguments,
        data_collator=feed.collate,
        train_dataset=ConcatDataset([rows["train"]] * profile.repeats_per_epoch),
        eval_dataset=rows["repair"],
        processing_class=feed.saved,
        compute_metrics=accuracy,
        preprocess_logits_for_metrics=predicted_class,
        callbacks=[PublishCheckpoint(destination)],
    )


def train(
    trainer: Trainer,
    paths: FoldPaths,
    profile: Profile,
    resume_from: Path | None,
    log: logging.Logger | None = None,
) -> str:
    """Train to the end, from scratch or from a checkpoint; the device it ran on.

    log : gets a line per epoch.
    """
    started = Started()
    trainer.add_callback(started)
    trainer.remove_callback(PrinterCallback)
    progress = Progress(log or silent_log())
    trainer.add_callback(progress)
    with (
        failures_in_words(paths, profile, resume_from, started),
        cpu_threads(profile.cpu_threads),
        closing(progress),
    ):
        gc.freeze()  # the Trainer collects garbage: through all that was imported, if it may
        try:
            trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        finally:
            gc.unfreeze()
    if trainer.is_world_process_zero():
        shutil.rmtree(paths.training_staging, ignore_errors=True)
    return str(trainer.args.device)


class Started(TrainerCallback):
    """Whether a step has begun: what fails before is the checkpoint that a run goes on from."""

    seen = False

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.seen = True


@contextmanager
def failures_in_words(
    paths: FoldPaths, profile: Profile, resume_from: Path | None, started: Started
) -> Iterator[None]:
    """Turn what a user can mend into one line that says how."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        # How torch's own writer says that it has no room.
        unwritten = isinstance(error, OSError | SafetensorError) or "inline_container" in reason
        if resume_from and not started.seen:
            raise UserError(
                f"the training cannot go on from {resume_from} ({reason}); move that checkpoint "
                "away to go on without it"
            ) from error
        if unwritten:
            free = shutil.disk_usage(paths.training).free
            raise UserError(
                f"cannot write the checkpoints of {paths.training} ({reason}; {free:,} bytes are "
                "free); make room or set the permissions, then run the step again"
            ) from error
        if isinstance(error, torch.OutOfMemoryError):
            raise UserError(
                f"the GPU has too little memory for a batch of {profile.batch_size}; use a larger "
                "one or lower batch_size in utils/constants.py"
            ) from None
        raise


def training_arguments(
    output_dir: Path,
    profile: Profile,
    seed: int,
    workers: int,
    data_seed: int | None = None,
    save_only_model: bool = False,
) -> TrainingArguments:
    """The Trainer's defaults but for what is named here.

    data_seed : of the order of the images, where it is not `seed`.
    """
    processes = device_count()
    if profile.batch_size % processes:
        raise UserError(
            f"the batch of {profile.batch_size} cannot be shared by {processes} GPUs; "
            "set CUDA_VISIBLE_DEVICES so that their number divides it"
        )
    return TrainingArguments(
        output_dir=str(output_dir.absolute()),  # the Trainer would expand a `~`
        # The recipe: the batch is the one of all devices together.
        num_train_epochs=profile.epochs,
        per_device_train_batch_size=profile.batch_size // processes,
        learning_rate=profile.learning_rate,
        weight_decay=profile.weight_decay,
        seed=seed,
        data_seed=seed if data_seed is None else data_seed,
        # One checkpoint per epoch: M1 and M2.
        save_strategy="epoch",
        save_only_model=save_only_model,
        # Accuracies of M1 and M2 on the repair split, for the table at the end.
        eval_strategy="epoch",
        per_device_eval_batch_size=64,
        # A bar and lines of our own, with the loss that the Trainer logs.
        disable_tqdm=True,
        logging_steps=LOG_EVERY,
        # The model's forward does not know the columns of the data set.
        remove_unused_columns=False,
        dataloader_num_workers=workers,
        # Without a GPU: no pinned memory, and processes that talk through gloo.
        use_cpu=not torch.accelerator.is_available(),
        # Nothing leaves the machine.
        report_to="none",
        # Every parameter of a classifier takes part in the loss.
        ddp_find_unused_parameters=False,
    )


def loader_workers(job: Job) -> int:
    """Processes that prepare what this one trains on, beside the other processes' and folds'."""
    processes = job.together * int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return images.preprocessing_workers(job.constants["PREPROCESSING_WORKERS"], processes)


def device_count() -> int:
    """Devices that share one batch: torchrun's processes, or the GPUs of a single process."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    return world if world > 1 else max(1, torch.cuda.device_count())


class PublishCheckpoint(TrainerCallback):
    """Move a checkpoint to its place once every process has written its part of it."""

    def __init__(self, destination: Path) -> None:
        self.destination = destination

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            name = f"checkpoint-{state.global_step}"
            self.destination.mkdir(exist_ok=True)
            (Path(args.output_dir) / name).rename(self.destination / name)


def predicted_class(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Reduce (B, C) logits to (B,) classes, so that only those are gathered."""
    return logits.argmax(dim=-1)


def accuracy(predictions: transformers.EvalPrediction) -> dict[str, float]:
    return {"accuracy": float(np.mean(predictions.predictions == predictions.label_ids))}
