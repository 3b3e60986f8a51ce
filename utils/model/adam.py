"""Adam on one tensor, without the seconds that torch.optim takes to be imported.

Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1:
what torch.optim.Adam does without decay.
"""

import torch

# The decay rates and ε that Kingma and Ba give.
DECAY_MEAN, DECAY_SQUARE, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """The state of one training: both moments of the gradient, and how many steps were taken."""

    def __init__(self, like: torch.Tensor, rate: float | torch.Tensor) -> None:
        """like : a tensor of what is trained. rate : the learning rate, or one for each value."""
        self.mean, self.square = torch.zeros_like(like), torch.zeros_like(like)
        self.rate, self.steps = rate, 0

    def step(self, gradient: torch.Tensor) -> torch.Tensor:
        """What the next step takes away from the values, given the gradient there."""
        self.steps += 1
        self.mean.lerp_(gradient, 1 - DECAY_MEAN)
        self.square.lerp_(gradient.square(), 1 - DECAY_SQUARE)
        root = (self.square / (1 - DECAY_SQUARE**self.steps)).sqrt_() + EPSILON
        return self.rate / (1 - DECAY_MEAN**self.steps) * self.mean / root
