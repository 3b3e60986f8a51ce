"""Steps 0 to 10 on a fold of texts with a RoBERTa, and on one of pictures with a DeiT."""

import json
import shutil

import family_nets
import numpy as np
import pandas as pd
import pipeline
import pytest
import text_folds
import torch

from utils.model import checkpoints, forward
from utils.model.class_token import without_padding

FOLD = "exp-fl-5/talk_fold0"
STEPS = range(11)


class Done:
    """All steps on one fold of a data set `talk` with a profile."""

    def __init__(self, server, root, name):
        self.server, self.root, self.name = server, root, name
        make = text_folds.texts_source if name in family_nets.TEXTS else text_folds.pictures_source
        make(root / "source")
        text_folds.save_model(root / "base", name)
        self.profile = {
            "source": str(root / "source"), "base_model": str(root / "base"), "batch_size": 8,
            "learning_rate": 2e-3, "replays": 1, "cpu_threads": 1,
        }  # fmt: skip
        self.said = {step: self.run(step) for step in STEPS}

    def run(self, step, **more):
        options = ["--ds", "talk", *(["--only-folds"] if step == 7 else [])]
        constants = pipeline.QUICK | {"PLANTED_FAULTS": 1, "RETRAIN_PERCENTS": (1,)}
        return self.server.run(
            step, self.root, *options, constants=constants, profiles={"talk": self.profile}, **more
        )

    @property
    def training(self):
        return self.root / "out_vit_talk_fold0"

    @property
    def m1(self):
        return min(self.training.glob("checkpoint-*"), key=lambda f: int(f.name.split("-")[1]))

    def array(self, name):
        return np.load(self.root / FOLD / name)

    def table(self, name):
        return pd.read_csv(self.root / FOLD / name)


@pytest.fixture(scope="module", params=["roberta", "deit"])
def done(request, server, tmp_path_factory):
    return Done(server, tmp_path_factory.mktemp(request.param), request.param)


def test_every_step_ends_well(done):
    for step, finished in done.said.items():
        assert finished.status == 0, f"step {step}: {finished.stderr[-2000:]}"
    log = "".join(f.read_text() for f in sorted((done.training / "logs").glob("*.log")))
    kind = "images" if done.name == "deit" else "texts"
    assert f"30 {kind} of the repair split" in log
    cut = "texts of the split 'repair' are longer than the 12 tokens that the model takes: cut"
    assert (cut in log) == (kind == "texts")


def test_the_tokenizer_lies_beside_the_weights(done):
    there = (done.m1 / "tokenizer.json").is_file()
    assert there == (done.name in family_nets.TEXTS)
    assert json.loads((done.m1 / "config.json").read_text())["model_type"] == done.name


def test_caches_are_what_the_whole_model_says(done):
    if done.name == "deit":
        pytest.skip("pictures are compared in test_end_to_end.py")
    import datasets

    rows = datasets.load_from_disk(str(done.root / "dataset" / "talk_fold0"))["repair"]
    tokenizer = text_folds.make_tokenizer()
    model = forward.load_model(done.m1)
    logits = []
    for text in rows["text"]:
        ids = tokenizer(text, truncation=True, max_length=family_nets.LONGEST)["input_ids"]
        with torch.no_grad():
            logits.append(model(input_ids=torch.tensor([ids])).logits[0].numpy())
    np.testing.assert_allclose(done.array("cache_states_repair/logits.npy"), logits, atol=1e-5)
    assert done.table("misclf_info/predictions.csv")["pred_label"].tolist() == (
        np.argmax(logits, axis=1).tolist()
    )


def test_truth_and_verdicts_are_there(done):
    named = family_nets.NAMED[done.name]
    bef, aft = checkpoints.read_ffn(done.m1)
    assert (bef.shape, aft.shape) == ((12, 8), (8, 12))
    state = forward.load_model(done.m1).state_dict()
    assert np.array_equal(bef, state[f"{named.bef}.weight"].numpy())
    assert len(done.array("ground_truth/abs_diff.npy")) == 2 * 8 * 12
    proof = done.table("cache_states_repair/proof.csv").set_index("quantity")["value"]
    assert proof["same_prediction"] == 1 and proof["max_diff_output"] < 1e-5
    layers = done.table("exp-fl-5-8_layers.csv")
    assert set(layers["block"]) == {"embeddings", "attention", "ffn", "head"}
    credit = done.table("ground_truth/repair.csv").set_index("setting").loc["all"]
    assert abs(credit["gap"]) < 1e-4
    assert len(done.table("exp-fl-5-10_retrained.csv"))
    assert set(done.table("exp-fl-5-8_transplant.csv")["method"]) > {"change", "ig", "bl"}
    assert (done.root / FOLD / "exp-fl-5-9_planted.csv").is_file()


def test_the_replay_in_the_same_order_gave_m2s_bytes(done):
    assert not (done.training / "replay-0").exists()
    assert (done.training / "replay-1").is_dir()


def test_another_column_of_texts_makes_the_caches_stale(done):
    if done.name == "deit":
        pytest.skip("pictures have no column of texts")
    done.profile["text_column"] = "text"
    finished = done.run(4)
    done.profile.pop("text_column")
    assert finished.status == 2 and "text_column was None, now text" in finished.stderr


@pytest.mark.parametrize("at", [2, 6, 9])
def test_a_step_that_was_killed_gives_the_same_bytes_when_run_again(done, at, tmp_path):
    if done.name == "deit":
        pytest.skip("pictures are killed in test_kill_points.py")
    for name in ("dataset", done.training.name):
        shutil.copytree(done.root / name, tmp_path / name)
    options = {"profiles": {"talk": done.profile}}
    killed = done.server.run(3, tmp_path, "--ds", "talk", mode="kill", at=at, **options)
    assert killed.status < 0
    again = done.server.run(3, tmp_path, "--ds", "talk", **options)
    assert again.status == 0, again.stderr
    for split in ("repair", "test"):
        for name in ("hidden_before_layernorm", "intermediate", "output", "logits", "labels"):
            file = f"{FOLD}/cache_states_{split}/{name}.npy"
            assert (tmp_path / file).read_bytes() == (done.root / file).read_bytes(), file


def test_texts_that_are_padded_together_are_cut_to_the_longest():
    batch = family_nets.batch_for("bert", 5)
    few = {key: values[:2] for key, values in batch.items()}
    longest = int(few["attention_mask"].sum(1).max())
    found = without_padding(few)
    assert found["input_ids"].shape == (2, longest)
    equal = {key: values[[0, 0]] for key, values in batch.items()}
    assert "attention_mask" not in without_padding(equal)
