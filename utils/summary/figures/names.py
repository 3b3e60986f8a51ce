"""Names beside points: none covers another or a point, none leaves the panel."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation

from utils.drawing import DPI
from utils.summary.figures.styles import BLACK, DARK, Style

# Where a name may stand: half lines up or down, to the right (1) or the left, and how far.
PLACES = np.array(
    [(step, side, away) for away in (0, 1, 2) for step in range(-60, 61) for side in (1, -1)]
)
GAP, FURTHER = 5.0, 9.0  # points from the marker to the name
# No line is seen through a name; points and the bars of methods in colour lie above it.
NO_LINE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.3}
# Costs, against a distance of half a line. ASTRAY: another point is nearer than its own.
COVERED, OUTSIDE, CROSSED, ASTRAY = 100.0, 200.0, 6.0, 15.0


def name_points(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    names: list[str],
    styles: list[Style],
    size: float,
    lines: np.ndarray | None = None,
) -> list[Annotation]:
    """Write each name beside its point; a thin line joins one that stands apart with it.

    Names of methods in colour choose their place first.

    names : "" of a point that keeps none.
    x, y : (points,), in data. lines : (L, 4), x0, y0, x1, y1 in data, better not crossed.
    """
    figure = axes.figure
    figure.set_dpi(DPI)
    figure.draw_without_rendering()  # the layout decides where the points lie
    unit = DPI / 72  # pixels in a point
    points = axes.transData.transform(np.column_stack([x, y]))
    taken = [np.r_[point - 2.5 * unit, point + 2.5 * unit] for point in points]
    soft = in_pixels(axes, lines)
    panel = axes.get_window_extent()
    inside = np.r_[panel.min + unit, panel.max + 2 * unit]
    written: dict[int, Annotation] = {}
    for i in sorted(
        filter(names.__getitem__, range(len(names))),
        key=lambda i: (not styles[i].named, -points[i, 1]),
    ):
        text = axes.annotate(
            names[i], (x[i], y[i]), xytext=(0, 0), textcoords="offset points", fontsize=size,
            va="center", ha="left", parse_math=False, annotation_clip=False, zorder=2.4,
            color=ink(styles[i]), bbox=NO_LINE,
        )  # fmt: skip
        text.set_in_layout(False)  # the panel stays where it is
        extent = text.get_window_extent()
        boxes = candidates(points[i], extent.width, extent.height, unit)
        others = np.array([box for j, box in enumerate(taken) if j != i]).reshape(-1, 4)
        cost = (
            COVERED * overlaps(boxes, others)
            + CROSSED * overlaps(boxes, soft)
            + OUTSIDE * leaves(boxes, inside)
            + ASTRAY * astray(boxes, points, i)
            + np.abs(PLACES[:, 0])
            + 5 * PLACES[:, 2]
            + 0.5 * (PLACES[:, 1] < 0)
        )
        best = int(np.argmin(cost))
        step, side, away = PLACES[best]
        place = (side * (GAP + FURTHER * away), 0.5 * step * extent.height / unit)
        text.set_horizontalalignment("left" if side > 0 else "right")
        text.set_position(place)
        taken.append(boxes[best])
        written[i] = text
        if abs(step) >= 3 or away:
            join(axes, (x[i], y[i]), place)
    return [written[i] for i in sorted(written)]


def in_pixels(axes: Axes, lines: np.ndarray | None) -> np.ndarray:
    """(L, 4) in data to boxes (L, 4) in pixels, lower left corner first."""
    if lines is None or not len(lines):
        return np.empty((0, 4))
    ends = axes.transData.transform(np.asarray(lines, dtype=float).reshape(-1, 2)).reshape(-1, 2, 2)
    return np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)


def candidates(point: np.ndarray, wide: float, high: float, unit: float) -> np.ndarray:
    """The box of a name at each of PLACES, (places, 4) in pixels."""
    step, side, away = PLACES.T
    shift = (GAP + FURTHER * away) * unit
    left = point[0] + np.where(side > 0, shift, -shift - wide)
    middle = point[1] + 0.5 * step * high
    return np.column_stack([left, middle - 0.42 * high, left + wide, middle + 0.42 * high])


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How many of `others` (O, 4) each of `boxes` (B, 4) lies on, (B,)."""
    a, b = boxes[:, None], others[None]
    apart = (a[..., 2:] <= b[..., :2]) | (b[..., 2:] <= a[..., :2])
    return (~apart.any(axis=-1)).sum(axis=1)


def leaves(boxes: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Whether each box is not wholly inside."""
    return (boxes[:, :2] < inside[:2]).any(axis=1) | (boxes[:, 2:] > inside[2:]).any(axis=1)


def astray(boxes: np.ndarray, points: np.ndarray, own: int) -> np.ndarray:
    """Whether another point is nearer to each box (B, 4) than the box's own."""
    nearest = np.clip(points[None], boxes[:, None, :2], boxes[:, None, 2:])  # (B, points, 2)
    distance = np.linalg.norm(nearest - points[None], axis=-1)
    others = np.delete(distance, own, axis=1)
    return others.min(axis=1, initial=np.inf) < distance[:, own]


def part_points(axes: Axes, x: np.ndarray, y: np.ndarray, apart: float) -> np.ndarray:
    """x of points, moved to either side where two would lie closer than `apart` points.

    x, y : (points,), in data; the axes have their limits.
    """
    figure = axes.figure
    figure.set_dpi(DPI)
    figure.draw_without_rendering()
    at = axes.transData.transform(np.column_stack([x, y])) * 72 / DPI
    order = np.lexsort((np.arange(len(x)), at[:, 0]))
    for _ in range(200):
        moved = False
        for a, i in enumerate(order):
            for j in order[a + 1 :]:
                need = apart**2 - (at[i, 1] - at[j, 1]) ** 2
                gap = at[j, 0] - at[i, 0]
                if need > 0 and abs(gap) < np.sqrt(need) - 1e-6:
                    push = (np.sqrt(need) - gap) / 2
                    at[i, 0], at[j, 0], moved = at[i, 0] - push, at[j, 0] + push, True
        if not moved:
            break
    there = axes.transData.inverted().transform(at * DPI / 72)[:, 0]
    still = np.isclose(there, x, rtol=1e-9)
    return np.where(still, x, there)


def join(axes: Axes, point: tuple[float, float], place: tuple[float, float]) -> None:
    axes.annotate(
        "", point, xytext=place, textcoords="offset points", zorder=1, annotation_clip=False,
        arrowprops={"arrowstyle": "-", "color": DARK, "linewidth": 0.35, "shrinkA": 0,
                    "shrinkB": 2},
    )  # fmt: skip


def ink(style: Style) -> str:
    """The colour of a name: the method's own, dark grey for the grey ones."""
    return {"best": style.color, "reference": BLACK, "other": DARK}[style.standing]
