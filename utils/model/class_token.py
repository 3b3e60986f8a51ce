"""What the whole model computes for the first token around its last FFN, read by hooks."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from utils.model.families import FAMILIES, Family
from utils.pieces import Tensors, by_rows

if TYPE_CHECKING:  # the import takes seconds
    from transformers import PreTrainedModel

# Images that one thread takes through the model at a time.
IMAGES = 8
MASK = "attention_mask"


def family_of(model: "PreTrainedModel") -> Family:
    return FAMILIES[model.config.model_type]


def without_padding(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Texts cut to the longest of them; without a mask where none of them is padded.

    inputs : of some samples by name, each (B, ...); texts (B, tokens), padded on the right.
    """
    mask = inputs.get(MASK)
    if mask is None:
        return dict(inputs)
    longest = int(mask.sum(dim=1).max())
    cut = {name: values[:, :longest] for name, values in inputs.items()}
    if bool(cut[MASK].all()):
        del cut[MASK]
    return cut


def in_pieces(
    run: Callable[[dict[str, torch.Tensor]], Tensors], inputs: Mapping[str, torch.Tensor]
) -> Tensors:
    """`run` on a few samples at a time, which threads take; on a GPU on all of them.

    A text goes alone on the CPU, without padding, so that no other text changes its numbers.
    """
    names = list(inputs)
    rows = 1 if MASK in inputs else IMAGES

    def piece(*parts: torch.Tensor) -> Tensors:
        return run(without_padding(dict(zip(names, parts, strict=True))))

    return by_rows(piece, *inputs.values(), rows=rows)


def forward_states(
    model: "PreTrainedModel", inputs: Mapping[str, torch.Tensor], precision: str = "fp32"
) -> tuple[torch.Tensor, torch.Tensor]:
    """h (B, d) and logits (B, C) of one batch, from the model's own forward pass, float32.

    inputs : what the model is fed, by name. precision : "fp32" or "bf16", in which it runs.
    """
    kept = threading.local()  # each thread runs the model on samples of its own

    def keep_first_token(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        kept.token = given[0][:, 0]  # (B, tokens, d) -> (B, d)

    def run_piece(few: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        device = next(iter(few.values())).device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits = model(**few).logits
        return kept.token.float(), logits.float()

    entering = family_of(model).entering(model.config.num_hidden_layers - 1)
    handle = model.get_submodule(entering).register_forward_pre_hook(keep_first_token)
    try:
        return in_pieces(run_piece, inputs)
    finally:
        handle.remove()


def model_states(
    model: "PreTrainedModel", inputs: Mapping[str, torch.Tensor]
) -> dict[str, np.ndarray]:
    """a (B, m) and y (B, d) of the first token as the whole model computes them."""
    family, last = family_of(model), model.config.num_hidden_layers - 1
    kept = threading.local()

    def keep(name: str) -> Callable[..., None]:
        def hook(_: torch.nn.Module, given: tuple[Any, ...]) -> None:
            setattr(kept, name, given[0][:, 0])  # (B, tokens, ...) -> (B, ...)

        return hook

    def run_piece(few: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        model(**few)
        return kept.a, kept.y

    places = {"a": family.between(last), "y": family.leaving(last)}
    handles = [
        model.get_submodule(place).register_forward_pre_hook(keep(name))
        for name, place in places.items()
    ]
    try:
        a, y = in_pieces(run_piece, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return {"a": a.numpy(), "y": y.numpy()}
