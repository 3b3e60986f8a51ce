"""What a file system may lack (NFS, FUSE, object stores): the step goes on, and says so once."""

import errno
import logging
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

# What asking for something answers where the file system cannot do it.
LACKING = frozenset(
    {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EACCES,
     errno.ENODEV, errno.ENOTTY, errno.ENOLCK}
)  # fmt: skip
SHARED_MEMORY = Path("/dev/shm")
NO_FLUSH = "a power cut can lose what the step has written: run it again after one"
NO_MODE = "the files keep the permissions that it gives them"
NO_MAP = "files are read whole, which takes more memory"


def lacks(error: OSError) -> bool:
    """Whether `error` says that the file system cannot do what it was asked for."""
    return error.errno in LACKING


@cache
def say_once(text: str) -> None:
    """On the log of the step that runs, else on the terminal; the same text once per process."""
    log = logging.getLogger("exp-fl-5")
    if log.handlers:
        log.warning("%s", text)
    else:
        print(text, flush=True)


def if_it_can(what: str, without: str, ask: Callable[[], Any]) -> None:
    """Ask the file system for what the step can do without.

    what : what is asked for, such as "fsync". without : what is not guaranteed then.
    """
    try:
        ask()
    except OSError as error:
        if not lacks(error):
            raise
        say_lacking(what, without, error)


def say_lacking(what: str, without: str, error: OSError) -> None:
    say_once(f"the file system has no {what} ({error.strerror or error}): {without}")


def shared_memory_left() -> int | None:
    """Bytes that processes can share through /dev/shm; None where nothing is known of it."""
    if sys.platform != "linux":
        return None
    if not os.access(SHARED_MEMORY, os.W_OK):
        return 0
    return shutil.disk_usage(SHARED_MEMORY).free
