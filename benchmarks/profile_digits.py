"""Whether the digits profile in force makes a demo that means something, fold by fold.

Run from the repository's root: python -m benchmarks.profile_digits [--fold K ...] [--root DIR]

Trains each fold as step 0 does, in a temporary folder, and once more from weights
that differ in the last bit. A row per fold:

M1, M2    accuracy on the repair split
FFN off   points of it that M1 loses where the last FFN adds nothing, y = h
moved     share of the test loss M2 saves over M1 that M1 saves with M2's two FFN
          matrices in it, W_bef and W_aft without their biases
settings  usable ones, of 13
train s   seconds of the training, with the threads the profile says
same top  share of the truth's positives (top 1% of |dW|) that stay where every
          initial weight is multiplied by 1 + 1e-7 z, z standard normal
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import transformers
from torch.utils.data import DataLoader

from utils import ranking
from utils.constants import FOLDS, POSITIVE_PERCENT, PROFILES, SEED
from utils.data import folds, images, schema, settings
from utils.model import base_model, checkpoints, forward, training
from utils.model.caches import load_tail
from utils.model.pair import Pair, find_pair
from utils.model.tail import Tail
from utils.run.paths import FoldPaths

DS = "digits"
REPOSITORY = Path(__file__).resolve().parent.parent
NOISE = 1e-7
BATCH = 64
# What a profile has to reach; M2's lead and the settings over all folds, the rest in each.
M1_RANGE, M2_LEAD, FFN_OFF = (0.65, 0.9), 4, 15
MOVED, SETTINGS, SECONDS, SAME_TOP = 0.25, 50, 10, 0.99


@dataclass(frozen=True)
class Row:
    """What one fold shows; the units are those of the table."""

    fold: int
    m1: float
    m2: float
    ffn_off: float
    moved: float
    settings: int
    seconds: float
    same_top: float


@dataclass(frozen=True)
class Seen:
    """The class token's state before the last FFN, (S, d), and the true classes, (S,)."""

    h: torch.Tensor
    labels: torch.Tensor

    def accuracy(self, logits: torch.Tensor) -> float:
        return float((logits.argmax(dim=1) == self.labels).double().mean())

    def loss(self, tail: Tail) -> float:
        return float(F.cross_entropy(tail.logits(self.h).double(), self.labels))


def run_step(step: int, root: Path, fold: int, *options: str) -> None:
    """One numbered step on one fold, as a user runs it."""
    where = ["--ds", DS, "--fold", str(fold), "--root", str(root)]
    command = [sys.executable, f"exp-fl-5-{step}.py", *where, *options]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{(done.stdout + done.stderr)[-4000:]}")


def look(paths: FoldPaths, checkpoint: Path, split: str) -> Seen:
    """Run the model of a checkpoint on a split."""
    model = forward.load_model(checkpoint)
    dataset = folds.load_split(paths, split)
    columns = schema.columns_of(dataset, PROFILES[DS], split)
    processor = images.load_processor(checkpoint, model.config)
    loader = DataLoader(
        images.ImageRows(dataset, *columns, split),
        batch_size=BATCH,
        collate_fn=images.Collate(processor, images.input_shape(model.config)),
    )
    found = forward.run_model(model, loader, torch.device("cpu"), "fp32")
    h, labels = found["hidden_before_layernorm"], found["labels"]
    return Seen(torch.from_numpy(h), torch.from_numpy(labels))


def moved_share(paths: FoldPaths, pair: Pair) -> float:
    """Share of the test loss that M2 saves which M2's W_bef and W_aft save in M1.

    The last FFN decides nothing before itself, so M1's own h serves both.
    """
    m1, m2 = load_tail(pair.m1), load_tail(pair.m2)
    seen = look(paths, pair.m1, "test")
    before, after = seen.loss(m1), look(paths, pair.m2, "test").loss(m2)
    with_ffn = seen.loss(replace(m1, w_bef=m2.w_bef, w_aft=m2.w_aft))
    return (before - with_ffn) / (before - after)


def positives(pair: Pair) -> np.ndarray:
    """Canonical indices of the top 1% of |W(M2) - W(M1)|."""
    m1, m2 = (ranking.flatten(*checkpoints.read_ffn(folder)) for folder in (pair.m1, pair.m2))
    order = ranking.rank_by(np.abs(m2 - m1))
    return order[: ranking.share_of(POSITIVE_PERCENT, len(order))]


def save_perturbed_start(paths: FoldPaths, folder: Path, noise: float) -> None:
    """Save the model that step 0 starts the fold with, each weight times 1 + noise z."""
    dataset = folds.load_split(paths, "train")
    _, label = schema.columns_of(dataset, PROFILES[DS], "train")
    transformers.set_seed(SEED + paths.fold)
    names = schema.class_names(dataset, label)
    model, feed = base_model.build_model(PROFILES[DS], None, names)
    rng = np.random.default_rng(SEED + paths.fold)
    with torch.no_grad():
        for weight in model.parameters():
            factor = 1 + noise * rng.standard_normal(tuple(weight.shape))
            weight.copy_(weight.double() * torch.from_numpy(factor))
    model.save_pretrained(folder)
    feed.saved.save_pretrained(folder)


def same_top_share(root: Path, paths: FoldPaths, noise: float) -> float:
    """Train again from the perturbed start: share of the positives that stay the same."""
    other = replace(paths, root=root / "perturbed")
    start = other.root / f"start{paths.fold}"
    save_perturbed_start(paths, start, noise)
    run_step(0, other.root, paths.fold, "--replays", "0", "--base-model", str(start.resolve()))
    first, second = (positives(find_pair(each)) for each in (paths, other))
    return len(np.intersect1d(first, second)) / len(first)


def measure(root: Path, fold: int, noise: float) -> Row:
    """Train a fold below `root` and look at its two models."""
    paths = FoldPaths(root, DS, fold)
    run_step(0, root, fold, "--replays", "0")
    run_step(2, root, fold, "--device", "cpu")
    pair = find_pair(paths)
    with torch.inference_mode():
        tail, seen = load_tail(pair.m1), look(paths, pair.m1, "repair")
        m1 = seen.accuracy(tail.logits(seen.h))
        m2 = training.repair_accuracy(pair.m2)
        off = seen.accuracy(tail.logits_of_output(seen.h))
        moved = moved_share(paths, pair)
    times = pd.read_csv(paths.times(0)).set_index("method")["elapsed_s"]
    return Row(
        fold=fold,
        m1=m1,
        m2=m2,
        ffn_off=100 * (m1 - off),
        moved=moved,
        settings=len(settings.read_settings(paths)),
        seconds=float(times["training"]),
        same_top=same_top_share(root, paths, noise),
    )


def targets(rows: Sequence[Row]) -> dict[str, bool]:
    """Each target in words, and whether the folds meet it."""
    lead = 100 * float(np.mean([row.m2 - row.m1 for row in rows]))
    usable, wanted = sum(row.settings for row in rows), SETTINGS * len(rows) / len(FOLDS)
    low, high = M1_RANGE
    return {
        f"M1 right on {low:.0%} to {high:.0%} in every fold": all(
            low <= row.m1 <= high for row in rows
        ),
        f"M2 ahead by {M2_LEAD} points on average ({lead:.1f})": lead >= M2_LEAD,
        f"FFN off costs {FFN_OFF} points in every fold": all(
            row.ffn_off >= FFN_OFF for row in rows
        ),
        f"M2's FFN saves {MOVED:.0%} in every fold": all(row.moved >= MOVED for row in rows),
        f"{wanted:.0f} usable settings ({usable})": usable >= wanted,
        f"{SECONDS} s of training in every fold": all(row.seconds <= SECONDS for row in rows),
        f"{SAME_TOP:.0%} of the positives stay in every fold": all(
            row.same_top >= SAME_TOP for row in rows
        ),
    }


def markdown(rows: Sequence[Row]) -> str:
    """The table, with the mean of each column in the last line."""
    values = [[getattr(row, field.name) for field in fields(Row)] for row in rows]
    lines = [
        "| fold | M1 | M2 | FFN off | moved | settings | train s | same top |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, *numbers in [*values, ["mean", *np.mean([each[1:] for each in values], axis=0)]]:
        m1, m2, off, moved, usable, seconds, same = numbers
        lines.append(
            f"| {name} | {m1:.3f} | {m2:.3f} | {off:.1f} | {moved:.2f} | {usable:g} "
            f"| {seconds:.1f} | {same:.4f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fold", type=int, nargs="+", default=list(FOLDS), metavar="K")
    parser.add_argument("--noise", type=float, default=NOISE, help="default: %(default)s")
    parser.add_argument("--root", type=Path, help="keep the trainings in this empty folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exp-fl-5-digits-") as folder:
        root = args.root or Path(folder)
        (root / "perturbed").mkdir(parents=True, exist_ok=True)
        rows = [measure(root, fold, args.noise) for fold in args.fold]
    print(markdown(rows))
    for target, met in targets(rows).items():
        print(f"{'met' if met else 'NOT MET'}: {target}")


if __name__ == "__main__":
    main()
