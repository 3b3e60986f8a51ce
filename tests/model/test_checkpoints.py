"""Every layout in which the weights of a ViT come, and what is refused."""

import json
import os
import re

import numpy as np
import pytest
import references
import torch
from safetensors.torch import save_file
from transformers import ViTForImageClassification

from utils.errors import UserError
from utils.model import checkpoints, configs, forward, tensors

LAST = 1  # the toy ViT has two layers
# Module names of transformers 5.x and of 4.x, whose checkpoints have to work as they are.
TO_4X = {
    r"vit\.layers\.": "vit.encoder.layer.",
    r"\.attention\.q_proj\.": ".attention.attention.query.",
    r"\.attention\.k_proj\.": ".attention.attention.key.",
    r"\.attention\.v_proj\.": ".attention.attention.value.",
    r"\.attention\.o_proj\.": ".attention.output.dense.",
    r"\.mlp\.fc1\.": ".intermediate.dense.",
    r"\.mlp\.fc2\.": ".output.dense.",
}


def names_of_4x(state):
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in TO_4X.items():
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor.contiguous()
    return renamed


def write_config(folder, model):
    """As transformers 4.x writes it."""
    config = model.config.to_dict() | {"transformers_version": "4.44.2"}
    (folder / "config.json").write_text(json.dumps(config))


def write_shards(folder, state, name, save):
    """Three files and their index, as transformers shards a checkpoint."""
    stem, suffix = name.rsplit(".", 1)
    weight_map = {}
    for i in range(3):
        shard = f"{stem}-{i + 1:05d}-of-00003.{suffix}"
        part = dict(list(state.items())[i::3])
        save(part, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / f"{name}.index.json").write_text(json.dumps(index))


def save_safetensors(state, path):
    save_file(state, path, metadata={"format": "pt"})


SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
WRITERS = {
    "4.x safetensors": lambda f, s: save_safetensors(names_of_4x(s), f / SAFETENSORS),
    "4.x bin": lambda f, s: torch.save(names_of_4x(s), f / BIN),
    "4.x bin, before torch 1.6": lambda f, s: torch.save(
        names_of_4x(s), f / BIN, _use_new_zipfile_serialization=False
    ),
    "5.x state dict": lambda f, s: save_safetensors(s, f / SAFETENSORS),
    "5.x state dict, bin": lambda f, s: torch.save(s, f / BIN),
    "4.x safetensors in shards": lambda f, s: write_shards(
        f, names_of_4x(s), SAFETENSORS, save_safetensors
    ),
    "5.x names in shards": lambda f, s: write_shards(f, s, SAFETENSORS, save_safetensors),
    "4.x bin in shards": lambda f, s: write_shards(f, names_of_4x(s), BIN, torch.save),
}


@pytest.fixture(scope="module")
def model(make_vit):
    return make_vit()


@pytest.fixture
def folder(tmp_path, model):
    """A checkpoint folder that has its config and no weights yet."""
    write_config(tmp_path, model)
    return tmp_path


def write(folder, model, layout="4.x safetensors", **extra):
    WRITERS[layout](folder, model.state_dict() | extra)
    return folder


def refusal(call, *args):
    """The message of the UserError, which has to be one line."""
    with pytest.raises(UserError) as caught:
        call(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_is_the_models(folder, model):
    """What is read is what the model holds, to the bit."""
    layer = model.vit.layers[-1]
    expected = {
        "w_bef": layer.mlp.fc1.weight, "b_bef": layer.mlp.fc1.bias,
        "w_aft": layer.mlp.fc2.weight, "b_aft": layer.mlp.fc2.bias,
        "ln_weight": layer.layernorm_after.weight, "ln_bias": layer.layernorm_after.bias,
        "final_ln_weight": model.vit.layernorm.weight,
        "final_ln_bias": model.vit.layernorm.bias,
        "head_weight": model.classifier.weight, "head_bias": model.classifier.bias,
    }  # fmt: skip
    found = checkpoints.read_tail(folder)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], tensor.detach().numpy()), name
    w_bef, w_aft = checkpoints.read_ffn(folder)
    assert np.array_equal(w_bef, found["w_bef"])
    assert np.array_equal(w_aft, found["w_aft"])
    assert w_bef.flags.c_contiguous
    assert w_aft.flags.c_contiguous


# Layouts


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_gives_the_models_weights(folder, model, layout):
    assert_is_the_models(write(folder, model, layout), model)


def test_the_4x_layout_of_these_tests_is_one_that_transformers_reads(folder, model):
    write(folder, model)
    loaded, info = ViTForImageClassification.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


@pytest.mark.parametrize("shard_size", ["10GB", "2KB"])
def test_what_transformers_saves_today_is_read(tmp_path, model, shard_size):
    model.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard_size == "2KB")
    assert_is_the_models(tmp_path, model)


def test_the_last_of_many_layers_is_read(tmp_path, make_vit):
    """Twelve layers: 11 comes after 9 as a number and before it as text."""
    deep = make_vit(num_hidden_layers=12)
    write_config(tmp_path, deep)
    assert_is_the_models(write(tmp_path, deep), deep)


def test_safetensors_are_read_where_an_old_bin_lies_beside_them(folder, model, make_vit):
    write(folder, make_vit(seed=1), "4.x bin")
    assert_is_the_models(write(folder, model), model)


# Wrappers of torch

WRAPPED = {
    "torch.compile": lambda name: f"_orig_mod.{name}",
    "DataParallel": lambda name: f"module.{name}",
    "a compiled model in DataParallel": lambda name: f"module._orig_mod.{name}",
    "DataParallel, compiled": lambda name: f"_orig_mod.module.{name}",
    "one part compiled": lambda name: name.replace("vit.", "vit._orig_mod."),
    "FSDP": lambda name: name.replace("mlp.", "_fsdp_wrapped_module.mlp."),
}


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("layout", ["4.x safetensors", "4.x bin", "5.x names in shards"])
def test_prefixes_of_wrappers_are_taken_off(folder, model, layout, wrap):
    state = model.state_dict() if layout.startswith("5") else names_of_4x(model.state_dict())
    wrapped = {WRAPPED[wrap](name): tensor for name, tensor in state.items()}
    assert not wrapped.keys() & state.keys() or wrap in ("one part compiled", "FSDP")
    # Counters that a wrapper keeps are no weights.
    wrapped["n_averaged"] = torch.tensor(7)
    {"4.x safetensors": lambda: save_safetensors(wrapped, folder / SAFETENSORS),
     "4.x bin": lambda: torch.save(wrapped, folder / BIN),
     "5.x names in shards": lambda: write_shards(folder, wrapped, SAFETENSORS, save_safetensors),
    }[layout]()  # fmt: skip
    assert_is_the_models(folder, model)
    loaded = forward.load_model(folder)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_a_name_with_and_without_a_prefix_is_refused(folder, model):
    write(folder, model, **{"module.vit.layers.0.mlp.fc1.weight": torch.ones(12, 8)})
    assert "twice" in refusal(checkpoints.read_ffn, folder)


# Codes in place of weights


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.float8_e4m3fn])
@pytest.mark.parametrize("layout", ["4.x safetensors", "4.x bin"])
@pytest.mark.parametrize("name", [f"vit.layers.{LAST}.mlp.fc1.weight", "vit.layernorm.bias"])
def test_weights_that_are_no_floats_are_refused(folder, model, dtype, layout, name):
    write(folder, model, layout, **{name: model.state_dict()[name].to(dtype)})
    for read in (checkpoints.read_ffn, checkpoints.read_tail):
        message = refusal(read, folder)
        assert "no floating point weights" in message
        assert "quantization" in message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("layout", ["4.x safetensors", "4.x bin"])
def test_floats_of_other_lengths_are_weights(folder, model, dtype, layout):
    state = {name: tensor.to(dtype) for name, tensor in model.state_dict().items()}
    WRITERS[layout](folder, state)
    w_bef, _ = checkpoints.read_ffn(folder)
    assert w_bef.dtype == np.float32
    assert np.array_equal(w_bef, state[f"vit.layers.{LAST}.mlp.fc1.weight"].float().numpy())


@pytest.mark.parametrize("value", [{}, {"quant_method": "bitsandbytes", "load_in_8bit": True}, "x"])
def test_any_quantization_config_is_refused(folder, model, value):
    config = configs.read_config(write(folder, model))
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": value}))
    for read in (configs.read_config, checkpoints.read_ffn, checkpoints.read_tail):
        assert "config.json has a quantization_config" in refusal(read, folder)
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": None}))
    assert_is_the_models(folder, model)


# Two checkpoints of one name and two shapes


def test_a_tensor_of_two_shapes_is_refused(tmp_path, model, make_vit):
    """The config may say that the classes are the same number."""
    folders = []
    for name, classes in (("checkpoint-1", 3), ("checkpoint-2", 5)):
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        write_config(folders[-1], model)
        write(folders[-1], make_vit(num_labels=classes))
    message = refusal(checkpoints.require_same_shapes, *folders)
    assert re.search(r"checkpoint-2 differ in the shape of classifier\.\w+ \(\(3", message)
    checkpoints.require_same_shapes(folders[0], folders[0])


# Names of classes


@pytest.mark.parametrize(
    ("config", "names", "count"),
    [
        ({}, None, 2),
        ({"num_labels": 5}, None, 5),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}, None, 3),
        ({"id2label": {"1": "cat", "0": "LABEL_0"}}, ["LABEL_0", "cat"], 2),
        ({"id2label": {str(i): f"c{i}" for i in range(11)}}, [f"c{i}" for i in range(11)], 11),
        ({"id2label": {"0": "d\udc00"}}, ["d?"], 1),
    ],
)
def test_names_of_classes_are_in_the_order_of_their_numbers(config, names, count):
    assert configs.class_names(config) == names
    assert configs.count_classes(config) == count


@pytest.mark.parametrize("labels", [{"1": "a", "2": "b"}, {"a": "0"}, ["a", "b"], 3])
def test_names_that_do_not_count_from_0_are_refused(folder, model, labels):
    config = configs.read_config(write(folder, model))
    (folder / "config.json").write_text(json.dumps(config | {"id2label": labels}))
    assert "id2label" in refusal(configs.read_config, folder)


# Repaired models


def repair_name(layer=LAST):
    return f"vit.encoder.layer.{layer}.intermediate.repair.weight"


@pytest.mark.parametrize("layout", ["4.x safetensors", "4.x bin", "4.x bin in shards"])
def test_identity_repair_matrices_are_accepted(folder, model, layout):
    extra = {repair_name(layer): torch.eye(12) for layer in (0, LAST)}
    assert_is_the_models(write(folder, model, layout, **extra), model)


def almost_identity():
    matrix = torch.eye(12)
    matrix[3, 4] = 1e-6
    return matrix


@pytest.mark.parametrize("layer", [0, LAST])
@pytest.mark.parametrize(
    "matrix", [almost_identity(), 2 * torch.eye(12), torch.ones(12), torch.eye(12)[:, :11]]
)
@pytest.mark.parametrize("read", [checkpoints.read_ffn, checkpoints.read_tail])
def test_other_repair_matrices_are_refused(folder, model, layer, matrix, read):
    write(folder, model, **{repair_name(layer): matrix.contiguous()})
    assert "repair" in refusal(read, folder)


# Broken checkpoints


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["mlp.fc1.weight", "mlp.fc2.weight"])
def test_weights_that_are_not_numbers_are_refused(folder, model, bad, name):
    name = f"vit.layers.{LAST}.{name}"
    tensor = model.state_dict()[name].clone()
    tensor[1, 2] = bad
    write(folder, model, **{name: tensor})
    for read in (checkpoints.read_ffn, checkpoints.read_tail):
        assert "NaN" in refusal(read, folder)


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bin_with_code_in_it_is_refused_and_not_run(folder, model, zipped):
    trace = folder / "code ran"
    state = names_of_4x(model.state_dict()) | {"x": Payload(trace)}
    torch.save(state, folder / BIN, _use_new_zipfile_serialization=zipped)
    message = refusal(checkpoints.read_ffn, folder)
    assert not trace.exists()
    assert BIN in message
    # The payload works: what protects the user is the way it is read.
    torch.load(folder / BIN, weights_only=False)
    assert trace.exists()


@pytest.mark.parametrize("layout", ["4.x safetensors", "4.x bin", "4.x bin, before torch 1.6"])
@pytest.mark.parametrize("kept", [0, 5, 700, -100])
def test_a_truncated_file_is_refused(folder, model, layout, kept):
    write(folder, model, layout)
    (file,) = tensors.weight_files(folder)
    file.write_bytes(file.read_bytes()[:kept])
    assert str(folder) in refusal(checkpoints.read_ffn, folder)


@pytest.mark.parametrize("layout", ["4.x bin", "4.x bin, before torch 1.6"])
def test_a_damaged_bin_is_refused(folder, model, layout):
    """A flipped bit can make the unpickler stumble in many ways; here text is no text."""
    write(folder, model, layout)
    (file,) = tensors.weight_files(folder)
    file.write_bytes(file.read_bytes().replace(b"vit.layernorm", b"vit.\xffayernorm"))
    assert str(folder) in refusal(checkpoints.read_ffn, folder)


@pytest.mark.parametrize("content", [[1, 2], torch.ones(3), {"state_dict": {}}, 7, None])
def test_a_bin_that_is_no_state_dict_is_refused(folder, content):
    torch.save(content, folder / BIN)
    assert str(folder) in refusal(checkpoints.read_ffn, folder)


@pytest.mark.parametrize("layout", ["4.x safetensors in shards", "4.x bin in shards"])
def test_a_missing_shard_is_refused_by_its_name(folder, model, layout):
    write(folder, model, layout)
    shard = tensors.weight_files(folder)[1]
    shard.unlink()
    assert shard.name in refusal(checkpoints.read_ffn, folder)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"weight_map": {}}', '{"weight_map": [1]}'])
def test_a_broken_index_is_refused(folder, model, text):
    write(folder, model, "4.x safetensors in shards")
    (folder / f"{SAFETENSORS}.index.json").write_text(text)
    assert "index.json" in refusal(checkpoints.read_ffn, folder)


def test_an_index_cannot_point_out_of_its_folder(tmp_path, model):
    inside, outside = tmp_path / "checkpoint-1", tmp_path / "outside.safetensors"
    inside.mkdir()
    write_config(inside, model)
    save_safetensors(names_of_4x(model.state_dict()), outside)
    weight_map = dict.fromkeys(names_of_4x(model.state_dict()), "../outside.safetensors")
    (inside / f"{SAFETENSORS}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    save_safetensors(names_of_4x(model.state_dict()), inside / "outside.safetensors")
    assert "outside the folder" in refusal(checkpoints.read_ffn, inside)


def test_a_folder_without_weights_is_refused(folder):
    assert "model.safetensors" in refusal(checkpoints.read_ffn, folder)


def test_a_folder_without_config_is_refused(folder, model):
    write(folder, model)
    (folder / "config.json").unlink()
    for read in (checkpoints.read_ffn, checkpoints.read_tail, configs.read_config):
        assert "config.json" in refusal(read, folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model_type": "bert"}', "{}", "\udcff"])
def test_a_config_that_is_not_of_a_vit_is_refused(folder, text):
    (folder / "config.json").write_text(text, errors="surrogateescape")
    assert "config.json" in refusal(configs.read_config, folder)


@pytest.mark.parametrize("key", ["hidden_size", "intermediate_size", "num_hidden_layers"])
def test_a_config_without_a_size_is_refused(folder, model, key):
    config = configs.read_config(write(folder, model))
    del config[key]
    (folder / "config.json").write_text(json.dumps(config))
    assert key in refusal(checkpoints.read_ffn, folder)


@pytest.mark.parametrize(
    ("key", "value"), [("hidden_size", 12), ("intermediate_size", 8), ("num_hidden_layers", 3)]
)
def test_a_config_of_another_model_is_refused(folder, model, key, value):
    config = configs.read_config(write(folder, model))
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    for read in (checkpoints.read_ffn, checkpoints.read_tail):
        assert str(folder) in refusal(read, folder)


@pytest.mark.parametrize("name", ["classifier.weight", "vit.layernorm.bias"])
def test_a_backbone_without_its_head_is_refused_by_the_tail_only(folder, model, name):
    state = model.state_dict()
    del state[name]
    save_safetensors(names_of_4x(state), folder / SAFETENSORS)
    assert name in refusal(checkpoints.read_tail, folder)
    assert np.array_equal(
        checkpoints.read_ffn(folder)[0], model.vit.layers[-1].mlp.fc1.weight.detach()
    )


def test_the_ground_truth_of_two_layouts_of_one_model_is_zero(tmp_path, model):
    """M1 and M2 may come in different layouts; nothing is compared by file order."""
    both = []
    for layout in ("4.x bin in shards", "5.x state dict"):
        folder = tmp_path / layout
        folder.mkdir()
        write_config(folder, model)
        both.append(checkpoints.read_ffn(write(folder, model, layout)))
    for first, second in zip(*both, strict=True):
        assert references.relative_error(first, second) == 0
