"""The step that AdamW's moments call for: |m̂| / (sqrt(v̂) + eps) of each ranked weight."""

from typing import Any

import numpy as np

from utils import ranking


def next_step(
    state: dict[str, Any], shapes: dict[str, tuple[int, ...]], ffn: tuple[str, str]
) -> np.ndarray:
    """|m̂| / (sqrt(v̂) + eps), float32 (N,), canonical order; higher is a larger step.

    m̂ and v̂ are the moments with bias correction (Kingma and Ba 2015, Algorithm 1).

    Parameters
    ----------
    state : of AdamW as torch saves it; its first group has the parameters with weight decay.
    shapes : of these parameters by name, in the group's order.
    ffn : names of W_bef and W_aft.

    Raises
    ------
    ValueError, KeyError, IndexError, TypeError, AttributeError : it is no AdamW state of `shapes`.
    """
    group = state["param_groups"][0]
    numbers = list(group["params"])
    require_shapes(state["state"], numbers, list(shapes.values()))
    names = list(shapes)
    parts = [
        _step(state["state"][numbers[names.index(name)]], group["betas"], group["eps"])
        for name in ffn
    ]
    return ranking.flatten(*parts)


def require_shapes(
    state: dict[int, Any], numbers: list[int], shapes: list[tuple[int, ...]]
) -> None:
    if len(numbers) != len(shapes):
        raise ValueError(f"{len(numbers)} decayed parameters, the model has {len(shapes)}")
    for number, shape in zip(numbers, shapes, strict=True):
        found = tuple(state[number]["exp_avg"].shape)
        if found != shape or tuple(state[number]["exp_avg_sq"].shape) != shape:
            raise ValueError(f"a parameter of shape {shape} has moments of shape {found}")


def _step(moments: dict[str, Any], betas: tuple[float, float], eps: float) -> np.ndarray:
    count = float(moments["step"])
    if count < 1:
        raise ValueError("no step was taken")
    first = moments["exp_avg"].double() / (1 - betas[0] ** count)
    second = moments["exp_avg_sq"].double() / (1 - betas[1] ** count)
    return (first.abs() / (second.sqrt() + eps)).float().numpy()
