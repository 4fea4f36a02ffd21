"""The four soft masks of one frame."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.image.filling import disc, soft_step
from gaussavatar.segmentation.colours import along_head
from gaussavatar.segmentation.geometry import (
    Outlines,
    draw_polygon,
    face_hull,
    head_outline,
)
from gaussavatar.segmentation.records import SegmentationConfig

LONG_HAIR_AREA = 0.03
"""Area in squared face heights of hair below the ears from which a clip counts as long-haired."""


def head_region(outlines: Outlines, index: int, config: SegmentationConfig) -> UInt8[np.ndarray, "h w"]:
    """Soft region, 0..255, above the jaw line and above the line that runs back from its ends."""
    sigma = config.jaw_feather * outlines.face_height
    # So soft an edge is as good at half the size.
    side = outlines.size // 2 if sigma >= 1.5 and outlines.size % 2 == 0 else outlines.size
    scale = side / outlines.size
    polygon = draw_polygon(head_outline(outlines, index, config.jaw_margin) * scale, side)
    polygon = cv2.max(polygon, draw_polygon(face_hull(outlines, index, config.jaw_margin) * scale, side))
    region = cv2.GaussianBlur(polygon, (0, 0), max(0.5, scale * sigma))
    return cv2.resize(region, (outlines.size, outlines.size), interpolation=cv2.INTER_LINEAR)


def clothing_beside_jaw(
    classes: UInt8[np.ndarray, "s s 3"], outlines: Outlines, index: int
) -> Float32[np.ndarray, "s s"]:
    """Where collar or shoulder shows inside the head region, outside the face and below the eyes."""
    side = classes.shape[0]
    below, _ = along_head(outlines, index, side)
    face = draw_polygon(face_hull(outlines, index, -0.025) * (side / outlines.size), side)
    # The classes are zero off the person, so at its edge the share among what is there counts.
    skin, hair, cloth = (each.astype(np.float32) for each in cv2.split(classes))
    cloth = soft_step(cloth / np.maximum(skin + hair + cloth, 1.0), 0.3, 0.7)
    # The mixed colours along the face's edge can look like cloth; they form lines, cloth forms areas.
    solid = cv2.morphologyEx((cloth > 0.5).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    cloth = cloth * cv2.dilate(solid, disc(1))
    return cloth * (1.0 - face.astype(np.float32) / 255.0) * (below > -0.6)


def drop_whiskers(head: UInt8[np.ndarray, "h w"], outlines: Outlines, index: int) -> UInt8[np.ndarray, "h w"]:
    """Remove strands thinner than an ear that stick out beside the jaw: mixed pixels of a shoulder's edge."""
    corners = outlines.points[index][[132, 172, 361, 397]]
    reach = 0.22 * outlines.face_height
    radius = max(1, round(0.02 * outlines.face_height))
    result = head
    for pair in (corners[:2], corners[2:]):
        low = np.clip(pair.mean(0) - reach, 0, outlines.size).astype(int)
        high = np.clip(pair.mean(0) + reach, 0, outlines.size).astype(int)
        box = (slice(low[1], high[1]), slice(low[0], high[0]))
        if head[box].size == 0:
            continue
        solid = cv2.morphologyEx((head[box] > 100).astype(np.uint8), cv2.MORPH_OPEN, disc(radius))
        kept = cv2.dilate(solid * 255, disc(max(1, radius // 2)))
        result = result.copy() if result is head else result
        result[box] = cv2.min(head[box], cv2.blur(kept, (3, 3)))
    return result


def falling_hair(
    classes: UInt8[np.ndarray, "s s 3"], region: UInt8[np.ndarray, "s s"], outlines: Outlines, index: int
) -> Float32[np.ndarray, "s s"]:
    """Hair beside and below the jaw that hangs together with the hair above the ears.

    Fades out between chin level and 0.3 face heights below, or before the picture ends: what lies
    on the shoulders does not follow the head, and it is the source of what goes on below.
    Under the chin itself, where a shadowed neck looks like dark hair, nothing counts.
    """
    side = classes.shape[0]
    below, aside = along_head(outlines, index, side)
    hair = cv2.blur(classes[..., 1], (5, 5)).astype(np.float32)
    gate = np.interp(below.ravel(), [-0.35, 0.0], [0.0, 0.30]).reshape(below.shape).astype(np.float32)
    end = min(0.32, float(below.max()) - 0.06)
    likely = soft_step(hair, 90.0, 170.0) * soft_step(np.abs(aside) - gate, 0.0, 0.05)
    likely = likely * soft_step(below, end, end - 0.25)
    unit = outlines.face_height * side / outlines.size
    thin = cv2.morphologyEx((likely > 0.5).astype(np.uint8), cv2.MORPH_OPEN, disc(max(1, round(0.015 * unit))))
    count, labels = cv2.connectedComponents(thin, connectivity=4, ltype=cv2.CV_16U)
    rooted = np.bincount(labels[(region > 127) & (below < -0.4)], minlength=count) > 0.01 * unit * unit
    rooted[0] = False
    labels = np.asarray(labels, np.uint16)
    kept = cv2.dilate(rooted[labels].astype(np.uint8), disc(max(1, round(0.02 * unit))))
    return likely * kept


def face_mask(
    share: UInt8[np.ndarray, "h w"], head: UInt8[np.ndarray, "h w"], mouth: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """The face's ``share`` of the head, without the inside of the mouth."""
    return cv2.min(cv2.multiply(share, head, scale=1 / 255), cv2.bitwise_not(mouth))


def to_bytes(alpha: Float32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """0..1 to 0..255, rounded."""
    return cv2.convertScaleAbs(alpha, alpha=255.0)
