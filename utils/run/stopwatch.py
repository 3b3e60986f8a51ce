"""Seconds since it was made, and seconds in words."""

import time


class Stopwatch:
    """Wall-clock seconds since it was made."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start


def in_words(seconds: float) -> str:
    """A duration as people say it: "42 s", "3 min", "1 h 20 min"."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
