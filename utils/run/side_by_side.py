"""Folds side by side: each in a process of its own, forked before anything has run.

What is imported is imported once, and every process does what the one alone would
do: the bytes are the same. None of them draws bars, and a line says of which fold it is.
What a summary draws is made side by side too (`in_order`).
"""

import ctypes
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partialmethod
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, TypeVar

from tqdm import tqdm

from utils.errors import UserError
from utils.run.paths import FoldPaths

OF_FOLD = Callable[[FoldPaths], Any]
Result = TypeVar("Result")
# By name: steps that do without torch do not import it.
PIECES = "utils.pieces"
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
        share the cores, and what they make does not. A last round of fewer folds has them all.
    """

    def __init__(self, count: int, step: int, work: OF_FOLD) -> None:
        context = get_context("fork")
        self.lines: dict[Connection, BaseProcess] = {}
        self.share_cores = step > 0
        sys.stdout.flush()
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, work, os.getpid()))
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
                line.send((fold, self._together(place, len(folds))))
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

    def _together(self, place: int, folds: int) -> int:
        """How many processes share the cores while the fold at `place` is worked on."""
        count = len(self.lines) if self.share_cores else 1
        last = folds % count
        return last if last and place >= folds - last else count

    def _ended(self, line: Connection, paths: FoldPaths) -> Defect:
        self.lines[line].join()
        status = self.lines[line].exitcode
        return Defect(
            f"{paths.name}: its process was ended from outside (exit status {status}); where "
            "memory is short, run it again with a smaller --jobs"
        )


def in_order(count: int, pieces: Sequence[Callable[[], Result]]) -> Iterator[Result]:
    """What each of `pieces` returns, in their order, made by up to `count` processes.

    The processes are forked here: to be called where no thread of torch has run, or with 1.
    A piece may be anything that can be called; what it returns has to be picklable.

    Raises
    ------
    Defect : a process was ended from outside.
    """
    pool = _pool(min(count, len(pieces)), pieces)
    if pool is None:
        yield from (piece() for piece in pieces)
        return
    sys.stdout.flush()
    try:
        with pool:
            yield from pool.map(_call, range(len(pieces)))
    except BrokenProcessPool:
        raise Defect(
            "a process of this step was ended from outside; where memory is short, run it again "
            "with a smaller --jobs"
        ) from None


def _pool(count: int, pieces: Sequence[Callable[[], Any]]) -> ProcessPoolExecutor | None:
    """None where one process is enough, or where there can be no more: no room for semaphores."""
    if count < 2:
        return None
    try:
        return ProcessPoolExecutor(count, get_context("fork"), _hold, (pieces, os.getpid()))
    except (OSError, NotImplementedError):  # /dev/shm is missing, or may not be written
        return None


def _hold(pieces: Sequence[Callable[[], Any]], parent: int) -> None:
    _end_with(parent)
    _call.pieces = pieces


def _call(number: int) -> Any:
    return _call.pieces[number]()


def _end_with(parent: int) -> None:
    """Have this process end where the parent does, whatever ends that; an interrupt is its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before that was asked for
        os._exit(0)


def _serve(line: Connection, work: OF_FOLD, parent: int) -> None:
    """Work on the folds that come along the line, until the process is ended."""
    _end_with(parent)
    tqdm.__init__ = partialmethod(tqdm.__init__, disable=True)
    torch = sys.modules.get("torch")
    cores = torch.get_num_threads() if torch else 1
    terminal = sys.stdout
    while True:
        paths, together = line.recv()
        if torch:
            importlib.import_module(PIECES).use_cores(max(1, cores // together))
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
