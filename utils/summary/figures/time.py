"""The primary metric against the seconds a method takes."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.drawing import drawing
from utils.summary.figures.names import name_points, part_points
from utils.summary.figures.shared import (
    SMALL,
    draw_bar,
    draw_chance,
    draw_point,
    label,
    lowest_positive,
    new_figure,
    set_log_limits,
)
from utils.summary.figures.styles import DARK, Key, Styles
from utils.summary.fold_tables import seconds_of

APART = 4.0  # points between two markers, so that none is hidden
LOWEST_LIFT = 0.03  # lower ones, which a logarithm cannot show, stand at the edge


def time_against(
    scores: pd.DataFrame,
    ranked: list[Key],
    styles: Styles,
    seconds: dict[Key, float],
    primary: str,
    width: str,
) -> Figure:
    """The primary metric against the seconds a method takes per fold; bars from fold to fold.

    A lift is on a logarithmic axis. Methods that were not timed stand at the
    right, beyond a line. References take no time of a method's and are left out.
    """
    shown = [key for key in ranked if styles.of(*key).standing != "reference"]
    means = scores.groupby(["level", "method", "fold"])[primary].mean()
    folds = {key: means[key].dropna().to_numpy() for key in shown}
    times = np.array([seconds_of(*key, seconds) for key in shown])
    timed = times[np.isfinite(times)]
    edge = 3 * timed.max()
    x = np.where(np.isfinite(times), times, edge)
    is_lift = primary.startswith("lift")
    if is_lift:
        folds = {key: np.maximum(values, LOWEST_LIFT) for key, values in folds.items()}
    y = np.array([folds[key].mean() for key in shown])
    wide = width == "2col"
    with drawing():
        figure = new_figure(width, 3.9 if wide else 4.4)
        axes = figure.subplots()
        low, high = timed.min() / 2, (2.2 if len(timed) < len(shown) else 1) * edge
        set_log_limits(axes, "x", low, high)
        if len(timed) < len(shown):
            part_untimed(axes, edge, SMALL[width])
        values = list(folds.values())
        if is_lift:
            draw_chance(axes, np.array([low, high]), np.array([1.0, 1.0]))
            bottom = min(lowest_positive(values), 1) / 1.5
            set_log_limits(axes, "y", bottom, 1.6 * max(np.concatenate(values).max(), 1))
        else:
            bottom = min(0.0, 1.05 * np.concatenate(values).min())
            axes.set_ylim(bottom, 1.1 * np.concatenate(values).max())
        axes.set_xlabel("seconds per fold, all settings", fontsize=7.5)
        axes.set_ylabel(primary, fontsize=7.5)
        axes.tick_params(labelsize=SMALL[width])
        x = part_points(axes, x, y, APART)
        for key, left, middle in zip(shown, x, y, strict=True):
            draw_bar(axes, left, folds[key], styles.of(*key))
            draw_point(axes, left, middle, styles.of(*key))
        ends = [(folds[key].min(), folds[key].max()) for key in shown]
        bars = [(left, low_, left, high_) for left, (low_, high_) in zip(x, ends, strict=True)]
        names = [label(*key, width) for key in shown]
        looks = [styles.of(*key) for key in shown]
        name_points(axes, x, y, names, looks, SMALL[width], np.array([*bars, (low, 1, high, 1)]))
    return figure


def part_untimed(axes: Axes, edge: float, size: float) -> None:
    """A line before the methods that were not timed; no tick beyond it."""
    border = edge / 1.7
    axes.set_xticks([tick for tick in axes.get_xticks() if tick < border])
    axes.axvline(border, color=DARK, linewidth=0.6)
    axes.text(
        edge, 1.0, "not timed", transform=axes.get_xaxis_transform(), ha="center", va="bottom",
        fontsize=size,
    )  # fmt: skip
