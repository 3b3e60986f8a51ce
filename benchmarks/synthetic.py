"""Synthetic folds of any size, ViT-Base by default, as steps 1 and 4 to 7 expect them on disk.

Weights, states and labels are random, with the scales of a fine-tuned ViT:
about 15% of the samples are misclassified, most of them into a class that is
often mistaken for theirs, and training changed few weights by much (Student's
t). The caches enter the ledger as step 3 writes them, and M2's states as step 8 does;
step 2 is left to exp-fl-5-2.py, which finds them up to date.

Run from the repository's root: python -m benchmarks.synthetic DIR [--d D] [--samples S] [--bert]
"""

import argparse
import io
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.shapes import BERT_BASE, DS, FOLD, VIT_BASE, Shape
from utils.constants import PROFILES
from utils.model import caches, states
from utils.model.families import FAMILIES, TEXT
from utils.model.inputs import SPLITS, TEST
from utils.model.names import tail_names
from utils.model.opening import open_inputs
from utils.model.states import States
from utils.model.tail import Tail, make_tail
from utils.run import cli, constant_rules
from utils.run.paths import FoldPaths

SEED = 777
REPLAYS = 3
# How many other classes a class is mistaken for, and how often at all.
CONFUSABLE, WRONG = 5, 0.15


def config(shape: Shape) -> dict:
    """`config.json` of a classifier of this shape."""
    return {
        "architectures": [FAMILIES[shape.model].classifier],
        "model_type": shape.model,
        "hidden_size": shape.d,
        "intermediate_size": shape.m,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.d // 64 or 1,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "image_size": 224,
        "patch_size": 16,
        "num_channels": 3,
        "id2label": {str(c): f"class {c}" for c in range(shape.classes)},
    }


def make_weights(shape: Shape, seed: int = SEED) -> dict[str, np.ndarray]:
    """Random weights of the tail, float32, by the names of the fields of `Tail`."""
    rng = np.random.default_rng([seed, 1])

    def normal(*size: int, scale: float, mean: float = 0.0) -> np.ndarray:
        return rng.normal(mean, scale, size).astype(np.float32)

    m, d = shape.m, shape.d
    weights = {
        "w_bef": normal(m, d, scale=0.83 / np.sqrt(d)),
        "b_bef": normal(m, scale=0.2, mean=-0.4),
        "w_aft": normal(d, m, scale=1 / np.sqrt(m)),
        "b_aft": normal(d, scale=0.1),
        "ln_weight": normal(d, scale=0.2, mean=1),
        "ln_bias": normal(d, scale=0.1),
        "final_ln_weight": normal(d, scale=0.2, mean=1),
        "final_ln_bias": normal(d, scale=0.1),
        "head_weight": normal(shape.classes, d, scale=6 / d),
        "head_bias": normal(shape.classes, scale=0.05),
    }
    family = FAMILIES[shape.model]
    if not family.norm_first:
        del weights["ln_weight"], weights["ln_bias"]
    for i in range(len(family.head) - 1):  # near to a share of the identity: classes stay apart
        own = 0.5 * np.eye(d, dtype=np.float32)
        weights |= {f"inner{i}_weight": own + normal(d, d, scale=0.2 / np.sqrt(d)),
                    f"inner{i}_bias": normal(d, scale=0.05)}  # fmt: skip
    return weights


def tail_of(weights: dict[str, np.ndarray], shape: Shape) -> Tail:
    *inner, _ = FAMILIES[shape.model].head
    return make_tail(weights, config(shape), [each.activation for each in inner])


def trained_further(
    weights: dict[str, np.ndarray], seed: int = SEED, replay: int = 0
) -> dict[str, np.ndarray]:
    """M2: the FFN's matrices after a small heavy-tailed change, the rest as it was.

    replay : another order of the data, whose change has half of M2's in it.
    """
    shared, own = np.random.default_rng([seed, 2]), np.random.default_rng([seed, 4, replay])
    changed = dict(weights)
    for name in ("w_bef", "w_aft"):
        step = 1e-4 * shared.standard_t(3, weights[name].shape)
        if replay:
            step = (step + 1e-4 * own.standard_t(3, weights[name].shape)) / 2
        changed[name] = weights[name] + step.astype(np.float32)
    return changed


def make_samples(
    shape: Shape, head_weight: np.ndarray, seed: int = SEED
) -> tuple[np.ndarray, np.ndarray]:
    """h float32 (S, d) and labels int64 (S,).

    A sample looks like its own class, or with probability WRONG like one of the
    CONFUSABLE next ones, the nearest most often.
    """
    rng = np.random.default_rng([seed, 3])
    labels = rng.integers(0, shape.classes, shape.samples)
    chance = 1 / np.arange(1, CONFUSABLE + 1)
    shift = rng.choice(np.arange(1, CONFUSABLE + 1), shape.samples, p=chance / chance.sum())
    look = np.where(rng.random(shape.samples) < WRONG, (labels + shift) % shape.classes, labels)
    directions = head_weight / np.linalg.norm(head_weight, axis=1, keepdims=True)
    spread = rng.lognormal(0, 0.5, shape.d).astype(np.float32)  # some dimensions are far larger
    h = rng.standard_normal((shape.samples, shape.d), dtype=np.float32)
    h *= spread
    strength = 8 * np.sqrt(np.mean(spread**2))
    h += np.float32(strength) * directions[look]
    return h, labels


def make_states(shape: Shape, seed: int = SEED) -> tuple[Tail, States]:
    """M1's tail and the states of a fold, in memory."""
    weights = make_weights(shape, seed)
    tail = tail_of(weights, shape)
    h, labels = make_samples(shape, weights["head_weight"], seed)
    return tail, States(h, *states.states_from_h(tail, h), labels)


def write_fold(root: Path, shape: Shape = VIT_BASE, seed: int = SEED) -> FoldPaths:
    """Write checkpoints, repair split and caches of one fold below `root`."""
    paths = FoldPaths(root, DS, FOLD)
    weights = make_weights(shape, seed)
    _write_checkpoint(paths.training / "checkpoint-1250", weights, shape)
    _write_checkpoint(paths.training / "checkpoint-2500", trained_further(weights, seed), shape)
    for replay in range(1, REPLAYS + 1):
        folder = paths.replay(replay) / "checkpoint-2500"
        _write_checkpoint(folder, trained_further(weights, seed, replay), shape)
    samples = {
        split: make_samples(shape, weights["head_weight"], seed + i)
        for i, split in enumerate(SPLITS.values())
    }
    _write_dataset(paths, {split: labels for split, (_, labels) in samples.items()}, shape)
    tail = tail_of(weights, shape)
    for data, split in SPLITS.items():
        _write_caches(paths, tail, data, *samples[split])
    _write_m2_states(paths, samples[SPLITS[TEST]][0])
    return paths


def make_job(paths: FoldPaths) -> cli.Job:
    """Step 3 on the fold, as the command line would make it."""
    args = argparse.Namespace(ds=paths.ds, force=False, device="cpu")
    log = logging.getLogger("exp-fl-5.synthetic")
    return cli.Job(caches.CACHE_STEP, paths, args, constant_rules.constants_in_force(args), log)


def _write_checkpoint(folder: Path, weights: dict[str, np.ndarray], shape: Shape) -> None:
    """Only the tail: nothing else of the model is read after step 3."""
    from safetensors.torch import save_file

    family = FAMILIES[shape.model]
    names = tail_names(family, shape.layers - 1)
    folder.mkdir(parents=True)
    if family.feeds == TEXT:
        (folder / "vocab.txt").touch()  # nothing becomes tokens here, and nobody looks elsewhere
    save_file(
        {names[key][0]: torch.from_numpy(values) for key, values in weights.items()},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text(json.dumps(config(shape)), encoding="utf-8")


def _write_dataset(paths: FoldPaths, labels: dict[str, np.ndarray], shape: Shape) -> None:
    """Splits with an image of one pixel per sample."""
    import datasets
    from PIL import Image

    profile = PROFILES[paths.ds]
    sink = io.BytesIO()
    Image.new("RGB", (1, 1)).save(sink, "PNG")
    image = {"bytes": sink.getvalue(), "path": None}
    names = [f"class {c}" for c in range(shape.classes)]
    label = datasets.ClassLabel(names=names)
    features = datasets.Features(
        {profile.image_column: datasets.Image(), profile.label_column: label}
    )
    whole = {}
    for split, values in labels.items():
        rows = {profile.image_column: [image] * len(values), profile.label_column: values}
        whole[split] = datasets.Dataset.from_dict(rows, features)
    datasets.DatasetDict(whole).save_to_disk(paths.dataset)


def _write_caches(
    paths: FoldPaths, tail: Tail, data: str, h: np.ndarray, labels: np.ndarray
) -> None:
    """The files of step 3 for one split, under the recipe of `forward.ensure_states`."""
    from utils.model import forward

    job = make_job(paths)
    inputs = open_inputs(job)
    task = forward.plan_forward_pass(inputs, data)
    a, y, logits = states.states_from_h(tail, h)
    found = {
        "hidden_before_layernorm": h,
        "intermediate": a,
        "output": y,
        "logits": logits,
        "labels": labels,
    }
    with task:
        for name in caches.CACHES:
            task.save_array(paths.cache(name, SPLITS[data]), found[name])
    inputs.ledger.close()
    forward.ensure_states(job, inputs, data)  # reads them back as the steps do


def _write_m2_states(paths: FoldPaths, h: np.ndarray) -> None:
    """M2's h of the test split, which is M1's: only the FFN behind it differs here."""
    from utils.judge.transplant import m2_states

    job = make_job(paths)
    inputs = open_inputs(job)
    with m2_states.plan_m2_states(job, inputs) as task:
        task.save_array(paths.m2_hidden, h)
    inputs.ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="an empty folder")
    parser.add_argument("--d", type=int, default=VIT_BASE.d, help="hidden size; m = 4d")
    parser.add_argument("--samples", type=int, default=VIT_BASE.samples)
    parser.add_argument("--bert", action="store_true", help="a BERT of two classes, no ViT")
    args = parser.parse_args()
    base = BERT_BASE if args.bert else VIT_BASE
    write_fold(args.root, replace(base, d=args.d, m=4 * args.d, samples=args.samples))


if __name__ == "__main__":
    main()
