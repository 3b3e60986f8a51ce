"""Shared fixtures: a small random tail with its cached states, and tiny ViT checkpoints."""

import gc
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from references import Net

    from utils.model.states import States
    from utils.model.tail import Tail

os.environ.setdefault("OMP_NUM_THREADS", "1")
# The same examples in every run, and none fails because the machine is busy.
hypothesis.settings.register_profile("exp-fl-5", derandomize=True, deadline=None)
hypothesis.settings.load_profile("exp-fl-5")

# A file is one worker's whole: its fixtures are made once. The longest have to begin first.
LONGEST_FIRST = (
    "test_kill_points", "test_end_to_end", "test_step_9", "test_provenance", "test_step_10",
    "test_bad_input", "test_step_8", "test_bad_truths", "test_halves", "test_users_files",
    "test_own", "test_study", "test_families_end_to_end", "test_broken_functions",
    "test_hf_trainer", "test_training",
)  # fmt: skip

# Folds of a thousand small files are copied hundreds of times: a disk takes twice as long as
# memory, where there is so much of it (bytes).
IN_MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30
NAME = f"exp-fl-5-tests-{os.getuid()}-"

EPS = 1e-6
# (S, d, m, C, activation); only the first has m = 4d.
SHAPES = [
    (13, 4, 16, 3, "gelu"),
    (9, 5, 7, 4, "relu"),
    (7, 6, 15, 2, "gelu"),
    (6, 7, 3, 5, "relu"),
    (2, 3, 10, 3, "gelu"),
]


@dataclass(frozen=True)
class Toy:
    """A tail and the states of S samples, beside the float64 network that made them."""

    tail: "Tail"
    states: "States"
    net: "Net"

    @property
    def everyone(self) -> np.ndarray:
        return np.arange(len(self.states.labels))

    def take(self, samples: np.ndarray):
        """h and labels of `samples` as the references take them."""
        import torch

        h = torch.from_numpy(self.states.h[samples]).double()
        return h, torch.from_numpy(self.states.labels[samples])

    def evidence(self, neg: np.ndarray, pos: np.ndarray, seed: int = 0, points: int = 20):
        from utils.methods.evidence import Evidence

        return Evidence(self.tail, self.states, neg, pos, seed, points, fold_memo={})


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Unless --basetemp says where, temporary folders are made in memory if it has room."""
    worker = hasattr(config, "workerinput")
    if worker or not getattr(config.option, "numprocesses", None):
        gc.disable()  # until all is imported and collected: nothing of that becomes garbage
    if config.option.basetemp or worker or not IN_MEMORY.is_dir():
        return
    for left in IN_MEMORY.glob(f"{NAME}*"):  # by a run that failed, to be looked at until now
        if not Path(f"/proc/{left.name.removeprefix(NAME)}").exists():
            shutil.rmtree(left, ignore_errors=True)
    if shutil.disk_usage(IN_MEMORY).free >= ROOM:
        config.option.basetemp = IN_MEMORY / f"{NAME}{os.getpid()}"


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    base = session.config.option.basetemp
    ours = base and Path(base).name == f"{NAME}{os.getpid()}"
    if ours and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(base, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: i for i, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def build_toy(S, d, m, C, activation="gelu", seed=0, change=None) -> Toy:
    """`change` edits the dictionary of float32 weights before anything is computed from it."""
    import torch
    from references import Net

    from utils.model.states import States
    from utils.model.tail import make_tail

    rng = np.random.default_rng([seed, S, d, m, C])

    def normal(*shape, scale=1.0):
        return (scale * rng.normal(size=shape)).astype(np.float32)

    weights = {
        "w_bef": normal(m, d, scale=1.5 / np.sqrt(d)),
        "b_bef": normal(m, scale=0.3),
        "w_aft": normal(d, m, scale=1.5 / np.sqrt(m)),
        "b_aft": normal(d, scale=0.3),
        "ln_weight": 1 + normal(d, scale=0.3),
        "ln_bias": normal(d, scale=0.3),
        "final_ln_weight": 1 + normal(d, scale=0.3),
        "final_ln_bias": normal(d, scale=0.3),
        "head_weight": normal(C, d, scale=2 / np.sqrt(d)),
        "head_bias": normal(C, scale=0.3),
    }
    if change is not None:
        change(weights)
    net = Net({k: torch.from_numpy(v).double() for k, v in weights.items()}, activation, EPS)
    h = normal(S, d)
    wide = torch.from_numpy(h).double()
    a = net.a(wide)
    y = wide + net.o(a)
    states = States(
        h=h,
        a=a.float().numpy(),
        y=y.float().numpy(),
        logits=net.logits(y).float().numpy(),
        labels=rng.integers(0, C, size=S),
    )
    tail = make_tail(weights, {"hidden_act": activation, "layer_norm_eps": EPS})
    return Toy(tail, states, net)


@pytest.fixture(scope="session")
def make_toy():
    return build_toy


@pytest.fixture(scope="session", params=SHAPES, ids=str)
def toy(request) -> Toy:
    """One toy of every shape."""
    return build_toy(*request.param)


def build_vit(seed=0, **config):
    """A ViT classifier with random weights that are far from the small ones of its init."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {
        "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 12, "image_size": 4, "patch_size": 2, "num_channels": 1,
        "num_labels": 3,
    }  # fmt: skip
    model = ViTForImageClassification(ViTConfig(**sizes | config)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in model.named_parameters():
            noise = torch.randn(values.shape, generator=generator)
            is_norm = "layernorm" in name and name.endswith("weight")
            values.copy_(1 + 0.3 * noise if is_norm else 0.5 * noise)
    return model


@pytest.fixture(scope="session")
def make_vit():
    return build_vit


@pytest.fixture(scope="session")
def server():
    """Runs scripts in forks of one process, see tests/support/pipeline.py."""
    import pipeline

    with pipeline.Server() as server:
        yield server


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Makes a folder in whichever worker asks first; the others wait for it, and only read."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        whole = base / name
        with FileLock(base / f".{name}.lock"):
            if not whole.exists():
                half = tmp_path_factory.mktemp(name) / name
                half.mkdir()
                make(half)
                half.rename(whole)
        return whole

    return folder_of


@pytest.fixture(scope="session")
def stages(server, made_once):
    """Every step run once, undisturbed, on a tiny fold."""
    import pipeline

    folder = made_once("stages", lambda folder: pipeline.run_stages(server, folder))
    return pipeline.read_stages(pipeline.STAGES, folder)


@pytest.fixture(scope="session")
def effects(server, stages, made_once):
    """Steps 8 to 10 run once, undisturbed, after the others."""
    import pipeline

    def make(folder: Path) -> None:
        root = folder / "root"
        shutil.copytree(stages[pipeline.SUMMARY].before.parent / "root", root)
        pipeline.run_each(server, pipeline.EFFECTS, root, folder)

    return pipeline.read_stages(pipeline.EFFECTS, made_once("effects", make))


@pytest.fixture
def read_only():
    """Makes a folder read-only; root needs the immutable flag for that."""
    locked = []

    def lock(folder: Path) -> None:
        if os.geteuid():
            folder.chmod(0o555)
        elif subprocess.run(["chattr", "+i", str(folder)], capture_output=True).returncode:
            pytest.skip("root cannot make a folder read-only on this file system")
        locked.append(folder)

    yield lock
    for folder in locked:
        if os.geteuid():
            folder.chmod(0o755)
        else:
            subprocess.run(["chattr", "-i", str(folder)], check=True)
