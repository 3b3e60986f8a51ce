"""The tail of a ViT in memory, and the states that its own forward pass has around the FFN."""

import torch

from utils.model.states import States
from utils.model.tail import Tail, make_tail


def tail_and_states(model, pixels, labels) -> tuple[Tail, States]:
    """In float32, from a model of any precision; all samples of `pixels` are the split."""
    layer, kept = model.vit.layers[-1], {}
    hooks = [
        layer.layernorm_after.register_forward_pre_hook(lambda _, x: kept.update(h=x[0][:, 0])),
        layer.mlp.fc2.register_forward_pre_hook(lambda _, x: kept.update(a=x[0][:, 0])),
        layer.register_forward_hook(lambda _, x, out: kept.update(y=out[:, 0])),
    ]
    with torch.no_grad():
        kept["logits"] = model(pixel_values=pixels).logits
    for hook in hooks:
        hook.remove()
    states = {name: values.float().numpy() for name, values in kept.items()}
    return tail_of(model), States(**states, labels=labels.numpy())


def tail_of(model) -> Tail:
    layer = model.vit.layers[-1]
    parts = {
        "w_bef": layer.mlp.fc1.weight, "b_bef": layer.mlp.fc1.bias,
        "w_aft": layer.mlp.fc2.weight, "b_aft": layer.mlp.fc2.bias,
        "ln_weight": layer.layernorm_after.weight, "ln_bias": layer.layernorm_after.bias,
        "final_ln_weight": model.vit.layernorm.weight,
        "final_ln_bias": model.vit.layernorm.bias,
        "head_weight": model.classifier.weight, "head_bias": model.classifier.bias,
    }  # fmt: skip
    weights = {name: values.detach().float().numpy() for name, values in parts.items()}
    return make_tail(weights, model.config.to_dict())
