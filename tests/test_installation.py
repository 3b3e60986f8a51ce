"""What is installed: every package pinned, and a Python that the pins are for."""

import importlib.metadata
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# torch from PyPI brings these along on Linux; a build without CUDA does not.
OF_CUDA = ("nvidia-", "cuda-", "triton")


def read(name: str) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def environment(python: str = "", system: str = "") -> dict[str, str]:
    found = default_environment() | {"extra": ""}
    if python:
        found |= {"python_version": python, "python_full_version": f"{python}.1"}
    if system:
        names = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}
        found |= {"sys_platform": system, "platform_system": names[system]}
    return found


def pins(where: dict[str, str]) -> dict[str, str]:
    """Name -> version of every line of constraints.txt that counts in an environment."""
    found: dict[str, str] = {}
    for line in read("constraints.txt"):
        if line.marker is None or line.marker.evaluate(where):
            (pin,) = line.specifier
            assert pin.operator == "==", line
            name = canonicalize_name(line.name)
            assert name not in found, f"{line.name} is pinned twice"
            found[name] = pin.version
    return found


def behind(requirements: list[Requirement]) -> set[str]:
    """Every installed package that some requirements need here, and what those need."""
    here, found = environment(), set()
    waiting = [(one.name, tuple(one.extras)) for one in requirements]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.add(canonicalize_name(name))
        for line in importlib.metadata.requires(name) or []:
            need = Requirement(line)
            wanted = [need.marker is None, *(  # without an extra, or with one that was asked for
                need.marker is not None and need.marker.evaluate(here | {"extra": extra})
                for extra in ("", *extras)
            )]  # fmt: skip
            if any(wanted):
                waiting.append((need.name, tuple(need.extras)))
    return found


DIRECT = read("requirements.txt") + read("requirements-dev.txt")


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", PYTHONS)
def test_direct_requirements_are_pinned_alike_in_both_lists(python, system):
    pinned = pins(environment(python, system))
    for one in DIRECT:
        assert str(one.specifier) == f"=={pinned[canonicalize_name(one.name)]}", one


def test_what_is_installed_is_what_is_pinned():
    """constraints.txt is out of step: a package came along, or another version of one."""
    pinned = pins(environment())
    needed = behind(DIRECT)
    assert len(needed) > 60
    assert sorted(needed - set(pinned)) == []
    installed = {name: importlib.metadata.version(name) for name in sorted(needed)}
    public = {name: Version(version).public for name, version in installed.items()}
    assert public == {name: pinned[name] for name in public}


def test_nothing_is_pinned_that_nothing_needs():
    rest = set(pins(environment())) - behind(DIRECT)
    assert [name for name in sorted(rest) if not name.startswith(OF_CUDA)] == []


def run_make(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60, env=os.environ | more,
    )  # fmt: skip


@pytest.fixture
def clone(tmp_path) -> Path:
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def program(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_refuses_an_older_python_in_one_line(clone, target):
    """The stand-in knows its version, and cannot run what is newer."""
    old = program(clone / "old", '[ "$1" = -V ] && echo "Python 3.10.13" && exit 0', "exit 1")
    done = run_make(clone, f"PYTHON={old}", target)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode != 0 and not (clone / ".venv").exists()
    assert said == [
        f"Python 3.11 to 3.14 is needed, {old} is Python 3.10.13; "
        "name another one: make PYTHON=python3.12"
    ]


NOTES_AND_MAKES_ITSELF = (
    'echo "$@" >> asked',
    '[ "$2" = venv ] && mkdir -p .venv/bin && cp "$0" .venv/bin/python',
    "exit 0",
)


def test_make_installs_with_the_constraints(clone):
    """A stand-in for Python that notes what it is asked for."""
    asked = (f"PYTHON={program(clone / 'python', *NOTES_AND_MAKES_ITSELF)}", "UV=")
    assert run_make(clone, *asked, ".venv/dev.stamp").returncode == 0
    (install,) = installs(clone)
    assert install.startswith("-m pip install ")
    assert install.endswith("-c constraints.txt -r requirements-dev.txt")
    # Again when a pin has changed: a second later, clocks of file systems are coarse.
    later = (clone / ".venv/dev.stamp").stat().st_mtime + 1
    os.utime(clone / "constraints.txt", (later, later))
    assert run_make(clone, *asked, ".venv/dev.stamp").returncode == 0
    assert installs(clone) == [install, install]


@pytest.mark.parametrize("stamp", ["run", "dev"])
def test_make_installs_with_uv_where_it_is_there(clone, stamp):
    """Into the same environment, with the same constraints."""
    python = program(clone / "python", *NOTES_AND_MAKES_ITSELF)
    (clone / "bin").mkdir()
    program(clone / "bin" / "uv", 'echo "uv $@" >> asked')
    path = f"{clone / 'bin'}:{os.environ['PATH']}"
    done = run_make(clone, f"PYTHON={python}", f".venv/{stamp}.stamp", PATH=path)
    assert done.returncode == 0, done.stderr
    listed = "requirements.txt" if stamp == "run" else "requirements-dev.txt"
    (install,) = installs(clone)
    assert install == (
        f"uv pip install --python .venv/bin/python --quiet -c constraints.txt -r {listed}"
    )


def installs(clone: Path) -> list[str]:
    return [line for line in (clone / "asked").read_text().splitlines() if " install " in line]


def test_smoke_runs_tests_that_are_there():
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    names = re.search(r"^FORMULAS := (.*)$", makefile, re.MULTILINE)[1].split()
    assert len(names) > 4 and all((ROOT / name).is_file() for name in names)


def test_the_citation_can_be_read():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(found)
    assert found["cff-version"] == "1.2.0" and found["type"] == "software"
    assert [set(author) for author in found["authors"]] == [{"name"}]
    assert "license" not in found  # none has been chosen
