"""A folder under a name that `datasets` takes for nothing but a path.

Its names are addresses and patterns to it: `::`, `file:`, `~`, `*` or `[1]` mean something there.
"""

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

from utils.errors import UserError

PLAIN = re.compile(r"[\w./ -]*")
PLACES = ("/tmp", "/var/tmp", "/dev/shm")


def is_plain(folder: Path) -> bool:
    """Whether no character of the whole path is more than a part of a name."""
    return bool(PLAIN.fullmatch(str(folder.resolve())))


def linked(folder: Path) -> Path:
    """The folder, or a link to it under a plain name, to write below."""
    if is_plain(folder):
        return folder
    link = _room(folder) / "folder"
    link.symlink_to(folder.resolve(), target_is_directory=True)
    return link


def mirrored(folder: Path) -> Path:
    """The folder, or one of a plain name with its subfolders and links to its files, to read.

    `datasets` follows a link to a folder back to the folder's own name before it looks inside.
    """
    if is_plain(folder):
        return folder
    mirror, whole = _room(folder) / "data", folder.resolve()
    for found, _, files in os.walk(whole):
        here = mirror / Path(found).relative_to(whole)
        here.mkdir(parents=True)
        for name in files:
            (here / name).symlink_to(Path(found, name))
    return mirror


def _room(folder: Path) -> Path:
    """A new folder of a plain name that lasts as long as the process: rows are read when used."""
    for place in (Path(tempfile.gettempdir()), *map(Path, PLACES)):
        if is_plain(place) and os.access(place, os.W_OK):
            room = Path(tempfile.mkdtemp(prefix="exp-fl-5-", dir=place))
            atexit.register(shutil.rmtree, room, ignore_errors=True)
            return room
    raise UserError(
        f"the name of {folder} has characters that mean something to the library that reads it, "
        f"and no link to it can be made in {tempfile.gettempdir()}; set TMPDIR to a folder that "
        "can be written"
    )
