"""Tables as a step's last lines show them: the highest first, with the digits that differ."""

import math

import pandas as pd

# Two numbers that differ by more than this share of the column's median size look different.
TOLD_APART = 0.01
MOST_DECIMALS = 8


def decimals_of(values: pd.Series) -> int:
    """The fewest decimals with which no two numbers look alike that differ by TOLD_APART.

    values : float, NaN where there is none.
    """
    there = sorted(set(values.dropna()))
    sizes = [abs(value) for value in there if value]
    if not sizes:
        return 0
    least = TOLD_APART * float(pd.Series(sizes).median())
    gaps = [b - a for i, a in enumerate(there) for b in there[i + 1 :] if b - a > least]
    if not gaps:
        return 0
    return min(MOST_DECIMALS, max(0, math.ceil(-math.log10(min(gaps)) - 1e-9)))


def as_text(table: pd.DataFrame) -> str:
    """The table, sorted by its first column of decimal numbers; "-" where there is none."""
    numbers = [name for name in table if pd.api.types.is_float_dtype(table[name])]
    if numbers:
        table = table.sort_values(numbers[0], ascending=False, kind="stable")
    texts = {name: f"{{:z.{decimals_of(table[name])}f}}".format for name in numbers}
    return table.to_string(index=False, na_rep="-", formatters=texts)
