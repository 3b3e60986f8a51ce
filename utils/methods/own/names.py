"""What a user may call a method: one rule for functions and for score files."""

import re
from collections.abc import Collection
from typing import Any

LEVELS = ("neuron", "weight")
# A file's name has at most 255 bytes, with the level, the budget and what stands behind them.
MOST_BYTES = 200
# Rows and columns of our tables that are no methods of the dictionary.
TAKEN = re.compile(
    r"random|random \(.*|oracle|neuron oracle|ideal|change|pooled|repair( credit)?|"
    r"replays \(ceiling\)|optimizer step|\|change\| x other gradient|all weights|random neurons"
)
BUDGET = re.compile(r".* \(n=\d+\)", re.DOTALL)


def why_no_name(level: Any, name: Any, ours: Collection[tuple[str, str]]) -> str | None:
    """Why a method of a user's cannot be called so, and what to do; None if it can.

    ours : level and name of every method of ours.
    """
    if level not in LEVELS:
        return f"level {level!r} of {name!r} is unknown; expected 'neuron' or 'weight'"
    if (
        not isinstance(name, str)
        or not name.strip()
        or not name.isprintable()
        or "/" in name
        or len(name.encode()) > MOST_BYTES
        or BUDGET.fullmatch(name)
    ):
        return (
            f"{name!r} cannot name a method: any characters that can be shown, except /, in at "
            f"most {MOST_BYTES} bytes, and no budget such as (n=16) at the end; rename it"
        )
    if TAKEN.fullmatch(name) or (level, name) in ours:
        return f"{level}/{name} is the name of a ranking of ours; rename it"
    return None


def why_no_function(level: Any, name: Any, ours: Collection[tuple[str, str]]) -> str | None:
    """`why_no_name` of a function, whose rankings with n are files that end with _n16."""
    if isinstance(name, str) and re.search(r"_n\d+$", name):
        return f"{name!r} cannot name a method: step 5 adds a budget such as _n16 itself; rename it"
    return why_no_name(level, name, ours)
