"""What the panels of the viewer's page have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import viser

from gaussavatar.types import Waveform
from gaussavatar.view.clock import PlayClock
from gaussavatar.view.live import FitWatch
from gaussavatar.view.state import Controls, Drawn


@dataclass(frozen=True)
class Page:
    """What a panel is built over. All pages that are open share it, and the panels."""

    clock: PlayClock
    sliders: tuple[str, ...]
    """Names of the upper-face sliders."""
    movements: tuple[str, ...] = ()
    """Names of the head model's sliders, for avatars that are bound to one."""
    branches: tuple[str, ...] = ()
    """Names of the avatar's branches."""
    sound: Waveform | None = None
    """The driving sound as it is heard."""
    drawn: Drawn = "stream"
    """Who draws at the beginning."""
    watch: FitWatch | None = None
    """The fit that is followed."""
    resets: list[Callable[[], None]] = field(default_factory=list)
    """What puts the sliders back to where they add nothing; a panel with sliders adds its own."""


@dataclass(frozen=True)
class Reading:
    """What the page reads out: where the motion is, and how fast pictures are made."""

    seconds: float
    """Place in the motion."""
    length: float
    """Seconds of the whole motion."""
    rate: str
    """Frames per second, as markdown; empty before the first."""


class Panel:
    """One group of controls or of what is read out.

    A panel is a file in ``view/panels`` with ``PLACE``, its place from the page's top, and ``build(gui, page)``, which
    gives a panel, or None where there is nothing for it to show.
    """

    def put(self, controls: Controls) -> Controls:
        """The controls with what this panel asks for."""
        return controls

    def show(self, reading: Reading) -> None:
        """Bring what is read out up to date; called a few times per second."""


def slider(gui: viser.GuiApi, name: str, low: float = -1.0, high: float = 1.5) -> viser.GuiInputHandle[float]:
    """A slider that adds nothing at 0."""
    return gui.add_slider(name, min=low, max=high, step=0.01, initial_value=0.0)
