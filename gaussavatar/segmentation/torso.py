"""What the neck and the torso looked like a moment ago, where the head hides them now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from gaussavatar.image.filling import fill_holes

DECAY = 0.93
"""Confidence of a remembered pixel falls by this factor per frame."""

AGREEMENT = 1.5
"""Pixels within which a corner's motion agrees with the body's."""

STILL = 3.0
"""Mean change of grey level up to which a body without corners counts as still."""

FORGOTTEN = 0.25
"""Confidence below which a remembered pixel is no longer used: 20 frames."""


def body_shift(
    before: UInt8[np.ndarray, "b s"], after: UInt8[np.ndarray, "b s"], body: UInt8[np.ndarray, "b s"]
) -> tuple[float, float] | None:
    """Motion in pixels (x, y) of the ``body`` mask between two grey images; None where it cannot be followed.

    The median motion of corners, if most of them agree with it. Without enough
    corners (plain dark clothing) the body counts as standing still if its pixels hardly change.
    None after a cut or a jump.
    """
    corners = cv2.goodFeaturesToTrack(before, 60, 0.02, 4, mask=body, blockSize=5)
    if corners is not None and len(corners) >= 8:
        followed, found, _ = cv2.calcOpticalFlowPyrLK(
            before, after, corners, np.empty(0, np.float32), winSize=(15, 15), maxLevel=2, criteria=(3, 8, 0.03)
        )
        motion = (followed - corners)[:, 0]
        middle = np.median(motion, axis=0)
        agree = (found[:, 0] == 1) & (np.linalg.norm(motion - middle, axis=-1) < AGREEMENT)
        if agree.mean() < 0.5:
            return None
        x, y = motion[agree].mean(0)
        return float(x), float(y)
    inside = body > 0
    if not inside.any() or float(cv2.absdiff(before, after)[inside].mean()) > STILL:
        return None
    return 0.0, 0.0


def remember(
    images: Sequence[UInt8[np.ndarray, "b s 3"]],
    bodies: Sequence[UInt8[np.ndarray, "b s"]],
    shifts: Float32[np.ndarray, "n 2"],
) -> Iterator[tuple[UInt8[np.ndarray, "b s 3"], Float32[np.ndarray, "b s"]]]:
    """For every frame the body as it was last seen before, moved along with it, and the confidence in that.

    ``bodies`` is 255 where neck or torso is visible; ``shifts[i]`` is the body's motion from
    frame i - 1 to i, NaN where that is unknown: there everything is forgotten. The memory lies
    in the body's own coordinates, so that a pixel is resampled twice however old it is. Run it
    on the reversed clip (and shifts) to remember what will be seen.
    """
    size = bodies[0].shape[::-1]
    pad = size[0] // 8
    broken = ~np.isfinite(shifts).all(-1)
    steps = np.where(broken[:, None], 0.0, shifts)
    offsets = np.clip(np.cumsum(steps, axis=0) - steps[0], -pad, pad)
    canvas = np.zeros((size[1] + 2 * pad, size[0] + 2 * pad, 3), np.uint8)
    confidence = np.zeros(canvas.shape[:2], np.float32)
    for image, body, (x, y), forget in zip(images, bodies, offsets, broken, strict=True):
        confidence *= np.float32(0.0 if forget else DECAY)
        back = np.array([[1, 0, x - pad], [0, 1, y - pad]], np.float32)
        # The edge of what was seen is left out: interpolation would mix in the empty canvas.
        sure = cv2.erode(confidence, np.ones((3, 3), np.uint8))
        yield (
            cv2.warpAffine(canvas, back, size),
            cv2.warpAffine(sure, back, size, flags=cv2.INTER_NEAREST),
        )
        into = np.array([[1, 0, pad - x], [0, 1, pad - y]], np.float32)
        seen = cv2.warpAffine(body, into, canvas.shape[1::-1]) > 250
        cv2.copyTo(cv2.warpAffine(image, into, canvas.shape[1::-1]), seen.astype(np.uint8), canvas)
        confidence[seen] = 1.0


def merge_memories(
    past: tuple[UInt8[np.ndarray, "b s 3"], Float32[np.ndarray, "b s"]],
    future: tuple[UInt8[np.ndarray, "b s 3"], Float32[np.ndarray, "b s"]],
) -> tuple[UInt8[np.ndarray, "b s 3"], Bool[np.ndarray, "b s"]]:
    """Mean of what was and what will be seen, the nearer in time the heavier, and where that is known."""
    first, second = (np.where(memory[1] > FORGOTTEN, memory[1], 0.0) ** 2 for memory in (past, future))
    known = (first + second) > 0
    mixed = cv2.blendLinear(past[0], future[0], first.astype(np.float32), second.astype(np.float32))
    return mixed, known


def match_memory(
    memory: UInt8[np.ndarray, "b s 3"],
    image: UInt8[np.ndarray, "b s 3"],
    both: Bool[np.ndarray, "b s"],
) -> UInt8[np.ndarray, "b s 3"]:
    """Bring the memory to the present light: add the smoothly continued difference where ``both`` show the body.

    A chin that moved leaves its old shadow in the memory; without this the border
    between what is seen and what is remembered would show as a line.
    """
    half = (memory.shape[1] // 2, memory.shape[0] // 2)
    weight = cv2.resize(both.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    weight = np.where(weight > 0.9, weight, 0.0).astype(np.float32)
    now, then = (cv2.resize(each, half, interpolation=cv2.INTER_AREA).astype(np.float32) for each in (image, memory))
    change = cv2.resize(fill_holes(now - then, weight), memory.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(memory + change, 0, 255).astype(np.uint8)
