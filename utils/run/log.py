"""The log of a step: lines on the terminal, and with times in a file."""

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from utils.errors import UserError

# Lines that a step shows of each fold.
MOST_LINES = 25
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


class Terminal(logging.Handler):
    """Lines on standard output, above the bars that are drawn there.

    most : lines that are shown, warnings apart; None shows all, those for debugging too. The last
        one always is: what was held back is counted in a line before it.
    """

    def __init__(self, most: int | None) -> None:
        super().__init__(logging.DEBUG if most is None else logging.INFO)
        self.stream = sys.stdout
        self.most = most
        self.shown, self.held = 0, []
        self.file = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        full = self.most is not None and self.shown >= self.most - 2
        if full and record.levelno < logging.WARNING:
            self.held.append(text)
            return
        self.shown += record.levelno < logging.WARNING
        tqdm.write(text, file=self.stream)

    def close(self) -> None:
        *more, last = self.held or [None]
        if len(more) > 1:
            more = [f"{len(more)} more lines: --verbose shows them, {self.file} has them"]
        for text in filter(None, [*more, last]):
            tqdm.write(text, file=self.stream)
        self.held = []
        super().close()


def open_log(path: Path, otherwise: Path, verbose: bool = False) -> logging.Logger:
    """Log to the terminal, and with times to the file `path`.

    otherwise : the file where `path` lies in a folder that may only be read.
    verbose : show every line on the terminal, and not the first MOST_LINES.
    """
    log = logging.getLogger("exp-fl-5")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    close_log(log)
    if not is_main_process():
        log.addHandler(logging.NullHandler())
        return log
    terminal = Terminal(None if verbose else MOST_LINES)
    terminal.file = str(path)
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
        terminal.file = str(otherwise)
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
