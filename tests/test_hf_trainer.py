"""A fold that HF's Trainer trained, without step 0: its folder works as it is, steps 1 to 7."""

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

NAME = "c100_fold0"
CLASSES = ["apple", "aquarium_fish", "baby", "bear"]
SIDE, D, M = 32, 16, 64
N = 2 * D * M
BATCH, TRAIN, REPAIR = 16, 120, 80
# One of each kind; tests/methods/test_every_method.py runs them all.
METHODS = (
    "ig", "bl", "vdiff", "vdiff+mean_act", "vdiff+mean_act+grad_loss", "grad_loss", "wanda",
)  # fmt: skip
MEAN, STD = [0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]


def coloured_pictures(n: int, seed: int) -> datasets.Dataset:
    """Noise in which a brighter channel or darkness gives the class away, in CIFAR-100's format."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(CLASSES), n)
    pixels = rng.integers(0, 160, (n, SIDE, SIDE, 3))
    for picture, label in zip(pixels, labels, strict=True):
        picture[..., :3] += 20 * (np.arange(3) == label)
    features = datasets.Features(
        img=datasets.Image(),
        fine_label=datasets.ClassLabel(names=CLASSES),
        coarse_label=datasets.ClassLabel(names=["food", "others"]),
    )
    rows = {
        "img": [Image.fromarray(p.astype(np.uint8)) for p in pixels],
        "fine_label": labels,
        "coarse_label": (labels > 0).astype(int),
    }
    return datasets.Dataset.from_dict(rows, features=features)


def train(folder: Path, data: datasets.Dataset, resume_from: Path | None = None, **more) -> None:
    """The usual script: fine_label's names in id2label, the processor saved with the model.

    more : arguments of the Trainer, as docs/replays.md has them.
    """
    torch.manual_seed(0)
    names = data.features["fine_label"].names
    config = ViTConfig(
        hidden_size=D, intermediate_size=M, num_hidden_layers=2, num_attention_heads=2,
        image_size=SIDE, patch_size=8, num_labels=len(names), id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )  # fmt: skip
    processor = ViTImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=MEAN, image_std=STD
    )

    def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
        pictures = processor([row["img"] for row in rows], return_tensors="pt")
        return {**pictures, "labels": torch.tensor([row["fine_label"] for row in rows])}

    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=2, per_device_train_batch_size=BATCH,
        learning_rate=1e-2, save_strategy="epoch", logging_steps=3, seed=1, report_to="none",
        remove_unused_columns=False, use_cpu=True, disable_tqdm=True, **more,
    )  # fmt: skip
    model = (
        ViTForImageClassification.from_pretrained(resume_from)
        if resume_from
        else ViTForImageClassification(config)
    )
    Trainer(model, arguments, collate, data, processing_class=processor).train(
        resume_from_checkpoint=resume_from and str(resume_from)
    )


@pytest.fixture(scope="module")
def root(server, tmp_path_factory) -> Path:
    """Trained by the Trainer, then steps 1 to 7."""
    root = tmp_path_factory.mktemp("hf")
    data = {"train": coloured_pictures(TRAIN, 0), "repair": coloured_pictures(REPAIR, 1)}
    data["test"] = coloured_pictures(20, 2)
    datasets.DatasetDict(data).save_to_disk(root / "dataset" / NAME)
    train(root / f"out_vit_{NAME}", data["train"])
    constants = {"METHODS_TO_RUN": METHODS}
    for step in range(1, 8):
        done = server.run(step, root, "--ds", "c100", constants=constants)
        assert (done.status, done.stderr) == (0, ""), done.stderr
    return root


def test_the_trainers_folder_has_its_usual_files_and_nothing_of_ours(root):
    folder = root / f"out_vit_{NAME}"
    assert {path.name for path in folder.iterdir()} == {"checkpoint-8", "checkpoint-16", "logs"}
    assert {path.name for path in (folder / "checkpoint-16").iterdir()} == {
        "config.json", "model.safetensors", "optimizer.pt", "preprocessor_config.json",
        "rng_state.pth", "scheduler.pt", "trainer_state.json", "training_args.bin",
    }  # fmt: skip


def test_m1_and_m2_are_known_for_neighbours(root):
    log = (root / f"out_vit_{NAME}" / "logs" / "exp-fl-5-1.log").read_text()
    assert "checkpoint-8 and " in log and "checkpoint-16" in log
    for words in ("passed over", "neighbours", "assumes"):
        assert words not in log
    runs = json.loads((root / "exp-fl-5" / NAME / "provenance.json").read_text())["runs"]
    assert {run["constants"]["accepted pair"] for run in runs.values()} == {None}


def test_the_truth_is_the_change_of_the_last_ffn(root):
    flat = []
    for step in (8, 16):
        state = load_file(root / f"out_vit_{NAME}" / f"checkpoint-{step}" / "model.safetensors")
        prefix = "vit.encoder.layer.1."
        parts = [state[f"{prefix}{part}.dense.weight"] for part in ("intermediate", "output")]
        flat.append(np.concatenate([part.numpy().ravel() for part in parts]))
    found = np.load(root / "exp-fl-5" / NAME / "ground_truth" / "abs_diff.npy")
    np.testing.assert_array_equal(found, np.abs(flat[1] - flat[0]))
    assert np.count_nonzero(found) > 0.99 * N


def test_the_predictions_are_those_of_the_whole_model(root):
    """On the pictures written out: pixels / 255, minus the Trainer's mean, by its std."""
    rows = datasets.load_from_disk(str(root / "dataset" / NAME))["repair"]
    pixels = np.stack([np.asarray(picture) for picture in rows["img"]]) / 255
    inputs = torch.from_numpy((pixels - MEAN) / STD).float().permute(0, 3, 1, 2)
    folder = root / f"out_vit_{NAME}" / "checkpoint-8"
    model = ViTForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(inputs).logits.numpy()
    found = np.load(root / "exp-fl-5" / NAME / "cache_states_repair" / "logits.npy")
    np.testing.assert_allclose(found, logits, atol=1e-5)
    table = pd.read_csv(root / "exp-fl-5" / NAME / "misclf_info" / "predictions.csv")
    assert table["true_label"].tolist() == list(rows["fine_label"])
    assert 0 < table["correct"].sum() < REPAIR
    names = pd.read_csv(root / "exp-fl-5" / NAME / "misclf_info" / "class_metrics.csv")["name"]
    assert names.tolist() == CLASSES


def test_every_method_is_compared_and_summarised(root):
    scores = pd.read_csv(root / "exp-fl-5" / NAME / "exp-fl-5-7_scores.csv")
    whole = scores[(scores["setting"] == "all") & scores["n"].isna()]
    assert {*METHODS, "random (expected)"} <= set(whole["method"])
    assert (whole.loc[whole["level"] == "weight", "n_items"] == N).all()
    notes = (root / "exp-fl-5" / "c100_summary_fold0" / "notes.txt").read_text()
    assert "c100: 1 fold (0)." in notes
    assert "neighbours" not in notes


def test_replays_are_made_as_the_page_says(server, root, tmp_path):
    """Another order of the data makes one; M2's own order is found out and left out."""
    copy = shutil.copytree(root, tmp_path / "root")
    data = datasets.load_from_disk(str(copy / "dataset" / NAME))["train"]
    folder = copy / f"out_vit_{NAME}"
    m1 = folder / "checkpoint-8"
    train(folder / "replay-1", data, m1, data_seed=1001)
    train(folder / "replay-2", data, m1)
    done = server.run(0, copy, "--ds", "c100", "--replays", "3")
    assert done.status == 0, done.stderr
    assert "trained elsewhere" in done.stdout
    assert "docs/replays.md says how" in done.stdout
    assert (Path(__file__).resolve().parents[1] / "docs" / "replays.md").is_file()
    done = server.run(1, copy, "--ds", "c100")
    assert done.status == 0, done.stderr
    assert "replay 2 is left out" in done.stdout and "M2's own weights" in done.stdout
    table = pd.read_csv(copy / "exp-fl-5" / NAME / "ground_truth" / "agreement.csv", dtype=str)
    assert table[["truth_a", "truth_b"]].to_numpy().tolist() == [["0", "1"]]
