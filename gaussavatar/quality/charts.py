"""Charts of the quality page as inline SVG: a value over the clip's time, and where the head looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float

from gaussavatar.quality.records import Dropped
from gaussavatar.types import VIDEO_FPS

WIDTH, HEIGHT = 340, 120
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 22
BINS = 260
CELL_DEGREES = 5
POSE_YAW, POSE_PITCH = 45, 30


def timeline_svg(name: str, values: Float[np.ndarray, "n"], dropped: Sequence[Dropped]) -> str:
    """One value per frame over time: mean as a line, extremes as a band, dropped stretches shaded.

    Returns an empty text where no value is finite.
    """
    if not np.isfinite(values).any():
        return ""
    seconds = max(len(values) / VIDEO_FPS, 1e-6)
    groups = np.array_split(np.asarray(values, np.float64), min(BINS, len(values)))
    kept = [(i, group[np.isfinite(group)]) for i, group in enumerate(groups)]
    kept = [(i, group) for i, group in kept if len(group)]
    marks = value_ticks(min(group.min() for _, group in kept), max(group.max() for _, group in kept))
    low, high = marks[0], marks[-1]

    def x(time: float) -> float:
        return round(LEFT + time / seconds * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    times = [(i + 0.5) / len(groups) * seconds for i, _ in kept]
    top = [f"{x(t)},{y(g.max())}" for t, (_, g) in zip(times, kept, strict=True)]
    bottom = [f"{x(t)},{y(g.min())}" for t, (_, g) in zip(times, kept, strict=True)]
    line = [f"{x(t)},{y(g.mean())}" for t, (_, g) in zip(times, kept, strict=True)]
    parts = [f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)} over time">']
    for stretch in dropped:
        width = max(1.0, x(stretch.end) - x(stretch.start))
        height = HEIGHT - TOP - BOTTOM
        parts.append(f'<rect class="lost" x="{x(stretch.start)}" y="{TOP}" width="{width:.1f}" height="{height}"/>')
    for value in marks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value)}" y2="{y(value)}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y(value) + 3.5}" text-anchor="end">{value:g}</text>')
    for time in _time_ticks(seconds):
        parts.append(f'<text x="{x(time)}" y="{HEIGHT - 6}" text-anchor="middle">{clock(time)}</text>')
    parts.append(f'<polygon class="band" points="{" ".join([*top, *bottom[::-1]])}"/>')
    parts.append(f'<polyline class="line" points="{" ".join(line)}"/></svg>')
    return "".join(parts)


def pose_svg(yaw: Float[np.ndarray, "n"], pitch: Float[np.ndarray, "n"]) -> str:
    """How long the head looked where: cells of five degrees, darker for longer; the camera is in the middle."""
    across, down = (
        np.arange(-POSE_YAW, POSE_YAW + 1, CELL_DEGREES),
        np.arange(-POSE_PITCH, POSE_PITCH + 1, CELL_DEGREES),
    )
    inside = np.clip(yaw, -POSE_YAW + 0.1, POSE_YAW - 0.1), np.clip(pitch, -POSE_PITCH + 0.1, POSE_PITCH - 0.1)
    counts, _, _ = np.histogram2d(*inside, bins=(across, down))
    size = (WIDTH - LEFT - RIGHT) / (len(across) - 1)
    height = size * (len(down) - 1)
    parts = [
        f'<svg class="curve" viewBox="0 0 {WIDTH} {height + TOP + BOTTOM:.0f}" role="img" '
        'aria-label="how long the head looked in which direction">'
    ]
    for i, j in zip(*np.nonzero(counts), strict=True):
        strength = 0.15 + 0.85 * np.sqrt(counts[i, j] / counts.max())
        left, top = LEFT + i * size, TOP + (len(down) - 2 - j) * size
        share = 100 * counts[i, j] / max(len(yaw), 1)
        parts.append(
            f'<rect class="cell" x="{left:.1f}" y="{top:.1f}" width="{size:.1f}" height="{size:.1f}" '
            f'opacity="{strength:.2f}"><title>{share:.1f} %</title></rect>'
        )
    middle_x, middle_y = LEFT + size * (len(across) - 1) / 2, TOP + height / 2
    parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{middle_y:.1f}" y2="{middle_y:.1f}"/>')
    parts.append(f'<line class="grid" x1="{middle_x:.1f}" x2="{middle_x:.1f}" y1="{TOP}" y2="{TOP + height:.1f}"/>')
    for angle in (-40, -20, 0, 20, 40):
        place = middle_x + angle / CELL_DEGREES * size
        parts.append(f'<text x="{place:.1f}" y="{TOP + height + 15:.1f}" text-anchor="middle">{abs(angle)}°</text>')
    for angle in (-20, 0, 20):
        place = middle_y - angle / CELL_DEGREES * size
        parts.append(f'<text x="{LEFT - 5}" y="{place + 3.5:.1f}" text-anchor="end">{angle:+d}°</text>')
    return "".join([*parts, "</svg>"]).replace("+0°", "0°")


def clock(seconds: float) -> str:
    """Minutes and seconds, as a player shows them."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def _time_ticks(seconds: float) -> list[float]:
    step = next((step for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600) if seconds / step <= 6), 1200)
    return [float(step * index) for index in range(int(seconds / step) + 1) if step * index < 0.97 * seconds]


def value_ticks(low: float, high: float) -> list[float]:
    """Two to five round numbers from below ``low`` to above ``high``."""
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 9) for index in range(first, last + 1)]
