"""The optimizer's next step, against the state of the AdamW that wrote it."""

import numpy as np
import pytest
import references
import torch

from utils.errors import UserError
from utils.model.optimizer_state import adam_step, decayed_shapes

STEPS = 3


def two_groups(model):
    """As the HF Trainer groups them: its own function decides."""
    from transformers import Trainer

    decayed = Trainer.get_decay_parameter_names(None, model)
    named = list(model.named_parameters())
    return [
        {"params": [p for n, p in named if n in decayed], "weight_decay": 0.01},
        {"params": [p for n, p in named if n not in decayed], "weight_decay": 0.0},
    ]


@pytest.fixture(scope="module")
def trained(make_vit, tmp_path_factory):
    """A checkpoint after three steps of AdamW, and the optimizer."""
    model = make_vit(seed=2)
    optimizer = torch.optim.AdamW(two_groups(model), lr=1e-3, betas=(0.8, 0.95), eps=1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        optimizer.zero_grad()
        pixels = torch.randn(4, 1, 4, 4, generator=generator)
        labels = torch.randint(0, 3, (4,), generator=generator)
        model(pixel_values=pixels, labels=labels).loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("checkpoint-3")
    model.save_pretrained(folder)
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    return model, optimizer, folder


def test_is_adams_own_formula_at_the_right_places(trained):
    model, optimizer, folder = trained
    mlp = model.vit.layers[-1].mlp
    expected = []
    for w in (mlp.fc1.weight, mlp.fc2.weight):
        state = optimizer.state[w]
        first = state["exp_avg"].double() / (1 - 0.8**STEPS)
        second = state["exp_avg_sq"].double() / (1 - 0.95**STEPS)
        expected.append(first.abs() / (torch.sqrt(second) + 1e-3))
    found = adam_step(folder)
    assert found.dtype == np.float32
    assert references.relative_error(found, references.flat(*expected)) < 1e-6


def test_decayed_parameters_are_the_trainers(trained):
    from transformers import Trainer

    model, _, folder = trained
    decayed = set(Trainer.get_decay_parameter_names(None, model))
    named = [name for name, _ in model.named_parameters() if name in decayed]
    assert list(decayed_shapes(folder)) == named


def broken(folder, tmp_path, change):
    state = torch.load(folder / "optimizer.pt", weights_only=True)
    change(state)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(state, tmp_path / "optimizer.pt")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s["param_groups"][0]["params"].pop(), "decayed parameters"),
        (lambda s: s["state"][0].update(exp_avg=torch.zeros(2, 2)), "moments of shape"),
        (lambda s: s["state"].pop(3), "is not the AdamW state"),
        (lambda s: s.pop("param_groups"), "is not the AdamW state"),
        (lambda s: s["param_groups"][0].pop("betas"), "is not the AdamW state"),
    ],
)
def test_another_state_is_refused_in_one_line(trained, tmp_path, change, says):
    folder = broken(trained[2], tmp_path, change)
    with pytest.raises(UserError, match=says) as refused:
        adam_step(folder)
    assert "take it away" in str(refused.value)


def test_nan_moments_are_refused(trained, tmp_path):
    def spoil(state):
        for moments in state["state"].values():
            moments["exp_avg"].fill_(float("nan"))

    with pytest.raises(UserError, match="NaN or infinite moments"):
        adam_step(broken(trained[2], tmp_path, spoil))


def test_a_file_that_is_no_state_is_refused(trained, tmp_path):
    folder = broken(trained[2], tmp_path, lambda s: None)
    (folder / "optimizer.pt").write_bytes(b"not torch")
    with pytest.raises(UserError, match="cannot be read"):
        adam_step(folder)
