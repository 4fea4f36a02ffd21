"""The person's share of every torso frame, and the torso cut out of its background with it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.image.filling import complete_background, disc

NONE, ALL = 6, 249
"""Matte values, 0..255, below and above which a video codec's noise is taken for background and for person."""

NOISE, CLEAR = 8.0, 40.0
"""Difference from the background, in grey levels, up to which a completed pixel is background; and the least one that
makes it wholly torso, if the torso around it does not differ more."""

FRAGMENT = 0.02
"""Pieces of the person mask up to this share of the largest are mistakes of the network beside the shoulders."""


@dataclass(frozen=True)
class CutOut:
    """The torso without its background; values in 0..1."""

    rgb: Float32[np.ndarray, "h w 3"]
    """Colour premultiplied by alpha, over black."""
    alpha: Float32[np.ndarray, "h w"]

    def over(self, background: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
        """The torso before another background."""
        return self.rgb + (1 - self.alpha)[..., None] * background


def torso_matte(
    frame: UInt8[np.ndarray, "s s 3"],
    under: UInt8[np.ndarray, "s s 3"],
    masks: UInt8[np.ndarray, "s s 4"],
    plate: UInt8[np.ndarray, "s s 3"] | None,
) -> UInt8[np.ndarray, "s s"]:
    """Share of neck and torso, 0..255, in ``under``, the frame with the head taken out.

    Where ``under`` is the frame it is the person mask. Where the head hid something, whatever was completed there is
    torso as far as it differs from the background; the head's own share of the person is left out.

    Args:
        frame: the real frame.
        under: the same with what is behind the head.
        masks: channels as in :data:`~gaussavatar.segmentation.records.MASK_CHANNELS`.
        plate: the background of a camera that stood still, else None.
    """
    head, person = (cv2.extractChannel(masks, channel) for channel in (0, 3))
    changed = cv2.absdiff(frame, under).max(axis=2)
    hidden = cv2.max(cv2.compare(changed, 0, cv2.CMP_GT), cv2.compare(head, 4, cv2.CMP_GT))
    hidden = cv2.morphologyEx(hidden, cv2.MORPH_CLOSE, disc(2))
    occupied = cv2.dilate(cv2.max(hidden, cv2.compare(person, 12, cv2.CMP_GT)), disc(2))
    away = np.abs(under.astype(np.float32) - background_of(under, occupied, plate)).max(axis=2)
    completed = cv2.min(cv2.max(_share(away), cv2.subtract(person, head)), person)
    matte = _rooted(np.where(hidden > 0, completed, person), cv2.subtract(person, hidden))
    # The border between both sources is as soft as that of the completed part itself.
    rim = cv2.subtract(cv2.dilate(hidden, disc(1)), cv2.erode(hidden, disc(1)))
    return cv2.copyTo(cv2.blur(matte, (3, 3)), rim, matte)


def _share(away: Float32[np.ndarray, "s s"]) -> UInt8[np.ndarray, "s s"]:
    """Share of torso, 0..255, by the difference from the background against the largest one near by.

    Only near the background can it be in part: elsewhere the torso is made of several colours.
    """
    around = disc(max(2, round(0.025 * len(away))))
    share = (away - NOISE) / (np.maximum(0.9 * cv2.dilate(away, around), CLEAR) - NOISE)
    share = cv2.convertScaleAbs(np.clip(share, 0, 1), alpha=255.0)
    inner = cv2.dilate(cv2.compare(away, NOISE, cv2.CMP_LT), around, iterations=2)
    return cv2.max(share, cv2.bitwise_not(inner))


def _rooted(matte: UInt8[np.ndarray, "s s"], body: UInt8[np.ndarray, "s s"]) -> UInt8[np.ndarray, "s s"]:
    """The parts of a matte that hang together with a fair share of the visible ``body``."""
    count, labels = cv2.connectedComponents(cv2.compare(matte, NONE, cv2.CMP_GT), connectivity=8, ltype=cv2.CV_16U)
    areas = np.bincount(np.asarray(labels)[body > 127], minlength=count)
    areas[0] = 0
    kept = areas > FRAGMENT * areas.max()
    return matte * kept[labels].astype(np.uint8)


def background_of(
    under: UInt8[np.ndarray, "s s 3"], occupied: UInt8[np.ndarray, "s s"], plate: UInt8[np.ndarray, "s s 3"] | None
) -> Float32[np.ndarray, "s s 3"]:
    """Background everywhere, 0..255, continued from where nothing is ``occupied``."""
    empty = (occupied == 0).astype(np.float32)
    return complete_background(under, empty, None if plate is None else plate.astype(np.float32))


def cut_out(
    under: UInt8[np.ndarray, "s s 3"], matte: UInt8[np.ndarray, "s s"], plate: UInt8[np.ndarray, "s s 3"] | None
) -> CutOut:
    """Take the background out of a torso frame.

    A pixel of the frame is ``C = a F + (1 - a) B``, and the background B is known, so that ``a F = C - (1 - a) B``
    holds no background colour: there is no fringe before another background (Smith and Blinn, 1996, section 2).
    """
    alpha = np.clip((matte.astype(np.float32) - NONE) / (ALL - NONE), 0, 1)
    occupied = cv2.dilate(cv2.compare(matte, NONE, cv2.CMP_GT), disc(2))
    background = background_of(under, occupied, plate)
    rgb = under.astype(np.float32) - (1 - alpha)[..., None] * background
    return CutOut(np.clip(rgb, 0, 255 * alpha[..., None]) / 255, alpha)
