"""The inside of the mouth: the landmarks' inner-lip outline, moved to where the lips' colour ends."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8

from gaussavatar.image.filling import disc
from gaussavatar.segmentation.colours import N_BINS, colour_bins, histogram_density
from gaussavatar.segmentation.geometry import (
    INNER_LIPS,
    OUTER_LIPS,
    Outlines,
    draw_small_polygon,
    mouth_opening,
)
from gaussavatar.segmentation.records import SegmentationConfig
from gaussavatar.storage import FrameStore

SLACK = 0.008
"""Of the face's height: standard deviation of the outline about the lips' true edge."""

LEARNING_FRAMES = 24

ROUNDS = 3
"""Times that the colours are learnt: from the outline, then from the edge as the colours moved it."""

SHADE = 0.7
"""Log-odds taken off every colour: a lip's shaded edge has the cavity's colours, the cavity never has a lip's."""

SURE = 1.0
"""Log-odds from which a pixel is an example."""

REACH = 3.0
"""Largest log-odds that colour alone may claim; the outline gives that much at 2.5 standard deviations."""

RIM = 0.012
"""Of the face's height: the lips' outer edge, whose colours are neither's; and half the line between the lips."""

LIGHTER = 12.0
"""Lightness (0..255) by which teeth stand out from the lips at the least."""

TEETH = 0.00015
"""Of the face's height squared: less area of teeth than that does not open a mouth that the detector calls shut."""


@dataclass(frozen=True)
class MouthColours:
    """Log-odds of the inside of the mouth against lips for every colour bin; 0 where the clip did not tell."""

    odds: Float32[np.ndarray, "bins"]


def learn_mouth(frames: FrameStore, outlines: Outlines, config: SegmentationConfig) -> MouthColours:
    """Learn teeth, tongue and cavity against lips from frames of the clip with the mouth well open."""
    openings = np.array([mouth_opening(outlines, index) for index in range(len(frames))])
    open_frames = np.flatnonzero(openings >= max(0.03 * outlines.face_height, config.min_mouth_opening * 2))
    chosen = open_frames[np.linspace(0, len(open_frames) - 1, min(LEARNING_FRAMES, len(open_frames))).astype(int)]
    colours = MouthColours(np.zeros(N_BINS, np.float32))
    for _ in range(ROUNDS):
        colours = _learn_round(frames, outlines, chosen, colours)
    return colours


def _learn_round(
    frames: FrameStore, outlines: Outlines, chosen: Int[np.ndarray, "m"], colours: MouthColours
) -> MouthColours:
    """Count colours on either side of the edge as ``colours`` put it; the first round goes by the outline alone."""
    counts = np.zeros((2, N_BINS), np.float32)
    for index in chosen:
        box = mouth_box(outlines, int(index))
        if box is None:
            continue
        image = np.ascontiguousarray(frames.read(int(index))[box])
        total = _log_odds(colour_odds(image, colours), outlines, int(index), box)
        lips = lips_mask(outlines, int(index))[box] > 250
        bins = colour_bins(image)
        for row, region in enumerate((total > SURE, lips & (total < -SURE))):
            counts[row] += np.bincount(bins[region], minlength=N_BINS)
    if counts.sum(1).min() < 200:
        return MouthColours(np.zeros(N_BINS, np.float32))
    inside, outside = (histogram_density(count) for count in counts)
    odds = np.clip(np.log((inside + 2e-5) / (outside + 2e-5)), -REACH, REACH) - SHADE
    return MouthColours(odds.astype(np.float32))


def mouth_box(outlines: Outlines, index: int) -> tuple[slice, slice] | None:
    """Rows and columns about the lips; None where they are out of the picture."""
    points = outlines.points[index][[*OUTER_LIPS, *INNER_LIPS]]
    margin = 0.04 * outlines.face_height
    low = np.clip(np.floor(points.min(0) - margin).astype(int), 0, outlines.size)
    high = np.clip(np.ceil(points.max(0) + margin).astype(int), 0, outlines.size)
    return (slice(low[1], high[1]), slice(low[0], high[0])) if (high - low > 2).all() else None


def lip_distance(outlines: Outlines, index: int, box: tuple[slice, slice]) -> Float32[np.ndarray, "h w"]:
    """Signed distance in pixels to the inner-lip outline, positive inside the mouth, for the pixels of a box."""
    inner = draw_small_polygon(outlines.points[index][list(INNER_LIPS)], outlines.size)[box]
    inside = cv2.distanceTransform((inner > 127).astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((inner <= 127).astype(np.uint8), cv2.DIST_L2, 5)
    # A box without any edge has no distances; OpenCV then says infinity.
    return np.clip(np.where(inner > 127, inside - 0.5, 0.5 - outside), -1e3, 1e3).astype(np.float32)


def mouth_mask(
    image: UInt8[np.ndarray, "h w 3"],
    outlines: Outlines,
    index: int,
    colours: MouthColours,
    config: SegmentationConfig,
) -> UInt8[np.ndarray, "h w"]:
    """Inside of the mouth with the teeth; zero while the lips are closed, fading in above and where teeth show.

    The log-odds of place (distance from the inner-lip outline) and of colour add up (naive Bayes).
    """
    canvas = np.zeros((outlines.size, outlines.size), np.uint8)
    box = mouth_box(outlines, index)
    if box is None:
        return canvas
    opening = mouth_opening(outlines, index) * 512.0 / outlines.size
    strength = float(np.clip((opening - config.min_mouth_opening) / 1.0, 0.0, 1.0))
    patch, lips = np.ascontiguousarray(image[box]), lips_mask(outlines, index)[box]
    odds = colour_odds(patch, colours)
    teeth = visible_teeth(patch, odds, lips, outlines, index, box)
    # Where the teeth show, the detector may put the inner lips onto them and call the mouth shut.
    area = TEETH * outlines.face_height**2
    strength = max(strength, float(np.clip((cv2.countNonZero(teeth) - area) / area, 0.0, 1.0)))
    if strength == 0.0:
        return canvas
    # Beside teeth there is no reason to take a shade for a lip's.
    beside = cv2.dilate(teeth, disc(max(1, round(RIM * outlines.face_height))))
    total = _log_odds(odds, outlines, index, box)
    total = np.where(beside > 0, np.maximum(total, odds + SHADE), total)
    alpha = cv2.convertScaleAbs(strength * 255.0 / (1.0 + np.exp(-2.0 * np.clip(total, -8, 8))))
    # A tongue between the teeth has the lips' colour: what the mouth encloses is mouth.
    closed = cv2.morphologyEx(alpha, cv2.MORPH_CLOSE, disc(max(1, round(0.02 * outlines.face_height))))
    canvas[box] = cv2.min(closed, lips)
    return canvas


def lips_mask(outlines: Outlines, index: int) -> UInt8[np.ndarray, "h w"]:
    """Lips with what is between them; take the inside of the mouth away for the lips alone."""
    points = outlines.points[index]
    outer = draw_small_polygon(points[list(OUTER_LIPS)], outlines.size)
    return cv2.max(outer, draw_small_polygon(points[list(INNER_LIPS)], outlines.size))


def visible_teeth(
    image: UInt8[np.ndarray, "h w 3"],
    odds: Float32[np.ndarray, "h w"],
    lips: UInt8[np.ndarray, "h w"],
    outlines: Outlines,
    index: int,
    box: tuple[slice, slice],
) -> UInt8[np.ndarray, "h w"]:
    """1 where teeth are seen at the line between the lips, wherever the outline is.

    Only what is lighter than the lips counts, and is no mere line: the shade between closed lips has the
    colours of the cavity.
    """
    unit = outlines.face_height
    room = cv2.erode(cv2.compare(lips, 127, cv2.CMP_GT), disc(max(1, round(RIM * unit))))
    light = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 0].astype(np.float32)
    lip = (room > 0) & (odds < 0)
    if not lip.any():
        return np.zeros(lips.shape, np.uint8)
    found = ((odds > SURE) & (room > 0) & (light > np.median(light[lip]) + LIGHTER)).astype(np.uint8)
    line = np.zeros(lips.shape, np.uint8)
    corner = np.array([box[1].start, box[0].start], np.float32)
    points = np.round((outlines.points[index][list(INNER_LIPS)] - corner - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(line, [points], (1,), shift=4)
    cv2.polylines(line, [points], True, (1,), max(1, round(2 * RIM * unit)), shift=4)
    _, labels = cv2.connectedComponents(found, connectivity=8, ltype=cv2.CV_16U)
    labels = np.asarray(labels, np.uint16)
    near = np.unique(labels[line > 0])
    return np.isin(labels, near[near > 0]).astype(np.uint8)


def colour_odds(image: UInt8[np.ndarray, "h w 3"], colours: MouthColours) -> Float32[np.ndarray, "h w"]:
    """What the colours of every pixel and its neighbours say."""
    return cv2.blur(colours.odds[colour_bins(image)], (3, 3))


def _log_odds(
    odds: Float32[np.ndarray, "h w"], outlines: Outlines, index: int, box: tuple[slice, slice]
) -> Float32[np.ndarray, "h w"]:
    """Log-odds of the inside of the mouth for the pixels of a box, from the colours' ``odds`` and the outline."""
    place = lip_distance(outlines, index, box) * np.float32(1.2 / (SLACK * outlines.face_height))
    # Far from the outline it is right whatever the colour: a red tongue, a dark chin.
    certain = np.clip((np.abs(place) - 0.7 * REACH) / (0.3 * REACH), 0.0, 1.0)
    return (place + (1.0 - certain) * odds).astype(np.float32)
