"""Run the numbered scripts in forked children that die, or find the disk full, at a chosen write.

Started by `pipeline.Server`. It imports what the scripts import, once, and
then reads one JSON request per line: {"command": [script, ...], "root": ...,
"times": n, ...}, see `pipeline.Server.run`. The answer, a line too, holds for
each of the n children the exit status, both outputs and the writes that happened.

A write is anything that changes the file system below `root`: opening a file
to write, a half-written file, fsync, chmod, rename, unlink, mkdir, rmdir. Most
are seen by an audit hook, whoever asks for them; the k-th kills the process
with SIGKILL before it takes place ("kill"), or from the k-th on everything that
takes space fails with ENOSPC ("full").
"""

import dataclasses
import errno
import gc
import importlib
import inspect
import io
import json
import os
import runpy
import signal
import sys
import threading
import traceback
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = (
    "torch",
    "datasets",
    "safetensors.torch",
    "sklearn.metrics",
    "scipy.stats",
    "transformers.activations",
    "transformers.models.vit.modeling_vit",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "utils.drawing",
    "utils.model.forward",
    "utils.methods.fold",
    "utils.judge.scores.fold",
    "utils.judge.details.fold",
    "utils.judge.verdict.fold",
    "utils.judge.transplant.fold",
    "utils.judge.layers.fold",
    "utils.judge.planted.fold",
    "utils.judge.retrain.fold",
    "utils.data.misclassification",
    "utils.summary.scores.write",
    "utils.summary.effects.write",
)
# audit event -> (what it is called here, position of the path among its arguments)
EVENTS = {
    "os.mkdir": ("mkdir", 0),
    "os.rename": ("rename", 1),
    "os.remove": ("unlink", 0),
    "os.rmdir": ("rmdir", 0),
    "os.chmod": ("chmod", 0),
    "os.truncate": ("truncate", 0),
    "os.link": ("link", 1),
    "os.symlink": ("symlink", 1),
}
TAKES_SPACE = ("open", "mkdir", "write", "fsync")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Trap:
    """Counts the writes below `root`, and springs at one of them."""

    def __init__(self, root: str, mode: str | None, at: int, trace: int) -> None:
        self.root, self.mode, self.at, self.trace = os.path.realpath(root), mode, at, trace
        self.seen = 0

    def point(self, kind: str, path: str) -> None:
        self.seen += 1
        os.write(self.trace, f"{kind} {os.path.relpath(path, self.root)}\n".encode())
        if self.mode == "kill" and self.seen == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mode == "full" and self.seen >= self.at and kind in TAKES_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def inside(self, path: object) -> str | None:
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        given = Path(os.fsdecode(path))
        whole = os.fspath(given.parent.resolve() / given.name)  # the link itself, not its target
        return whole if whole.startswith(self.root + os.sep) else None

    def hook(self, event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            kind, path = "open", arguments[0]
        elif event in EVENTS:
            kind, place = EVENTS[event]
            path = arguments[place]
        else:
            return
        path = self.inside(path)
        if path is not None:
            self.point(kind, path)

    def install(self) -> None:
        trap, fdopen = self, os.fdopen

        class HalfWriter(io.BufferedWriter):
            """Puts the first half on the disk before the write counts as one."""

            def __init__(self, handle: int) -> None:
                super().__init__(io.FileIO(handle, "w"))
                self.path = os.fspath(Path(f"/proc/self/fd/{handle}").readlink())

            def write(self, data: object) -> int:
                view = memoryview(bytes(data))
                half = len(view) // 2
                super().write(view[:half])
                super().flush()
                if trap.inside(self.path):
                    trap.point("write", self.path)
                return half + super().write(view[half:])

        def half_fdopen(handle: int, mode: str = "r", *rest: object, **more: object) -> object:
            return HalfWriter(handle) if mode == "wb" else fdopen(handle, mode, *rest, **more)

        def counted_fsync(handle: int) -> None:
            """A killed process leaves all that it wrote: only a power cut makes fsync matter."""
            path = os.fspath(Path(f"/proc/self/fd/{handle}").readlink())
            if trap.inside(path):
                trap.point("fsync", path)

        os.fdopen, os.fsync = half_fdopen, counted_fsync
        sys.addaudithook(self.hook)


# What draws one figure, in the modules that call it by these names.
CATALOGUE = (
    "ceiling", "critical_difference", "cumulative_gain", "locations", "metrics_at_k",
    "setting_heat_map", "specificity_map", "time_against", "truth_against_truth",
)  # fmt: skip
EFFECTS = (
    "blocks", "lift_and_recovery", "loss_against_k", "planted_lifts", "repaired_and_broken",
    "verdict_places",
)  # fmt: skip


def leave_out_drawing(with_summary: bool) -> None:
    """Figures and workbook take most of a summary's time: their bytes get a stand-in."""

    from utils import drawing
    from utils.summary.documents import workbook
    from utils.summary.figures import catalogue, recovery
    from utils.summary.scores import summarise

    for module, names in ((catalogue, CATALOGUE), (recovery, EFFECTS)):
        for name in names:
            if not callable(getattr(module, name)):
                raise TypeError(f"{module.__name__}.{name} draws no figure")
            setattr(module, name, lambda *_, **__: None)
    drawing.missing_glyphs = lambda figure: set()
    drawing.render = lambda figure, suffix: f"<svg>a figure as {suffix}</svg>".encode() * 100
    workbook.render = lambda *_: b"PK a workbook" * 1000
    if not with_summary:
        summarise.summarise = summarise.finding = lambda *_: ""


def run_from(tree: str) -> None:
    """Import utils/ anew, from another tree; all else stays as it was imported."""
    for name in [name for name in sys.modules if name.split(".")[0] == "utils"]:
        del sys.modules[name]
    sys.path[sys.path.index(str(ROOT))] = tree
    importlib.invalidate_caches()


def note_functions(sink: int) -> None:
    """Write file, qualified name and first line of every function that runs, in any thread."""
    seen = set()

    def note(frame: types.FrameType, event: str, _: object) -> None:
        if event != "call" or (code := frame.f_code) in seen:
            return
        seen.add(code)
        if code.co_flags & inspect.CO_NEWLOCALS and not code.co_name.startswith("<"):
            line = json.dumps([code.co_filename, code.co_qualname, code.co_firstlineno])
            os.write(sink, f"{line}\n".encode())

    threading.setprofile(note)
    sys.setprofile(note)


def child(request: dict, outputs: tuple[int, int], trace: int, functions: int) -> None:
    """Never returns."""
    status = 1
    try:
        for stream, handle in zip((1, 2), outputs, strict=True):
            os.dup2(handle, stream)
        if "tree" in request:
            run_from(request["tree"])
        from utils import constants

        for name, value in request.get("constants", {}).items():
            setattr(constants, name, value)
        if "profile" in request:
            changed = dataclasses.replace(constants.PROFILES["digits"], **request["profile"])
            constants.PROFILES["digits"] = changed
        for name, fields in request.get("profiles", {}).items():
            constants.PROFILES[name] = constants.Profile(**fields)
        os.chdir(request.get("cwd", "."))
        if not request.get("draw"):
            leave_out_drawing(request.get("summary", True))
        if "threads" in request:
            import torch

            torch.set_num_threads(request["threads"])
        sys.argv = request["command"]
        if "functions" in request:
            note_functions(functions)
        Trap(request["root"], request.get("mode"), request.get("at", 0), trace).install()
        exec(request.get("change", ""), {})
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def start(request: dict) -> tuple[int, list[int]]:
    """Fork a child; return its id and the files of its outputs, its writes and its functions."""
    files = [os.memfd_create(name) for name in ("stdout", "stderr", "trace", "functions")]
    pid = os.fork()
    if pid == 0:
        child(request, (files[0], files[1]), *files[2:])
    return pid, files


def finish(pid: int, files: list[int]) -> dict:
    _, status = os.waitpid(pid, 0)
    texts = []
    for handle in files:
        with os.fdopen(handle, "rb") as file:
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return {
        "status": os.waitstatus_to_exitcode(status),
        "stdout": texts[0],
        "stderr": texts[1],
        "points": texts[2].splitlines(),
        "functions": [json.loads(line) for line in texts[3].splitlines()],
    }


def remember_sources() -> None:
    """Hash every module once: each script would, and takes half a second for it."""
    from utils.run.code import read_code

    for path in (ROOT / "utils").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        read_code(path, module.removesuffix(".__init__"))


def main() -> None:
    sys.path.insert(0, str(ROOT))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in PRELOADED:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    remember_sources()
    gc.freeze()  # else the first collection in each child copies every page
    for line in sys.stdin:
        request = json.loads(line)
        children = [start(request) for _ in range(request["times"])]
        print(json.dumps([finish(*one) for one in children]), file=answers, flush=True)


if __name__ == "__main__":
    main()
