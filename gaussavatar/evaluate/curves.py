"""Line charts as inline SVG: one small chart per series, no script and no file beside the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 340, 170
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 24
MAX_POINTS = 240
"""More points than this are averaged in bins: a line of this width shows no more."""

LOG_RATIO = 30.0
"""A positive series whose largest value is this many times its smallest gets a logarithmic axis."""


def curve_svg(name: str, points: Sequence[Point]) -> str:
    """Draw one series with its axes. Points that are not finite are left out.

    Args:
        name: the series' name, read by screen readers; the page prints it above.
        points: (x, y) in order of x.

    Returns:
        An ``<svg>`` element, coloured by the page's style variables; empty when no point is finite.
    """
    kept = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not kept:
        return ""
    kept = binned(kept, MAX_POINTS)
    values = [y for _, y in kept]
    logarithmic = min(values) > 0 and max(values) / min(values) > LOG_RATIO
    plot = [(x, math.log10(y)) for x, y in kept] if logarithmic else kept
    low_x, high_x = _span([x for x, _ in plot])
    y_ticks = _log_ticks(min(values), max(values)) if logarithmic else ticks(*_span(values), 4)
    placed = [math.log10(tick) for tick in y_ticks] if logarithmic else y_ticks
    low_y = min([*placed, *(y for _, y in plot)])
    high_y = max([*placed, *(y for _, y in plot)])

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)
        down = TOP + (high_y - y) / ((high_y - low_y) or 1.0) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    parts = [f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">']
    for tick, position in zip(y_ticks, placed, strict=True):
        _, y = at(low_x, position)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5}" text-anchor="end">{short(tick)}</text>')
    for tick in ticks(low_x, high_x, 4):
        if low_x <= tick <= high_x:
            x, _ = at(tick, low_y)
            parts.append(f'<text x="{x}" y="{HEIGHT - 6}" text-anchor="middle">{short(tick)}</text>')
    path = " ".join(f"{x},{y}" for x, y in (at(*point) for point in plot))
    parts.append(f'<polyline class="line" points="{path}"/>')
    last_x, last_y = at(*plot[-1])
    parts.append(f'<circle class="end" cx="{last_x}" cy="{last_y}" r="3"><title>{short(values[-1])}</title></circle>')
    return "".join([*parts, "</svg>"])


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


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _log_ticks(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
