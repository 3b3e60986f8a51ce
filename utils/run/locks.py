"""One step at a time on a fold."""

import os

from filelock import FileLock, Timeout

from utils.errors import UserError
from utils.run.file_systems import lacks
from utils.run.paths import FoldPaths


def lock_fold(paths: FoldPaths) -> FileLock:
    """One step at a time on a fold: a second one waits, and says for what.

    Where the file system knows no locks (some network mounts) the step goes on
    without one after saying so: it could wait for ever for a file that is nobody's.
    """
    try:
        paths.lock.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(paths.lock, fallback_to_soft=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(
                f"{paths.name}: another step is at work on this fold and holds {paths.lock}; "
                "waiting for it",
                flush=True,
            )
            lock.acquire()
    except OSError as error:
        if lacks(error) and os.access(paths.lock, os.W_OK):  # the file is there, the lock is not
            print(
                f"{paths.name}: {paths.lock.parent} has no file locks ({error.strerror}); going on "
                "without: start no other step on this fold before this one ends",
                flush=True,
            )
            return lock
        raise UserError(f"cannot write {paths.lock}: {error.strerror}; check the folder") from None
    return lock
