"""What M1's optimizer would do next: |m̂| / (sqrt(v̂) + eps) of each ranked weight.

No method: it reads the training's own state. Where it scores high against
|W(M2) - W(M1)|, that truth says what the optimizer was about to do anyway
(docs/definitions.md 9.4).
"""

from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.model import configs, moments, names
from utils.model.tensors import load_pickled
from utils.run.hashing import HashCache, hash_bytes

OPTIMIZER_FILE = "optimizer.pt"
NORMS = ("layernorm", "layer_norm", "norm")


def adam_step(checkpoint: Path) -> np.ndarray:
    """|m̂| / (sqrt(v̂) + eps) of AdamW's state in `checkpoint`, float32 (N,), canonical order.

    m̂ and v̂ are the moments with bias correction (Kingma and Ba 2015, Algorithm
    1). The Trainer gives AdamW two groups of parameters, with and without
    weight decay, each in the order of `named_parameters`; the state is numbered
    through both.

    Raises
    ------
    UserError : the file is broken, of another optimizer, or its shapes are not the model's.
    """
    path = checkpoint / OPTIMIZER_FILE
    state = load_state(path)
    shapes = decayed_shapes(checkpoint)
    try:
        step = moments.next_step(state, shapes, ffn_names(checkpoint))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(f"{error}".split())[:120] or type(error).__name__
        raise UserError(
            f"{path} is not the AdamW state of {checkpoint.name} ({reason}); "
            "copy it again, or take it away to go on without the reference 'optimizer step'"
        ) from None
    if not np.isfinite(step).all():
        raise UserError(f"{path} has NaN or infinite moments; copy it again, or take it away")
    return step


def hash_optimizer(checkpoint: Path, hashes: HashCache) -> str:
    """Content hash of the state and of the config that says whose it is."""
    files = [checkpoint / OPTIMIZER_FILE, checkpoint / "config.json"]
    return hash_bytes(*(hashes.get(file).encode() for file in files))


def load_state(path: Path) -> dict[str, Any]:
    """The optimizer's state through torch's weights-only loading: nothing is unpickled."""
    try:
        return load_pickled(path)[0]
    except Exception as error:  # on broken files torch raises whatever it stumbles over
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"{path} cannot be read ({reason}); copy it again, or take it away to go on "
            "without the reference 'optimizer step'"
        ) from None


def decayed_shapes(checkpoint: Path) -> dict[str, tuple[int, ...]]:
    """Shape by name of every parameter with weight decay, in the order of `named_parameters`.

    The Trainer decays all but biases and the parameters of normalisations.
    """
    import torch
    import transformers

    config = configs.read_config(checkpoint)
    family = configs.family_of(config)
    with torch.device("meta"):
        model = getattr(transformers, family.classifier)(
            getattr(transformers, family.config_class)(**config)
        )
    return {
        name: tuple(values.shape)
        for name, values in model.named_parameters()
        if not name.endswith("bias") and not any(norm in name.lower() for norm in NORMS)
    }


def ffn_names(checkpoint: Path) -> tuple[str, str]:
    """Names of W_bef and W_aft in a model that transformers 5.x builds."""
    config = configs.read_config(checkpoint)
    family = configs.family_of(config)
    found = names.ffn_names(family, config[family.keys.layers] - 1)
    return found["w_bef"][-1], found["w_aft"][-1]
