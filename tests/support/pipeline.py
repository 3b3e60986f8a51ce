"""A tiny fold and two checkpoints, made without training, and the scripts run on them.

The scripts run as a user runs them (`run`), or in forks of one process that
has imported everything before (`Server`): a cold start costs seconds.
"""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
NAME = "digits_fold0"
CLASSES = ("zero", "=one", "zwei", "drei")
SIZES = {
    "hidden_size": 8,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 4,
    "patch_size": 2,
    "num_channels": 1,
}
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TQDM_DISABLE": "1",  # so that stderr holds the message and nothing else
    "PYTHONDONTWRITEBYTECODE": "1",
}
# What differs between two runs by nature: times of day, and hashes bound to inode numbers.
TIMED = ("_time.csv", "provenance.json", ".hashes.json", ".log", ".lock")
# The proof of the caches compares speeds; the other rows of proof.csv have to be equal.
SPEEDS = ('"model_s_per_sample"', '"tail_s_per_sample"', '"speedup"')


# -- making inputs -----------------------------------------------------------------------------


def few_methods() -> dict:
    """Those of METHODS that FEW names."""
    from utils.methods import METHODS
    from utils.methods.chosen import chosen_methods

    return chosen_methods(METHODS, {"METHODS_TO_RUN": FEW})


def make_model(seed: int = 0, classes: int = len(CLASSES), **config):
    """A ViT classifier whose random weights are large enough for predictions to differ."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    torch.set_num_threads(1)
    sizes = {**SIZES, "num_labels": classes, **config}
    model = ViTForImageClassification(ViTConfig(**sizes)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in model.named_parameters():
            noise = torch.randn(values.shape, generator=generator)
            is_norm = "layernorm" in name and name.endswith("weight")
            values.copy_(1 + 0.3 * noise if is_norm else 0.7 * noise)
    return model


def nudge(model, seed: int = 1, size: float = 0.02) -> None:
    """Change every weight a little, as an epoch of training does."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in model.parameters():
            values.add_(size * torch.randn(values.shape, generator=generator))


def make_images(n: int, seed: int, size: int = SIZES["image_size"]) -> np.ndarray:
    """uint8 (n, size, size)."""
    return np.random.default_rng(seed).integers(0, 256, (n, size, size), dtype=np.uint8)


def predict(model, images: np.ndarray) -> np.ndarray:
    """Class that `model` gives each grey image, with the standard preprocessing written out."""
    import torch

    pixels = torch.from_numpy((images / 255 - 0.5) / 0.5).float()[:, None]  # (n, 1, H, W)
    pixels = pixels.expand(-1, model.config.num_channels, -1, -1)
    with torch.no_grad():
        return model(pixels).logits.argmax(1).numpy()


def spoil(
    predicted: np.ndarray,
    classes: int,
    mistakes: int | tuple[int, ...] = 4,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """True labels under which the first images of the most predicted class are mistakes.

    mistakes : how many; of several numbers the second is for the class predicted next most, ...
    like : the predictions that say which classes those are, if not these.
    """
    labels = predicted.copy()
    sizes = (mistakes,) if isinstance(mistakes, int) else mistakes
    common = np.argsort(-np.bincount(predicted if like is None else like), kind="stable")
    for size, label in zip(sizes, common, strict=False):
        labels[np.flatnonzero(predicted == label)[:size]] = (label + 1) % classes
    return labels


def save_dataset(
    folder: Path,
    images: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...] = CLASSES,
    columns: tuple[str, str] = ("img", "label"),
    test: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """A DatasetDict whose repair split holds all images; train holds the first few.

    test : images and labels of the test split, if not the first few of the repair split.
    """
    import datasets
    from PIL import Image

    features = datasets.Features(
        {columns[0]: datasets.Image(), columns[1]: datasets.ClassLabel(names=list(names))}
    )

    def split(images: np.ndarray, labels: np.ndarray) -> "datasets.Dataset":
        rows = {columns[0]: [Image.fromarray(image) for image in images],
                columns[1]: [int(x) for x in labels]}  # fmt: skip
        return datasets.Dataset.from_dict(rows, features=features)

    few = images[:5], labels[:5]
    whole = {"train": few, "repair": (images, labels), "test": test or few}
    datasets.DatasetDict({name: split(*part) for name, part in whole.items()}).save_to_disk(folder)


def save_optimizer(model, checkpoint: Path, seed: int = 0) -> None:
    """optimizer.pt of an AdamW with the Trainer's two groups, after a step of random gradients."""
    import torch

    named = list(model.named_parameters())
    free = [name.endswith("bias") or "layernorm" in name for name, _ in named]
    groups = [[p for (_, p), f in zip(named, free, strict=True) if f == w] for w in (False, True)]
    optimizer = torch.optim.AdamW([{"params": group} for group in groups], lr=0.0, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    for _, values in named:
        values.grad = torch.randn(values.shape, generator=generator)
    optimizer.step()
    optimizer.zero_grad()
    torch.save(optimizer.state_dict(), checkpoint / "optimizer.pt")


def make_fold(
    root: Path,
    fold: int = 0,
    seed: int = 0,
    samples: int = 60,
    names: tuple[str, ...] = CLASSES,
    mistakes: int | tuple[int, ...] = 4,
    replays: int = 2,
    **config,
) -> None:
    """dataset/digits_fold<k> and out_vit_digits_fold<k>, M1 wrong on `mistakes` images of a class.

    It is wrong on one more of the test split's images, in the same way. Beside M1 lies its
    optimizer's state, beside M2 replays of the last epoch.

    config : sizes of the model that differ from SIZES.
    """
    images, others = make_images(samples, seed), make_images(samples, seed + 100)
    model = make_model(seed, len(names), **config)
    training = root / f"out_vit_digits_fold{fold}"
    model.save_pretrained(training / "checkpoint-10")
    save_optimizer(model, training / "checkpoint-10", seed)
    predicted = predict(model, images)
    labels = spoil(predicted, len(names), mistakes)
    more = tuple(n + 1 if n else 0 for n in np.atleast_1d(mistakes))
    wrong = spoil(predict(model, others), len(names), more, like=predicted)
    folder = root / "dataset" / f"digits_fold{fold}"
    save_dataset(folder, images, labels, names, test=(others, wrong))
    for replay in range(replays + 1):
        after = make_model(seed, len(names), **config)
        nudge(after, seed + 1)
        if replay:  # what the order of the data makes of it
            nudge(after, seed + 1000 * replay, size=0.01)
        where = training / f"replay-{replay}" if replay else training
        after.save_pretrained(where / "checkpoint-20")


def write_state(checkpoint: Path, number: int, steps: int = 10, **values) -> None:
    """What the Trainer notes after epoch `number` of a run of two epochs of `steps` steps.

    values : entries that are to be otherwise.
    """
    log = [{"step": steps * e, "epoch": float(e), "eval_loss": 1 / e} for e in range(1, number + 1)]
    content = {
        "global_step": steps * number,
        "epoch": float(number),
        "max_steps": 2 * steps,
        "num_train_epochs": 2,
        "train_batch_size": 16,
        "log_history": log,
    }
    (checkpoint / "trainer_state.json").write_text(json.dumps(content | values))


# -- running -----------------------------------------------------------------------------------

# The methods that the server's scripts run: all of step 4, and of each kind in steps 5 and 6 some
# (a setting's samples matter or not, extras, draws, budgets). Each by itself is tested elsewhere.
FEW = (
    "ig", "grad_act", "expected_gradients", "bl", "grad_loss", "magnitude", "mean_act", "mask",
    "vdiff", "vdiff+mean_act", "vdiff+mean_act+grad_loss",
)  # fmt: skip
EVERY_METHOD = {"METHODS_TO_RUN": "all"}


@dataclass(frozen=True)
class Finished:
    """status : exit status, or minus the signal. points : file-system writes, in order.

    functions : file, qualified name and first line of each that ran, where they were asked for.
    """

    status: int
    stdout: str
    stderr: str
    points: list[str] = field(default_factory=list)
    functions: list[list] = field(default_factory=list)


def command(step: int, root: Path, *options: str) -> list[str]:
    given = list(options)
    given += [] if "--ds" in given else ["--ds", "digits"]
    given += [] if "--fold" in given else ["--fold", "0"]
    return [str(ROOT / f"exp-fl-5-{step}.py"), "--root", str(root), *given]


def run(step: int, root: Path, *options: str, **environment: str) -> Finished:
    """Run a script in a process of its own."""
    done = subprocess.run(
        [sys.executable, *command(step, root, *options)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**ENVIRONMENT, **environment},
    )
    return Finished(done.returncode, done.stdout, done.stderr)


class Server:
    """tests/support/kill_at.py: runs scripts in forks of a process that has imported everything."""

    def __enter__(self) -> "Server":
        self.cache = tempfile.TemporaryDirectory()  # of image folders that step 0 reads
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "support" / "kill_at.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT | {"HF_DATASETS_CACHE": self.cache.name},
        )
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.cache.cleanup()

    def run(self, step: int, root: Path, *options: str, **more) -> Finished:
        """Run a script.

        more : `mode` "kill" or "full" with `at`, the number of a write;
            `constants` that replace those of utils.constants (METHODS_TO_RUN is FEW, and
            QUICK holds, unless they are among them), and `profile` parts
            of the data set's profile there, `profiles` new ones by name, `cwd` the
            folder to run in, `threads` that torch may use, `tree` a copy of scripts and
            utils/ to run, `functions` True to note which ran; `summary` False leaves out
            step 7's summary across folds; `draw` True draws its figures and fills its workbook;
            `change` is Python that runs just before the script.
        """
        return self.run_together(1, step, root, *options, **more)[0]

    def run_together(
        self, times: int, step: int, root: Path, *options: str, **more
    ) -> list[Finished]:
        """Start a script several times at once."""
        more["constants"] = {"METHODS_TO_RUN": FEW} | QUICK | more.get("constants", {})
        request = {"command": command(step, root, *options), "root": str(root), "times": times}
        if "tree" in more:
            request["command"][0] = str(Path(more["tree"], Path(request["command"][0]).name))
        self.process.stdin.write(json.dumps(request | more) + "\n")
        self.process.stdin.flush()
        return [Finished(**one) for one in json.loads(self.process.stdout.readline())]


# -- the steps of an undisturbed fold ------------------------------------------------------------

# Few random draws, cuts and comparisons: what they give is tested elsewhere.
QUICK = {
    "PERMUTATION_DRAWS": 49,
    "BOOTSTRAP_DRAWS": 49,
    "COMPARED_METRICS": ("lift@1%", "ap/random"),
    "K_PERCENTS": (1, 10),
    "PLANTED_FAULTS": 2,
}
SUMMARY = "summary"
STAGES = (1, 2, 3, 4, 5, 6, 7, SUMMARY)
EFFECTS = (8, 9, 10)


@dataclass(frozen=True)
class Stage:
    """A step, step 7 in two: the tree before it, what it leaves, and its writes in order."""

    before: Path
    after: dict[str, bytes]
    points: list[str]


def run_stage(server: Server, stage: int | str, root: Path, *options: str, **more) -> Finished:
    step = 7 if stage == SUMMARY else stage
    more = {"summary": stage == SUMMARY, "constants": QUICK} | more
    return server.run(step, root, *options, **more)


def run_stages(server: Server, folder: Path) -> None:
    """Make a fold below `folder` and run every step on it, for `read_stages`."""
    root = folder / "root"
    make_fold(root)
    run_each(server, STAGES, root, folder)


def run_each(server: Server, stages: tuple[int | str, ...], root: Path, folder: Path) -> None:
    """Run steps on the fold below `root` one after another; the trees before them in `folder`."""
    points = {}
    for stage in stages:
        shutil.copytree(root, folder / f"before_{stage}")
        done = run_stage(server, stage, root)
        if done.status:
            raise RuntimeError(f"step {stage} failed: {done.stderr}")
        points[str(stage)] = done.points
    (folder / "points.json").write_text(json.dumps(points))


def read_stages(stages: tuple[int | str, ...], folder: Path) -> dict[int | str, Stage]:
    """What `run_each` made below `folder`; each step left what the next one found."""
    points = json.loads((folder / "points.json").read_text())
    before = [folder / f"before_{stage}" for stage in stages]
    after = map(results, [*before[1:], folder / "root"])
    return {
        stage: Stage(tree, left, points[str(stage)])
        for stage, tree, left in zip(stages, before, after, strict=True)
    }


# -- comparing ---------------------------------------------------------------------------------


def results(root: Path) -> dict[str, bytes]:
    """Every result of every fold below `root`, without what holds times of day."""
    found = {}
    for path in sorted((root / "exp-fl-5").rglob("*")):
        if not path.is_file() or path.name.endswith(TIMED):
            continue
        content = path.read_bytes()
        if path.name == "proof.csv":
            lines = content.decode().splitlines(keepends=True)
            content = "".join(x for x in lines if not x.startswith(SPEEDS)).encode()
        found[path.relative_to(root).as_posix()] = content
    return found


@functools.lru_cache(maxsize=100_000)
def _hash(path: Path, *stat: int) -> str:
    """stat : which content it is; only a write changes it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest(path: Path) -> str:
    """Hash of a file's content, read again only where its size, times or inode are others."""
    is_ = path.stat()
    return _hash(path, is_.st_dev, is_.st_ino, is_.st_size, is_.st_mtime_ns, is_.st_ctime_ns)


def snapshot(root: Path, ignore: tuple[str, ...] = (".log", ".lock")) -> dict[str, str]:
    """Hash of every file below `root`, links as where they point to."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if name.endswith(ignore):
                continue
            if path.is_symlink():
                found[str(path)] = f"-> {path.readlink()}"
            elif path.is_file():
                found[str(path)] = digest(path)
    return found


def trains_elsewhere() -> bool:
    """Whether older instruction sets can stand in for another processor here."""
    import platform

    return platform.machine() in ("x86_64", "AMD64")
