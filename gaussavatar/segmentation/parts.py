"""Which part of the person every pixel shows: shares of the parts, then one label and its certainty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from gaussavatar.image.filling import disc, soft_step
from gaussavatar.segmentation.colours import along_head
from gaussavatar.segmentation.geometry import (
    OVAL,
    Outlines,
    draw_polygon,
    face_core,
    face_hull,
    forehead,
)

PART_NAMES = ("background", "face", "hair", "ears", "inner_mouth", "lips", "neck", "torso")
"""Meaning of the labels in ``parts.u8``. ``inner_mouth`` holds the teeth; ``face`` is skin, eyes and brows."""

BACKGROUND, FACE, HAIR, EARS, INNER_MOUTH, LIPS, NECK, TORSO = range(len(PART_NAMES))

BAND = 4.0
"""Pixels at 512 from a border at which a label becomes sure."""

COARSE = 64
"""Side at which the smooth maps of place are computed."""

SPLIT = ("hair", "ears", "neck", "torso")
"""Parts that share what is person but neither face nor mouth."""

Priors = Mapping[str, Float32[np.ndarray, "s s"]]
"""Where a part is to be expected, 0..1, by name."""


@dataclass(frozen=True)
class PartShares:
    """What each part has of a frame's mattes, 0..255, at a small side."""

    face: UInt8[np.ndarray, "s s"]
    """Of the head: facial skin up to the hairline, mouth and lips included."""
    split: UInt8[np.ndarray, "s s 4"]
    """Of the rest of the person, in the order of :data:`SPLIT`; the four sum to about 255."""
    place: tuple[float, float]
    """Where the head is, in pixels (x, y) of the small side."""


def part_shares(
    classes: UInt8[np.ndarray, "s s 3"],
    outlines: Outlines,
    index: int,
    head: UInt8[np.ndarray, "h w"],
    long_hair: bool,
    surface: Priors | None = None,
    parsed: Priors | None = None,
) -> PartShares:
    """Weigh colour, place and, where given, the tracked head's surface and a parser against each other.

    Args:
        classes: colour classes of the frame (skin, hair, clothing), 0..255, zero off the person.
        outlines: landmarks of the clip.
        index: the frame.
        head: the head's matte.
        long_hair: whether hair may lie beside the neck and on the shoulders.
        surface: where the rasterized head shows ``face``, ``ears`` and ``neck``.
        parsed: probabilities of some of :data:`PART_NAMES` from a better parser.
    """
    side = classes.shape[0]
    unit = outlines.face_height * side / outlines.size
    radius = max(1, round(0.012 * unit))
    blurred = cv2.split(cv2.blur(classes, (2 * radius + 1, 2 * radius + 1)))
    skin, hair, cloth = (each * np.float32(1 / 255) for each in blurred)
    place = _places(outlines, index, side)
    face = _face_share(skin, hair, outlines, index, place["upper"], None if long_hair else surface, unit)
    ears, neck, throat = place["ears"], place["neck"], place["throat"]
    if surface is not None:
        # The model's ears are near the person's, not on them: what lies about them may be ear as well.
        ears, neck = np.maximum(surface["ears"], 0.5 * ears), np.maximum(surface["neck"], neck)
    part_of_head = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    hanging = np.maximum(part_of_head, place["fallen"]) if long_hair else part_of_head
    evidence = {
        "hair": (hair + 0.12) * hanging * place["hair"],
        "ears": (skin + 0.07) * (1.15 - hair) * ears * part_of_head * 3.0,
        "neck": (skin + 0.06) * neck * 2.0,
        "torso": (cloth + 0.03 + place["cloth"]) * (1.0 - part_of_head) * (1.0 - throat) + 0.01,
    }
    if parsed is not None:
        face = _fuse_face(face, parsed)
        evidence = {name: value * (parsed.get(name, 0.95) + 0.05) for name, value in evidence.items()}
    # Shares fall off steeply from the strongest part, or every pixel would be a little of everything.
    squares = [cv2.blur(evidence[name].astype(np.float32), (3, 3)) ** 2 for name in SPLIT]
    share = 255.0 / (squares[0] + squares[1] + squares[2] + squares[3] + np.float32(1e-6))
    split = cv2.convertScaleAbs(cv2.merge([each * share for each in squares]))
    # The medians take specks away: shadows on a throat, the buttons of a shirt.
    split = cv2.medianBlur(cv2.medianBlur(split, 3), 3)
    x, y = outlines.points[index][list(OVAL)].mean(0) * (side / outlines.size)
    return PartShares(cv2.convertScaleAbs(face, alpha=255.0), split, (float(x), float(y)))


def blend_shares(before: PartShares, own: PartShares, after: PartShares) -> PartShares:
    """Shares of a frame averaged with its neighbours', 1/4, 1/2, 1/4, moved to where the head is."""

    def moved(other: PartShares) -> tuple[np.ndarray, np.ndarray]:
        x, y = own.place[0] - other.place[0], own.place[1] - other.place[1]
        if max(abs(x), abs(y)) < 0.2:
            return other.face, other.split
        shift, size = np.array([[1, 0, x], [0, 1, y]], np.float32), own.face.shape[::-1]
        return (
            cv2.warpAffine(other.face, shift, size, borderMode=cv2.BORDER_REPLICATE),
            cv2.warpAffine(other.split, shift, size, borderMode=cv2.BORDER_REPLICATE),
        )

    blended = [
        cv2.addWeighted(cv2.addWeighted(first, 0.5, last, 0.5, 0.0), 0.5, middle, 0.5, 0.0)
        for first, middle, last in zip(moved(before), (own.face, own.split), moved(after), strict=True)
    ]
    return PartShares(*blended, own.place)


def _face_share(
    skin: np.ndarray,
    hair: np.ndarray,
    outlines: Outlines,
    index: int,
    upper: np.ndarray,
    surface: Priors | None,
    unit: float,
) -> Float32[np.ndarray, "s s"]:
    """Facial skin, eyes, brows, mouth and beard: inside the outline, or the forehead above it, but for hair."""
    side = skin.shape[0]
    scale = side / outlines.size
    hull = draw_polygon(face_hull(outlines, index, 0.0) * scale, side)
    core = draw_polygon(face_core(outlines, index) * scale, side)
    above = draw_polygon(forehead(outlines, index) * scale, side)
    room = np.maximum(hull, above).astype(np.float32) / 255.0
    if surface is not None:
        # The landmarks' outline ends short of broad cheeks; where skin goes on and no ear begins, face goes on.
        wide = draw_polygon(face_hull(outlines, index, 0.045) * scale, side).astype(np.float32) / 255.0
        room = np.maximum(room, np.maximum(surface["face"], wide * (1.0 - surface["ears"])))
    hairy = soft_step(hair / (hair + skin + 0.08), 0.40, 0.66)
    # The arms of glasses and single strands are thin; hair that takes skin away forms areas.
    solid = cv2.morphologyEx((hairy > 0.5).astype(np.uint8), cv2.MORPH_OPEN, disc(max(1, round(0.02 * unit))))
    hairy = hairy * cv2.dilate(solid, disc(1))
    # Below the eyes dark areas inside the outline are beard, not hair; above it only skin counts.
    hairy = hairy * upper
    beyond = (1.0 - hull.astype(np.float32) / 255.0) * soft_step(skin / (hair + skin + 0.04), 0.62, 0.38)
    share = room * (1.0 - np.maximum(hairy, beyond))
    return np.maximum(share, core.astype(np.float32) / 255.0)


def _fuse_face(face: Float32[np.ndarray, "s s"], parsed: Priors) -> Float32[np.ndarray, "s s"]:
    """Let a parser move the face's border where it knows face from hair."""
    inside = sum((parsed[name] for name in ("face", "lips", "inner_mouth") if name in parsed), np.zeros_like(face))
    if "face" not in parsed:
        return face
    odds = (face + 0.1) * (inside + 0.05)
    against = (1.1 - face) * (1.05 - np.minimum(inside, 1.0))
    return soft_step(odds / (odds + against), 0.2, 0.8)


def _places(outlines: Outlines, index: int, side: int) -> dict[str, Float32[np.ndarray, "s s"]]:
    """Where the parts may be, 0..1, from the landmarks alone.

    The maps are smooth, so they are computed small and enlarged.
    """
    below, aside = along_head(outlines, index, COARSE)
    aside = np.abs(aside)
    half_width = 0.5 * outlines.face_width / outlines.face_height
    fallen = soft_step(aside - 0.8 * half_width - 0.3 * np.maximum(below, 0.0), -0.04, 0.04)
    small = {
        "upper": soft_step(below, -0.30, -0.42),
        "hair": np.maximum(soft_step(below, -0.05, -0.3), fallen),
        "fallen": fallen,
        "ears": soft_step(below, -0.82, -0.74) * soft_step(below, -0.14, -0.22) * soft_step(aside, 0.2, 0.3),
        "neck": soft_step(below, -0.34, -0.2) * soft_step(aside, 0.8, 0.65) * soft_step(below, 1.1, 0.8),
        # Unknown colours are clothing well below the chin only; before the throat even known ones must be plain.
        "cloth": 0.12 * soft_step(below, 0.1, 0.4),
        "throat": 0.6 * soft_step(aside - half_width, -0.1, -0.25) * soft_step(below, 0.35, 0.15),
    }
    return {
        name: cv2.resize(value.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
        for name, value in small.items()
    }


def label_parts(
    masks: UInt8[np.ndarray, "h w 4"], lips: UInt8[np.ndarray, "h w"], split: UInt8[np.ndarray, "s s 4"]
) -> UInt8[np.ndarray, "h w 2"]:
    """The strongest part of every pixel, and the certainty: 0 on a border, 255 sure.

    ``masks`` are the soft mattes (head, mouth, face, person) and decide where they differ;
    ``split`` tells hair, ears, neck and torso apart in what they leave.
    """
    size = masks.shape[0]
    head, mouth, face, person = cv2.split(masks)
    large = cv2.resize(split, (size, size), interpolation=cv2.INTER_LINEAR)
    label, margin = _strongest(large)
    is_person = cv2.compare(person, 127, cv2.CMP_GT)
    is_face = cv2.compare(cv2.add(face, face), cv2.max(head, 128), cv2.CMP_GE)
    is_mouth = cv2.compare(mouth, 127, cv2.CMP_GT)
    is_lips = cv2.bitwise_and(cv2.compare(lips, 127, cv2.CMP_GT), cv2.bitwise_or(is_face, is_mouth))
    for number, where in ((FACE, is_face), (LIPS, is_lips), (INNER_MOUTH, is_mouth)):
        label = cv2.bitwise_or(cv2.subtract(label, where), cv2.min(where, number))
        margin = cv2.bitwise_or(margin, where)
    label = cv2.bitwise_and(label, is_person)
    return cv2.merge([label, _certainty(label, margin, person)])


def _strongest(split: UInt8[np.ndarray, "h w 4"]) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    """Label of the largest share, and by how much it leads, 0..255."""
    shares = cv2.split(split)
    best = shares[0]
    label = np.full(best.shape, HAIR, np.uint8)
    for number, share in zip((EARS, NECK, TORSO), shares[1:], strict=True):
        ahead = cv2.compare(share, best, cv2.CMP_GT)
        label = cv2.bitwise_or(cv2.subtract(label, ahead), cv2.min(ahead, number))
        best = cv2.max(best, share)
    return label, cv2.convertScaleAbs(cv2.subtract(best, 127), alpha=2.0)


def _certainty(
    label: UInt8[np.ndarray, "h w"], margin: UInt8[np.ndarray, "h w"], person: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """How sure a label is: far from the next part, clear of half-transparent edges, and ahead of the second best."""
    border = cv2.threshold(cv2.morphologyEx(label, cv2.MORPH_GRADIENT, np.ones((3, 3))), 0, 255, cv2.THRESH_BINARY)[1]
    steps = max(1, round(BAND * label.shape[0] / 512))
    share = -(-255 // steps)
    near = cv2.min(border, share)
    for _ in range(steps - 1):
        # One pixel farther each time: far cheaper than a distance transform.
        border = cv2.dilate(border, np.ones((3, 3)))
        near = cv2.add(near, cv2.min(border, share))
    far = cv2.bitwise_not(near)
    solid = cv2.convertScaleAbs(cv2.absdiff(person, 127), alpha=2.0)
    lead = cv2.bitwise_or(margin, cv2.compare(label, BACKGROUND, cv2.CMP_EQ))
    return cv2.min(cv2.min(far, solid), lead)


def soft_part(
    name: str, masks: UInt8[np.ndarray, "h w 4"], parts: UInt8[np.ndarray, "h w 2"]
) -> UInt8[np.ndarray, "h w"]:
    """Soft mask of one part, 0..255; over all parts but ``person`` they sum to 255 at every pixel.

    The mattes in ``masks`` are kept: the background is what the person leaves, the inside of the
    mouth and the face with the lips are their channels, and what these leave of the head and of
    the body is shared by hair, ears, neck and torso as their labels lie nearby.

    Raises:
        ValueError: no such part.
    """
    if name not in (*PART_NAMES, "person"):
        raise ValueError(f"no part {name!r}: choose from {', '.join((*PART_NAMES, 'person'))}")
    head, mouth, face, person = cv2.split(masks)
    if name in ("person", "background", "inner_mouth"):
        return {"person": person, "background": cv2.bitwise_not(person), "inner_mouth": mouth}[name]
    label = np.ascontiguousarray(parts[..., 0])
    if name in ("face", "lips"):
        part = cv2.multiply(face, _lip_share(label), scale=1 / 255)
        return part if name == "lips" else cv2.subtract(face, part)
    rest = cv2.subtract(cv2.subtract(person, mouth), face).astype(np.float32)
    # Sums up to each part are rounded, not the parts, so that nothing is lost or gained between them.
    sums = np.round(rest * np.cumsum([np.zeros_like(rest), *_split_shares(label)], axis=0))
    which = SPLIT.index(name)
    return (sums[which + 1] - sums[which]).astype(np.uint8)


def _split_shares(label: UInt8[np.ndarray, "h w"]) -> list[Float32[np.ndarray, "h w"]]:
    """What each of :data:`SPLIT` gets at every pixel; the nearer its labels the more. They sum to 1."""
    near = []
    for name in SPLIT:
        own = (label == PART_NAMES.index(name)).astype(np.float32)
        near.append(cv2.GaussianBlur(own, (0, 0), 1.2) ** 2 + 1e-6 * cv2.blur(own, (41, 41)))
    near[0] = near[0] + np.float32(1e-9)
    total = near[0] + near[1] + near[2] + near[3]
    return [each / total for each in near]


def _lip_share(label: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """How much of the face is lips, 0..255, antialiased."""
    lips, face = (cv2.GaussianBlur((label == part).astype(np.float32), (0, 0), 0.7) for part in (LIPS, FACE))
    return cv2.convertScaleAbs(lips / np.maximum(lips + face, 1e-6), alpha=255.0)


def uncertain(
    name: str, masks: UInt8[np.ndarray, "h w 4"], parts: UInt8[np.ndarray, "h w 2"]
) -> Bool[np.ndarray, "h w"]:
    """The don't-care band of a part: about four pixels (at 512) along its border, more where it is hard to tell.

    Raises:
        ValueError: no such part.
    """
    if name not in (*PART_NAMES, "person"):
        raise ValueError(f"no part {name!r}: choose from {', '.join((*PART_NAMES, 'person'))}")
    reach = max(1, round(0.5 * BAND * masks.shape[0] / 512))
    if name in ("person", "background"):
        half = cv2.inRange(np.ascontiguousarray(masks[..., 3]), 20, 235)
        edge = cv2.morphologyEx(cv2.compare(masks[..., 3], 127, cv2.CMP_GT), cv2.MORPH_GRADIENT, np.ones((3, 3)))
        return cv2.bitwise_or(half, cv2.dilate(edge, disc(reach - 1))) > 0
    own = (parts[..., 0] == PART_NAMES.index(name)).astype(np.uint8)
    return (cv2.dilate(own, disc(reach)) > 0) & (parts[..., 1] < 128)
