"""What the whole model computes for the class token around its last FFN, read by hooks."""

import threading
from typing import Any

import numpy as np
import torch
from transformers import ViTForImageClassification

from utils.pieces import by_rows

# Images that one thread takes through the model at a time.
IMAGES = 8


def forward_states(
    model: ViTForImageClassification, pixel_values: torch.Tensor, precision: str = "fp32"
) -> tuple[torch.Tensor, torch.Tensor]:
    """h (B, d) and logits (B, C) of one batch, from the model's own forward pass, float32.

    precision : "fp32" or "bf16", in which the model runs.
    """
    kept = threading.local()  # each thread runs the model on images of its own

    def keep_class_token(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        kept.token = inputs[0][:, 0]  # (B, tokens, d) -> (B, d)

    def run_piece(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        enabled = precision == "bf16"
        with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=enabled):
            logits = model(pixel_values=pixels).logits
        return kept.token.float(), logits.float()

    handle = model.vit.layers[-1].layernorm_after.register_forward_pre_hook(keep_class_token)
    try:
        return by_rows(run_piece, pixel_values, rows=IMAGES)
    finally:
        handle.remove()


def model_states(
    model: ViTForImageClassification, pixel_values: torch.Tensor
) -> dict[str, np.ndarray]:
    """a (B, m) and y (B, d) of the class token as the whole model computes them."""
    layer = model.vit.layers[-1]
    kept = threading.local()

    def keep_neurons(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        kept.a = inputs[0][:, 0]  # (B, tokens, m) -> (B, m)

    def keep_output(_: torch.nn.Module, __: Any, output: torch.Tensor) -> None:
        kept.y = output[:, 0]  # (B, tokens, d) -> (B, d)

    def run_piece(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        model(pixel_values=pixels)
        return kept.a, kept.y

    handles = [
        layer.mlp.fc2.register_forward_pre_hook(keep_neurons),
        layer.register_forward_hook(keep_output),
    ]
    try:
        a, y = by_rows(run_piece, pixel_values, rows=IMAGES)
    finally:
        for handle in handles:
            handle.remove()
    return {"a": a.numpy(), "y": y.numpy()}
