"""A camera that sets exposure and white balance by itself: every frame is brought to the clip's usual light.

What stands still behind the person sends the same light in every frame; the camera multiplies it by a gain for each
colour and writes it down by a display's curve (sRGB: IEC 61966-2-1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from gaussavatar.image.srgb import displayed, linear

SIDE = 96
"""Side of the small pictures that are compared."""

_DARK, _BRIGHT = 28, 240
"""Levels beyond which noise or clipping hides a gain."""

_STILL = 0.07
"""Median deviation of a pixel's light from itself, its gain taken out, up to which it stands still."""

_FEWEST_PICTURES, _FEWEST_PIXELS = 5, 400

_ROUNDS, _FIRST = 5, 0.1
"""Rounds of telling what stands still, and the steadiest part of the pixels that is trusted as long as little does."""

_AGREES, _AGREEING = 0.1, 0.35
"""Deviation from the common gain at which a pixel still agrees, and the part of the pixels that has to: the person may
lean before the others."""

_TOLD = 0.6
"""Part of the looked-at frames that have to tell their gain."""

_SAME_LEVELS, _SHOWS, _ENOUGH_UNCHANGED = 4.0, (40.0, 240.0), 0.1
"""Range of a pixel's levels that compression makes, levels at which a gain moves them further than that, and the part
of the picture that has to stay the same for the exposure to be constant. A plain wall clipped in one colour tells no
gain, but that there is none."""

LARGEST = 1.0
"""Largest gain that is taken out, stops: beyond is a fade."""

LEAST = 0.2
"""Range of a clip's gains, stops, from which on they are taken out."""


@dataclass(frozen=True)
class UsualLight:
    """What the clip shows where nothing moves, in its usual light.

    Attributes:
        light: of the square crop, small; linear, 0..1.
        still: pixels that stand still and are neither dark nor clipped.
        changes: range of the gains over the looked-at frames, stops, of the colour that changes most.
    """

    light: Float32[np.ndarray, "s s 3"]
    still: Bool[np.ndarray, "s s"]
    changes: float


_LIGHT = linear(np.arange(256) / 255).astype(np.float32)
"""Light of the levels 0..255."""


def small(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
    """A square picture at the size in which pictures are compared."""
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def usual_light(pictures: Sequence[UInt8[np.ndarray, "s s 3"]]) -> UsualLight | None:
    """The light that most of some frames of a clip have; None where it hardly changes or cannot be told.

    It cannot be told with a moving camera, or where nothing but black or white stands still.

    Args:
        pictures: the crop in frames from all over the clip, by :func:`small`.
    """
    if len(pictures) < _FEWEST_PICTURES:
        return None
    levels = np.stack(pictures)
    if _unchanged(levels) > _ENOUGH_UNCHANGED:
        return None
    light = _LIGHT[levels]
    clear = (np.median(levels, 0).min(-1) > _DARK) & (np.quantile(levels, 0.9, axis=0).max(-1) < _BRIGHT)
    if clear.sum() < _FEWEST_PIXELS:
        return None
    usual, trusted = np.median(light, 0), clear
    # Light, gains and the pixels to tell them by follow from each other; a few rounds settle them.
    for _ in range(_ROUNDS):
        gains = np.stack([np.median(frame[trusted] / usual[trusted], 0) for frame in light])
        evened_light = light / np.maximum(gains, 1e-3)[:, None, None]
        usual = np.median(evened_light, 0)
        wander = np.median(np.abs(evened_light / np.maximum(usual, 1e-3) - 1.0), 0).max(-1)
        still = clear & (wander < _STILL)
        trusted = clear & (wander < max(_STILL, float(np.quantile(wander[clear], _FIRST))))
    if still.sum() < _FEWEST_PIXELS:
        return None
    found = UsualLight(usual, still, 0.0)
    told = [gain for frame in pictures if (gain := gain_of(frame, found)) is not None]
    if len(told) < _TOLD * len(pictures):
        return None
    # What is taken for a fade stays as it is, and is no change of the exposure.
    stops = np.log2(np.stack(told))
    near = stops[np.abs(stops).max(-1) <= LARGEST]
    changes = float(np.ptp(near, axis=0).max()) if len(near) else 0.0
    return UsualLight(usual, still, changes) if changes >= LEAST else None


def gain_of(picture: UInt8[np.ndarray, "s s 3"], usual: UsualLight) -> Float[np.ndarray, "3"] | None:
    """The factor on each colour's light against the usual; None where what stands still does not agree on one."""
    light, before = _LIGHT[picture[usual.still]], usual.light[usual.still]
    ratios = light / before
    gain = _densest(ratios)
    agreeing = (np.abs(ratios / np.maximum(gain, 1e-6) - 1.0) < _AGREES).all(-1)
    if agreeing.mean() < _AGREEING:
        return None
    # Sums, for a median of whole levels moves in steps.
    return light[agreeing].sum(0, dtype=np.float64) / before[agreeing].sum(0)


def _unchanged(levels: UInt8[np.ndarray, "n s s 3"]) -> float:
    """Part of the picture whose levels stay as they are, where a gain of :data:`LEAST` stops would show."""
    low, middle, high = np.quantile(levels, [0.1, 0.5, 0.9], axis=0)
    shows = ((middle > _SHOWS[0]) & (middle < _SHOWS[1])).any(-1)
    return float((((high - low).max(-1) <= _SAME_LEVELS) & shows).mean())


def _densest(ratios: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, "3"]:
    """Median of the ratios where they lie closest together: what covers the background spreads them."""
    order = np.argsort(ratios.sum(-1))
    sums = ratios.sum(-1)[order]
    last = np.searchsorted(sums, sums * (1.0 + _AGREES), side="right")
    first = int(np.argmax(last - np.arange(len(sums))))
    return np.median(ratios[order[first : last[first]]], 0)


def evened(image: UInt8[np.ndarray, "h w 3"], gain: Float[np.ndarray, "3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture without a gain of at most :data:`LARGEST` stops; what is darker or brighter stays as it is."""
    if np.abs(np.log2(gain)).max() > LARGEST:
        return image
    return cv2.LUT(image, np.round(255.0 * displayed(_LIGHT[:, None] / gain)).astype(np.uint8)[None])


class EvenLight:
    """Takes the camera's gains out of frames, one after the other."""

    def __init__(self, usual: UsualLight) -> None:
        self._usual = usual
        self._gain = np.ones(3)

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """The next frame in the usual light; a fade stays one, and what tells no gain has that of the frame before."""
        gain = gain_of(small(image), self._usual)
        if gain is not None:
            self._gain = gain
        return evened(image, self._gain)
