"""The cached tail against the whole model, and its gradients against autograd."""

import dataclasses
import json

import numpy as np
import pytest
import references
import torch
from safetensors.numpy import load_file, save_file

from utils.errors import UserError
from utils.model import caches, class_token, states
from utils.model.tail import activation_slope, blocks, gradient_at_output

VITS = [
    {},
    {"hidden_size": 12, "intermediate_size": 48, "num_hidden_layers": 3, "num_labels": 7},
    {"hidden_act": "relu", "num_channels": 3, "intermediate_size": 5, "image_size": 6},
    {"hidden_act": "gelu_new", "num_hidden_layers": 1, "num_labels": 2, "layer_norm_eps": 0.1},
]


def model_states(model, pixels):
    """h, a, y and logits of the class token, from hooks on the whole model."""
    layer, kept = model.vit.layers[-1], {}
    hooks = [
        layer.layernorm_after.register_forward_pre_hook(lambda _, x: kept.update(h=x[0][:, 0])),
        layer.mlp.fc2.register_forward_pre_hook(lambda _, x: kept.update(a=x[0][:, 0])),
        layer.register_forward_hook(lambda _, __, out: kept.update(y=out[:, 0])),
    ]
    with torch.no_grad():
        kept["logits"] = model(pixel_values=pixels).logits
    for hook in hooks:
        hook.remove()
    return {name: values.numpy() for name, values in kept.items()}


def random_pixels(model, n_samples, seed=0):
    config = model.config
    shape = (n_samples, config.num_channels, config.image_size, config.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("config", VITS, ids=str)
def test_one_cached_token_gives_the_whole_models_numbers(make_vit, tmp_path, config):
    model = make_vit(**config)
    model.save_pretrained(tmp_path)
    inside = model_states(model, random_pixels(model, 5))
    tail = caches.load_tail(tmp_path)
    assert inside["h"].shape == (5, tail.d)
    a, y, logits = states.states_from_h(tail, inside["h"], block=2)
    for name, found in (("a", a), ("y", y), ("logits", logits)):
        assert found.dtype == np.float32
        assert references.relative_error(found, inside[name]) < 1e-5, name
    whole = tail.logits(torch.from_numpy(inside["h"]))
    assert references.relative_error(whole, inside["logits"]) < 1e-5


def test_the_sizes_come_from_the_checkpoint(make_vit, tmp_path):
    make_vit(hidden_size=12, intermediate_size=20, num_labels=7).save_pretrained(tmp_path)
    tail = caches.load_tail(tmp_path)
    assert (tail.d, tail.m, tail.n_classes) == (12, 20, 7)


@pytest.mark.parametrize("config", VITS[:2], ids=str)
def test_the_forward_pass_keeps_the_class_token_that_enters_the_ffn(make_vit, config):
    model = make_vit(**config)
    pixels = random_pixels(model, 3)
    inside = model_states(model, pixels)
    h, logits = class_token.forward_states(model, {"pixel_values": pixels})
    assert np.array_equal(h, inside["h"])
    assert np.array_equal(logits, inside["logits"])
    again = class_token.model_states(model, {"pixel_values": pixels})
    assert np.array_equal(again["a"], inside["a"])
    assert np.array_equal(again["y"], inside["y"])
    assert not model.vit.layers[-1].layernorm_after._forward_pre_hooks


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("block", [1, 4])
def test_states_do_not_depend_on_the_block_size(make_toy, n_samples, block):
    toy = make_toy(13, 4, 16, 3)
    h = toy.states.h[:n_samples]
    for whole, parts in zip(
        states.states_from_h(toy.tail, h), states.states_from_h(toy.tail, h, block), strict=True
    ):
        np.testing.assert_allclose(parts, whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("target", ["loss", "probability", "logit_sum"])
def test_gradient_at_the_output_is_autograds(toy, target):
    h, labels = toy.take(toy.everyone)
    y = (h + toy.net.o(toy.net.a(h))).requires_grad_(True)
    logits = toy.net.logits(y)
    chosen = logits[range(len(labels)), labels]
    scalar = {
        "loss": torch.logsumexp(logits, dim=1) - chosen,
        "probability": torch.exp(chosen) / torch.exp(logits).sum(dim=1),
        "logit_sum": logits.sum(dim=1),
    }[target]
    expected = torch.autograd.grad(scalar.sum(), y)[0]
    found = gradient_at_output(toy.tail, y.detach().float(), labels, target)
    assert found.shape == y.shape
    assert references.relative_error(found, expected) < 1e-5


def test_an_unknown_target_is_an_error(make_toy):
    toy = make_toy(13, 4, 16, 3)
    with pytest.raises(ValueError, match="unknown target"):
        gradient_at_output(toy.tail, torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64), "logits")


@pytest.mark.parametrize("name", ["gelu", "relu", "gelu_new"])
def test_activations_are_those_of_transformers(make_toy, name):
    from transformers.activations import ACT2FN

    tail = dataclasses.replace(make_toy(13, 4, 16, 3).tail, activation=name)
    values = torch.linspace(-5, 5, 1001)
    assert torch.equal(tail.activate(values), ACT2FN[name](values))


def test_an_activation_that_transformers_does_not_know_is_the_users_mistake(make_vit, tmp_path):
    make_vit().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"hidden_act": "geluu"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"hidden_act.*'geluu'"):
        caches.load_tail(tmp_path)


def test_gradients_leave_their_input_alone(make_toy):
    toy = make_toy(13, 4, 16, 3)
    y = torch.from_numpy(toy.states.y.copy())
    with torch.no_grad():
        gradient = gradient_at_output(toy.tail, y, torch.from_numpy(toy.states.labels), "loss")
    assert not y.requires_grad
    assert not gradient.requires_grad
    assert np.array_equal(y, toy.states.y)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_slope_is_the_difference_quotient_of_the_activation(make_toy, activation):
    tail = make_toy(13, 4, 16, 3, activation).tail
    pre = torch.linspace(-3, 3, 40).double()[:, None]  # no point at 0, where relu has no slope
    quotient = (tail.activate(pre + 1e-6) - tail.activate(pre - 1e-6)) / 2e-6
    torch.testing.assert_close(activation_slope(tail, pre), quotient, atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize(("n", "size"), [(0, 3), (1, 3), (2, 3), (3, 3), (4, 3), (9, 3), (5, 1)])
def test_blocks_cover_everything_once(n, size):
    parts = blocks(n, size)
    assert [i for part in parts for i in range(n)[part]] == list(range(n))
    assert all(0 < part.stop - part.start <= size for part in parts)
    assert not parts or parts[-1].stop == n


def test_moving_a_tail_changes_its_tensors_and_nothing_else(make_toy):
    tail = make_toy(13, 4, 16, 3, "relu").tail
    wide = tail.to(torch.float64)
    assert wide.w_bef.dtype == wide.head_bias.dtype == torch.float64
    assert tail.w_bef.dtype == torch.float32
    assert (wide.activation, wide.eps) == (tail.activation, tail.eps)


def test_half_precision_checkpoints_are_read_as_float32(make_vit, tmp_path):
    model = make_vit()
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({k: v.astype(np.float16) for k, v in load_file(file).items()}, file)
    tail = caches.load_tail(tmp_path)
    assert tail.w_bef.dtype == torch.float32
    expected = model.vit.layers[-1].mlp.fc1.weight.half().float()
    assert torch.equal(tail.w_bef, expected)
