"""matplotlib without a user's settings, and figures written to disk (utils.drawing draws them)."""

import importlib
import os
from contextlib import chdir
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from utils import drawing
from utils.run import storage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ignore_user_settings() -> None:
    """Have matplotlib start with its own settings: no MPLBACKEND, no matplotlibrc of the user's.

    To be called before anything imports matplotlib, which fails on a backend
    that is not installed here (a notebook's).
    """
    own = Path(find_spec("matplotlib").origin).parent / "mpl-data"
    os.environ["MPLBACKEND"] = "agg"
    os.environ["MATPLOTLIBRC"] = str(own / "matplotlibrc")
    if Path("matplotlibrc").exists():  # it would be read in spite of the variable
        with chdir(own):
            importlib.import_module("matplotlib")


def save_figure(figure: "Figure", path: Path) -> list[Path]:
    """Write `figure` as .png and .pdf beside each other; return both paths."""
    written = []
    for suffix in ("png", "pdf"):
        target = path.with_suffix(f".{suffix}")
        storage.save_bytes(target, drawing.render(figure, suffix))
        written.append(target)
    return written
