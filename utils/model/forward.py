"""Run M1 on a split of the data: the only place that runs the whole model.

Steps 2 and 3 both need it and both come here; whichever is first makes the caches.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from utils.data import folds, images, schema
from utils.errors import CannotWrite, UserError
from utils.model import agreement, caches, checkpoints, configs, feeding, names
from utils.model.caches import CACHE_STEP, CACHES
from utils.model.class_token import IMAGES, forward_states
from utils.model.inputs import M1, REPAIR, SPLITS, TEST, Inputs
from utils.model.states import States, states_from_h
from utils.pieces import cores, cpu_threads
from utils.run import storage
from utils.run.cli import Job
from utils.run.devices import pick_device
from utils.run.profiles import profile_of
from utils.run.stopwatch import Stopwatch, in_words
from utils.run.task import Task

# Batch sizes where INFERENCE_BATCH_SIZE leaves them open.
CPU_BATCH, GPU_BATCH = 32, 256
# Batches after which the time of a forward pass is known.
FEW_BATCHES = 4


def load_model(checkpoint: Path) -> PreTrainedModel:
    """The whole classifier, in evaluation mode."""
    kind = configs.family_of(configs.read_config(checkpoint)).classifier
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        model, info = getattr(transformers, kind).from_pretrained(
            **checkpoints.source_of(checkpoint),
            output_loading_info=True,
            local_files_only=True,
            weights_only=True,
            dtype=torch.float32,
            attn_implementation="sdpa",  # a config.json may name code on the hub here
        )
    except UserError:
        raise
    except Exception as error:  # on broken checkpoints transformers raises whatever it meets
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{checkpoint} cannot be loaded by transformers ({type(error).__name__}: {reason}); "
            "copy the checkpoint again"
        ) from None
    finally:
        transformers_logging.set_verbosity(level)
    if info["missing_keys"]:
        raise UserError(
            f"{checkpoint} lacks the weights {sorted(info['missing_keys'])[0]} and maybe more; "
            f"it is not a whole {kind}"
        )
    foreign = [n for n in info["unexpected_keys"] if not names.is_passed_over(n)]
    if foreign:
        raise UserError(
            f"{checkpoint} has the tensor {sorted(foreign)[0]}, which transformers does not read; "
            f"give a checkpoint of a plain {kind}"
        )
    # What comes out is read by name, and nothing but the logits is asked for.
    model.config.return_dict = True
    model.config.output_hidden_states = model.config.output_attentions = False
    for module in model.modules():  # else the last chunk's first token is taken for the text's
        if getattr(module, "chunk_size_feed_forward", 0):
            module.chunk_size_feed_forward = 0
    return model.eval()


def run_model(
    model: PreTrainedModel,
    loader: "DataLoader",
    device: torch.device,
    precision: str,
    log: logging.Logger,
) -> dict[str, np.ndarray]:
    """h, logits and labels of every sample of `loader`, in its order.

    Parameters
    ----------
    precision : "fp32" or "bf16"; the caches are float32 either way.
    log : is told after a few batches how long the rest will take.
    """
    model = model.to(device)
    parts: dict[str, list[np.ndarray]] = {"hidden_before_layernorm": [], "logits": [], "labels": []}
    watch, ends = Stopwatch(), []
    for batch in tqdm(loader, desc="forward pass", unit="batch"):
        labels, inputs = split_batch(batch, device)
        h, logits = forward_states(model, inputs, precision)
        parts["hidden_before_layernorm"].append(h.cpu().numpy())
        parts["logits"].append(logits.cpu().numpy())
        parts["labels"].append(labels)
        ends.append(watch.seconds)
        if len(ends) == min(FEW_BATCHES, len(loader) - 1):
            log.info("the forward pass takes about %s more", in_words(time_left(ends, len(loader))))
    return {name: np.concatenate(values) for name, values in parts.items()}


def split_batch(
    batch: Mapping[str, torch.Tensor], device: torch.device
) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
    """Labels, int64 (B,), and on the device what the model is fed, by name."""
    inputs = {
        name: values.to(device, non_blocking=True)
        for name, values in batch.items()
        if name != "labels"
    }
    return batch["labels"].numpy().astype(np.int64), inputs


def time_left(ends: list[float], batches: int) -> float:
    """Seconds that the rest of `batches` takes, from when the first ones ended.

    The first one, which pays for warming up, counts only where it is alone.
    """
    seconds = ends[0] if len(ends) == 1 else (ends[-1] - ends[0]) / (len(ends) - 1)
    return seconds * (batches - len(ends))


def make_loader(
    job: Job, checkpoint: Path, config: Any, device: torch.device, split: str
) -> DataLoader:
    """A split in batches sized to the device; pictures are prepared in worker processes.

    checkpoint : whose tokenizer or preprocessing is used. config : the model's, of transformers.
    """
    profile = profile_of(job.paths.ds)
    dataset = folds.load_split(job.paths, split)
    where = str(job.paths.dataset / split)
    columns = feeding.columns_of_model(checkpoint, dataset.features, profile, where)
    require_classes(checkpoint, dataset, columns[-1], config.num_labels, where)
    feed = feeding.load_feed(checkpoint, config, profile)
    default = max(CPU_BATCH, IMAGES * cores()) if device.type == "cpu" else GPU_BATCH
    batch = job.constants["INFERENCE_BATCH_SIZE"] or default
    workers = workers_for(len(dataset), job.constants["PREPROCESSING_WORKERS"], job.together)
    return DataLoader(
        feed.rows(dataset, columns, split),
        batch_size=batch,
        shuffle=False,
        num_workers=feed.workers(workers, batch),
        collate_fn=feed.collate,
        pin_memory=device.type == "cuda",
    )


def require_classes(
    checkpoint: Path, dataset: datasets.Dataset, label: str, classes: int, where: str
) -> None:
    """Refuse labels of a split that are not the classes of a model.

    label : the column. classes : how many the model has.
    """
    found = schema.class_names(dataset, label)
    if isinstance(dataset.features[label], datasets.ClassLabel):
        agreement.require_same_classes(checkpoint, found, where)
    else:
        agreement.require_same_order(checkpoint, where)
    schema.require_labels(schema.read_labels(dataset, label), classes, where)
    if len(found) > classes:
        raise UserError(
            f"{where} has {len(found)} classes, the model in {checkpoint} {classes}; "
            "they are not of one experiment"
        )


def workers_for(n_samples: int, asked: int | None, together: int = 1) -> int:
    """Workers that pay: starting a process costs more than decoding a few thousand small images.

    together : folds that are worked on at a time.
    """
    if asked is None and n_samples < 4096:
        return 0
    return images.preprocessing_workers(asked, together)


def plan_forward_pass(inputs: Inputs, data: str) -> Task:
    """The task that makes the caches, under step 3 whichever step runs it."""
    profile = profile_of(inputs.ledger.paths.ds)
    return inputs.ledger.task(
        task_name(data),
        inputs=[M1, data],
        constants=["INFERENCE_PRECISION", *feeding.column_constants(inputs.pair.m1)],
        parameters=feeding.foreign_tokenizer(inputs.pair.m1, profile, inputs.ledger.hashes),
        makes=ensure_states,
        step=CACHE_STEP,
    )


def task_name(data: str) -> str:
    return "forward_pass" if data == REPAIR else f"forward_pass of the {data}"


def test_states(job: Job, inputs: Inputs) -> States | None:
    """The test split's caches, for the truth 'repair' and for steps 8 to 10.

    None where they cannot be made, after a line where the truth is asked for; what was made
    of another test split is taken away then.
    """
    try:
        return ensure_states(job, inputs, TEST)
    except CannotWrite:
        raise
    except UserError as error:
        if "repair" in job.constants["TRUTHS"]:  # else steps 8 to 10 say it where they are run
            job.warn(f"no truth 'repair', which needs the test split: {error}")
        inputs.ledger.drop(task_name(TEST), CACHE_STEP)
        return None


def say_of_data(job: Job, inputs: Inputs, config: Any) -> None:
    """Log what is assumed of M1's data, once a fold. config : M1's, of transformers."""
    agreement.say_preprocessing(job.log, inputs.pair, config, profile_of(job.paths.ds))
    agreement.say_shared_samples(job.log, job.paths, inputs.pair.m1, inputs.ledger.hashes)
    if note := folds.taken_as_repair(job.paths):
        job.log.info(note)


def ensure_states(job: Job, inputs: Inputs, data: str = REPAIR) -> States:
    """The caches of a split of the fold: kept where they are up to date, else made by running M1.

    data : REPAIR or TEST.
    """
    device = pick_device(job.args.device)
    split = SPLITS[data]
    agreement.require_splits_agree(job.paths)
    task = plan_forward_pass(inputs, data)
    m1_tail = caches.load_tail(inputs.pair.m1)
    if task.done:
        job.log.info(
            "reads %s/ of %s, which is up to date: kept",
            job.paths.caches(split).name,
            inputs.pair.m1.name,
        )
        return caches.load_states(job.paths, m1_tail, split)
    model = load_model(inputs.pair.m1)
    loader = make_loader(job, inputs.pair.m1, model.config, device, split)
    noun = feeding.noun_of(inputs.pair.m1)
    if data == REPAIR:
        say_of_data(job, inputs, model.config)
    job.log.info(
        "runs %s on %d %s of the %s on %s, batches of %d, %s",
        inputs.pair.m1.name, len(loader.dataset), noun, data, device, loader.batch_size,
        job.constants["INFERENCE_PRECISION"],
    )  # fmt: skip
    for note in feeding.notes_on(loader.dataset, profile_of(job.paths.ds)):
        job.log.info(note)
    inputs.ledger.device = str(device)
    # Threads take whole pieces (utils.pieces).
    with task, cpu_threads(1):
        watch = Stopwatch()
        found = run_model(model, loader, device, job.constants["INFERENCE_PRECISION"], job.log)
        task.time(f"forward_pass/{split}", watch.seconds)
        job.log.info("%.0f samples per second", len(found["labels"]) / watch.seconds)
        agreement.say_chance(job.log, inputs.pair.m1, split, found["labels"], found["logits"])
        watch = Stopwatch()
        h = found["hidden_before_layernorm"]
        found["intermediate"], found["output"], _ = states_from_h(m1_tail.to(device), h)
        task.time(f"cached_tail/{split}", watch.seconds)
        for name in CACHES:
            path = job.paths.cache(name, split)
            storage.require_finite(found[name], path, "the model is broken")
            task.save_array(path, found[name])
    job.log.info("wrote %s", job.paths.caches(split))
    return caches.load_states(job.paths, m1_tail, split)
