"""What the viewer's tests look at: pictures of an opened page as it would send them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gaussavatar.view.orbit import BrowserCamera
from gaussavatar.view.server import Viewer
from gaussavatar.view.state import ViewState


def front(distance: float = 0.7, aspect: float = 1.5) -> BrowserCamera:
    """A page's camera before the face."""
    return BrowserCamera((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, -distance), 0.4, aspect)


def state_of(viewer: Viewer, seconds: float = 0.0, camera: BrowserCamera | None = None) -> ViewState:
    return viewer.state(seconds, camera or front(), 80)


def orbit(viewer: Viewer, seconds: float = 0.0, distance: float = 0.7) -> np.ndarray:
    """The page's picture from before the face, 120 x 80."""
    return viewer.painter.picture(state_of(viewer, seconds, front(distance)))


def filmed(viewer: Viewer, aspect: float) -> np.ndarray:
    return viewer.painter.picture(replace(state_of(viewer, camera=front(aspect=aspect)), seen="as filmed"))
