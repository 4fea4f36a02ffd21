"""Editing a face by hand: sliders on top of what a motion shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from gaussavatar.motion.track import FaceState

OPEN_APERTURE = 0.35
"""What the mouth slider's 1 adds to the lip gap over the distance of the outer eye corners: wide open."""


def slider_groups(upper_names: Sequence[str]) -> dict[str, list[int]]:
    """Channel indices by slider: one slider for both sides of the face, and one that raises the whole brow."""
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(upper_names):
        words = [word for word in name.split("_") if word not in ("left", "right")]
        slider = "brow" if words in (["brow", "inner"], ["brow", "outer"]) else " ".join(words) or name
        groups.setdefault(slider, []).append(index)
    return groups


def with_sliders(
    face: FaceState,
    sliders: Mapping[str, float],
    groups: Mapping[str, Sequence[int]],
    opening: float,
    open_direction: Float32[np.ndarray, "m"],
) -> FaceState:
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
    return FaceState(face.mouth_codes + np.float32(opening * OPEN_APERTURE) * open_direction, upper)


def channel_groups(names: tuple[str, ...]) -> dict[str, list[int]]:
    """Channel indices by slider: one for both sides of the face where a movement has two."""
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        both = name.removesuffix("Left").removesuffix("Right")
        paired = name != both and f"{both}Left" in names and f"{both}Right" in names
        # The eyes' In and Out are left and right already; the mouth's and jaw's Left and Right are directions.
        groups.setdefault(both if paired and both not in ("jaw", "mouth") else name, []).append(index)
    return groups
