"""Adam by hand against torch.optim's."""

import numpy as np
import pytest
import torch

from utils.model.adam import Adam


@pytest.mark.parametrize("rate", [0.3, 1e-3])
def test_goes_where_torchs_adam_goes(rate):
    generator = torch.Generator().manual_seed(1)
    gradients = torch.randn(60, 17, generator=generator) * torch.logspace(-6, 2, 17)
    wide = torch.zeros(17, dtype=torch.float64)
    theirs, here = torch.optim.Adam([wide], lr=rate), torch.zeros(17)
    ours = Adam(here, rate)
    for gradient in gradients:
        wide.grad = gradient.double()
        theirs.step()
        here -= ours.step(gradient)
        np.testing.assert_allclose(here.numpy(), wide.numpy(), rtol=2e-5, atol=1e-5 * rate)


def test_rows_with_their_own_rates_are_trainings_of_their_own():
    gradients = torch.randn(9, 2, 5, generator=torch.Generator().manual_seed(2))
    rates = torch.tensor([0.5, 0.01])
    together, alone = Adam(gradients[0], rates[:, None]), [Adam(gradients[0, 0], r) for r in rates]
    for gradient in gradients:
        steps = together.step(gradient)
        for i in (0, 1):
            assert torch.allclose(steps[i], alone[i].step(gradient[i]), rtol=1e-6, atol=0)
