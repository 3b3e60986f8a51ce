"""The primary metric by method and misclassification setting."""

from collections.abc import Callable

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from utils.data.setting_names import in_order
from utils.drawing import drawing
from utils.judge.names import NEURON, ORACLE
from utils.summary.figures.shared import SMALL, label, new_figure
from utils.summary.rankings import STAR, Key

# More settings than these leave no room for numbers in the cells.
MOST_NUMBERS = {"1col": 14, "2col": 28}


def setting_heat_map(scores: pd.DataFrame, ranked: list[Key], primary: str, width: str) -> Figure:
    """The primary metric by method and setting, mean over folds (descriptive)."""
    shown = [key for key in ranked if key[1] != ORACLE]
    rows = scores[scores["level"] != NEURON]
    settings = in_order(rows["setting"])
    mean = rows.groupby(["level", "method", "setting"])[primary].mean().unstack("setting")
    values = mean.reindex(pd.MultiIndex.from_tuples(shown))[settings].to_numpy()
    wide = width == "2col"
    size = SMALL[width]
    numbers = SMALL["1col"] if len(settings) <= MOST_NUMBERS[width] else None
    with drawing():
        figure = new_figure(width, (0.165 if wide else 0.14) * len(shown) + (1.3 if wide else 1.75))
        axes = figure.subplots()
        image, bar_ticks = draw_heat(
            axes,
            values,
            primary.startswith("lift"),
            numbers,
            short_number if not wide else two_digits,
        )
        axes.set_xticks(
            range(len(settings)), settings, rotation=40 if wide else 90, ha="right", fontsize=size,
            va="top" if wide else "center", rotation_mode="anchor",
        )  # fmt: skip
        axes.set_yticks(range(len(shown)), [label(*key, width) for key in shown], fontsize=size)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(
            image, ax=axes, shrink=0.8, aspect=25 if wide else 35, pad=0.01,
            location="right" if wide else "top",
        )  # fmt: skip
        if bar_ticks:
            bar.set_ticks(np.log2(bar_ticks), labels=[fraction(tick) for tick in bar_ticks])
        bar.set_label(primary, fontsize=size)
        bar.ax.tick_params(labelsize=size)
        figure.supxlabel(f"{STAR}\ngrey: one ranking for all settings, or no value", fontsize=size)
    return figure


def draw_heat(
    axes: Axes,
    values: np.ndarray,
    is_lift: bool,
    size: float | None,
    written: Callable[[float], str],
) -> tuple[AxesImage, list[float]]:
    """Coloured cells with their values; the ticks of a logarithmic colour bar, if it is one.

    A lift is coloured by its logarithm, white at 1: half and twice as good as
    chance are equally strong.

    size : of the values, in points; None leaves them out. written : a value as text.
    """
    if is_lift:
        with np.errstate(divide="ignore"):
            shades = np.log2(values)
        reach = max(1.0, float(np.nanmax(shades[np.isfinite(shades)], initial=0.0)))
        norm = Normalize(-reach, reach)
        shades = np.clip(shades, -reach, reach)
        step = 1 if reach <= 3 else 2
        powers = range(step * (int(reach) // step), -int(reach) - 1, -step)
        ticks = [2.0**i for i in powers]
    else:
        shades, norm, ticks = values, None, []
    colours = matplotlib.colormaps["PuOr" if is_lift else "cividis"].with_extremes(bad="#EEEEEE")
    image = axes.imshow(shades, cmap=colours, norm=norm, aspect="auto")
    for i, j in np.ndindex(*values.shape):
        if size and np.isfinite(values[i, j]):
            luminance = np.dot(image.to_rgba(shades[i, j])[:3], (0.299, 0.587, 0.114))
            axes.text(
                j, i, written(values[i, j]), ha="center", va="center", fontsize=size,
                color="white" if luminance < 0.5 else "black",
            )  # fmt: skip
    return image, ticks


def two_digits(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 0.95 or value == 0 else f"{value:.2f}"


def short_number(value: float) -> str:
    """Three characters and a sign: 21, 2.1, .21."""
    if abs(value) >= 9.95 or value == 0:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 0.995 else f"{value:.2f}".replace("0.", ".", 1)


def fraction(power_of_two: float) -> str:
    return f"{power_of_two:g}" if power_of_two >= 1 else f"1/{1 / power_of_two:g}"
