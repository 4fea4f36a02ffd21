"""What the viewer shows at a moment: a motion over time, and the sliders on top of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from gaussavatar.types import VIDEO_FPS

OPEN_APERTURE = 0.35
"""What the mouth slider's 1 adds to the lip gap over the distance of the outer eye corners: wide open."""


@dataclass(frozen=True)
class Motion:
    """Mouth codes, upper-face channels and head poses at 25 frames per second."""

    mouth_codes: Float32[np.ndarray, "n m"]
    upper: Float32[np.ndarray, "n u"]
    T_camera_world: Float32[np.ndarray, "n 4 4"]
    places: np.ndarray
    """Index into the avatar's torso video of every frame."""

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.mouth_codes) / VIDEO_FPS


@dataclass(frozen=True)
class Face:
    """The state of the face at one moment."""

    mouth_codes: Float32[np.ndarray, "m"]
    upper: Float32[np.ndarray, "u"]


def frame_index(motion: Motion, position: float) -> int:
    """The frame shown at ``position`` seconds."""
    return min(int(position * VIDEO_FPS), len(motion.mouth_codes) - 1)


def face_at(motion: Motion, position: float) -> Face:
    """The face at ``position`` seconds, between frames by linear interpolation."""
    place = min(max(position * VIDEO_FPS - 0.5, 0.0), len(motion.mouth_codes) - 1.0)
    before = int(place)
    after, share = min(before + 1, len(motion.mouth_codes) - 1), np.float32(place - before)

    def between(values: np.ndarray) -> np.ndarray:
        return values[before] + share * (values[after] - values[before])

    return Face(between(motion.mouth_codes), between(motion.upper))


def slider_groups(upper_names: Sequence[str]) -> dict[str, list[int]]:
    """Channel indices by slider: one slider for both sides of the face, and one that raises the whole brow."""
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(upper_names):
        words = [word for word in name.split("_") if word not in ("left", "right")]
        slider = "brow" if words in (["brow", "inner"], ["brow", "outer"]) else " ".join(words) or name
        groups.setdefault(slider, []).append(index)
    return groups


def with_sliders(
    face: Face,
    sliders: Mapping[str, float],
    groups: Mapping[str, Sequence[int]],
    opening: float,
    open_direction: Float32[np.ndarray, "m"],
) -> Face:
    """Add the sliders' values to the face.

    Args:
        face: what the motion shows.
        sliders: value by group name, in units of this person's strong movement.
        groups: channel indices by group name.
        opening: 0 as driven, 1 wide open; negative closes.
        open_direction: mouth codes per unit of lip aperture.
    """
    upper = face.upper.copy()
    for name, value in sliders.items():
        upper[list(groups[name])] += np.float32(value)
    return Face(face.mouth_codes + np.float32(opening * OPEN_APERTURE) * open_direction, upper)
