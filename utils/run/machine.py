"""The machine, the packages and the commit that a run is recorded with."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from typing import Any

from utils.run.hashing import REPOSITORY

PACKAGES = ["torch", "transformers", "datasets", "numpy", "pandas", "scipy", "scikit-learn"]


def describe() -> dict[str, Any]:
    return {
        "threads": _threads(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        **_git(),
    }


def _threads() -> int:
    pieces = sys.modules.get("utils.pieces")
    return pieces.cores() if pieces else len(os.sched_getaffinity(0))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any]:
    def ask(*arguments: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "-C", str(REPOSITORY), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    status = ask("status", "--porcelain", "--untracked-files=no")
    return {
        "git_commit": ask("rev-parse", "HEAD"),
        "git_dirty": None if status is None else bool(status),
    }
