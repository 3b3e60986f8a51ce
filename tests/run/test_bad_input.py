"""What a user can get wrong: one line on stderr, exit status 2, and no file touched.

Each case damages a copy of a fold on which all steps have run (or only some),
and runs one step on it. What has to be accepted stands at the end.
"""

import hashlib
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pipeline
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

D, M = pipeline.SIZES["hidden_size"], pipeline.SIZES["intermediate_size"]
N = 2 * D * M
SAMPLES = 60
RESULTS = Path("exp-fl-5") / pipeline.NAME
TRAINING = Path(f"out_vit_{pipeline.NAME}")
M1, M2 = TRAINING / "checkpoint-10", TRAINING / "checkpoint-20"
DATASET = Path("dataset") / pipeline.NAME
CACHE = RESULTS / "cache_states_repair"
SETTINGS = RESULTS / "misclf_info" / "settings.csv"
TRUTH = RESULTS / "ground_truth"
FFN = "vit.encoder.layer.1.intermediate.dense.weight"


# -- how to break things -----------------------------------------------------------------------


def array(path: Path, values: np.ndarray) -> Callable[[Path], None]:
    return lambda root: np.save(root / path, values, allow_pickle=True)


def edited(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        np.save(root / path, change(np.load(root / path)))

    return damage


def content(path: Path, new: bytes | str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(new if isinstance(new, bytes) else new.encode())

    return damage


def replaced(path: Path, old: bytes, new: bytes) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        before = (root / path).read_bytes()
        assert old in before
        (root / path).write_bytes(before.replace(old, new))

    return damage


def shorter(path: Path, share: float = 0.5) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        os.truncate(root / path, int((root / path).stat().st_size * share))

    return damage


def gone(*paths: Path | str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        for path in paths:
            where = root / path
            shutil.rmtree(where) if where.is_dir() else where.unlink()

    return damage


def link(path: Path, target: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        where = root / path
        if where.is_dir() and not where.is_symlink():
            shutil.rmtree(where)
        where.unlink(missing_ok=True)
        where.symlink_to(target)

    return damage


def all_of(*damages: Callable[[Path], None]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        for one in damages:
            one(root)

    return damage


def on_record(path: Path) -> Callable[[Path], None]:
    """As if the step that makes the file had written it so: it is up to date, and still wrong."""

    def damage(root: Path) -> None:
        record, name = root / RESULTS / "provenance.json", path.relative_to(RESULTS).as_posix()
        text = record.read_text()
        outputs = [task["outputs"] for task in json.loads(text)["tasks"].values()]
        (old,) = (found[name] for found in outputs if name in found)
        new = hashlib.sha256((root / path).read_bytes()).hexdigest()
        record.write_text(text.replace(old, new))

    return damage


def made(path: Path, damage: Callable[[Path], None]) -> Callable[[Path], None]:
    return all_of(damage, on_record(path))


def made_as(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return made(path, edited(path, change))


def config(checkpoint: Path, **values) -> Callable[[Path], None]:
    """Entries of config.json; None takes one out."""

    def damage(root: Path) -> None:
        path = root / checkpoint / "config.json"
        found = json.loads(path.read_text()) | values
        kept = {k: v for k, v in found.items() if v is not None}
        path.write_text(json.dumps(kept))

    return damage


def classes(checkpoint: Path, names: tuple[str, ...]) -> Callable[[Path], None]:
    """Names for the classes of a model."""
    return config(checkpoint, id2label={str(i): name for i, name in enumerate(names)})


def states(**values: tuple) -> Callable[[Path], None]:
    """Two neighbours' trainer_state.json, but for `values` of M1 and M2."""

    def damage(root: Path) -> None:
        for i, checkpoint in enumerate((M1, M2)):
            pipeline.write_state(root / checkpoint, i + 1, **{k: v[i] for k, v in values.items()})

    return damage


def tensors(checkpoint: Path, change: Callable[[dict], None]) -> Callable[[Path], None]:
    """Edit the tensors of model.safetensors."""

    def damage(root: Path) -> None:
        path = root / checkpoint / "model.safetensors"
        state = load_file(path)
        change(state)
        save_file(state, path, metadata={"format": "pt"})

    return damage


def poison(name: str, value: float = float("nan")) -> Callable[[dict], None]:
    def change(state: dict) -> None:
        state[name].view(-1)[3] = value

    return change


def renamed(state: dict, rename: Callable[[str], str]) -> None:
    """Give every tensor another name."""
    found = {rename(name): values for name, values in state.items()}
    state.clear()
    state.update(found)


def with_adapters(state: dict) -> None:
    """LoRA beside each query matrix, as peft names it where the model was saved by itself."""
    where = ".attention.attention.query."
    renamed(state, lambda name: name.replace(where, f"{where}base_layer."))
    for layer in range(2):
        prefix = f"vit.encoder.layer.{layer}{where}"
        state[f"{prefix}lora_A.default.weight"] = torch.ones(2, D)
        state[f"{prefix}lora_B.default.weight"] = torch.ones(D, 2)


def as_bin(checkpoint: Path, save: Callable[[dict, Path], None]) -> Callable[[Path], None]:
    """Swap model.safetensors for a pytorch_model.bin."""

    def damage(root: Path) -> None:
        path = root / checkpoint / "model.safetensors"
        save(load_file(path), root / checkpoint / "pytorch_model.bin")
        path.unlink()

    return damage


def repair_rows(change: Callable[[datasets.Dataset], datasets.Dataset]) -> Callable[[Path], None]:
    """Save the fold again with another repair split."""

    def damage(root: Path) -> None:
        found = datasets.load_from_disk(str(root / DATASET))
        found["repair"] = change(found["repair"])
        found.save_to_disk(str(root / "other"))
        shutil.rmtree(root / DATASET)
        (root / "other").rename(root / DATASET)

    return damage


def with_labels(labels: list[int], names: list[str] | None = None) -> Callable:
    def change(rows: datasets.Dataset) -> datasets.Dataset:
        kind = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
        return rows.remove_columns("label").add_column("label", labels, feature=kind)

    return change


def with_images(encode: Callable[[int, bytes], bytes | None]) -> Callable:
    """Change the encoded image of each row."""

    def change(rows: datasets.Dataset) -> datasets.Dataset:
        raw = rows.cast_column("img", datasets.Image(decode=False))
        images = [
            {"bytes": encode(i, row["img"]["bytes"]), "path": None} for i, row in enumerate(raw)
        ]
        images = [image if image["bytes"] is not None else None for image in images]
        return datasets.Dataset.from_dict(
            {"img": images, "label": list(rows["label"])}, features=rows.features
        )

    return change


def in_16_bits(_: int, png: bytes) -> bytes:
    sink = io.BytesIO()
    wide = np.asarray(Image.open(io.BytesIO(png))).astype(np.uint16) * 257
    Image.fromarray(wide).save(sink, "PNG")
    return sink.getvalue()


def as_floats(_: int, png: bytes) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(np.asarray(Image.open(io.BytesIO(png))) / F32(255)).save(sink, "TIFF")
    return sink.getvalue()


def with_a_mask(rows: datasets.Dataset) -> datasets.Dataset:
    raw = rows.cast_column("img", datasets.Image(decode=False))["img"][:]
    return rows.rename_column("img", "image").add_column("mask", raw, feature=datasets.Image())


class Exploit:
    """Unpickling it writes a file that gives it away."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.write_text, (Path(self.marker), "code ran")


MARKER = "pwned.txt"


def pickled(path: Path) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (root / path).write_bytes(pickle.dumps(Exploit(str(root / MARKER))))

    return damage


def exploit_bin(state: dict, path: Path) -> None:
    torch.save(state | {"extra": Exploit(str(path.parents[2] / MARKER))}, path)


def predicted(root: Path) -> np.ndarray:
    return np.load(root / CACHE / "logits.npy").argmax(axis=1)


def relabel(rule: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        names = list(pipeline.CLASSES)
        labels = [int(x) for x in rule(predicted(root))]
        repair_rows(with_labels(labels, names))(root)

    return damage


# -- the table ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """step : the one that is run. said : what its message has to contain, in this order.

    ran : how many steps had run on the fold before the damage.
    first : steps that run after the damage, and that it does not disturb.
    """

    step: int
    damage: Callable[[Path], None]
    said: tuple[str, ...]
    options: tuple[str, ...] = ()
    constants: dict = field(default_factory=dict)
    ran: int = 7
    first: tuple[int, ...] = ()


def nothing(_: Path) -> None:
    pass


def options(*given: str, said: tuple[str, ...], step: int = 1) -> Case:
    return Case(step, nothing, said, given)


def constant(name: str, value: object, step: int = 1) -> Case:
    return Case(step, nothing, (name, "utils/constants.py", "expected"), constants={name: value})


F32 = np.float32
SCORES = np.linspace(0, 1, N, dtype=F32)
CASES: dict[str, Case] = {
    # the command line and the constants
    "unknown data set": options(
        "--ds", "mnist", said=("unknown data set 'mnist'", "digits", "PROFILES", "constants.py")
    ),
    "negative fold": options("--fold", "-1", said=("fold -1 does not exist", "0 to 4")),
    "fold too high": options("--fold", "5", said=("fold 5 does not exist",)),
    "fold twice": options("--fold", "0", "0", said=("fold 0 is given twice",)),
    "fold is a word": options("--fold", "one", said=("invalid int value",)),
    "n is 0": options("--n", "0", said=("n=0 is not between 1 and 8; change --n",)),
    "n is negative": options("--n", "-3", said=("n=-3 is not between",), step=4),
    "n above d": options("--n", "9", said=("n=9 is not between 1 and 8",), step=6),
    "n above d in step 7": options("--n", "9", said=("n=9 is not between 1 and 8",), step=7),
    "unknown option": options("--frobnicate", said=("unrecognized arguments",)),
    "no such device": options("--device", "tpu9", said=("--device tpu9",), step=4),
    "root missing": options("--root", "/no/such/folder", said=("not a folder", "--root")),
    "seed is a word": constant("SEED", "abc"),
    "no K": constant("K_PERCENTS", [], 7),
    "positive percent 0": constant("POSITIVE_PERCENT", 0),
    "everything is positive": constant("POSITIVE_PERCENT", 100, 4),
    "a metric at no K": constant("COMPARED_METRICS", ["lift@3%"], 2),
    "a fold too many": constant("FOLDS", [5]),
    "unknown precision": constant("INFERENCE_PRECISION", "fp16", 2),
    "one sample is enough": constant("MIN_SAMPLES", 1, 2),
    "no integration point": constant("IG_POINTS", 0, 4),
    "folds not a list": constant("FOLDS", 3),
    "a reference twice": constant("REFERENCES", ["random", "bl", "bl"], 7),
    "references a word": constant("REFERENCES", "bl", 7),
    "a reference that is no method": Case(
        7, nothing, ("REFERENCES", "'blx'", "is 'bl' meant"), constants={"REFERENCES": ["blx"]}
    ),
    "a metric twice": constant("COMPARED_METRICS", ["lift@1%", "lift@1%"], 7),
    "no metric": constant("COMPARED_METRICS", [], 7),
    "one K twice": constant("K_PERCENTS", [1, 1.0000001], 7),
    "no relabelling": constant("PERMUTATION_DRAWS", 0, 7),
    "draws not whole": constant("BOOTSTRAP_DRAWS", 9.5, 7),
    "kendall a word": constant("WITH_KENDALL", "False", 7),
    "seed too large": constant("SEED", 2**32, 5),
    # a step before its inputs exist
    "no fold": Case(2, gone(DATASET), ("does not exist", "exp-fl-5-0.py --ds digits --fold 0")),
    "no training": Case(1, gone(TRAINING), ("does not exist", "exp-fl-5-0.py")),
    "4 before 2": Case(4, nothing, ("settings.csv does not exist", "exp-fl-5-2.py"), ran=1),
    "5 before 2": Case(5, nothing, ("settings.csv does not exist", "exp-fl-5-2.py"), ran=1),
    "7 before 1": Case(7, gone("exp-fl-5"), ("settings.csv", "exp-fl-5-2.py"), ran=1),
    "7 before 4": Case(7, nothing, ("ig_score.npy does not exist", "exp-fl-5-4.py"), ran=3),
    "7 before 5": Case(7, nothing, ("_score.npy does not exist", "exp-fl-5-5.py"), ran=4),
    "7 before 6": Case(7, nothing, ("_score.npy does not exist", "exp-fl-5-6.py"), ran=5),
    "7 without truth": Case(7, gone(TRUTH), ("abs_diff.npy does not exist", "exp-fl-5-1.py")),
    # results that are not as the steps left them
    "cache too short": Case(
        4,
        made_as(CACHE / "intermediate.npy", lambda a: a[:-1]),
        ("shape (59, 32)", "exp-fl-5-3.py"),
    ),
    "cache in double precision": Case(
        5, made_as(CACHE / "output.npy", lambda a: a.astype(float)), ("float64", "exp-fl-5-3.py")
    ),
    "cache in Fortran order": Case(
        6, made_as(CACHE / "intermediate.npy", np.asfortranarray), ("Fortran", "exp-fl-5-3.py")
    ),
    "cache with NaN": Case(
        4, made_as(CACHE / "hidden_before_layernorm.npy", lambda a: a * np.nan), ("NaN",)
    ),
    "cache truncated": Case(
        5, shorter(CACHE / "intermediate.npy"), ("has changed since", "exp-fl-5-3.py")
    ),
    "cache made truncated": Case(
        5, made(CACHE / "intermediate.npy", shorter(CACHE / "intermediate.npy")), ("not whole",)
    ),
    "cache gone": Case(6, gone(CACHE / "output.npy"), ("output.npy", "exp-fl-5-3.py")),
    "cache changed": Case(
        5, edited(CACHE / "intermediate.npy", lambda a: a + 1), ("has changed", "step")
    ),
    "logits changed": Case(4, edited(CACHE / "logits.npy", lambda a: a + 1), ("changed",)),
    "labels out of range": Case(
        4, made_as(CACHE / "labels.npy", lambda a: a + 9), ("labels.npy has labels outside",)
    ),
    "samples out of range": Case(
        6, edited(RESULTS / "misclf_info/all_neg.npy", lambda a: a + SAMPLES), ("all_neg.npy",)
    ),
    "samples unordered": Case(
        6, edited(RESULTS / "misclf_info/all_pos.npy", lambda a: a[::-1]), ("all_pos.npy",)
    ),
    "samples not integers": Case(
        5, edited(RESULTS / "misclf_info/all_neg.npy", lambda a: a.astype(F32)), ("float32",)
    ),
    "settings empty": Case(
        4,
        made(SETTINGS, content(SETTINGS, "")),
        ("settings.csv is not a readable", "exp-fl-5-2.py"),
    ),
    "settings without a column": Case(
        5,
        made(SETTINGS, replaced(SETTINGS, b"status", b"state")),
        ("no column status", "exp-fl-5-2.py"),
    ),
    "settings not text": Case(
        6,
        made(SETTINGS, content(SETTINGS, b"\xff\xfe\x00\x80" * 9)),
        ("settings.csv is not a readable",),
    ),
    "settings with CRLF": Case(
        4, replaced(SETTINGS, b"\n", b"\r\n"), ("settings.csv has changed", "exp-fl-5-2.py")
    ),
    "settings with a BOM": Case(
        7, replaced(SETTINGS, b'"setting"', b'\xef\xbb\xbf"setting"'), ("has changed",)
    ),
    "a setting outside the folder": Case(
        5,
        made(SETTINGS, replaced(SETTINGS, b"tgt_top1", b"../../../evil")),
        ("settings.csv", "../../../evil'", "exp-fl-5-2.py"),
    ),
    "truth truncated": Case(7, shorter(TRUTH / "abs_diff.npy"), ("abs_diff.npy", "exp-fl-5-1.py")),
    "truth of another fold": Case(
        7, array(TRUTH / "abs_diff.npy", SCORES), ("abs_diff.npy has changed", "exp-fl-5-1.py")
    ),
    "our score too short": Case(
        7, edited(RESULTS / "all/weight_bl_score.npy", lambda a: a[1:]), ("exp-fl-5-5.py",)
    ),
    "our score as double": Case(
        7, edited(RESULTS / "all/neuron_ig_score.npy", lambda a: a.astype(float)), ("step 4",)
    ),
    "a result without a record": Case(
        7, gone(RESULTS / "provenance.json"), ("no record", "exp-fl-5-")
    ),
    "provenance truncated": Case(4, shorter(RESULTS / "provenance.json"), ("not readable",)),
    "provenance empty": Case(7, content(RESULTS / "provenance.json", ""), ("not readable",)),
    "provenance a list": Case(1, content(RESULTS / "provenance.json", "[1]"), ("not readable",)),
    "provenance with other tasks": Case(
        2,
        content(RESULTS / "provenance.json", '{"runs": {}, "tasks": {"2/x": 5}}'),
        ("not readable", "run from step 1 again"),
    ),
    "a file for the results": Case(
        1, all_of(gone("exp-fl-5"), content(Path("exp-fl-5"), "x")), ("exp-fl-5", "cannot write")
    ),
    "a file for the fold's results": Case(
        1, all_of(gone(RESULTS), content(RESULTS, "x")), (pipeline.NAME,)
    ),
    "a file for the logs": Case(
        4, all_of(gone(TRAINING / "logs"), content(TRAINING / "logs", "x")), ("the log", "logs")
    ),
    "a file for a setting": Case(4, content(RESULTS / "all", "x"), ("cannot write", "all/"), ran=3),
    "results linked in a circle": Case(1, link(RESULTS, RESULTS.name), (pipeline.NAME,)),
    # checkpoints
    "no checkpoints": Case(1, gone(M1, M2), ("fewer than two", "none", "exp-fl-5-0.py")),
    "one checkpoint": Case(1, gone(M1), ("fewer than two", "checkpoint-20")),
    "steps not numbers": Case(
        2, lambda root: (root / M1).rename(root / TRAINING / "checkpoint-last"), ("fewer than two",)
    ),
    "one step twice": Case(
        1,
        lambda root: shutil.copytree(root / M1, root / TRAINING / "checkpoint-0010"),
        ("of one step",),
    ),
    "a training that was cut short": Case(
        1,
        all_of(
            content(TRAINING / "training.json", "{}"),
            content(M2 / "trainer_state.json", '{"global_step": 20, "max_steps": 30}'),
        ),
        ("cut short after step 20 of 30", "exp-fl-5-0.py --ds digits --fold 0"),
    ),
    "training is a file": Case(
        1, all_of(gone(TRAINING), content(TRAINING, "x")), (TRAINING.name, "exp-fl-5-0.py")
    ),
    "checkpoint linked in a circle": Case(1, link(M2, M2.name), ("fewer than two",)),
    "checkpoint empty": Case(
        1, gone(M1 / "config.json", M1 / "model.safetensors"), ("not a whole checkpoint",)
    ),
    "no weights": Case(1, gone(M2 / "model.safetensors"), ("neither model.safetensors",)),
    "half a safetensors": Case(1, shorter(M2 / "model.safetensors"), ("cannot be read",)),
    "half a safetensors for 5": Case(
        5, shorter(M1 / "model.safetensors"), ("checkpoint-10 cannot be read", "copy")
    ),
    "safetensors empty": Case(2, content(M1 / "model.safetensors", b""), ("cannot be read",)),
    "index without shards": Case(
        1,
        lambda root: (root / M1 / "model.safetensors").rename(
            root / M1 / "model.safetensors.index.json"
        ),
        ("index.json is not readable",),
    ),
    "index of missing shards": Case(
        1,
        all_of(
            gone(M1 / "model.safetensors"),
            content(M1 / "model.safetensors.index.json", '{"weight_map": {"a": "x.bin"}}'),
        ),
        ("names the shard x.bin",),
    ),
    "index that leads outside": Case(
        1,
        all_of(
            gone(M1 / "model.safetensors"),
            content(M1 / "model.safetensors.index.json", '{"weight_map": {"a": "../x.bin"}}'),
        ),
        ("index.json is not readable", "outside the folder"),
    ),
    "index of numbers": Case(
        1,
        all_of(
            gone(M1 / "model.safetensors"),
            content(M1 / "model.safetensors.index.json", '{"weight_map": {"a": 5}}'),
        ),
        ("index.json is not readable",),
    ),
    "code in a .bin": Case(1, as_bin(M1, exploit_bin), ("not a plain file of weights",)),
    "code in a .bin, step 2": Case(2, as_bin(M1, exploit_bin), ("was not loaded",)),
    "a .bin of a list": Case(
        1, as_bin(M2, lambda state, path: torch.save([1, 2], path)), ("dictionary of tensors",)
    ),
    "a .bin of garbage": Case(
        1, as_bin(M2, lambda state, path: path.write_bytes(b"\x00garbage" * 99)), ("not a plain",)
    ),
    "an empty .bin": Case(1, as_bin(M2, lambda state, path: path.write_bytes(b"")), ("not a",)),
    "config gone": Case(4, gone(M1 / "config.json"), ("config.json does not exist",)),
    "config not JSON": Case(1, content(M2 / "config.json", "{"), ("config.json is not readable",)),
    "config a list": Case(
        1, content(M1 / "config.json", "[]"), ("of a None model, which is unknown here",)
    ),
    "config of another model": Case(1, config(M1, model_type="swin"), ("'swin' model: it pools",)),
    "config without a size": Case(1, config(M1, hidden_size=None), ("hidden_size is None",)),
    "config with a word as size": Case(
        1, config(M1, intermediate_size="many"), ("intermediate_size is 'many'",)
    ),
    "config with a negative number of heads": Case(
        2, config(M1, num_attention_heads=-1), ("num_attention_heads is -1",)
    ),
    "config with a word as eps": Case(
        2, config(M1, layer_norm_eps="x"), ("layer_norm_eps is 'x'",)
    ),
    "config with another size": Case(
        1, all_of(config(M1, hidden_size=10), config(M2, hidden_size=10)), ("has shape",)
    ),
    "unknown activation": Case(2, config(M1, hidden_act="wobble"), ("wobble",)),
    "too many layers": Case(
        1, all_of(config(M1, num_hidden_layers=7), config(M2, num_hidden_layers=7)), ("no tensor",)
    ),
    "too few layers": Case(
        1,
        all_of(config(M1, num_hidden_layers=1), config(M2, num_hidden_layers=1)),
        ("has the tensor vit.encoder.layer.1.", "and 15 more", "num_hidden_layers 1"),
    ),
    "adapters that were not merged": Case(
        1,
        tensors(M1, with_adapters),
        (
            "layer.0.attention.attention.query.base_layer.bias",
            "which the model does not have",
            "merge adapters",
        ),
    ),
    "adapters of peft": Case(
        2,
        tensors(M2, lambda s: renamed(s, lambda n: f"base_model.model.{n}")),
        ("checkpoint-20 has the tensor base_model.model.classifier.bias and 39 more", "merge"),
    ),
    "an adapter beside the weights": Case(
        4, content(M1 / "adapter_model.safetensors", ""), ("has adapter_model.safetensors", "merge")
    ),
    "prompt tokens": Case(
        3,
        tensors(M1, lambda s: s.update({"vit.embeddings.prompt_tokens": torch.ones(1, 2, D)})),
        ("checkpoint-10 has the tensor vit.embeddings.prompt_tokens,", "does not have"),
    ),
    "a class of the user's": Case(
        1,
        config(M1, architectures=["MeanPooledViT"]),
        ("architectures is ['MeanPooledViT']", "ViTForImageClassification"),
    ),
    "a class of the user's by auto_map": Case(
        5,
        config(M2, auto_map={"AutoModelForImageClassification": "modeling.MyViT"}),
        ("checkpoint-20", "auto_map is {'AutoModel", "ViTForImageClassification"),
    ),
    "several labels per image": Case(
        2,
        config(M1, problem_type="multi_label_classification"),
        ("problem_type 'multi_label_classification'", "single_label_classification"),
    ),
    "a regression": Case(1, config(M2, problem_type="regression"), ("problem_type 'regression'",)),
    "an FFN matrix of zeros": Case(
        1,
        tensors(M2, lambda s: s[FFN.replace("intermediate", "output")].zero_()),
        ("checkpoint-20: the FFN matrix vit.encoder.layer.1.output.dense.weight is all zeros",),
    ),
    "M1 and M2 of different shape": Case(
        1,
        lambda root: pipeline.make_model(5, intermediate_size=16).save_pretrained(root / M2),
        ("differ in intermediate_size (32 and 16)",),
    ),
    "M1 and M2 of other classes": Case(
        1,
        lambda root: pipeline.make_model(5, 7).save_pretrained(root / M2),
        ("differ in num_labels (4 and 7)",),
    ),
    "M2 has other classes than its config says": Case(
        1,
        all_of(
            lambda root: pipeline.make_model(5, 7).save_pretrained(root / M2),
            lambda root: shutil.copy(root / M1 / "config.json", root / M2),
        ),
        ("differ in the shape of classifier", "one training run"),
    ),
    "M1 and M2 of other activations": Case(
        4, config(M2, hidden_act="relu"), ("differ in hidden_act (gelu and relu)",)
    ),
    "M1 and M2 of two runs": Case(
        2, states(max_steps=(20, 30)), ("no neighbours: max_steps is 20 and 30", "--accept-pair")
    ),
    "M1 and M2 three epochs apart": Case(
        7, states(epoch=(2.0, 5.0)), ("they are 3 epochs apart (2 and 5)", "--m1 and --m2")
    ),
    "a state that is cut short": Case(
        1,
        all_of(states(), shorter(M2 / "trainer_state.json")),
        ("checkpoint-20/trainer_state.json is not what the Trainer writes",),
    ),
    "M1 of a step that is not there": options(
        "--m1", "15", said=("--m1 15", "checkpoints of the steps 10, 20")
    ),
    "M1 after M2": options("--m1", "20", "--m2", "10", said=("M1 is the earlier one",), step=5),
    "M1 not a step": constant("M1_STEP", "last"),
    "weights of 8 bits": Case(
        1,
        tensors(M1, lambda s: s.update({FFN: (s[FFN] * 50).to(torch.int8)})),
        ("checkpoint-10", "holds I8, no floating point weights"),
    ),
    "a model that is quantized": Case(
        2, config(M1, quantization_config={"load_in_8bit": True}), ("has a quantization_config",)
    ),
    "classes in another order": Case(
        2,
        all_of(*(classes(m, pipeline.CLASSES[::-1]) for m in (M1, M2))),
        ("in another order: class 0 is 'drei' and 'zero'",),
    ),
    "classes of other names": Case(
        3,
        all_of(*(classes(m, ("zero", "one", "zwei", "drei")) for m in (M1, M2))),
        ("class 1 is 'one' and '=one'", "data set that the model was trained on"),
    ),
    "NaN in M1": Case(1, tensors(M1, poison(FFN)), ("checkpoint-10", "NaN")),
    "inf in M2": Case(1, tensors(M2, poison(FFN, float("inf"))), ("checkpoint-20", "NaN or inf")),
    "NaN in an embedding": Case(
        2, tensors(M1, poison("vit.embeddings.cls_token")), ("NaN", "model is broken")
    ),
    "a weight is missing": Case(
        2, tensors(M1, lambda s: s.pop("vit.embeddings.cls_token")), ("lacks the weights",)
    ),
    "no classifier": Case(2, tensors(M1, lambda s: s.pop("classifier.weight")), ("no tensor",)),
    "M1 and M2 the same": Case(
        1,
        all_of(gone(M2), lambda root: shutil.copytree(root / M1, root / M2)),
        ("same FFN weights", "no ground truth"),
    ),
    "a repaired model": Case(
        1,
        tensors(
            M1,
            lambda s: s.update(
                {"vit.encoder.layer.1.intermediate.repair.weight": 2 * torch.eye(M)}
            ),
        ),
        ("not the identity",),
    ),
    "processor not JSON": Case(
        2, content(M1 / "preprocessor_config.json", "{"), ("preprocessor_config.json",)
    ),
    # data
    "fold is a file": Case(2, all_of(gone(DATASET), content(DATASET, "x")), (pipeline.NAME,)),
    "fold is empty": Case(
        2, all_of(gone(DATASET), lambda root: (root / DATASET).mkdir()), ("exp-fl-5-0.py",)
    ),
    "fold linked in a circle": Case(2, link(DATASET, DATASET.name), (pipeline.NAME,)),
    "no repair split": Case(2, gone(DATASET / "repair"), ("repair",)),
    "state.json not JSON": Case(2, content(DATASET / "repair/state.json", "{"), ("repair",)),
    "half the rows": Case(
        2, shorter(DATASET / "repair/data-00000-of-00001.arrow"), (pipeline.NAME,)
    ),
    "an empty split": Case(2, repair_rows(lambda rows: rows.select([])), ("repair",)),
    "no label column": Case(
        2, repair_rows(lambda rows: rows.remove_columns("label")), ("'label'", "label_column")
    ),
    "no image column": Case(
        2, repair_rows(lambda rows: rows.remove_columns("img")), ("'img'", "image_column")
    ),
    "labels above the classes": Case(
        2, repair_rows(with_labels([0] * (SAMPLES - 1) + [4])), ("label 4", "4 classes")
    ),
    "negative labels": Case(
        2, repair_rows(with_labels([-1] + [0] * (SAMPLES - 1))), ("label -1", "4 classes")
    ),
    "more classes than the model": Case(
        2,
        repair_rows(with_labels([0] * SAMPLES, [str(i) for i in range(9)])),
        ("have 4 and 9 classes of other names", "same classes in the same order"),
    ),
    "pictures of fractions": Case(
        2, repair_rows(with_images(as_floats)), ("image 0", "repair", "from 0", "8 or with 16 bits")
    ),
    "two columns of pictures": Case(
        2,
        repair_rows(with_a_mask),
        ("'img'", "image and mask could be meant", "image_column"),
    ),
    "labels of text": Case(
        2,
        repair_rows(lambda rows: rows.remove_columns("label").add_column("label", ["a"] * SAMPLES)),
        ("'label'", "class numbers"),
    ),
    "a corrupt image": Case(
        2,
        repair_rows(with_images(lambda i, b: b[: len(b) // 2] if i == 7 else b)),
        ("image 7", "repair"),
    ),
    "an image that is none": Case(
        2, repair_rows(with_images(lambda i, b: b"<svg/>" if i == 3 else b)), ("image 3",)
    ),
    "a missing image": Case(
        2, repair_rows(with_images(lambda i, b: None if i == 5 else b)), ("image 5", "missing")
    ),
    "no misclassified sample": Case(
        2, relabel(lambda p: p), ("misclassifies 0 of 60",), first=(3,)
    ),
    "no correct sample": Case(
        2, relabel(lambda p: (p + 1) % 4), ("misclassifies 60 of 60",), first=(3,)
    ),
}


def run(server, step: int, root: Path, *options: str, **constants) -> pipeline.Finished:
    return server.run(step, root, *options, constants=pipeline.QUICK | constants, summary=False)


@pytest.fixture(scope="module")
def trees(stages) -> dict[int, Path]:
    """A fold after each number of steps."""
    return {n: stages[n + 1].before for n in range(1, 7)} | {7: stages[pipeline.SUMMARY].before}


def test_there_are_at_least_40_cases():
    assert len(CASES) >= 40


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_gets_one_line_and_changes_nothing(server, trees, name, tmp_path):
    case = CASES[name]
    root = shutil.copytree(trees[case.ran], tmp_path / "root", symlinks=True)
    case.damage(root)
    for step in case.first:
        assert run(server, step, root).status == 0
    before = pipeline.snapshot(root)
    done = run(server, case.step, root, *case.options, **case.constants)
    require_refused(done, case)
    assert pipeline.snapshot(root) == before
    assert not (root / MARKER).exists()


def require_refused(done: pipeline.Finished, case: Case) -> None:
    assert done.status == 2, f"{done.status}: {done.stderr}"
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"exp-fl-5-{case.step}.py: ")
    assert re.search(".*".join(map(re.escape, case.said)), lines[0]), lines[0]


@pytest.mark.parametrize("name", ["truth truncated", "a corrupt image"])
def test_a_cold_start_says_the_same(trees, name, tmp_path):
    case = CASES[name]
    root = shutil.copytree(trees[case.ran], tmp_path / "root")
    case.damage(root)
    require_refused(pipeline.run(case.step, root, *case.options), case)


@pytest.mark.parametrize(
    ("folder", "step", "said"),
    [
        (RESULTS, 4, "cannot write .*permi"),
        (CACHE, 2, "cannot write .*permi"),
        (RESULTS.parent, 4, "permi"),
    ],
)
def test_a_read_only_folder(server, trees, folder, step, said, read_only, tmp_path):
    root = shutil.copytree(trees[step - 1], tmp_path / "root")
    (root / TRAINING / "logs" / f"exp-fl-5-{step}.log").unlink(missing_ok=True)
    (root / RESULTS.parent / f".{pipeline.NAME}.lock").unlink()
    (root / CACHE).mkdir(exist_ok=True)
    read_only(root / folder)
    before = pipeline.snapshot(root)
    done = run(server, step, root)
    require_refused(done, Case(step, nothing, ()))
    assert re.search(said, done.stderr.lower()), done.stderr
    assert pipeline.snapshot(root) == before


def test_one_class_only(server, tmp_path):
    pipeline.make_fold(tmp_path, names=("only",), mistakes=0)
    done = run(server, 2, tmp_path)
    require_refused(done, Case(2, nothing, ("num_labels 1, which means a regression",)))


# -- what has to work --------------------------------------------------------------------------


def run_all(server, root: Path, steps: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)) -> None:
    for step in steps:
        done = server.run(step, root, constants=pipeline.QUICK, summary=False)
        assert done.status == 0, f"step {step}: {done.stderr}"
        assert not done.stderr
    assert not (root / MARKER).exists()


def test_class_names_of_every_kind(server, tmp_path):
    names = ("ä" * 3000, "=cmd|' /C calc'!A0", '日本語, \n"zitiert"', "../../../evil")
    pipeline.make_fold(tmp_path, names=names)
    before = {path for path in tmp_path.rglob("*") if RESULTS.parent not in path.parents}
    run_all(server, tmp_path)
    for table in ("class_metrics.csv", "confusion_matrix.csv"):
        read = pd.read_csv(tmp_path / RESULTS / "misclf_info" / table)
        column = list(read.get("name", read.iloc[:, 0]))
        assert column == [names[0], "'" + names[1], *names[2:]]
    assert list(read)[1:] == [names[0], "'" + names[1], *names[2:]]
    text = (tmp_path / RESULTS / "misclf_info" / "confusion_matrix.csv").read_text()
    assert not re.search(r'(^|,)"?[=+@-]', text, re.MULTILINE)
    outside = {
        path
        for path in tmp_path.rglob("*")
        if "exp-fl-5" not in path.parts[len(tmp_path.parts)] and "logs" not in path.parts
    }
    assert outside <= before


def test_grey_images_in_a_colour_model(server, tmp_path):
    pipeline.make_fold(tmp_path, num_channels=3)
    run_all(server, tmp_path)
    table = pd.read_csv(tmp_path / RESULTS / "misclf_info" / "predictions.csv")
    assert (table["correct"] == 0).sum() == 4


def in_every_mode(i: int, png: bytes) -> bytes:
    sink = io.BytesIO()
    mode = ("L", "RGB", "RGBA", "LA", "P")[i % 5]
    Image.open(io.BytesIO(png)).convert(mode).save(sink, "PNG")
    return sink.getvalue()


def in_shards(root: Path) -> None:
    (root / M1 / "model.safetensors").unlink()
    pipeline.make_model().save_pretrained(root / M1, max_shard_size="2KB")
    assert len(list((root / M1).glob("model-*.safetensors"))) > 1


@pytest.mark.parametrize(
    "change",
    [
        repair_rows(with_images(in_every_mode)),
        repair_rows(with_images(in_16_bits)),
        repair_rows(lambda rows: rows.cast_column("img", datasets.Image(decode=False))),
        repair_rows(lambda r: r.rename_columns({"img": "image", "label": "fine_label"})),
        as_bin(M1, torch.save),
        in_shards,
        tensors(
            M1,
            lambda s: s.update({"vit.encoder.layer.1.intermediate.repair.weight": torch.eye(M)}),
        ),
        config(M1, attn_implementation="someone/kernels"),
        tensors(M1, lambda s: s.update({"vit.embeddings.position_ids": torch.arange(5)[None]})),
        config(M1, architectures=None, problem_type="single_label_classification"),
        config(M1, return_dict=False, output_hidden_states=True),
        pickled(M1 / "training_args.bin"),
        pickled(M1 / "optimizer.pt"),
        pickled(DATASET / "repair" / "cache.pkl"),
    ],
    ids=[
        "images of other modes", "images of 16 bits", "images that are not decoded",
        "columns under other names", "pytorch_model.bin", "shards", "identity repair matrix",
        "code named in config.json", "a buffer that a release had", "a class that is not named",
        "other outputs asked for in config.json",
        "code in training_args.bin", "code in optimizer.pt",
        "a pickle in the data set",
    ],
)  # fmt: skip
def test_other_forms_of_the_same_inputs_give_the_same_results(
    server, trees, stages, change, tmp_path
):
    root = shutil.copytree(trees[1], tmp_path / "root")
    change(root)
    run_all(server, root, (1, 2, 3, 4))
    assert pipeline.results(root) == stages[4].after


def test_a_root_of_any_characters(server, trees, stages, tmp_path):
    """Those of patterns and of addresses; beside folders that its name matches as a pattern."""
    for neighbour in ("ab d", "aXb"):
        (tmp_path / neighbour / "dataset").mkdir(parents=True)
    root = shutil.copytree(trees[1], tmp_path / "a[b]*?{c,d} [!x]::file:#1%20~")
    run_all(server, root)
    assert pipeline.results(root) == stages[7].after


def test_a_checkpoint_in_half_precision(server, trees, tmp_path):
    root = shutil.copytree(trees[1], tmp_path / "root")
    pipeline.make_model().bfloat16().save_pretrained(root / M1)
    assert server.run(3, root, constants=pipeline.QUICK).status == 0
    relabel(lambda p: pipeline.spoil(p, 4))(root)
    run_all(server, root)
    assert np.load(root / CACHE / "logits.npy").dtype == np.float32


def test_neurons_that_are_all_equal(server, trees, tmp_path):
    root = shutil.copytree(trees[1], tmp_path / "root")

    def flatten(state: dict) -> None:
        state[FFN].fill_(1e-30)
        state[FFN.replace("weight", "bias")].fill_(0.5)

    tensors(M1, flatten)(root)
    assert server.run(3, root, constants=pipeline.QUICK).status == 0
    relabel(lambda p: pipeline.spoil(p, 4))(root)
    run_all(server, root)
    assert not np.load(root / RESULTS / "all" / "neuron_vdiff_score.npy").any()


def test_a_reader_that_goes_away_stops_nothing(trees, stages, tmp_path):
    """As in `exp-fl-5-1.py | head -0`."""
    root = tmp_path / "root"
    shutil.copytree(stages[1].before, root)
    with subprocess.Popen(
        [sys.executable, *pipeline.command(1, root)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=pipeline.ENVIRONMENT,
    ) as process:  # fmt: skip
        process.stdout.close()
        assert not process.stderr.read()
    assert process.returncode == 0
    found = {k: v for k, v in pipeline.results(root).items() if "hist_abs_diff" not in k}
    assert found == {k: v for k, v in stages[1].after.items() if "hist_abs_diff" not in k}


@pytest.mark.parametrize("junk", [b"", b"[1, 2]", b"{", b"\xff\xfe", b'{"file:/x": 5}'])
def test_a_broken_hash_cache_is_made_again(server, trees, junk, tmp_path):
    root = shutil.copytree(trees[7], tmp_path / "root")
    expected = pipeline.results(root)
    (root / RESULTS / ".hashes.json").write_bytes(junk)
    done = run(server, 6, root)
    assert done.status == 0, done.stderr
    assert "made 0 rankings" in done.stdout
    assert pipeline.results(root) == expected
