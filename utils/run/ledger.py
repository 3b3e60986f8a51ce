"""What every result was made from, so that finished work is known and stale work is refused.

A *task* makes some files of a fold's result folder. Its *recipe* is the
content hash of each input, the value of each constant and the hash of each
module it depends on. `provenance.json` keeps the recipe and the hashes of the
outputs; a task is done when its recipe is the same today and its outputs are
untouched, and an upstream file is accepted on the same terms, all the way up.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from utils.errors import UserError
from utils.run import storage
from utils.run.code import Maker, Source, names_of
from utils.run.hashing import HashCache
from utils.run.paths import FoldPaths
from utils.run.record import forget_code, now, read_provenance, run_entry, times_table
from utils.run.task import Task

# The option under which a step works on each fold and leaves the summary across folds out.
ONLY_FOLDS = "--only-folds"


class Ledger:
    """The provenance of one fold's result folder.

    Parameters
    ----------
    constants : the values in force, by name; a task names those it depends on.
    externals : inputs that no task makes (checkpoints, data): name -> hash.
    where : what some of them are read from today, for messages.
    only_look : write nothing; whoever asks whether a task is done is refused if it is not.
    """

    def __init__(
        self,
        paths: FoldPaths,
        step: int,
        constants: dict[str, Any],
        externals: dict[str, Callable[[HashCache], str]],
        force: bool = False,
        where: dict[str, str] | None = None,
        only_look: bool = False,
    ) -> None:
        self.paths, self.only_look = paths, only_look
        self.where = where or {}
        self.step = step
        self.constants = json.loads(json.dumps(constants))
        self.externals = externals
        self.force = force and not only_look
        self.device = "cpu"
        self.hashes = HashCache(paths.hash_cache)
        self.content = read_provenance(paths)
        self._texts = storage.Texts(of=("tasks", "code"))
        self._external_hashes: dict[str, str] = {}
        self.source = Source(self.hashes)
        self._fresh: dict[str, str | None] = {}
        self._producers: dict[str, str] | None = None
        self._run: str | None = None
        self._planned: set[str] = set()
        self._held = self._waiting = False

    def relative(self, path: Path) -> str:
        name = path.relative_to(self.paths.results).as_posix()
        if not name.isprintable():
            raise UserError(f"the file name {name!a} cannot be shown or recorded; rename it")
        return name

    def external(self, name: str) -> str:
        if name not in self._external_hashes:
            self._external_hashes[name] = self.externals[name](self.hashes)
        return self._external_hashes[name]

    def code(self, module: str) -> str:
        """Hash of a module and of all that it imports; kept with the hash of each of them."""
        digest = self.source.digest(module)
        self.content.setdefault("code", {}).setdefault(digest, self.source.closure(module))
        return digest

    def changed_module(self, name: str, digest: str | None) -> str:
        """Of the code `name`, whose hash was `digest`, the first module that is another one now."""
        before = self.content.get("code", {}).get(digest, {})
        today = self.source.closure(name)
        changed = [m for m in {**before, **today} if before.get(m) != today.get(m)]
        return changed[0] if before and changed else name

    def producer(self, name: str) -> str | None:
        """Key of the task that made the result `name`, or None."""
        if self._producers is None:
            self._producers = {
                output: key
                for key, task in self.content["tasks"].items()
                for output in task["outputs"]
            }
        return self._producers.get(name)

    def require(self, path: Path, made_by: int) -> str:
        """Hash of an upstream result, after making sure that it is up to date.

        Raises
        ------
        UserError : it does not exist, has no record, was changed, or was made
            from something that has changed since; the message names the step.
        """
        name = self.relative(path)
        if not path.is_file():
            raise storage.missing(path, made_by)
        key = self.producer(name)
        if key is None:
            raise UserError(
                f"{path} has no record of what it was made from; "
                f"{storage.run_again(made_by)} or name your own file differently"
            )
        task = self.content["tasks"][key]
        digest = self.hashes.get(path)
        if digest != task["outputs"][name]:
            raise UserError(
                f"{path} has changed since step {task['step']} wrote it; "
                f"{storage.run_again(task['step'])}"
            )
        reason = self.why_stale(key)
        if reason:
            raise UserError(f"{path} is out of date: {reason}; {storage.run_again(task['step'])}")
        return digest

    def why_stale(self, key: str) -> str | None:
        """What has changed since task `key` ran, in words; None if nothing has."""
        if key not in self._fresh:
            self._fresh[key] = "its record goes in a circle"  # while it is being looked at
            self._fresh[key] = self._why_stale(self.content["tasks"][key]["recipe"])
        return self._fresh[key]

    def _why_stale(self, recipe: dict[str, Any]) -> str | None:
        return self._other_constant(recipe) or self._other_code(recipe) or self._other_input(recipe)

    def other_constant(self, key: str) -> str | None:
        """The constant of task `key` that has another value now, in words; None where none has."""
        task = self.content["tasks"].get(key)
        return self._other_constant(task["recipe"]) if task else None

    def other_code(self, key: str) -> str | None:
        """What has changed of the code of task `key`, in words; None where nothing has."""
        task = self.content["tasks"].get(key)
        return self._other_code(task["recipe"]) if task else None

    def _other_constant(self, recipe: dict[str, Any]) -> str | None:
        for name, value in recipe["constants"].items():
            if name in self.constants and self.constants[name] != value:
                return f"{name} was {value}, now {self.constants[name]}"
        return None

    def _other_code(self, recipe: dict[str, Any]) -> str | None:
        for module, digest in recipe["code"].items():
            if self.code(module) != digest:
                return f"its code has changed ({self.changed_module(module, digest)})"
        return None

    def _other_input(self, recipe: dict[str, Any]) -> str | None:
        for name, digest in recipe["inputs"].items():
            if name in self.externals:
                try:
                    found = self.external(name)
                except UserError:
                    return f"the {name} cannot be read"
                if found != digest:
                    now = f" (it is {self.where[name]} now)" if name in self.where else ""
                    return f"the {name} has changed{now}"
                continue
            found = self.hashes.look(self.paths.results / name)
            if found is None:
                return f"{name} is missing"
            producer = self.producer(name)
            reason = self.why_stale(producer) if producer else None
            if reason:
                return f"{name} is out of date ({reason})"
            if found != digest:
                return f"{name} has changed"
        return None

    def task(
        self,
        name: str,
        *,
        inputs: Iterable[str | Path | tuple[Path, int]] = (),
        constants: Iterable[str] = (),
        parameters: dict[str, Any] | None = None,
        makes: Maker | Iterable[Maker] = (),
        step: int | None = None,
    ) -> "Task":
        """Plan a task of this step, or of `step` where two steps share it.

        Parameters
        ----------
        inputs : names of externals; (path, step that makes it) of results; or
            the path of a file in the result folder that the user put there.
        constants : names of the constants that matter to it.
        parameters : further values that matter to it, of this call alone.
        makes : the function, or functions, that make its results; what they are made by is
            found from the imports of their modules (utils.run.code); or EVERYTHING.
        """
        hashed = {}
        for item in inputs:
            if isinstance(item, str):
                hashed[item] = self.external(item)
            elif isinstance(item, Path):
                hashed[self.relative(item)] = self.hashes.get(item)
            else:
                hashed[self.relative(item[0])] = self.require(*item)
        values = {key: self.constants[key] for key in constants}
        recipe = {
            "inputs": hashed,
            "constants": json.loads(json.dumps(values | (parameters or {}))),
            "code": {name: self.code(name) for name in names_of(makes)},
        }
        task = Task(self, self.step if step is None else step, name, recipe)
        self._planned.add(task.key)
        return task

    def not_done(self, key: str, reason: str) -> UserError:
        """Where the folds are only looked at: what one of them lacks, and who makes it."""
        step, _, name = key.partition("/")
        return UserError(
            f"{self.paths.results}: '{name}' of step {step} {reason}; "
            f"run exp-fl-5-{self.step}.py {ONLY_FOLDS} first"
        )

    def start_run(self) -> str:
        """Record the machine and the call once per process, when the first task runs."""
        if self._run is None:
            self._run = f"run-{len(self.content['runs']) + 1}"
            self.content["runs"][self._run] = run_entry(
                self.step, self.device, self.constants, self.paths.inputs
            )
        return self._run

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write the record once for all tasks of the block; a killed run does them all again."""
        self._held, self._waiting = True, False
        try:
            yield
        finally:
            self._held = False
            if self._waiting:
                self.commit()

    def commit(self) -> None:
        self._fresh.clear()
        self.hashes.looked.clear()
        self._producers = None
        self._waiting = self._held
        if self._held:
            return
        if self._run is not None:
            self.content["runs"][self._run]["end"] = now()
        forget_code(self.content)
        storage.save_json(self.paths.provenance, self.content, self._texts)

    def times(self, shown: Callable[[dict[str, Any]], bool] = lambda _: True) -> pd.DataFrame:
        """The timed things of this step, one a row; `shown` as of `close`."""
        return times_table(self.content, self.step, shown)

    def close(self, shown: Callable[[dict[str, Any]], bool] = lambda _: True) -> None:
        """Write the step's times and the hash cache; to be called when a fold is finished.

        shown : whether a row (by setting, method, n) of an earlier run is one of this one too.
        """
        if self.only_look:
            for key in self._out_of_use():
                raise self.not_done(key, "is out of date: this step does not make it any more")
            return
        self._sweep()
        table, path = self.times(shown), self.paths.times(self.step)
        if len(table):
            storage.save_table(path, table)
        elif path.is_file():
            path.unlink()
        if self.paths.results.is_dir():
            self.hashes.save()

    def _sweep(self) -> None:
        """Take away what this step made once, does not make now, and what is out of date.

        For example the results of a setting that a new M1 does not have.
        """
        tasks = self.content["tasks"]
        gone = self._out_of_use()
        for key in gone:
            self.remove(tasks[key]["outputs"])
        for key in gone:
            del tasks[key]
        if gone:
            self.commit()

    def _out_of_use(self) -> list[str]:
        """Tasks of this step whose results are out of date and not made now."""
        return [
            key
            for key, task in self.content["tasks"].items()
            if task["step"] == self.step
            and key not in self._planned
            and task["outputs"]
            and self.why_stale(key)
        ]

    def drop(self, name: str, step: int | None = None) -> None:
        """Take away what a task made once and cannot make now; `name` and `step` as in `task`."""
        key = f"{self.step if step is None else step}/{name}"
        self._planned.discard(key)
        if self.only_look and key in self.content["tasks"]:
            raise self.not_done(key, "is out of date: it cannot be made now")
        known = self.content["tasks"].pop(key, None)
        if known is not None:
            self.remove(known["outputs"])
            self.commit()

    def remove(self, outputs: dict[str, str]) -> None:
        """Delete recorded files, except those that somebody has changed since."""
        for name, digest in outputs.items():
            path = self.paths.results / name
            if path.is_file() and self.hashes.get(path) == digest:
                path.unlink()
                if path.parent != self.paths.results and not any(path.parent.iterdir()):
                    path.parent.rmdir()
