"""One frame at a time, with what is known of the whole clip."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.segmentation.camera import CameraMotion, camera_motion
from gaussavatar.segmentation.colours import ColourModel, learn_colours
from gaussavatar.segmentation.geometry import Outlines, draw_polygon, head_outline
from gaussavatar.segmentation.masks import (
    LONG_HAIR_AREA,
    clothing_beside_jaw,
    drop_whiskers,
    face_mask,
    falling_hair,
    head_region,
    to_bytes,
)
from gaussavatar.segmentation.matting import COLOUR_SIDE, largest_person, refine_alpha
from gaussavatar.segmentation.mouth import MouthColours, learn_mouth, lips_mask, mouth_mask
from gaussavatar.segmentation.parts import PartShares, Priors, blend_shares, label_parts, part_shares
from gaussavatar.segmentation.plate import SAME_RESIDUAL, Plate, estimate_plate
from gaussavatar.segmentation.records import SegmentationConfig
from gaussavatar.segmentation.surface import certain_head, surface_priors
from gaussavatar.segmentation.torso import body_shift
from gaussavatar.storage import FrameStore

PART_SIDE = 128
"""Least side at which the parts are told apart; their borders are as soft as that."""


@dataclass(frozen=True)
class Scene:
    """What is known of the whole clip before its masks are made."""

    outlines: Outlines
    plate: Plate
    colour_plate: Plate
    """The plate at the size at which local colours are compared with it."""
    small_plate: Plate
    """The plate at :func:`small_side`."""
    colours: ColourModel
    mouth: MouthColours
    long_hair: bool
    motion: CameraMotion
    config: SegmentationConfig


def study_scene(frames: FrameStore, persons: FrameStore, outlines: Outlines, config: SegmentationConfig) -> Scene:
    """Background plate, colours and hair length from frames spread evenly over the clip."""
    count = min(config.plate_samples, len(frames))
    chosen = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    size = frames.shape[1]
    images = frames.read_batch(chosen.tolist())
    masks = np.stack([cv2.resize(persons.read(int(i))[..., 0], (size, size)) for i in chosen])
    plate = estimate_plate(images, masks, 0.06 * outlines.face_height)
    motion = camera_motion(frames, chosen.tolist(), masks, 0.06 * outlines.face_height * 512 / size)
    # Small errors of the followed background add up over minutes; a background that looks the same has not moved.
    if plate.static and not motion.still and plate.residual > SAME_RESIDUAL:
        plate = dataclasses.replace(plate, static=False, trust=np.zeros_like(plate.trust))
    few = slice(None, None, max(1, len(chosen) // 16))
    colours = learn_colours(images[few], masks[few], outlines, chosen[few])
    scene = Scene(
        outlines=outlines,
        plate=plate,
        colour_plate=plate.resized(min(COLOUR_SIDE, size)),
        small_plate=plate.resized(small_side(size)),
        colours=colours,
        mouth=learn_mouth(frames, outlines, config),
        long_hair=True,
        motion=motion,
        config=config,
    )
    areas = [
        _fallen_area(image, mask, scene, int(index))
        for image, mask, index in zip(images[few], masks[few], chosen[few], strict=True)
    ]
    return dataclasses.replace(scene, long_hair=float(np.median(areas)) > LONG_HAIR_AREA)


def _fallen_area(
    image: UInt8[np.ndarray, "h w 3"], person: UInt8[np.ndarray, "h w"], scene: Scene, index: int
) -> float:
    """Area in squared face heights of hair below the head region in one frame."""
    side = small_side(scene.outlines.size)
    classes = _person_classes(image, person, scene, side)
    region = cv2.resize(head_region(scene.outlines, index, scene.config), (side, side), interpolation=cv2.INTER_AREA)
    hair = falling_hair(classes, region, scene.outlines, index) * (region < 128)
    return float(hair.sum()) / (scene.outlines.face_height * side / scene.outlines.size) ** 2


def small_side(size: int) -> int:
    """Colour classes and completed parts are smooth: half size is enough for large frames."""
    return size // 2 if size >= 384 else size


def part_side(size: int) -> int:
    """Side at which the parts are told apart: a quarter of large frames."""
    side = small_side(size)
    return side // 2 if side >= 2 * PART_SIDE else side


def _person_classes(
    image: UInt8[np.ndarray, "h w 3"], person: UInt8[np.ndarray, "h w"], scene: Scene, side: int
) -> UInt8[np.ndarray, "s s 3"]:
    """Colour classes at ``side``, zero off the person."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(person, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.bitwise_and(scene.colours.classify(small), cv2.merge([cv2.compare(mask, 127, cv2.CMP_GT)] * 3))


@dataclass(frozen=True)
class Draft:
    """What one frame alone tells of its masks."""

    head: UInt8[np.ndarray, "h w"]
    mouth: UInt8[np.ndarray, "h w"]
    lips: UInt8[np.ndarray, "h w"]
    """Lips and what is between them."""
    person: UInt8[np.ndarray, "h w"]
    shares: PartShares


def draft_frame(
    image: UInt8[np.ndarray, "h w 3"],
    probability: Float32[np.ndarray, "p p"],
    scene: Scene,
    index: int,
    surface: UInt8[np.ndarray, "l l"] | None = None,
    parsed: Priors | None = None,
) -> Draft:
    """Mattes of one frame, and the shares of the parts in them.

    ``surface`` is the frame's label image of the tracked head, ``parsed`` a parser's probabilities by part
    at :func:`part_side`.
    """
    outlines, config = scene.outlines, scene.config
    size, side = outlines.size, small_side(outlines.size)
    centre = outlines.points[index].mean(0) / size
    probability = largest_person(probability, (float(centre[0]), float(centre[1])))
    if surface is not None:
        width = probability.shape[0]
        probability = np.maximum(probability, certain_head(surface, width, outlines.face_height * width / size))
    backdrop, bare = (scene.colour_plate, scene.plate) if scene.plate.static else (None, None)
    person = refine_alpha(image, probability, backdrop, 0.022 * outlines.face_height, bare)
    classes = _person_classes(image, person, scene, side)
    head = cv2.multiply(person, _head_share(classes, scene, index), scale=1 / 255)
    head = drop_whiskers(head, outlines, index)
    mouth = cv2.min(mouth_mask(image, outlines, index, scene.mouth, config), head)
    coarse = part_side(size)
    classes = cv2.resize(classes, (coarse, coarse), interpolation=cv2.INTER_AREA)
    priors = None if surface is None else surface_priors(surface, coarse, outlines.face_height * coarse / size)
    shares = part_shares(classes, outlines, index, head, scene.long_hair, priors, parsed)
    return Draft(head, mouth, lips_mask(outlines, index), person, shares)


def finish_frame(
    before: Draft, own: Draft, after: Draft
) -> tuple[UInt8[np.ndarray, "h w 4"], UInt8[np.ndarray, "h w 2"]]:
    """Masks of a frame, channels as in ``MASK_CHANNELS``, and its part labels with their certainty.

    The parts' shares are averaged with the neighbours' (1/4, 1/2, 1/4): where two parts are hard to
    tell apart the border would jump from frame to frame. Even motion moves no border that way.
    """
    shares = blend_shares(before.shares, own.shares, after.shares)
    face = face_mask(_enlarge(shares.face, own.head.shape[0]), own.head, own.mouth)
    masks = cv2.merge([own.head, own.mouth, face, own.person])
    return masks, label_parts(masks, own.lips, shares.split)


def _head_share(classes: UInt8[np.ndarray, "s s 3"], scene: Scene, index: int) -> UInt8[np.ndarray, "h w"]:
    """How much of the person, 0..255, is head: region above the jaw, less clothing, plus falling hair."""
    outlines, side = scene.outlines, classes.shape[0]
    region = head_region(outlines, index, scene.config)
    bare = _enlarge(to_bytes(1.0 - clothing_beside_jaw(classes, outlines, index)), outlines.size)
    share = cv2.multiply(region, bare, scale=1 / 255)
    if scene.long_hair:
        small = cv2.resize(region, (side, side), interpolation=cv2.INTER_AREA)
        share = cv2.max(share, _enlarge(to_bytes(falling_hair(classes, small, outlines, index)), outlines.size))
    return share


def _enlarge(values: UInt8[np.ndarray, "s s"], size: int) -> UInt8[np.ndarray, "h w"]:
    return cv2.resize(values, (size, size), interpolation=cv2.INTER_LINEAR)


@dataclass(frozen=True)
class BodyView:
    """What is needed of a frame to follow the body from it to the next, at :func:`small_side`."""

    grey: UInt8[np.ndarray, "s s"]
    body: UInt8[np.ndarray, "s s"]
    """Not 0 where the person is visible below the head."""


def body_view(
    image: UInt8[np.ndarray, "h w 3"], probability: Float32[np.ndarray, "p p"], scene: Scene, index: int
) -> BodyView:
    """One frame's part of :func:`body_motion`."""
    side = small_side(scene.outlines.size)
    outline = head_outline(scene.outlines, index, 0.05) * (side / scene.outlines.size)
    body = cv2.resize((probability > 0.8).astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
    body = cv2.subtract(body, draw_polygon(outline, side))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return BodyView(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), body)


def body_motion(before: BodyView, own: BodyView) -> tuple[float, float] | None:
    """The body's motion since the previous frame, from what is visible of it below the head."""
    _, first, _, height = cv2.boundingRect(own.body)
    # Only the rows of the body, with room for the windows in which corners are followed.
    rows = slice(max(0, first - 16), first + height + 16)
    return body_shift(before.grey[rows], own.grey[rows], own.body[rows])
