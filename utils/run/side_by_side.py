"""Folds side by side: each in a process of its own, forked before anything has run.

What is imported is imported once, and every process does what the one alone would
do: the bytes are the same. None of them draws bars, and a line says of which fold it is.
"""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partialmethod
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

from tqdm import tqdm

from utils.errors import UserError
from utils.run.paths import FoldPaths

OF_FOLD = Callable[[FoldPaths], Any]
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


class Defect(Exception):
    """A process ended with a defect of ours, which it has shown, or was ended from outside."""


class NamedLines:
    """Standard output whose lines begin with the fold they are about, each written at once."""

    def __init__(self, stream: Any, name: str) -> None:
        self.stream, self.name, self.begun = stream, name, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        *lines, self.begun = (self.begun + text).split("\n")
        if lines:
            self.stream.write("".join(f"{self.name}: {line}\n" for line in lines))
            self.stream.flush()
        return len(text)


class Workers:
    """`count` processes that wait for folds; to be made before any thread of torch has run.

    step : step 0 keeps its threads, for a training's last bits depend on their number; other steps
        share the cores, and what they make does not.
    """

    def __init__(self, count: int, step: int, work: OF_FOLD) -> None:
        context = get_context("fork")
        self.lines: dict[Connection, BaseProcess] = {}
        sys.stdout.flush()
        for _ in range(count):
            ours, theirs = context.Pipe()
            share = count if step else 1
            process = context.Process(target=_serve, args=(theirs, work, share, os.getpid()))
            process.start()
            theirs.close()
            self.lines[ours] = process

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End them, whatever they are doing: what they had not finished is made the next time."""
        for process in self.lines.values():
            process.terminate()
        for process in self.lines.values():
            process.join()

    def run(self, folds: Sequence[FoldPaths], finished: list[Any]) -> None:
        """Append what `work` makes of each fold to `finished`, in their order.

        After a fold that fails no other one is begun, and those that are at work are finished.

        Raises
        ------
        UserError : of the first fold that is refused.
        Defect : a process ended otherwise.
        """
        waiting, free = list(enumerate(folds)), list(self.lines)
        busy: dict[Connection, int] = {}
        found: dict[int, Any] = {}
        failed: dict[int, Exception] = {}
        while busy or (waiting and not failed):
            while waiting and free and not failed:
                line, (place, fold) = free.pop(), waiting.pop(0)
                line.send(fold)
                busy[line] = place
            for line in wait(list(busy)):
                place = busy.pop(line)
                try:
                    good, answer = line.recv()
                except EOFError:
                    good, answer = False, self._ended(line, folds[place])
                else:
                    free.append(line)
                (found if good else failed)[place] = answer
        finished.extend(found[place] for place in sorted(found))
        if failed:
            raise failed[min(failed)]

    def _ended(self, line: Connection, paths: FoldPaths) -> Defect:
        self.lines[line].join()
        status = self.lines[line].exitcode
        return Defect(
            f"{paths.name}: its process was ended from outside (exit status {status}); where "
            "memory is short, run it again with a smaller --jobs"
        )


def _serve(line: Connection, work: OF_FOLD, share: int, parent: int) -> None:
    """Work on the folds that come along the line, until the process is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process then
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before that was asked for
        return
    tqdm.__init__ = partialmethod(tqdm.__init__, disable=True)
    _share_cores(share)
    terminal = sys.stdout
    while True:
        paths: FoldPaths = line.recv()
        sys.stdout = NamedLines(terminal, f"fold {paths.fold}")
        line.send(_answer(work, paths))


def _answer(work: OF_FOLD, paths: FoldPaths) -> tuple[bool, Any]:
    """Whether it went well, and what came out."""
    try:
        return True, work(paths)
    except UserError as error:
        return False, error
    except Exception:
        traceback.print_exc()
        return False, Defect(f"{paths.name}: a defect of ours, see above")


def _share_cores(count: int) -> None:
    """Let torch use its part of the cores."""
    torch = sys.modules.get("torch")
    if torch is not None and count > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // count))
