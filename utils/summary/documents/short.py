"""The overview in the few columns that people read: the terminal, the workbook, the page."""

import pandas as pd

from utils.summary.rankings import STAR, shown
from utils.truth import REPAIR

LEGEND = (
    "lift: 1 is a random ranking; traded: the lift that trading neurons gives, what a ranking "
    "of this shape gets by luck, which p and 'times chance' are about; p: beyond chance in these "
    f"models, adjusted over methods; 95%: interval over folds, of new folds; #: place; {STAR}"
)
METHOD, LOW, HIGH = "method", "95% from", "95% to"
LIFT, TRADED, P, PLACE = "lift", "traded", "p", "#"
CEILING, SPECIFICITY, SECONDS = "of ceiling", "specificity", "seconds"
BELOW_CHANCE = "below chance"
DIGITS = {LIFT: 2, TRADED: 2, LOW: 2, HIGH: 2, P: 4, SPECIFICITY: 2, SECONDS: 3}


def short_table(overview: pd.DataFrame) -> pd.DataFrame:
    """overview.csv as numbers under two headers: (truth, what), and ("", what) about the method.

    overview : columns of `overview.overview_table`.
    """
    truths = [name.removeprefix("lift ") for name in overview.columns if name.startswith("lift ")]
    keys = zip(overview["level"], overview["method"], strict=True)
    columns = {("", METHOD): pd.Series([shown(*key) for key in keys], dtype=object)}
    for truth in truths:
        columns |= {
            (truth, LIFT): overview[f"lift {truth}"],
            (truth, TRADED): overview[f"null_mean {truth}"],
            (truth, LOW): overview[f"low {truth}"],
            (truth, HIGH): overview[f"high {truth}"],
            (truth, P): overview[f"p_adjusted {truth}"],
            (truth, PLACE): overview[f"place {truth}"],
        }
    columns |= {
        ("", f"{CEILING} ({truths[0]})"): overview["share_of_ceiling"],
        ("", f"{SPECIFICITY} ({REPAIR})"): overview["specificity"],
        ("", SECONDS): overview["seconds"],
    }
    return pd.DataFrame(columns)


def text_of(name: str, value: float) -> str:
    """A number of the column called `name` as people read it; "-" where there is none."""
    if pd.isna(value):
        return "-"
    if name == PLACE:
        return f"{value:g}"
    if kind(name) == CEILING:
        return share_in_words(value)
    # z: what rounds to zero has no sign.
    return f"{value:z.{DIGITS[kind(name)]}f}"


def kind(name: str) -> str:
    """What a column holds, without the truth in its name."""
    return name.partition(" (")[0]


def share_in_words(value: float) -> str:
    """A share of the way from chance to the ceiling; a lift below chance has none."""
    return BELOW_CHANCE if value < 0 else f"{100 * value:z.0f}%"


def shown_columns(overview: pd.DataFrame) -> list[tuple[str, str, list[str]]]:
    """overview.csv as (truth or "", name, texts), both ends of an interval as one text."""
    table = short_table(overview)
    found = []
    for group, name in table.columns:
        values = table[group, name]
        if name == HIGH:  # stands beside the lower end
            continue
        if name == METHOD:
            texts = list(values)
        elif name == LOW:
            texts = [interval(*ends) for ends in zip(values, table[group, HIGH], strict=True)]
        else:
            texts = [text_of(name, value) for value in values]
        found.append((group, heading(name), texts))
    return found


def heading(name: str) -> str:
    """What stands over a column; the lower end of an interval stands for both."""
    return "95%" if name == LOW else name


def terminal_table(overview: pd.DataFrame) -> str:
    """overview.csv as lines of text under two headers: a truth stands over its lift."""
    lines: list[list[str]] = []
    for group, name, texts in shown_columns(overview):
        first = group if name == LIFT else ""
        if not group and kind(name) != name:  # what it is about stands below
            first, name = kind(name), name.removeprefix(f"{kind(name)} ")
        column = [first, name, *texts]
        wide = max(map(len, column))
        lines.append([text.rjust(wide) for text in column])
    return "\n".join(" ".join(row) for row in zip(*lines, strict=True))


def interval(low: float, high: float) -> str:
    """Both ends of an interval over folds; "-" where there is none."""
    return f"{low:z.2f}..{high:z.2f}" if pd.notna(low) else "-"
