"""A folder whose name has glob characters, read by a library that globs below it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate


@contextmanager
def literal(folder: Path) -> Iterator[None]:
    """Inside, fsspec takes the name of `folder` as it is: `[1]` means [1], and not 1.

    `datasets` puts its patterns behind the folder's name and globs the whole.
    """
    base = folder.resolve().as_posix()

    class Literal(LocalFileSystem):
        def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> Any:
            path = self._strip_protocol(path)
            below = path.removeprefix(f"{base}/")
            if below == path:
                return super().glob(path, maxdepth, **kwargs)
            fits = re.compile(glob_translate(below)).match
            every = self.find(base, maxdepth, withdirs=True, detail=True)
            found = {p: info for p, info in every.items() if fits(p.removeprefix(f"{base}/"))}
            return found if kwargs.get("detail") else list(found)

    fsspec.register_implementation("file", Literal, clobber=True)
    try:
        yield
    finally:
        fsspec.register_implementation("file", LocalFileSystem, clobber=True)
