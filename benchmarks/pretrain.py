"""A base model that all folds share, taught without labels: by how much is a picture turned?

A ViT of 28 x 28 pixels sees training pictures turned by 0, 1, 2 and 3 quarter turns and learns to
tell which (Gidaris, Singh, Komodakis 2018, "Unsupervised representation learning by predicting
image rotations"; as there, a step sees all four turns of each of its pictures). Neither a label
nor the test split is looked at; the pictures that a fold later calls `repair` are.

OUT gets config.json, model.safetensors and preprocessor_config.json, as `from_pretrained` reads
them, without a head: step 0 makes one of the data's classes. pretrain.json says how it was made.
On the CPU the same seed, steps and pictures give the same bytes.

Run from the repository's root: python -m benchmarks.pretrain --ds fashion [--data-dir DIR]
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import DataLoader
from transformers import ViTConfig, ViTModel

from utils import constants
from utils.constants import Profile
from utils.data import images, originals, schema
from utils.errors import UserError
from utils.pieces import cpu_threads
from utils.run import cli, constant_rules, pictures, storage
from utils.run.devices import pick_device
from utils.run.hashing import hash_bytes, hash_file
from utils.run.paths import TEMPORARY_PREFIX

SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,  # of 64, as in ViT-Base
    "image_size": 28,
    "patch_size": 4,
    "num_channels": 1,
}
TURNS = 4
# Pictures of a step, each in all four turns.
PICTURES = 16
STEPS = 800
LEARNING_RATE, WEIGHT_DECAY, LONGEST_GRADIENT = 1e-3, 0.01, 1.0
WARM_UP = 0.1  # share of the steps over which the learning rate rises; then it falls to 0
# Training pictures that are not learned from, for the accuracy; of few a tenth.
HELD_OUT, READ_AT_ONCE = 1000, 500
RECORD = "pretrain.json"


class TurnTeller(torch.nn.Module):
    """The ViT, and a linear map from its class token to the four turns."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.vit = ViTModel(config, add_pooling_layer=False)
        self.head = torch.nn.Linear(config.hidden_size, TURNS)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (B, 4) of pixels (B, C, H, W)."""
        return self.head(self.vit(pixel_values=pixels).last_hidden_state[:, 0])


def turned(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All turns of pictures (B, C, H, H): (4B, C, H, H), and the quarter turns, int64 (4B,)."""
    copies = [torch.rot90(pixels, turn, dims=(2, 3)) for turn in range(TURNS)]
    return torch.cat(copies), torch.arange(TURNS).repeat_interleave(len(pixels))


def share_of_rate(step: int, steps: int) -> float:
    """The learning rate of a step, from 0, as a share of the highest: up, then down to 0."""
    rising = max(1, round(WARM_UP * steps))
    return min((step + 1) / rising, (steps - step) / max(1, steps - rising))


def read_pictures(profile: Profile, data_dir: Path | None, config: ViTConfig) -> torch.Tensor:
    """The training pictures as step 0 will give them to the model, float32 (S, C, H, W)."""
    rows = originals.load_source(profile, data_dir, constants.SPLIT_SEED)["train"]
    image, label = schema.columns_of(rows, profile, "the training split")
    loader = DataLoader(
        images.ImageRows(rows, image, label, "train"),
        batch_size=READ_AT_ONCE,
        collate_fn=images.Collate(images.default_processor(config), images.input_shape(config)),
    )
    return torch.cat([batch["pixel_values"] for batch in loader])


def pretrain(
    model: TurnTeller, pixels: torch.Tensor, steps: int, order: torch.Generator
) -> list[float]:
    """Teach `model` in place, `PICTURES` pictures a step, in epochs; the loss of every step."""
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    losses: list[float] = []
    queue = torch.empty(0, dtype=torch.int64)
    started = time.perf_counter()
    model.train()
    for step in range(steps):
        while len(queue) < PICTURES:
            queue = torch.cat([queue, torch.randperm(len(pixels), generator=order)])
        batch, queue = queue[:PICTURES], queue[PICTURES:]
        seen, turns = turned(pixels[batch])
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * share_of_rate(step, steps)
        loss = torch.nn.functional.cross_entropy(model(seen.to(device)), turns.to(device))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), LONGEST_GRADIENT)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % max(1, steps // 10) == 0:
            recent = losses[-max(1, steps // 10) :]
            seconds = time.perf_counter() - started
            mean = sum(recent) / len(recent)
            print(f"step {step + 1} of {steps}: loss {mean:.3f}, {seconds:.0f} s", flush=True)
    return losses


@torch.no_grad()
def accuracy(model: TurnTeller, pixels: torch.Tensor) -> float:
    """The share of all turns of the pictures that `model` tells."""
    device = next(model.parameters()).device
    model.eval()
    right = 0
    for part in pixels.split(READ_AT_ONCE // TURNS):
        seen, turns = turned(part)
        right += int((model(seen.to(device)).argmax(1).cpu() == turns).sum())
    return right / (TURNS * len(pixels))


def make_base(
    ds: str, data_dir: Path | None, steps: int, seed: int, patch: int, folder: Path
) -> dict[str, Any]:
    """Make the base model in `folder`, which exists and is empty, and return its record."""
    profile = constants.PROFILES[ds]
    config = ViTConfig(**SHAPE | {"patch_size": patch})
    started = time.perf_counter()
    pixels = read_pictures(profile, data_dir, config)
    order = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(pixels), generator=order)
    held_out, kept = shuffled.tensor_split([min(HELD_OUT, len(pixels) // 10 or 1)])
    device = pick_device(None)
    transformers.set_seed(seed)
    model = TurnTeller(config).to(device)
    with cpu_threads(profile.cpu_threads):
        losses = pretrain(model, pixels[kept], steps, order)
        told = accuracy(model, pixels[held_out])
    model.vit.cpu().save_pretrained(folder)
    images.default_processor(config).save_pretrained(folder)
    record = recipe(ds, steps, seed, patch) | {
        "source": str(data_dir or profile.source),
        "pictures": len(kept),
        "sha256_of_pictures": hash_bytes(pixels.numpy().tobytes()),
        "held_out_pictures": len(held_out),
        "accuracy_on_held_out": told,
        "loss_of_last_tenth": sum(losses[-(len(losses) // 10 or 1) :]) / (len(losses) // 10 or 1),
        "sha256": hash_file(folder / "model.safetensors"),
        "seconds": round(time.perf_counter() - started, 1),
        "device": str(device),
        "cpu_threads": profile.cpu_threads,
        "torch": torch.__version__,
    }
    storage.save_json(folder / RECORD, record)
    return record


def recipe(ds: str, steps: int, seed: int, patch: int) -> dict[str, Any]:
    """What decides the base model, beside the pictures."""
    return {
        "ds": ds,
        "seed": seed,
        "steps": steps,
        "pictures_per_step": PICTURES,
        "turns": TURNS,
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        **SHAPE,
        "patch_size": patch,
    }


def require_same(out: Path, wanted: dict[str, Any]) -> None:
    """Refuse a folder that is there and is no base model made in the same way."""
    try:
        known = json.loads((out / RECORD).read_text(encoding="utf-8"))
        differs = [name for name, value in wanted.items() if known.get(name) != value]
    except (OSError, ValueError, AttributeError):
        raise UserError(
            f"{out} exists and has no readable {RECORD}; move it away or give another --out"
        ) from None
    if differs:
        raise UserError(
            f"{out} was made otherwise ({differs[0]} was {known.get(differs[0])}, now "
            f"{wanted[differs[0]]}); move it away or give another --out"
        )


def pretrain_into(
    ds: str, data_dir: Path | None, steps: int, seed: int, patch: int, out: Path
) -> None:
    """Make `out`, whole or not at all; one that is there is kept."""
    if out.exists():
        require_same(out, recipe(ds, steps, seed, patch))
        print(f"{out} exists: kept as it is")
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=out.parent, prefix=f"{TEMPORARY_PREFIX}{out.name}-"))
    except OSError as error:
        raise UserError(f"cannot write {out} ({error.strerror or error})") from None
    try:
        record = make_base(ds, data_dir, steps, seed, patch, staging)
        staging.chmod(out.parent.stat().st_mode & 0o777)
        staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    print(
        f"{out}: {steps} steps with seed {seed} on {record['pictures']} pictures of {ds}; tells "
        f"{record['accuracy_on_held_out']:.1%} of the turns of {record['held_out_pictures']} "
        f"others; sha256 {record['sha256'][:16]}; {record['seconds']:.0f} s"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="pretrain", description=__doc__.splitlines()[0])
    parser.add_argument("--ds", default="fashion", help="a profile (default: %(default)s)")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="the data set on disk, as step 0 takes it"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: base_vit_<ds>")
    parser.add_argument("--steps", type=int, default=STEPS, help="default: %(default)s")
    parser.add_argument(
        "--patch", type=int, default=SHAPE["patch_size"], metavar="PIXELS",
        help="side of a patch, a divisor of 28 (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args()
    cli.fix_order_of_sums()
    pictures.ignore_user_settings()
    transformers.utils.logging.disable_progress_bar()
    try:
        constant_rules.check_constants()
        if args.ds not in constants.PROFILES:
            raise UserError(f"--ds is {args.ds}; expected {', '.join(constants.PROFILES)}")
        if args.steps < 1:
            raise UserError(f"--steps is {args.steps}; give a number of at least 1")
        if args.patch < 1 or SHAPE["image_size"] % args.patch:
            raise UserError(f"--patch is {args.patch}; give a divisor of {SHAPE['image_size']}")
        out = args.out or Path(f"base_vit_{args.ds}")
        pretrain_into(args.ds, args.data_dir, args.steps, constants.SEED, args.patch, out)
    except UserError as error:
        print(f"pretrain: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
