"""Does the straight path of the repair credit say what the training's own path says?

Run from the repository's root: python -m benchmarks.straight_path [--fold K ...] [--root DIR]

Repair credit integrates the loss's gradient along the straight line from M1's
two matrices to M2's, everything else held at M1's. Here the last epoch of the
digits is trained again, and after every step the loss over the same failing
test samples is allocated to the step's move of each weight (trapezoid), the
whole network moving as it did: Lan et al. 2019 as they wrote it. A row per
fold: correlation of both credits over all weights, Spearman's, and the overlap
of their top 1%.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from transformers import TrainerCallback, ViTForImageClassification

from utils import ranking
from utils.constants import FOLDS, PROFILES, SEED
from utils.data import folds, images, schema
from utils.model import checkpoints, finetuning, training
from utils.run.paths import FoldPaths

DS = "digits"
REPOSITORY = Path(__file__).resolve().parent.parent


class Allocation(TrainerCallback):
    """Credit of each ranked weight along the steps of a training, float64 (N,)."""

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor) -> None:
        self.pixels, self.labels = pixels, labels
        self.credit: np.ndarray | None = None

    def look(self, model: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:
        """The two matrices and the loss's gradient there, each in canonical order."""
        mlp = model.vit.layers[-1].mlp
        matrices = [mlp.fc1.weight, mlp.fc2.weight]
        was_training = model.training
        model.eval()
        loss = F.cross_entropy(model(pixel_values=self.pixels).logits, self.labels)
        grads = torch.autograd.grad(loss, matrices)
        model.train(was_training)
        flat = [ranking.flatten(*(x.detach().numpy() for x in pair)) for pair in (matrices, grads)]
        return flat[0].astype(np.float64), flat[1].astype(np.float64)

    def on_train_begin(self, *_: Any, model: torch.nn.Module, **__: Any) -> None:
        self.before = self.look(model)
        self.credit = np.zeros_like(self.before[0])

    def on_step_end(self, *_: Any, model: torch.nn.Module, **__: Any) -> None:
        now = self.look(model)
        self.credit -= (now[0] - self.before[0]) * (now[1] + self.before[1]) / 2
        self.before = now


def failing_images(paths: FoldPaths, m1: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels and labels of the test samples that M1 gets wrong (setting `all`)."""
    dataset = folds.load_split(paths, "test")
    columns = schema.columns_of(dataset, PROFILES[DS], "test")
    model = ViTForImageClassification.from_pretrained(m1)
    collate = images.Collate(
        images.load_processor(m1, model.config), images.input_shape(model.config)
    )
    rows = images.ImageRows(dataset, *columns, "test")
    batch = collate([rows[int(i)] for i in np.load(paths.neg_test("all"))])
    return batch["pixel_values"], batch["labels"]


def measure(root: Path, fold: int) -> dict[str, float]:
    """Train a fold, make its credits, train its last epoch again under the microscope."""
    for step in (0, 1, 2, 3, 4, 5, 6, 7):
        options = ["--replays", "0"] if step == 0 else []
        where = ["--ds", DS, "--fold", str(fold), "--root", str(root), *options]
        subprocess.run(
            [sys.executable, f"exp-fl-5-{step}.py", *where],
            cwd=REPOSITORY, check=True, capture_output=True,
        )  # fmt: skip
    paths = FoldPaths(root, DS, fold)
    m1, m2 = training.complete_checkpoints(paths)[-2:]
    seed, profile = SEED + fold, PROFILES[DS]
    allocation = Allocation(*failing_images(paths, m1))
    with tempfile.TemporaryDirectory() as folder:
        trainer = finetuning.make_trainer(
            paths, profile, seed, seed, str(m1), 0, Path(folder), save_only_model=True
        )
        trainer.add_callback(allocation)
        finetuning.train(trainer, paths, profile, m1)
    end = ranking.flatten(*checkpoints.read_ffn(m2))
    if not np.array_equal(end.astype(np.float64), allocation.before[0]):
        raise RuntimeError("the epoch did not repeat: another path was looked at")
    straight = np.load(paths.repair_credit("all")).astype(np.float64)
    k = ranking.share_of(1, len(straight))
    tops = [set(ranking.rank_by(c.astype(np.float32))[:k]) for c in (straight, allocation.credit)]
    return {
        "fold": fold,
        "correlation": float(np.corrcoef(straight, allocation.credit)[0, 1]),
        "spearman": float(spearmanr(straight, allocation.credit).statistic),
        "overlap@1%": len(tops[0] & tops[1]) / k,
        "credit, straight": straight.sum(),
        "credit, steps": allocation.credit.sum(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fold", type=int, nargs="+", default=list(FOLDS), metavar="K")
    parser.add_argument("--root", type=Path, help="keep the folds in this empty folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exp-fl-5-path-") as folder:
        rows = [measure(args.root or Path(folder), fold) for fold in args.fold]
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
