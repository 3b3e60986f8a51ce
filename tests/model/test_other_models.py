"""A checkpoint that is not wholly the model that is read from it (docs/data.md)."""

import json

import numpy as np
import pytest
import torch
from refusals import refusal
from safetensors.torch import load_file, save_file

from utils.errors import UserError
from utils.model import checkpoints, configs
from utils.model import names as tensor_names
from utils.model.blank import blank_block
from utils.model.families import FAMILIES
from utils.run.hashing import HashCache

SAFETENSORS = "model.safetensors"
VIT = FAMILIES["vit"]


@pytest.fixture(scope="module")
def names(make_vit):
    """Of a ViT of two layers, as 5.x builds it."""
    return list(make_vit().state_dict())


# -- tensors that the model does not have ------------------------------------------------------


def test_a_model_has_its_own_tensors_in_both_spellings(names, make_vit, tmp_path):
    make_vit().save_pretrained(tmp_path)
    saved = list(load_file(tmp_path / SAFETENSORS))
    assert (
        sorted(tensor_names.canonical(VIT, name) for name in saved)
        == sorted(names)
        != sorted(saved)
    )
    for spelling in (names, saved):
        assert tensor_names.why_not_of(VIT, spelling, 2) is None


@pytest.mark.parametrize(
    ("extra", "first"),
    [
        ("vit.layers.0.attention.q_proj.lora_A.weight", None),
        ("vit.layers.1.mlp.fc1.lora_magnitude_vector", None),
        ("vit.layers.1.adapter.down.weight", None),
        ("vit.layers.1.layer_scale1.lambda1", None),
        ("vit.embeddings.prompt", None),
        ("vit.embeddings.distillation_token", None),
        ("vit.pooler.dense.weight", None),
        ("classifier.1.weight", None),
        ("prompt_encoder.embedding.weight", None),
        ("embeddings.cls_token", None),
        ("vit.encoder.layer.2.layernorm_after.weight", "num_hidden_layers 2"),
        ("vit.layers.11.mlp.fc1.bias", "num_hidden_layers 2"),
        ("vit.layers.11.intermediate.repair.weight", "num_hidden_layers 2"),
        ("vit.encoder.layer.0.intermediate.dense.weight", "under two names"),
    ],
)
def test_one_tensor_more_is_named(names, extra, first):
    found = tensor_names.why_not_of(VIT, [*names, extra], 2)
    assert extra in found
    assert (first or "which the model does not have") in found


def test_the_first_of_several_is_named_with_their_number(names):
    more = [f"vit.layers.{i}.attention.q_proj.lora_{part}.weight" for i in (1, 0) for part in "BA"]
    assert tensor_names.why_not_of(VIT, [*names, *more], 2).startswith(
        f"{more[3]} and 3 more, which"
    )


def test_biases_that_the_config_switches_off_are_not_the_models(names):
    assert "layers.0.attention.k_proj.bias and 5 more" in tensor_names.why_not_of(
        VIT, names, 2, {"qkv_bias": False}
    )


@pytest.mark.parametrize(
    "name",
    ["vit.embeddings.position_ids", "n_averaged", "vit.layers.1.intermediate.repair.weight",
     "vit.encoder.layer.0.intermediate.repair.weight"],
)  # fmt: skip
def test_what_changes_nothing_is_passed_over(names, name):
    assert tensor_names.why_not_of(VIT, [*names, name], 2) is None


# -- another class, another loss ---------------------------------------------------------------


@pytest.fixture
def folder(make_vit, tmp_path):
    make_vit().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("architectures", ["ViTMeanPool"]),
        ("architectures", ["ViTModel"]),
        ("architectures", ["ViTForImageClassification", "Mine"]),
        ("architectures", "ViTForImageClassification"),
        ("auto_map", {"AutoModelForImageClassification": "modeling_vit.ViTForImageClassification"}),
        ("problem_type", "multi_label_classification"),
        ("problem_type", "regression"),
        ("problem_type", 3),
    ],
)
def test_another_class_and_another_loss_are_refused(folder, entry, value):
    message = refusal(folder, **{entry: value})
    assert entry in message and str(value) in message
    assert "give a checkpoint of ViTForIm" in message or "single_label_classific" in message


@pytest.mark.parametrize(
    "entries", [{"id2label": {"0": "size"}}, {"id2label": None, "num_labels": 1}]
)
def test_one_label_is_a_regression(folder, entries):
    assert "num_labels 1, which means a regression" in refusal(folder, **entries)


@pytest.mark.parametrize(
    "entries",
    [{"architectures": None}, {"architectures": []}, {"auto_map": None}, {"auto_map": {}},
     {"problem_type": None}, {"problem_type": "single_label_classification"}],
)  # fmt: skip
def test_what_says_nothing_else_is_taken(folder, entries):
    config = configs.read_config(folder) | entries
    (folder / "config.json").write_text(json.dumps(config))
    checkpoints.read_ffn(folder)


# -- zeros -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["intermediate", "output"])
def test_a_matrix_of_zeros_is_refused(folder, name):
    state = load_file(folder / SAFETENSORS)
    state[f"vit.encoder.layer.1.{name}.dense.weight"].zero_()
    save_file(state, folder / SAFETENSORS, metadata={"format": "pt"})
    for read in (checkpoints.read_ffn, checkpoints.read_tail):
        with pytest.raises(UserError, match=rf"layer\.1\.{name}\.dense\.weight is all zeros"):
            read(folder)


RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(40, 64)).astype(np.float32)


def with_zeros(*parts):
    values = WEIGHTS.copy().ravel()
    for start, end in parts:
        values[start:end] = 0
    return values.reshape(WEIGHTS.shape)


@pytest.mark.parametrize(
    ("values", "other", "item", "found"),
    [
        (with_zeros((0, 1024)), WEIGHTS, 4, (0, 1024)),
        (with_zeros((1024, 2048)), WEIGHTS, 4, (1024, 2048)),  # whole rows 16 to 31
        (with_zeros((1000, 2024)), WEIGHTS, 4, (1000, 2024)),
        (with_zeros((1536, 2560)), WEIGHTS, 4, (1536, 2560)),
        (with_zeros((0, 1023)), WEIGHTS, 4, None),
        (with_zeros((0, 1024)), WEIGHTS, 2, None),
        (with_zeros((0, 2048)), WEIGHTS, 2, (0, 2048)),
        (with_zeros((0, 500), (600, 1500)), WEIGHTS, 4, None),
        (with_zeros((0, 1024)), with_zeros((0, 1024)), 4, None),  # pruned in both
        (with_zeros((0, 2100)), with_zeros((0, 1024)), 4, (0, 2100)),
        (WEIGHTS, with_zeros((0, 1024)), 4, None),
    ],
)
def test_a_block_of_zeros_that_the_other_does_not_have(values, other, item, found):
    assert blank_block(values, other, item) == found


@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize(
    "name", ["vit.encoder.layer.1.intermediate.dense.weight",
             "vit.encoder.layer.0.attention.output.dense.weight"],
)  # fmt: skip
def test_a_copy_with_a_hole_is_refused_and_a_whole_one_remembered(make_vit, tmp_path, name, broken):
    pair = [tmp_path / f"checkpoint-{step}" for step in (1, 2)]
    for seed, where in enumerate(pair):
        model = make_vit(seed, hidden_size=64, intermediate_size=96)
        model.save_pretrained(where)
    hashes = HashCache(tmp_path / "hashes.json")
    checkpoints.require_whole(*pair, hashes)
    assert len(hashes.known) == 1
    state = load_file(pair[broken] / SAFETENSORS)
    state[name][16:32] = 0
    save_file(state, pair[broken] / SAFETENSORS, metadata={"format": "pt"})
    with pytest.raises(UserError) as caught:
        checkpoints.require_whole(*pair, hashes)
    said = f"{pair[broken]}: {name} has 4,096 bytes of zeros from row 16 on, where "
    assert str(caught.value).startswith(said + pair[1 - broken].name)
    assert "the file is broken" in str(caught.value)
    other = load_file(pair[1 - broken] / SAFETENSORS)
    other[name][16:32] = 0
    torch.save(other, pair[1 - broken] / "pytorch_model.bin")
    (pair[1 - broken] / SAFETENSORS).unlink()
    checkpoints.require_whole(*pair, hashes)
