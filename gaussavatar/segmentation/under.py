"""What is behind the head: the real frame around it, background and neck completed inside."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from gaussavatar.image.filling import complete_background, disc, soft_step
from gaussavatar.segmentation.colours import CLASSES, ColourModel
from gaussavatar.segmentation.geometry import Outlines
from gaussavatar.segmentation.plate import Plate
from gaussavatar.segmentation.records import SegmentationConfig
from gaussavatar.segmentation.torso import match_memory

NECK_HALF_WIDTH = 0.34
"""Of the face's width: as far to each side the neck is assumed behind a collar that hides it."""

LET_THROUGH = (0.05, 0.3)
"""Head mask at which the real neck is shown wholly, and not at all."""


def excluded_region(
    head: UInt8[np.ndarray, "h w"], person: UInt8[np.ndarray, "s s"], halo: float, edge: float
) -> Bool[np.ndarray, "s s"]:
    """The head and a rim around it, where the frame carries head colours, at the side of ``person``.

    The rim is ``halo`` small pixels wide against the background, where hair thins out and
    compression bleeds, and ``edge`` against neck and torso, which the jaw's feathered cut
    has already left. Any touched pixel makes the small one excluded, so that no head colour
    leaks in by averaging.
    """
    touched = cv2.compare(head, 4, cv2.CMP_GT)
    if head.shape != person.shape:
        touched = cv2.resize(touched, person.shape, interpolation=cv2.INTER_AREA)
    touched = cv2.min(touched, 1)
    wide = cv2.dilate(touched, disc(max(1, round(halo))))
    tight = cv2.dilate(touched, disc(max(1, round(edge))))
    return cv2.bitwise_or(tight, cv2.min(wide, cv2.compare(person, 250, cv2.CMP_LT))).view(bool)


def _below_columns(
    values: Float32[np.ndarray, "h w c"], weight: Float32[np.ndarray, "h w"], bottom: Int[np.ndarray, "w"], depth: int
) -> tuple[Float32[np.ndarray, "w c"], Float32[np.ndarray, "w"], Float32[np.ndarray, "w"]]:
    """Weighted mean of the ``depth`` rows below row ``bottom`` per column, mean weight, and share inside the image."""
    height, width = weight.shape
    rows = bottom[None, :] + 1 + np.arange(depth)[:, None]
    inside = (rows < height).astype(np.float32)
    places = np.minimum(rows, height - 1) * width + np.arange(width)[None, :]
    use = weight.ravel()[places] * inside
    mean = (values.reshape(-1, values.shape[2])[places] * use[..., None]).sum(0)
    mean /= np.maximum(use.sum(0), 1e-3)[:, None]
    return mean, use.sum(0) / np.maximum(inside.sum(0), 1.0), inside.mean(0)


def _smooth_columns(
    values: Float32[np.ndarray, "s c"], weight: Float32[np.ndarray, "s"], sigma: float
) -> Float32[np.ndarray, "s c"]:
    """Weighted Gaussian along the columns; reaches across gaps of weight."""
    both = np.concatenate([values * weight[:, None], weight[:, None]], 1)[None].astype(np.float32)
    blurred = cv2.GaussianBlur(both, (0, 0), sigma, sigmaY=0.1, borderType=cv2.BORDER_REPLICATE)[0]
    return blurred[:, :-1] / np.maximum(blurred[:, -1:], 1e-6)


def complete_neck(
    fill: Float32[np.ndarray, "b s 3"],
    image: Float32[np.ndarray, "b s 3"],
    body: Float32[np.ndarray, "b s"],
    classes: UInt8[np.ndarray, "b s 3"],
    region: Bool[np.ndarray, "b s"],
    neck_colour: Float32[np.ndarray, "3"],
    centre: float,
    half_width: float,
    unit: float,
    reach: float,
    hair_reach: float,
) -> None:
    """Draw neck and clothing over the background ``fill``, upward from the lower edge of ``region``.

    Two layers per column: what is seen just below the edge goes on for a few hundredths of the face height, whatever
    it is, and for ``hair_reach`` face heights if it is hair beside the neck, which falls from above; behind it the
    neck, in the colours of the skin seen below the chin (else the clip's), goes on for ``reach`` face heights where
    skin or the inside of a collar lies below. ``unit`` is the face height in pixels, ``classes`` are those of
    :meth:`~gaussavatar.segmentation.colours.ColourModel.classify`.
    """
    skin, hair = (classes[..., CLASSES.index(name)] * np.float32(1 / 255) for name in ("skin", "hair"))
    height, width = body.shape
    covered = region.any(0)
    bottom = np.where(covered, height - 1 - np.argmax(region[::-1], 0), 0)
    near, presence, inside = _below_columns(image, body, bottom, max(2, round(0.012 * unit)))
    deep, share, _ = _below_columns(image, body * skin, bottom, max(3, round(0.08 * unit)))
    known = covered * inside
    strands, _, _ = _below_columns(hair[..., None], body, bottom, max(3, round(0.05 * unit)))
    # Where the region runs out of the picture nothing is seen below it: there only the neck goes on.
    presence = np.where(known > 0.5, presence, 1.0) * covered
    near = _smooth_columns(near, presence * known + 1e-4, max(0.6, 0.006 * unit))

    aside = (np.abs(np.arange(width) + 0.5 - centre) / half_width).astype(np.float32)
    falls = soft_step(_smooth_columns(strands, presence * known + 1e-4, 0.02 * unit)[:, 0], 0.35, 0.65)
    falls *= soft_step(aside, 0.7, 1.0)
    hair_reach = hair_reach if falls.any() else 0.0
    skin_here = _smooth_columns(share[:, None], known, max(0.6, 0.01 * unit))[:, 0]
    behind = presence * np.maximum(soft_step(aside, 1.15, 0.95), soft_step(skin_here, 0.25, 0.6))
    trusted = share * known
    prior = 0.15
    tone = _smooth_columns(deep, trusted + 1e-6, 0.06 * unit)
    amount = cv2.GaussianBlur(trusted[None].astype(np.float32), (0, 0), 0.06 * unit, sigmaY=0.1)[0]
    tone = (tone * amount[:, None] + neck_colour * prior) / (amount + prior)[:, None]

    top = max(0, int(bottom[covered].min() - max(reach, hair_reach) * unit))
    low = int(bottom[covered].max()) + 1
    # Float32 throughout: these are the largest arrays.
    rise = ((bottom[None, :] - np.arange(top, low)[:, None]) / np.float32(unit)).astype(np.float32)
    edge = np.float32(0.18) * np.clip(aside, 0, 1.2)[None] ** 2
    shade = 1.0 - np.float32(0.12 / reach) * np.clip(rise, 0, reach) - edge * np.clip(rise * 12, 0, 1)
    part = fill[top:low]
    lift = rise / (np.float32(reach) * (1.0 - 0.5 * np.clip(aside, 0, 1)[None] ** 2))
    alpha = (behind.astype(np.float32)[None] * soft_step(lift, 1.0, 0.6))[..., None]
    part += alpha * (tone.astype(np.float32)[None] * shade[..., None] - part)
    # What lies just below the edge goes on for a few rows only, hair farther.
    first = max(0, int(bottom[covered].min() - np.ceil(max(0.06, hair_reach) * unit)) - top)
    goes_on = soft_step(rise[first:], 0.06, 0.0)
    if hair_reach > 0:
        goes_on = np.maximum(goes_on, falls[None] * soft_step(rise[first:], hair_reach, 0.6 * hair_reach))
    alpha = ((presence * known).astype(np.float32)[None] * goes_on)[..., None]
    part[first:] += alpha * (near[None] - part[first:])


@dataclass(frozen=True)
class Surroundings:
    """One frame at the side at which its hidden part is completed."""

    image: UInt8[np.ndarray, "s s 3"]
    region: Bool[np.ndarray, "s s"]
    """The head and a rim around it: nothing of this is used."""
    body: UInt8[np.ndarray, "s s"]
    """Neck and torso, 0..255, zero in ``region``."""
    nobody: Bool[np.ndarray, "s s"]
    """Where the person is not, not even behind the head: no neck and no collar is drawn there."""
    empty: Bool[np.ndarray, "s s"]
    """Background for certain."""


@dataclass(frozen=True)
class Hidden:
    """What the head hides in one frame: the box about it, of a picture of ``side``."""

    fill: UInt8[np.ndarray, "r c 3"]
    region: Bool[np.ndarray, "r c"]
    """Where the frame is to be replaced."""
    corner: tuple[int, int]
    """First row and column of the box."""
    side: int


def surroundings(
    image: UInt8[np.ndarray, "h w 3"],
    mask: UInt8[np.ndarray, "h w 4"],
    side: int,
    unit: float,
    config: SegmentationConfig,
) -> Surroundings:
    """Take the head out of a frame at ``side``; ``unit`` is the face height in pixels there."""
    head, person = (cv2.extractChannel(mask, channel) for channel in (0, 3))
    small = cv2.resize(person, (side, side), interpolation=cv2.INTER_AREA)
    region = excluded_region(head, small, config.exclusion * unit, config.body_exclusion * unit)
    near_person = cv2.dilate(cv2.compare(small, 12, cv2.CMP_GT), disc(max(1, round(0.02 * unit)))).astype(bool)
    return Surroundings(
        image=cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA),
        region=region,
        body=np.where(region, np.uint8(0), small),
        nobody=cv2.compare(small, 100, cv2.CMP_LT).view(bool),
        empty=~(region | near_person),
    )


def first_body_row(outlines: Outlines, side: int, config: SegmentationConfig) -> int:
    """Row of the small image above which no neck is ever drawn, in any frame of the clip."""
    highest = outlines.points[:, [58, 288], 1].min() - (config.neck_reach + 0.05) * outlines.face_height
    return int(np.clip(highest * side / outlines.size, 0, side - 8))


def complete_under(
    around: Surroundings,
    memory: tuple[UInt8[np.ndarray, "b s 3"], Bool[np.ndarray, "b s"]],
    plate: Plate,
    colours: ColourModel,
    outlines: Outlines,
    index: int,
    config: SegmentationConfig,
) -> Hidden:
    """What the head hides: neck and torso continued behind it over the completed background.

    First comes what
    ``memory`` (of the last rows, from :func:`first_body_row` on) knows of the body from other
    moments; what was never seen is continued from there. The completed part is smooth, so it
    is computed at the side of ``around`` and ``plate`` and enlarged.
    """
    side = around.region.shape[0]
    if not around.region.any():
        return Hidden(around.image[:0], around.region[:0], (0, 0), side)
    scale = side / outlines.size
    unit = outlines.face_height * scale
    # Columns continue what lies within 0.08 face heights below the region; nothing farther is looked at.
    box = _box_about(around.region, round(0.12 * unit) + 2)
    backdrop = complete_background(around.image, around.empty.astype(np.float32), plate.image if plate.static else None)
    fill, seen, region, body = (
        np.ascontiguousarray(each[box]) for each in (backdrop, around.image, around.region, around.body)
    )
    # Rows of the box from ``low`` on may show a body.
    top = side - memory[1].shape[0]
    low = min(max(top - box[0].start, 0), len(region) - 1)
    band = (slice(box[0].start + low - top, box[0].stop - top), box[1])
    recalled, known, body = _recall(seen[low:], region[low:], body[low:], memory[0][band], memory[1][band])
    hidden = region[low:] & ~recalled
    if hidden.any():
        bare, nobody = fill[low:].copy(), around.nobody[box][low:]
        middle = outlines.points[max(0, index - 4) : index + 5][:, [58, 288]].mean((0, 1)) * scale
        complete_neck(
            fill[low:],
            known.astype(np.float32),
            body * np.float32(1 / 255),
            colours.classify(known),
            hidden,
            colours.neck,
            float(middle[0]) - box[1].start,
            NECK_HALF_WIDTH * outlines.face_width * scale,
            unit,
            config.neck_reach,
            config.hair_reach,
        )
        cv2.copyTo(bare, nobody.view(np.uint8), fill[low:])
    whole = cv2.copyTo(cv2.convertScaleAbs(cv2.max(fill, 0.0)), region.view(np.uint8), seen.copy())
    cv2.copyTo(known, recalled.view(np.uint8), whole[low:])
    # A light blur over the border with the real surroundings hides the seam and the columns.
    soft = cv2.GaussianBlur(whole, (0, 0), max(0.7, 0.01 * unit))
    half = cv2.addWeighted(soft[low:], 0.5, whole[low:], 0.5, 0.0)
    cv2.copyTo(half, recalled.view(np.uint8), soft[low:])
    return Hidden(soft, region, (box[0].start, box[1].start), side)


def _box_about(region: Bool[np.ndarray, "s s"], margin: int) -> tuple[slice, slice]:
    """Rows and columns of a region and ``margin`` pixels about it."""
    x, y, width, height = cv2.boundingRect(region.view(np.uint8))
    rows = slice(max(0, y - margin), min(region.shape[0], y + height + margin))
    return rows, slice(max(0, x - margin), min(region.shape[1], x + width + margin))


def _recall(
    seen: UInt8[np.ndarray, "r c 3"],
    region: Bool[np.ndarray, "r c"],
    body: UInt8[np.ndarray, "r c"],
    memory: UInt8[np.ndarray, "r c 3"],
    remembered: Bool[np.ndarray, "r c"],
) -> tuple[Bool[np.ndarray, "r c"], UInt8[np.ndarray, "r c 3"], UInt8[np.ndarray, "r c"]]:
    """Where the hidden ``region`` is remembered, the picture with the memory put in, and body with it (0..255)."""
    recalled = region & remembered
    if not recalled.any():
        return recalled, seen, body
    matched = match_memory(np.ascontiguousarray(memory), seen, remembered & (body > 250))
    known = cv2.copyTo(matched, recalled.view(np.uint8), seen.copy())
    return recalled, known, cv2.bitwise_or(body, cv2.compare(recalled.view(np.uint8), 0, cv2.CMP_GT))


def paste(
    image: UInt8[np.ndarray, "h w 3"], hidden: Hidden, mask: UInt8[np.ndarray, "h w 4"] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """The frame with the head taken out. The enlarged region's inner edge is softened by a pixel.

    With the frame's ``mask`` the real neck stays as far up as the jaw leaves it, see :func:`keep_real_neck`.
    """
    under = image.copy()
    height, width = (each * len(image) // hidden.side for each in hidden.region.shape)
    if not height * width:
        return under
    top, left = (each * len(image) // hidden.side for each in hidden.corner)
    part = np.ascontiguousarray(image[top : top + height, left : left + width])
    shape = part.shape[1::-1]
    large = cv2.resize(hidden.fill, shape, interpolation=cv2.INTER_LINEAR)
    inside = cv2.resize(hidden.region.view(np.uint8), shape, interpolation=cv2.INTER_NEAREST)
    core = cv2.erode(inside, np.ones((3, 3), np.uint8))
    mixed = cv2.copyTo(cv2.addWeighted(part, 0.5, large, 0.5, 0.0), inside, part)
    under[top : top + height, left : left + width] = cv2.copyTo(large, core, mixed)
    return under if mask is None else keep_real_neck(under, image, mask)


def keep_real_neck(
    under: UInt8[np.ndarray, "h w 3"], image: UInt8[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "h w 4"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Fade from what was completed to the real frame where the jaw's feathered cut lets the neck through.

    The completion begins wherever the head mask is not zero, so that it takes no colour from the head. Under a
    rendered jaw, whose edge is a little softer or elsewhere, it would show as a ring; the real pixels do not.
    """
    head, person = (cv2.extractChannel(mask, channel) for channel in (0, 3))
    body = cv2.erode(cv2.compare(person, 250, cv2.CMP_GE), np.ones((5, 5), np.uint8))
    rim = (body > 0) & (head < 255 * LET_THROUGH[1])
    rows = np.flatnonzero(rim.any(1))
    if len(rows) == 0:
        return under
    part = slice(rows[0], rows[-1] + 1)
    weight = (soft_step(head[part] / np.float32(255), LET_THROUGH[1], LET_THROUGH[0]) * rim[part])[..., None]
    mixed = under[part] + weight * (image[part].astype(np.float32) - under[part])
    result = under.copy()
    result[part] = mixed.round()
    return result
