"""How large and how often pictures go to one page: small while something moves, whole once it rests."""

from __future__ import annotations

from bisect import bisect_right

from gaussavatar.types import VIDEO_FPS
from gaussavatar.view.orbit import LARGEST, SMALLEST, affordable_height
from gaussavatar.view.state import ViewState

BUDGET = 0.8 / VIDEO_FPS
"""Seconds that one picture may take while something moves."""

STEPS = (SMALLEST, 208, 272, 352, 464, 608, LARGEST)
"""Heights of pictures while something moves: one step at a time, a third apart."""

CHANGE = 0.25
"""Share by which the height that can be afforded has to differ before another step is taken."""

STILL_AFTER = 0.25
"""Seconds without a change after which one picture at full size is sent."""


class Rate:
    """How many frames were made in the last second."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def tell(self, now: float, took: float, pixels: tuple[int, int] | None = None) -> str:
        """Count a frame that took so many seconds; returns the rate as markdown, with the picture's width and height.

        ``now`` are seconds of one steady clock.
        """
        self._times = [moment for moment in self._times if now - moment < 1.0] + [now]
        span = now - self._times[0]
        rate = (len(self._times) - 1) / span if span > 0 else 0.0
        size = f", {pixels[0]} x {pixels[1]} px" if pixels is not None else ""
        return f"**{rate:.0f}** frames per second, {took * 1000:.0f} ms each{size}"


class Pace:
    """What one page was sent last, and what a picture for it costs."""

    def __init__(self) -> None:
        self._asked: ViewState | None = None
        self._changed = 0.0
        self._sent: tuple[ViewState, bool] | None = None
        self._seconds_per_pixel = 2e-7
        self._step: int | None = None
        self.rate = Rate()

    def due(self, state: ViewState, now: float) -> tuple[bool, bool]:
        """Whether the page lacks this state, and whether something is moving; ``now`` are seconds of one clock."""
        if state != self._asked:
            self._asked, self._changed = state, now
        moving = now - self._changed < STILL_AFTER
        return self._sent != (state, moving), moving

    def rows(self, moving: bool, aspect: float) -> int:
        """Height of the next picture: what can be afforded, which a single slow picture hardly changes."""
        if not moving:
            return LARGEST
        wanted = affordable_height(self._seconds_per_pixel, BUDGET, aspect)
        if self._step is None:
            self._step = bisect_right(STEPS, wanted) - 1
        elif abs(wanted - STEPS[self._step]) > CHANGE * STEPS[self._step]:
            self._step += 1 if wanted > STEPS[self._step] else -1
        return STEPS[self._step]

    def sent(self, state: ViewState, moving: bool, pixels: tuple[int, int], took: float) -> None:
        """Note that a state was sent, as a picture of so many pixels (width, height) that took so many seconds."""
        self._sent = state, moving
        if not moving:
            # What a large picture costs per pixel says little about a small one: every picture costs something besides.
            return
        self._seconds_per_pixel += 0.3 * (took / (pixels[0] * pixels[1]) - self._seconds_per_pixel)
