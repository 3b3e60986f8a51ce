"""Content hashes of files, remembered while their stat stays the same."""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

from utils.errors import UserError
from utils.run import storage

REPOSITORY = Path(__file__).resolve().parents[2]


def hash_bytes(*parts: bytes | memoryview) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashCache:
    """Content hashes of files, remembered while a file's stat stays the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        self.known = known if isinstance(known, dict) else {}
        self.changed = False
        self.looked: dict[Path, str | None] = {}
        self._folders: dict[Path, str] = {}

    @staticmethod
    def _stat(path: Path) -> list[int]:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"{path} is not a file; take it away")
        return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]

    def _real(self, path: Path) -> str:
        """One name for a file: links on the way to it are followed once a folder."""
        if path.parent not in self._folders:
            self._folders[path.parent] = os.path.realpath(path.parent)
        return f"{self._folders[path.parent]}/{path.name}"

    def get(
        self, path: Path, kind: str = "file", compute: Callable[[Path], str] = hash_file
    ) -> str:
        """Return `compute(path)`, from memory where the file's stat is unchanged."""
        return self.get_together([path], kind, lambda: compute(path))

    def get_together(self, paths: list[Path], kind: str, compute: Callable[[], str]) -> str:
        """`compute()`, from memory while the stat of every one of `paths` is unchanged."""
        try:
            key = f"{kind}:{'|'.join(map(self._real, paths))}"
            before = [number for path in paths for number in self._stat(path)]
            entry = self.known.get(key)
            if not (isinstance(entry, list) and entry[:-1] == before):
                # The stat from before: a file that changes meanwhile is hashed again next time.
                entry = [*before, compute()]
                self.known[key] = entry
                self.changed = True
        except OSError as error:
            raise UserError(f"{paths[0]} cannot be read: {error.strerror or error}") from None
        return entry[-1]

    def look(self, path: Path) -> str | None:
        """Hash of a file, None where there is none: one look serves until `looked` is cleared."""
        if path not in self.looked:
            self.looked[path] = self.get(path) if path.is_file() else None
        return self.looked[path]

    def put(self, path: Path, digest: str) -> None:
        self.known[f"file:{self._real(path)}"] = [*self._stat(path), digest]
        self.changed = True

    def save(self) -> None:
        if self.changed:
            storage.save_json(self.path, self.known)
            self.changed = False
