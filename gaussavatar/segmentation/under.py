"""What is behind the head: the real frame around it, background and neck completed inside."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from gaussavatar.segmentation.filling import disc, fill_holes, soft_step
from gaussavatar.segmentation.plate import Plate
from gaussavatar.segmentation.records import SegmentationConfig


def excluded_region(head: UInt8[np.ndarray, "h w"], radius: int) -> Bool[np.ndarray, "h w"]:
    """The head and a rim of ``radius`` pixels, where the frame carries head colours."""
    return cv2.dilate((head > 4).astype(np.uint8), disc(radius)).astype(bool)


def complete_background(
    image: UInt8[np.ndarray, "h w 3"], empty: Float32[np.ndarray, "h w"], plate: Plate
) -> Float32[np.ndarray, "h w 3"]:
    """Background of one frame everywhere.

    With a static camera the plate, corrected by the smoothly continued difference of the
    visible background (``empty``) from it, which follows exposure and slowly moving
    light; otherwise the smoothly continued visible background itself.
    """
    height, width = empty.shape
    factor = 4 if plate.static else 2
    small = (max(2, width // factor), max(2, height // factor))
    weight = cv2.resize(empty, small, interpolation=cv2.INTER_AREA)
    weight = np.where(weight > 0.6, weight, 0.0).astype(np.float32)
    seen = cv2.resize(image, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    if not plate.static:
        return cv2.resize(fill_holes(seen, weight), (width, height), interpolation=cv2.INTER_LINEAR)
    known = cv2.resize(plate.image, small, interpolation=cv2.INTER_AREA)
    change = fill_holes(seen - known, weight)
    return plate.image + cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)


def neck_columns(
    image: UInt8[np.ndarray, "h w 3"],
    body: Float32[np.ndarray, "h w"],
    bottom: np.ndarray,
    depth: int,
) -> tuple[Float32[np.ndarray, "w 3"], Float32[np.ndarray, "w"]]:
    """Colour and presence of body in the ``depth`` rows below row ``bottom`` of every column."""
    height, width = body.shape
    rows = bottom[None, :] + 1 + np.arange(depth)[:, None]
    inside = (rows < height).astype(np.float32)
    rows = np.minimum(rows, height - 1)
    columns = np.arange(width)[None, :]
    weight = body[rows, columns] * inside
    colours = image[rows, columns].astype(np.float32)
    total = weight.sum(0)
    colour = (colours * weight[..., None]).sum(0) / np.maximum(total, 1e-3)[:, None]
    presence = total / np.maximum(inside.sum(0), 1.0)
    return colour, presence


def _smooth_columns(
    colour: Float32[np.ndarray, "w 3"], weight: Float32[np.ndarray, "w"], sigma: float
) -> Float32[np.ndarray, "w 3"]:
    """Weighted Gaussian along the columns."""
    both = np.concatenate([colour * weight[:, None], weight[:, None]], 1)[None]
    blurred = cv2.GaussianBlur(both, (0, 0), sigma, sigmaY=0.1, borderType=cv2.BORDER_REPLICATE)[0]
    return blurred[:, :3] / np.maximum(blurred[:, 3:], 1e-4)


def complete_under(
    image: UInt8[np.ndarray, "h w 3"],
    head: UInt8[np.ndarray, "h w"],
    person: UInt8[np.ndarray, "h w"],
    plate: Plate,
    unit: float,
    config: SegmentationConfig,
) -> UInt8[np.ndarray, "h w 3"]:
    """The frame with the head taken out: neck continued upward over the completed background.

    ``unit`` is the face height in pixels. Outside the head and its rim the frame is
    returned unchanged.
    """
    height, width = head.shape
    region = excluded_region(head, max(1, round(config.exclusion * unit)))
    if not region.any():
        return image.copy()
    near_person = cv2.dilate((person > 12).astype(np.uint8), disc(max(1, round(0.02 * unit))))
    empty = (~(region | near_person.astype(bool))).astype(np.float32)
    fill = complete_background(image, empty, plate)
    body = np.where(region, 0, person).astype(np.float32) / 255.0

    covered = region.any(0)
    bottom = np.where(covered, height - 1 - np.argmax(region[::-1], 0), -1)
    sharp, presence = neck_columns(image, body, bottom, max(2, round(0.015 * unit)))
    deep, _ = neck_columns(image, body, bottom, max(3, round(0.08 * unit)))
    presence = np.where(covered, presence, 0.0).astype(np.float32)
    weight = presence + 1e-3 * (presence > 0)
    soft = _smooth_columns(deep, weight, max(1.0, 0.03 * unit))
    sharp = _smooth_columns(sharp, weight, max(0.5, 0.005 * unit))

    top = max(0, int(bottom[covered].min() - config.neck_reach * unit))
    low = int(bottom[covered].max()) + 1
    rows = np.arange(top, low)[:, None]
    rise = (bottom[None, :] - rows) / (config.neck_reach * unit)
    share = soft_step(rise, 0.0, 0.35)[..., None]
    colour = (sharp * (1 - share) + soft * share) * (1.0 - 0.15 * np.clip(rise, 0, 1))[..., None]
    alpha = (presence * soft_step(rise, 1.0, 0.6))[..., None]
    fill[top:low] += alpha * (colour - fill[top:low])
    soft_region = cv2.blur(region.astype(np.float32), (3, 3)) * region
    under = image + soft_region[..., None] * (fill - image)
    return np.clip(under + 0.5, 0, 255).astype(np.uint8)
