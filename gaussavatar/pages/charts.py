"""Small charts as inline SVG, coloured by the page's style variables: no script and no file beside the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
from jaxtyping import Float

from gaussavatar.types import VIDEO_FPS

Point = tuple[float, float]

WIDTH = 340
MAX_POINTS = 240
"""More points than this are averaged in bins: a line of this width shows no more."""

LOG_RATIO = 30.0
"""A positive series whose largest value is this many times its smallest gets a logarithmic axis."""

BINS = 260
CELL_DEGREES = 5
POSE_YAW, POSE_PITCH = 45, 30


@dataclass(frozen=True)
class Axes:
    """A chart's room in pixels: height, margins, and the gap between the axis and its numbers."""

    height: float
    left: int
    right: int
    top: int
    bottom: int
    gap: int

    @property
    def inner_width(self) -> float:
        """Width between the margins."""
        return WIDTH - self.left - self.right

    @property
    def inner_height(self) -> float:
        """Height between the margins."""
        return self.height - self.top - self.bottom

    def x(self, value: float, low: float, high: float) -> float:
        """Place of a value on the axis from ``low`` to ``high``."""
        return round(self.left + (value - low) / (high - low) * self.inner_width, 1)

    def y(self, value: float, low: float, high: float) -> float:
        """Place of a value on the axis from ``low`` at the bottom to ``high`` at the top."""
        return round(self.top + (high - value) / ((high - low) or 1.0) * self.inner_height, 1)

    def opened(self, label: str) -> str:
        """The chart's first tag; ``label`` is read by screen readers."""
        return f'<svg class="curve" viewBox="0 0 {WIDTH} {self.height:.0f}" role="img" aria-label="{escape(label)}">'

    def level(self, y: float, text: str) -> str:
        """A line across the chart with its number."""
        line = f'<line class="grid" x1="{self.left}" x2="{WIDTH - self.right}" y1="{y}" y2="{y}"/>'
        return f'{line}<text x="{self.left - self.gap}" y="{y + 3.5}" text-anchor="end">{text}</text>'

    def mark(self, x: float, text: str) -> str:
        """A number below the chart."""
        return f'<text x="{x}" y="{self.height - 6}" text-anchor="middle">{text}</text>'


CURVE = Axes(height=170, left=46, right=10, top=10, bottom=24, gap=6)
TIMELINE = Axes(height=120, left=44, right=8, top=8, bottom=22, gap=5)


def curve_svg(name: str, points: Sequence[Point]) -> str:
    """Draw one series with its axes. Points that are not finite are left out.

    Args:
        name: the series' name, read by screen readers; the page prints it above.
        points: (x, y) in order of x.

    Returns:
        An ``<svg>`` element; empty when no point is finite.
    """
    kept = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not kept:
        return ""
    kept = binned(kept, MAX_POINTS)
    values = [y for _, y in kept]
    logarithmic = min(values) > 0 and max(values) / min(values) > LOG_RATIO
    plot = [(x, math.log10(y)) for x, y in kept] if logarithmic else kept
    low_x, high_x = _span(min(x for x, _ in plot), max(x for x, _ in plot))
    y_ticks = _log_ticks(min(values), max(values)) if logarithmic else ticks(*_span(min(values), max(values)), 4)
    placed = [math.log10(tick) for tick in y_ticks] if logarithmic else y_ticks
    low_y = min([*placed, *(y for _, y in plot)])
    high_y = max([*placed, *(y for _, y in plot)])
    parts = [CURVE.opened(name)]
    for tick, position in zip(y_ticks, placed, strict=True):
        parts.append(CURVE.level(CURVE.y(position, low_y, high_y), short(tick)))
    for tick in ticks(low_x, high_x, 4):
        if low_x <= tick <= high_x:
            parts.append(CURVE.mark(CURVE.x(tick, low_x, high_x), short(tick)))
    drawn = [(CURVE.x(x, low_x, high_x), CURVE.y(y, low_y, high_y)) for x, y in plot]
    parts.append(f'<polyline class="line" points="{_joined(drawn)}"/>')
    last_x, last_y = drawn[-1]
    parts.append(f'<circle class="end" cx="{last_x}" cy="{last_y}" r="3"><title>{short(values[-1])}</title></circle>')
    return "".join([*parts, "</svg>"])


def timeline_svg(name: str, values: Float[np.ndarray, "n"], shaded: Sequence[tuple[float, float]]) -> str:
    """One value per frame over time: mean as a line, extremes as a band; stretches (from, to, seconds) are shaded.

    Returns an empty text where no value is finite.
    """
    if not np.isfinite(values).any():
        return ""
    seconds = max(len(values) / VIDEO_FPS, 1e-6)
    groups = np.array_split(np.asarray(values, np.float64), min(BINS, len(values)))
    kept = [(i, group[np.isfinite(group)]) for i, group in enumerate(groups)]
    kept = [(i, group) for i, group in kept if len(group)]
    span = _span(min(group.min() for _, group in kept), max(group.max() for _, group in kept), least=1e-9)
    marks = ticks(*span, 4)

    def at(time: float, value: float) -> Point:
        return TIMELINE.x(time, 0.0, seconds), TIMELINE.y(value, marks[0], marks[-1])

    times = [(i + 0.5) / len(groups) * seconds for i, _ in kept]
    top = [at(time, group.max()) for time, (_, group) in zip(times, kept, strict=True)]
    bottom = [at(time, group.min()) for time, (_, group) in zip(times, kept, strict=True)]
    line = [at(time, group.mean()) for time, (_, group) in zip(times, kept, strict=True)]
    parts = [TIMELINE.opened(f"{name} over time")]
    for start, end in shaded:
        left, right = TIMELINE.x(start, 0.0, seconds), TIMELINE.x(end, 0.0, seconds)
        parts.append(
            f'<rect class="lost" x="{left}" y="{TIMELINE.top}" width="{max(1.0, right - left):.1f}" '
            f'height="{TIMELINE.inner_height}"/>'
        )
    parts += [TIMELINE.level(at(0.0, value)[1], f"{value:g}") for value in marks]
    parts += [TIMELINE.mark(at(time, marks[0])[0], clock(time)) for time in _time_ticks(seconds)]
    parts.append(f'<polygon class="band" points="{_joined([*top, *bottom[::-1]])}"/>')
    parts.append(f'<polyline class="line" points="{_joined(line)}"/></svg>')
    return "".join(parts)


def pose_svg(yaw: Float[np.ndarray, "n"], pitch: Float[np.ndarray, "n"]) -> str:
    """How long the head looked where: cells of five degrees, darker for longer; the camera is in the middle."""
    across, down = (
        np.arange(-POSE_YAW, POSE_YAW + 1, CELL_DEGREES),
        np.arange(-POSE_PITCH, POSE_PITCH + 1, CELL_DEGREES),
    )
    inside = np.clip(yaw, -POSE_YAW + 0.1, POSE_YAW - 0.1), np.clip(pitch, -POSE_PITCH + 0.1, POSE_PITCH - 0.1)
    counts, _, _ = np.histogram2d(*inside, bins=(across, down))
    size = TIMELINE.inner_width / (len(across) - 1)
    height = size * (len(down) - 1)
    axes = replace(TIMELINE, height=height + TIMELINE.top + TIMELINE.bottom)
    parts = [axes.opened("how long the head looked in which direction")]
    for i, j in zip(*np.nonzero(counts), strict=True):
        strength = 0.15 + 0.85 * np.sqrt(counts[i, j] / counts.max())
        left, top = axes.left + i * size, axes.top + (len(down) - 2 - j) * size
        share = 100 * counts[i, j] / max(len(yaw), 1)
        parts.append(
            f'<rect class="cell" x="{left:.1f}" y="{top:.1f}" width="{size:.1f}" height="{size:.1f}" '
            f'opacity="{strength:.2f}"><title>{share:.1f} %</title></rect>'
        )
    middle_x, middle_y = axes.left + size * (len(across) - 1) / 2, axes.top + height / 2
    right, foot = WIDTH - axes.right, axes.top + height
    parts.append(f'<line class="grid" x1="{axes.left}" x2="{right}" y1="{middle_y:.1f}" y2="{middle_y:.1f}"/>')
    parts.append(f'<line class="grid" x1="{middle_x:.1f}" x2="{middle_x:.1f}" y1="{axes.top}" y2="{foot:.1f}"/>')
    for angle in (-40, -20, 0, 20, 40):
        place = middle_x + angle / CELL_DEGREES * size
        parts.append(f'<text x="{place:.1f}" y="{foot + 15:.1f}" text-anchor="middle">{abs(angle)}°</text>')
    for angle in (-20, 0, 20):
        place = middle_y - angle / CELL_DEGREES * size
        parts.append(f'<text x="{axes.left - axes.gap}" y="{place + 3.5:.1f}" text-anchor="end">{angle:+d}°</text>')
    return "".join([*parts, "</svg>"]).replace("+0°", "0°")


def binned(points: Sequence[Point], count: int) -> list[Point]:
    """Average consecutive points so that at most ``count`` are left; the last point is kept as it is."""
    if len(points) <= count:
        return list(points)
    step = math.ceil((len(points) - 1) / (count - 1))
    groups = [points[start : start + step] for start in range(0, len(points) - 1, step)]
    means = [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
    return [*means, points[-1]]


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers from below ``low`` to above ``high``, about ``count`` of them."""
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def short(value: float) -> str:
    """A number for an axis: few digits, thousands as k, small ones with a power of ten."""
    if abs(value) >= 10_000:
        return f"{value / 1000:.6g}k"
    if 0 < abs(value) < 1e-3:
        digits, power = f"{value:.2e}".split("e")
        return f"{float(digits):g}e{int(power)}"
    return f"{value:.4g}"


def clock(seconds: float) -> str:
    """Minutes and seconds, as a player shows them."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def _joined(points: Sequence[Point]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _span(low: float, high: float, least: float = 0.0) -> tuple[float, float]:
    return (low, high) if high - low > least else (low - 0.5, high + 0.5)


def _time_ticks(seconds: float) -> list[float]:
    step = next((step for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600) if seconds / step <= 6), 1200)
    return [float(step * index) for index in range(int(seconds / step) + 1) if step * index < 0.97 * seconds]


def _log_ticks(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
