"""Step 0's training: resumable to the byte, and nothing foreign or half-written is mistaken."""

import dataclasses
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
import torch
from filelock import FileLock
from small_training import CONSTANTS, PROFILE, RECORD, SHAPE, make_fold, make_source
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerState, ViTConfig, ViTForImageClassification

from utils.constants import PROFILES
from utils.data import folds, images, originals, repeats
from utils.errors import UserError
from utils.model import base_model, finetuning, progress, training
from utils.run.ledger import Ledger
from utils.run.paths import FoldPaths

SCRIPT = Path(__file__).parents[2] / "exp-fl-5-0.py"
LOG = logging.getLogger("test")
DATA = {"train": "a", "repair": "b"}


@pytest.fixture(autouse=True)
def quiet_and_offline(monkeypatch):
    datasets.disable_progress_bars()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def source():
    return make_source()


@pytest.fixture
def new_fold(tmp_path, source):
    """Make fold 0, with a record, below a new root."""
    return lambda root: make_fold(tmp_path / root, source)


def train(paths, seed=777, base_model=None, profile=PROFILE):
    done = training.usable_checkpoints(paths, RECORD, profile.epochs)
    resume_from = done[-1] if done else None
    finetuning.train_fold(paths, profile, seed, base_model, 0, resume_from, LOG)
    return training.complete_checkpoints(paths)


def weights(checkpoint):
    return (checkpoint / "model.safetensors").read_bytes()


class Killed(BaseException):
    """Like a kill, no handler of ours sees it."""


# -- the training ---------------------------------------------------------------------------


def test_one_whole_checkpoint_per_epoch(new_fold):
    paths = new_fold("a")
    done = train(paths)
    # 40 images twice, in batches of 8: 10 steps per epoch
    assert [checkpoint.name for checkpoint in done] == ["checkpoint-10", "checkpoint-20"]
    assert {path.name for path in paths.training.iterdir()} == {
        "checkpoint-10",
        "checkpoint-20",
        "training.json",
    }
    assert weights(done[0]) != weights(done[1])
    for checkpoint in done:
        model = ViTForImageClassification.from_pretrained(checkpoint)
        assert model.config.id2label == {n: str(n) for n in range(10)}
        assert (checkpoint / "preprocessor_config.json").is_file()


def test_accuracy_in_the_table_is_that_of_the_checkpoint(new_fold):
    paths = new_fold("a")
    repair = folds.load_split(paths, "repair")
    found = []
    for checkpoint in train(paths, profile=dataclasses.replace(PROFILE, epochs=4)):
        model = ViTForImageClassification.from_pretrained(checkpoint).eval()
        hits = 0
        for row in repair:
            x = (np.asarray(row["img"], dtype=np.float32) / 255 - 0.5) / 0.5
            with torch.no_grad():
                logits = model(pixel_values=torch.from_numpy(x)[None, None]).logits
            hits += int(logits.argmax()) == row["label"]
        assert training.repair_accuracy(checkpoint) == pytest.approx(hits / len(repair))
        found.append(hits)
    assert len(set(found)) > 1


def test_training_shows_a_bar_and_a_line_per_epoch(new_fold, monkeypatch, caplog, capsys):
    """Loss and time left in the bar; the line has the mean loss of the epoch's steps."""
    losses = []

    class Spied(finetuning.Trainer):
        def training_step(self, *given, **more):
            losses.append(float(found := super().training_step(*given, **more)))
            return found

    monkeypatch.setattr(finetuning, "Trainer", Spied)
    monkeypatch.setattr(finetuning, "LOG_EVERY", 0.15)  # 3 of 20 steps: epochs end in between
    with caplog.at_level(logging.INFO, "test"):
        done = train(new_fold("a"))
    lines = [line for line in caplog.messages if line.startswith("epoch")]
    assert len(lines) == 2 and len(losses) == 20
    for epoch, (line, checkpoint) in enumerate(zip(lines, done, strict=True), start=1):
        of_epoch = losses[10 * epoch - 10 : 10 * epoch]
        assert line.startswith(
            f"epoch {epoch} of 2: loss {np.mean(of_epoch):.3f}, "
            f"accuracy {training.repair_accuracy(checkpoint):.3f} on the repair split, "
        )
        assert line.endswith(" s")
    shown = capsys.readouterr()
    last = shown.err.rstrip().split("\r")[-1]
    assert re.fullmatch(r"training: 100%.* 20/20 \[\d\d:\d\d<\d\d:\d\d, .*, loss=\d.*\]", last)
    assert "grad_norm" not in shown.out + shown.err  # HF's own lines


def test_a_training_that_fails_ends_the_line_of_its_bar(new_fold, monkeypatch, capsys):
    def fails(self, *_, **__):
        raise OSError(28, "No space left on device")

    bars = []  # kept, as a traceback keeps them: nothing else closes them then

    class Kept(progress.tqdm):
        def __init__(self, **options):
            super().__init__(**options)
            bars.append(self)

    monkeypatch.setattr(progress, "tqdm", Kept)
    monkeypatch.setattr(finetuning.Trainer, "training_step", fails)
    with pytest.raises(UserError, match="No space left on device"):
        train(new_fold("a"))
    assert len(bars) == 1 and capsys.readouterr().err.endswith("\n")


def test_the_bar_of_a_resumed_training_begins_where_it_goes_on(new_fold, capsys, caplog):
    paths = new_fold("a")
    shutil.rmtree(train(paths)[-1])
    capsys.readouterr()
    with caplog.at_level(logging.INFO, "test"):
        train(paths)
    assert "training:  50%" in capsys.readouterr().err
    assert [line[:12] for line in caplog.messages if line.startswith("epoch")] == ["epoch 2 of 2"]


def test_columns_under_other_names_are_trained_on_and_named(new_fold, tmp_path, caplog):
    paths, other = new_fold("a"), FoldPaths(tmp_path / "b", "digits", 0)
    names = {"img": "image", "label": "fine_label"}
    splits = {split: folds.load_split(paths, split) for split in folds.SPLITS}
    splits["repair"] = splits["repair"].rename_columns(names)  # of each split by itself
    datasets.DatasetDict(splits).save_to_disk(other.dataset)
    with caplog.at_level(logging.INFO, "test"):
        found = train(other)
    assert [weights(path) for path in found] == [weights(path) for path in train(paths)]
    assert (
        "takes the only columns of their kind: 'image' for 'img', 'fine_label' for" in caplog.text
    )


def test_a_folder_of_glob_characters_is_trained_in(new_fold):
    plain, odd = (train(new_fold(root)) for root in ("a", "[a]*?"))
    assert [weights(path) for path in odd] == [weights(path) for path in plain]


def test_seed_decides_the_weights(new_fold):
    same, again, other = (
        train(new_fold(root), seed)[-1] for root, seed in (("a", 777), ("b", 777), ("c", 778))
    )
    assert weights(same) == weights(again)
    assert weights(same) != weights(other)


def test_digits_are_trained_to_the_same_bytes_whatever_the_cores(new_fold):
    """The real profile, whose sums two threads would split, on a few images."""
    before, found = torch.get_num_threads(), {}
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found[threads] = weights(train(new_fold(str(threads)), profile=PROFILES["digits"])[-1])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[1] == found[2] == found[4]


@pytest.mark.parametrize("step", [3, 14, 20])
def test_killed_training_goes_on_to_the_same_bytes(new_fold, monkeypatch, step):
    """Killed in epoch 1, in epoch 2, and as the last checkpoint is about to appear."""
    whole = train(new_fold("whole"))
    paths = new_fold("killed")

    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == step:
                raise Killed

    class KilledPublish(finetuning.PublishCheckpoint):
        def on_save(self, args, state, control, **_):
            if state.global_step == step:
                raise Killed
            super().on_save(args, state, control)

        on_step_end = Kill.on_step_end if step < 20 else TrainerCallback.on_step_end

    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "PublishCheckpoint", KilledPublish)
        with pytest.raises(Killed):
            train(paths)
    found = training.complete_checkpoints(paths)
    assert [path.name for path in found] == (["checkpoint-10"] if step > 10 else [])
    assert paths.training_staging.is_dir()
    torch.manual_seed(0)  # a new process would not be where the old one was
    resumed = train(paths)
    assert [path.name for path in resumed] == ["checkpoint-10", "checkpoint-20"]
    assert [weights(path) for path in resumed] == [weights(path) for path in whole]
    assert not paths.training_staging.exists()


def test_checkpoint_appears_in_one_move(tmp_path):
    """A copy could be seen, and killed, when it is half done."""
    staging, destination = tmp_path / "staging", tmp_path / "out"
    (staging / "checkpoint-7").mkdir(parents=True)
    destination.mkdir()
    number = (staging / "checkpoint-7").stat().st_ino
    state = TrainerState(global_step=7, is_world_process_zero=True)
    arguments = finetuning.training_arguments(staging, PROFILE, 777, 0)
    finetuning.PublishCheckpoint(destination).on_save(arguments, state, None)
    assert (destination / "checkpoint-7").stat().st_ino == number
    assert not any(staging.iterdir())


def test_every_image_is_seen_as_often_as_the_profile_says(new_fold, monkeypatch):
    paths = new_fold("a")
    seen = []

    class Spy(images.Collate):
        def __call__(self, rows):
            if torch.is_grad_enabled():
                seen.extend(np.asarray(image).tobytes() for image, _ in rows)
            return super().__call__(rows)

    monkeypatch.setattr(images, "Collate", Spy)
    monkeypatch.setattr(finetuning.Trainer, "evaluate", lambda self, **_: {})
    train(paths)
    train_split = folds.load_split(paths, "train")
    wanted = [np.asarray(image).tobytes() for image in train_split["img"]] * 2
    for epoch in (seen[:80], seen[80:]):
        assert sorted(epoch) == sorted(wanted)
    assert seen[:80] != seen[80:]


def test_arguments_are_the_recipe(tmp_path):
    arguments = finetuning.training_arguments(tmp_path, PROFILES["c100"], 779, 0)
    assert arguments.per_device_train_batch_size == 32
    assert arguments.learning_rate == 2e-4
    assert arguments.weight_decay == 0.01
    assert arguments.num_train_epochs == 2
    assert arguments.lr_scheduler_type == "linear" and arguments.warmup_steps == 0
    assert arguments.seed == arguments.data_seed == 779
    assert arguments.report_to == [] and not arguments.push_to_hub


def test_batch_is_shared_by_the_devices(tmp_path, monkeypatch):
    monkeypatch.setattr(finetuning, "device_count", lambda: 4)
    arguments = finetuning.training_arguments(tmp_path, PROFILES["c100"], 777, 0)
    assert arguments.per_device_train_batch_size == 8
    monkeypatch.setattr(finetuning, "device_count", lambda: 3)
    with pytest.raises(UserError, match="batch of 32 cannot be shared by 3 GPUs"):
        finetuning.training_arguments(tmp_path, PROFILES["c100"], 777, 0)


def test_processes_and_gpus_are_counted(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for gpus, counted in ((0, 1), (1, 1), (4, 4)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert finetuning.device_count() == counted
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert finetuning.device_count() == 2


def test_label_outside_the_classes_is_refused(new_fold, tmp_path):
    paths = new_fold("a")
    split = folds.load_split(paths, "repair")
    labels = [*split["label"][:-1], 10]
    fold = {name: folds.load_split(paths, name) for name in folds.SPLITS}
    plain = datasets.Features(img=datasets.Image(), label=datasets.Value("int64"))
    fold["repair"] = datasets.Dataset.from_dict({"img": split["img"][:], "label": labels}, plain)
    other = FoldPaths(tmp_path / "b", "digits", 0)
    datasets.DatasetDict(fold).save_to_disk(other.dataset)
    with pytest.raises(UserError, match="split 'repair': label 10 of row 9 is outside the 10"):
        train(other)


# -- the base model -------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path):
    """A tiny colour ViT with a head of 5 classes, as a folder."""
    config = ViTConfig(**(SHAPE | {"num_channels": 3, "image_size": 12}), num_labels=5)
    folder = tmp_path / "base"
    torch.manual_seed(1)
    ViTForImageClassification(config).half().save_pretrained(folder)
    return folder


def test_base_model_gets_a_head_for_the_classes(base):
    first = ViTForImageClassification.from_pretrained(base, dtype=torch.float32)
    model, feed = base_model.build_model(PROFILE, str(base), list("abcdefg"))
    assert model.classifier.weight.shape == (7, 16)
    assert model.config.id2label == dict(enumerate("abcdefg"))
    assert model.config.label2id == {name: n for n, name in enumerate("abcdefg")}
    for name, values in model.vit.state_dict().items():
        assert values.dtype == torch.float32
        assert torch.equal(values, first.vit.state_dict()[name]), name
    assert dict(feed.saved.size) == {"height": 12, "width": 12}


def test_base_model_is_fine_tuned(new_fold, base):
    paths = new_fold("a")
    done = train(paths, base_model=str(base))
    rows = images.ImageRows(folds.load_split(paths, "repair"), "img", "label", "repair")
    model = ViTForImageClassification.from_pretrained(done[-1])
    processor = images.load_processor(done[-1], model.config)
    collate = images.Collate(processor, images.input_shape(model.config))
    batch = next(iter(DataLoader(rows, batch_size=4, collate_fn=collate)))
    assert model(**batch).logits.shape == (4, 10)


def test_base_model_that_cannot_be_had(tmp_path, base):
    with pytest.raises(UserError) as caught:
        base_model.fetch_base_model("google/vit-base-patch16-224-in21k")
    assert "hf download google/vit-base-patch16-224-in21k --local-dir" in str(caught.value)
    with pytest.raises(UserError, match="neither a folder nor a name on the hub"):
        base_model.fetch_base_model(str(tmp_path / "nowhere"))
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"model_type": "swin"}))
    with pytest.raises(UserError, match="'swin' model: it pools over tokens"):
        base_model.build_model(PROFILE, str(base), ["a", "b"])
    (base / "config.json").write_text(json.dumps(config))
    (base / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(UserError, match=r"base model .* cannot be read"):
        base_model.build_model(PROFILE, str(base), ["a", "b"])


def edit_weights(folder, change):
    from safetensors.torch import load_file, save_file

    state = change(load_file(folder / "model.safetensors"))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def test_base_model_that_was_compiled_gives_the_same_weights(base):
    expected, _ = base_model.build_model(PROFILE, str(base), list("abc"))
    edit_weights(base, lambda state: {f"_orig_mod.{name}": x for name, x in state.items()})
    found, _ = base_model.build_model(PROFILE, str(base), list("abc"))
    assert found.config.id2label == {0: "a", 1: "b", 2: "c"}
    for name, values in expected.vit.state_dict().items():
        assert torch.equal(values, found.vit.state_dict()[name]), name


def test_base_model_of_codes_is_refused(base):
    edit_weights(
        base, lambda state: {k: x.to(torch.int8) if x.ndim == 2 else x for k, x in state.items()}
    )
    with pytest.raises(UserError, match=r"base model .*no floating point weights"):
        base_model.build_model(PROFILE, str(base), ["a", "b"])


def test_base_model_without_its_weights_is_refused(base):
    """transformers would fill the gap with random numbers."""
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(UserError, match=r"does not have the weights .*layers\.2"):
        base_model.build_model(PROFILE, str(base), ["a", "b"])
    (base / "config.json").write_text(json.dumps(config | {"intermediate_size": 32}))
    with pytest.raises(UserError, match="does not have the weights"):
        base_model.build_model(PROFILE, str(base), ["a", "b"])


# -- what is there already ------------------------------------------------------------------


def foreign(paths, *steps):
    """Checkpoints that another program trained: weights and config, nothing else."""
    config = ViTConfig(**SHAPE, num_labels=10)
    for step in steps:
        ViTForImageClassification(config).save_pretrained(paths.training / f"checkpoint-{step}")


def test_checkpoints_are_ordered_by_step(tmp_path):
    paths = FoldPaths(tmp_path, "digits", 0)
    assert training.complete_checkpoints(paths) == []
    foreign(paths, 100, 20)
    (paths.training / "checkpoint-notes").mkdir()
    names = [path.name for path in training.complete_checkpoints(paths)]
    assert names == ["checkpoint-20", "checkpoint-100"]
    (paths.training / "checkpoint-20" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="checkpoint-20 has neither"):
        training.complete_checkpoints(paths)


def test_foreign_folds_are_taken_as_they_are(tmp_path):
    paths = FoldPaths(tmp_path, "digits", 0)
    foreign(paths, 5, 10)
    assert len(training.usable_checkpoints(paths, RECORD, 2)) == 2


def test_foreign_fold_that_lacks_a_checkpoint_is_refused(tmp_path):
    paths = FoldPaths(tmp_path, "digits", 0)
    foreign(paths, 5)
    with pytest.raises(UserError, match="cannot go on from checkpoint-5"):
        training.usable_checkpoints(paths, RECORD, 2)
    for name in training.RESUME_FILES:
        (paths.training / "checkpoint-5" / name).touch()
    with pytest.raises(UserError, match=r"no training\.json"):
        training.usable_checkpoints(paths, RECORD, 2)


def test_one_epoch_gives_no_pair(tmp_path):
    with pytest.raises(UserError, match="epochs is 1"):
        training.usable_checkpoints(FoldPaths(tmp_path, "digits", 0), RECORD, 1)


@pytest.mark.parametrize(
    ("constants", "profile", "base_model", "data", "message"),
    [
        ({"SEED": 1}, {}, None, {}, "SEED was 777, now 1"),
        ({"SPLIT_SEED": 1}, {}, None, {}, "SPLIT_SEED was 777, now 1"),
        ({}, {"learning_rate": 0.1}, None, {}, "learning_rate was 0.005, now 0.1"),
        ({}, {"batch_size": 4}, None, {}, "batch_size was 8, now 4"),
        ({}, {}, "other", {}, "--base-model was None, now other"),
        ({}, {}, None, {"repair": "c"}, "the split repair in .* has changed"),
        ({}, {"source": "elsewhere"}, None, {}, None),
        ({}, {}, None, {}, None),
    ],
)
def test_fold_of_another_recipe_is_refused(tmp_path, constants, profile, base_model, data, message):
    paths = FoldPaths(tmp_path, "digits", 0)
    foreign(paths, 5, 10)
    training.save_record(paths, RECORD)
    now = training.make_record(
        CONSTANTS | constants, dataclasses.replace(PROFILE, **profile), base_model, DATA | data
    )
    if message is None:
        assert len(training.usable_checkpoints(paths, now, 2)) == 2
    else:
        with pytest.raises(UserError, match=message):
            training.usable_checkpoints(paths, now, 2)


def test_the_split_seed_in_force_is_on_record_beyond_repeat_0_alone():
    first, second = (training.make_record(CONSTANTS, PROFILE, None, DATA, None, k) for k in (4, 5))
    assert first == RECORD
    assert second == RECORD | {"split seed in force": 778}


@pytest.mark.parametrize(("fold", "now", "said"), [(5, 0, "778, now 777"), (0, 5, "777, now 778")])
def test_a_fold_of_another_repeat_is_refused(tmp_path, fold, now, said):
    """Also where its data were copied with it."""
    paths = FoldPaths(tmp_path, "digits", now)
    paths.training.mkdir()
    records = {k: training.make_record(CONSTANTS, PROFILE, None, DATA, None, k) for k in (0, 5)}
    training.save_record(paths, records[now])
    training.require_same(paths, records[now])
    training.save_record(paths, records[fold])
    with pytest.raises(UserError, match=f"split seed in force was {said}: it is of another repeat"):
        training.require_same(paths, records[now])


def test_base_model_given_once_need_not_be_given_again(tmp_path):
    paths = FoldPaths(tmp_path, "digits", 0)
    training.save_record(paths, training.make_record(CONSTANTS, PROFILE, "mine", DATA))
    training.require_same(paths, RECORD)


def test_accuracy_of_another_step_is_not_taken(tmp_path):
    state = {"global_step": 20, "log_history": [{"step": 10, "eval_accuracy": 0.5}]}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    assert training.repair_accuracy(tmp_path) is None
    state["log_history"].append({"step": 20, "eval_accuracy": 0.75})
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    assert training.repair_accuracy(tmp_path) == 0.75
    assert training.repair_accuracy(tmp_path / "nowhere") is None


# -- the script -----------------------------------------------------------------------------


def step_0(server, root, *options, **more):
    return server.run(0, root, "--ds", "digits", "--fold", "0", *options, **more)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_script_leaves_a_finished_fold_alone(server, new_fold):
    paths = new_fold("root")
    paths.training_record.unlink()
    foreign(paths, 5, 10)
    # an accuracy on a split that nobody knows
    state = {"global_step": 10, "log_history": [{"step": 10, "eval_accuracy": 0.5}]}
    (paths.training / "checkpoint-10" / "trainer_state.json").write_text(json.dumps(state))
    before = contents(paths.dataset) | contents(paths.training)
    result = step_0(server, paths.root)
    assert result.status == 0, result.stderr
    assert f"{paths.training} has 2 checkpoints: kept as it is" in result.stdout
    header, row = (line.split() for line in result.stdout.splitlines()[-2:])
    assert header[:6] == ["fold", "train", "repair", "test", "M1", "M2"]
    assert row == ["0", "40", "10", "10", "checkpoint-5", "checkpoint-10", "-", "-", "0", "-"]
    after = contents(paths.dataset) | contents(paths.training)
    after.pop(paths.log(0))
    assert after == before


def test_fold_of_another_split_seed_is_refused(server, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    paths = FoldPaths(root, "digits", 0)
    constants = {"N_FOLDS": 5, "SPLIT_SEED": 1, "SEED": 777}
    ledger = Ledger(paths, 0, constants, {})
    with ledger.task("folds", constants=["N_FOLDS", "SPLIT_SEED"]):
        folds.make_fold(paths, originals.digits(1), "test", 5, 1)
    result = step_0(server, root)
    assert result.status == 2 and result.stderr.count("\n") == 1
    assert "SPLIT_SEED was 1, now 777" in result.stderr
    assert not list(paths.training.glob("checkpoint-*"))


def test_raising_repeats_makes_no_fold_stale(tmp_path):
    """What step 0 records of a fold of repeat 0 and of repeat 1; REPEATS is in neither."""
    kept = {}
    for fold in (4, 5):
        paths = FoldPaths(tmp_path, "digits", fold)
        ledger = Ledger(paths, 0, CONSTANTS | {"REPEATS": 2}, {})
        parameters = repeats.split_record(777, fold, 5)
        with ledger.task("folds", constants=["N_FOLDS", "SPLIT_SEED"], parameters=parameters):
            pass
        kept[fold] = ledger.content["tasks"]["0/folds"]["recipe"]["constants"]
        more = Ledger(paths, 0, CONSTANTS | {"REPEATS": 9}, {})
        assert more.why_stale("0/folds") is None
        other = Ledger(paths, 0, CONSTANTS | {"SPLIT_SEED": 1}, {})
        assert other.why_stale("0/folds") == "SPLIT_SEED was 777, now 1"
    assert kept[4] == {"N_FOLDS": 5, "SPLIT_SEED": 777}
    assert kept[5] == kept[4] | {"split seed in force": 778}


def test_another_content_of_the_base_model_is_noticed(tmp_path):
    paths = FoldPaths(tmp_path, "digits", 0)
    old, new = (training.make_record(CONSTANTS, PROFILE, "base", DATA, c) for c in "ab")
    paths.training.mkdir()
    training.save_record(paths, old)
    with pytest.raises(UserError, match="the content of the base model has changed"):
        training.require_same(paths, new)
    training.require_same(paths, training.make_record(CONSTANTS, PROFILE, None, DATA))


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "trainer_state.json"])
def test_a_damaged_checkpoint_to_go_on_from_is_named(new_fold, name):
    paths = new_fold("a")
    first, last = train(paths)
    shutil.rmtree(last)
    (first / name).write_bytes(b"garbage")
    with pytest.raises(UserError, match=r"cannot go on from .*checkpoint-10.*move that checkpoint"):
        train(paths)


def test_other_processes_of_torchrun_neither_lock_nor_log(server, new_fold):
    paths = new_fold("root")
    paths.training_record.unlink()
    foreign(paths, 5, 10)
    paths.lock.parent.mkdir()
    second = "import os; os.environ.update(RANK='1', LOCAL_RANK='1')"
    with FileLock(paths.lock):
        result = step_0(server, paths.root, change=second)
    assert (result.status, result.stdout) == (0, "")
    assert not paths.log(0).exists()


def test_script_without_a_network_says_what_to_fetch(tmp_path):
    command = [sys.executable, str(SCRIPT), "--ds", "c100", "--fold", "0", "--root", str(tmp_path)]
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, env=offline)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and "hf download uoft-cs/cifar100" in result.stderr
    assert not (tmp_path / "dataset").exists() and not (tmp_path / "out_vit_c100_fold0").exists()


def test_a_failed_training_leaves_nothing_that_is_taken_for_one(server, new_fold):
    paths = new_fold("root")
    paths.training_record.unlink()
    (paths.training / "notes.txt").write_text("mine")
    options = ("--base-model", "no such/model/folder")
    result = step_0(server, paths.root, *options)
    assert result.status == 2 and "neither a folder nor a name" in result.stderr
    assert [path.name for path in paths.training.iterdir()] == ["notes.txt"]
    (paths.training / "notes.txt").unlink()
    assert step_0(server, paths.root, *options).status == 2
    assert not paths.training.exists() and paths.dataset.is_dir()


def test_what_a_failed_training_has_come_to_is_kept(new_fold):
    paths = new_fold("a")
    foreign(paths, 5)
    before = contents(paths.training)
    training.forget_failed(paths)
    assert contents(paths.training) == before


@pytest.mark.parametrize(("done", "ours", "said"), [(20, True, True), (30, True, False),
                                                    (20, False, False)])  # fmt: skip
def test_a_training_that_was_cut_short_has_no_m2_yet(new_fold, done, ours, said):
    paths = new_fold("a")
    foreign(paths, 10, 20)
    state = {"global_step": done, "max_steps": 30}
    (paths.training / "checkpoint-20" / "trainer_state.json").write_text(json.dumps(state))
    if not ours:
        paths.training_record.unlink()
    if not said:
        return training.require_finished(paths)
    with pytest.raises(UserError, match=r"cut short after step 20 of 30; run exp-fl-5-0\.py"):
        training.require_finished(paths)
