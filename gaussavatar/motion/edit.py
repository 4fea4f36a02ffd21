"""Editing a face by hand: sliders on top of what a motion shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from gaussavatar.motion.track import FaceState

OPEN_APERTURE = 0.35
"""The lip gap of a mouth that is wide open, over the distance of the outer eye corners."""

FARTHER = 1.1
"""How much further than in the clip a mouth opens: beyond that, teeth and lips that were never seen tear."""


def wide_open(
    filmed: Float32[np.ndarray, "n m"], closed: Float32[np.ndarray, "m"], open_direction: Float32[np.ndarray, "m"]
) -> Float32[np.ndarray, "m"]:
    """What is added to the closed mouth's codes to open it as wide as this person does, and a little wider.

    Args:
        filmed: mouth codes of the person's own motion.
        closed: those of the closed mouth.
        open_direction: codes per unit of lip aperture.
    """
    length = float(open_direction @ open_direction)
    if length == 0:
        return open_direction
    openings = (filmed - closed) @ open_direction / length
    reach = FARTHER * float(np.percentile(openings, 99)) if len(openings) else OPEN_APERTURE
    return np.float32(np.clip(reach, 0.1 * OPEN_APERTURE, OPEN_APERTURE)) * open_direction


def opened(
    codes: Float32[np.ndarray, "*n m"],
    opening: float,
    closed: Float32[np.ndarray, "m"],
    wide: Float32[np.ndarray, "m"],
) -> Float32[np.ndarray, "*n m"]:
    """The mouth opened further by a share of ``wide`` (:func:`wide_open`), never beyond it nor below the closed one.

    What the motion itself opens further is left as it is.
    """
    length = float(wide @ wide)
    if opening == 0 or length == 0:
        return codes
    before = (codes - closed) @ wide / length
    after = np.clip(before + opening, np.minimum(before, 0.0), np.maximum(before, 1.0))
    return (codes + (after - before)[..., None] * wide).astype(np.float32)


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
    closed: Float32[np.ndarray, "m"],
    wide: Float32[np.ndarray, "m"],
) -> FaceState:
    """Add the sliders' values to the face.

    Args:
        face: what the motion shows.
        sliders: value by group name, in units of this person's strong movement.
        groups: channel indices by group name.
        opening: 0 as driven, 1 wide open; negative closes.
        closed: mouth codes of the closed mouth.
        wide: see :func:`wide_open`.
    """
    upper = face.upper.copy()
    for name, value in sliders.items():
        upper[list(groups[name])] += np.float32(value)
    return FaceState(opened(face.mouth_codes, opening, closed, wide), upper)


def channel_groups(names: tuple[str, ...]) -> dict[str, list[int]]:
    """Channel indices by slider: one for both sides of the face where a movement has two."""
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        both = name.removesuffix("Left").removesuffix("Right")
        paired = name != both and f"{both}Left" in names and f"{both}Right" in names
        # The eyes' In and Out are left and right already; the mouth's and jaw's Left and Right are directions.
        groups.setdefault(both if paired and both not in ("jaw", "mouth") else name, []).append(index)
    return groups
