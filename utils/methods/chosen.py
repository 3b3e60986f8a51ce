"""Which methods run, and under which settings: METHODS_TO_RUN and its kin."""

from collections.abc import Mapping
from typing import Any

from utils.data.setting_names import ALL
from utils.errors import UserError
from utils.methods.method import Method
from utils.run.rules import meant

EVERY = "all"
Methods = Mapping[tuple[str, str], Method]


def chosen_methods(methods: Methods, constants: Mapping[str, Any]) -> dict[tuple[str, str], Method]:
    """Those of `methods`, by (level, name), that METHODS_TO_RUN names, in their own order.

    A name stands for the method at every level that has it; `weight/vdiff` for one.

    Raises
    ------
    UserError : a name is no method's, or a method reads another one that is left out.
    """
    wanted = constants["METHODS_TO_RUN"]
    if wanted == EVERY:
        return dict(methods)
    known = {name: None for key in methods for name in names_of(key)}
    for name in wanted:
        if name not in known:
            raise UserError(
                f"METHODS_TO_RUN in utils/constants.py names {name!r}, which is no method of "
                f"ours{meant(name, known) or '; README.md has a table of them'}"
            )
    found = {key: method for key, method in methods.items() if not names_of(key).isdisjoint(wanted)}
    for key, method in found.items():
        for kind, *other in method.budget_reads:
            if kind == "score" and tuple(other) not in found:
                raise UserError(
                    f"METHODS_TO_RUN in utils/constants.py has {'/'.join(key)}, whose rankings "
                    f"with n are made from {'/'.join(other)}; name that too"
                )
    return found


def names_of(key: tuple[str, str]) -> set[str]:
    """How METHODS_TO_RUN may call a method."""
    return {key[1], "/".join(key)}


def stands_under(method: Method, setting: str, constants: Mapping[str, Any]) -> bool:
    """Whether a method has a ranking under `setting`."""
    everywhere = method.elsewhere_if is None or constants[method.elsewhere_if]
    return setting == ALL or (method.per_setting and everywhere)
