"""A plugin of pytest: processor seconds of each test, its fixtures and all their processes.

    PYTHONPATH=tests/support python -m pytest -p cpu_seconds -n 0 tests/run

The clock says little where others use the machine too. What `pipeline.Server` runs is counted
where it runs, though the server is waited for at the end alone. Reads /proc: Linux.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

SHOWN = 40


def own_s(pid: int) -> float:
    """Of a process, and of those of its children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in found for child in path.read_text().split()]


def cpu_s() -> float:
    """Of this process and everything below it."""
    total, waiting = 0.0, [os.getpid()]
    while waiting:
        pid = waiting.pop()
        try:
            total += own_s(pid)
            waiting += children(pid)
        except OSError:  # it has just ended, and its parent counts it
            continue
    return total


class Seconds:
    """Counts, and says at the end which tests and files took most."""

    def __init__(self) -> None:
        self.of_test: Counter[str] = Counter()
        self.of_file: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before = cpu_s()
        try:
            return (yield)
        finally:
            self.of_test[item.nodeid] += cpu_s() - before
            self.of_file[item.nodeid.partition("::")[0]] += cpu_s() - before

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        for what, counted in (("files", self.of_file), ("tests", self.of_test)):
            write(f"processor seconds of {counted.total():.0f}: the first {SHOWN} {what}")
            for name, seconds in counted.most_common(SHOWN):
                write(f"{seconds:8.1f} {name}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Seconds(), "processor seconds of each test")
