"""What is said of a checkpoint whose config.json was changed."""

import json
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.model import checkpoints


def refusal(folder: Path, **entries: object) -> str:
    """The one line that refuses the folder once these entries are in its config.json."""
    config = json.loads((folder / "config.json").read_text()) | entries
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError) as caught:
        checkpoints.read_ffn(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)
