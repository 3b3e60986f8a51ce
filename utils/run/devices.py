"""Where the computation runs."""

import torch

from utils.errors import UserError


def pick_device(name: str | None) -> torch.device:
    """`name`, or the best there is: cuda, then mps, then cpu."""
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {name} is not available here ({reason})") from None
    return device
