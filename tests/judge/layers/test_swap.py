"""Blocks of one model in another, against the transformers model with the parameters patched."""

import copy

import numpy as np
import pytest
import references
import torch

from utils.judge.layers import swap as layers

SAMPLES = 11


@pytest.fixture(scope="module")
def pair(make_vit):
    """Two models that differ in every parameter, and pictures."""
    first, second = make_vit(seed=3, num_hidden_layers=3), make_vit(seed=4, num_hidden_layers=3)
    generator = torch.Generator().manual_seed(1)
    return first, second, torch.randn(SAMPLES, 1, 4, 4, generator=generator)


def belongs(name, layer, block):
    """Whether a parameter is of a block, by docs/definitions.md 11."""
    parts = name.split(".")
    if parts[1] == "embeddings":
        return block == "embeddings"
    if parts[1] != "layers":
        return block == "head"
    if int(parts[2]) != layer:
        return False
    return (block == "attention") == (parts[3] in ("attention", "layernorm_before")) and (
        block in ("attention", "ffn")
    )


def patched(receiver, donor, layer, block):
    model = copy.deepcopy(receiver)
    theirs = dict(donor.named_parameters())
    changed = [name for name, _ in model.named_parameters() if belongs(name, layer, block)]
    assert changed
    with torch.no_grad():
        for name, values in model.named_parameters():
            if name in changed:
                values.copy_(theirs[name])
    return model, changed


def test_every_block_in_both_directions(pair):
    first, second, pixels = pair
    seen = []
    for receiver, donor in ((first, second), (second, first)):
        found = layers.piecewise_logits(receiver, donor, {"pixel_values": pixels}).numpy()
        with torch.no_grad():
            own = receiver(pixel_values=pixels).logits.numpy()
        assert references.relative_error(found[:, 0], own) < 2e-6
        for place, (layer, block) in enumerate(layers.blocks_of(3), 1):
            model, changed = patched(receiver, donor, layer, block)
            seen += changed
            with torch.no_grad():
                expected = model(pixel_values=pixels).logits.numpy()
            assert references.relative_error(found[:, place], expected) < 2e-6
            assert references.relative_error(expected, own) > 1e-3
    # Every parameter is in exactly one block.
    assert sorted(seen) == sorted(2 * [name for name, _ in first.named_parameters()])


def test_rows_count_against_the_receiver():
    logits = np.zeros((3, 1 + 4, 2), np.float32)
    logits[:, 0, 0] = 1  # the receiver says class 0
    logits[:, 1:, 0] = 1
    logits[0, 2] = [0, 2]  # layer 0, attention: sample 0 is class 1 now
    logits[:, 4] = [0, 3]  # the head turns all of them
    rows = layers.rows_of(logits, np.array([1, 0, 0]), 1)
    assert [(row["layer"], row["block"]) for row in rows] == [
        (None, "embeddings"), (0, "attention"), (0, "ffn"), (None, "head"),
    ]  # fmt: skip
    assert [(row["repaired"], row["broken"]) for row in rows] == [(0, 0), (1, 0), (0, 0), (1, 2)]
    assert rows[1]["accuracy"] == 1 and rows[3]["accuracy"] == pytest.approx(1 / 3)
    p = np.exp(3) / (1 + np.exp(3))
    assert rows[3]["loss"] == pytest.approx(-(np.log(p) + 2 * np.log(1 - p)) / 3)
