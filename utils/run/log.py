"""The log of a step: lines on the terminal, and with times in a file."""

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from utils.errors import UserError

# What writing to a folder that may only be read ends with.
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def is_main_process() -> bool:
    """Of the processes that torchrun starts on a step, the first one locks, logs and writes."""
    by_torchrun = "LOCAL_RANK" in os.environ  # a job scheduler may have set RANK alone
    return not by_torchrun or os.environ.get("RANK", "0") == "0"


class PatientOutput:
    """Standard output that goes on when its reader, like `head`, has gone away."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        with self._into_nothing_if_broken():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._into_nothing_if_broken():
            self.stream.flush()

    @contextmanager
    def _into_nothing_if_broken(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


class LogFile(logging.FileHandler):
    """A log that loses lines on a full disk, and leaves the complaint to the results."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def open_log(path: Path, otherwise: Path) -> logging.Logger:
    """Log to the terminal, and with times to the file `path`.

    otherwise : the file where `path` lies in a folder that may only be read.
    """
    log = logging.getLogger("exp-fl-5")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    close_log(log)
    if not is_main_process():
        log.addHandler(logging.NullHandler())
        return log
    terminal = logging.StreamHandler(sys.stdout)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    terminal.setLevel(logging.INFO)
    log.addHandler(terminal)
    try:
        log.addHandler(_log_file(path))
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise _no_log(path, error) from None
        try:
            log.addHandler(_log_file(otherwise))
        except OSError as second:
            raise _no_log(otherwise, second) from None
        log.info("cannot write %s (%s): this log is %s", path, error.strerror, otherwise)
    return log


def _log_file(path: Path) -> LogFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = LogFile(path, encoding="utf-8", errors="backslashreplace")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return file


def _no_log(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write the log {path}: {error.strerror}; check the folder")


def close_log(log: logging.Logger) -> None:
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()


def silent_log() -> logging.Logger:
    """A log that nobody reads."""
    log = logging.getLogger("exp-fl-5.silent")
    log.propagate = False
    log.addHandler(logging.NullHandler())
    return log
