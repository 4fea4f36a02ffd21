"""The tracked head as every pixel sees it: where face, ears and neck are to be expected."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Int32, UInt8

from gaussavatar.head.model import HeadModel, select_vertices
from gaussavatar.image.filling import disc
from gaussavatar.mesh.zbuffer import rasterize_mesh
from gaussavatar.tracking.head.track import HeadTrack, camera_vertices
from gaussavatar.types import Tracking

SIDE = 128
"""Side of the rasterized label images."""

BLOCK = 16
"""Frames whose vertices are posed together."""

NOTHING, FACE, EARS, NECK, TORSO, SCALP = range(6)
"""Values of the label images."""

EAR_SLACK = 0.025
"""Of the face's height: how far the person's ears may lie beside the head model's."""


INSET = 0.05
"""Of the face's height: as far inside the model's outline a pixel is certainly the person's."""


@dataclass(frozen=True)
class HeadSurface:
    """A tracked head cut down to its outside, ready to be rasterized."""

    track: HeadTrack
    tracking: Tracking
    labels: UInt8[np.ndarray, "t"]
    """Label of every triangle."""
    K: Float32[np.ndarray, "3 3"]
    """Camera of the label images."""

    def label_images(self, n_frames: int) -> Iterator[UInt8[np.ndarray, "l l"]]:
        """What each pixel of the frames 0, 1, ... sees of the head, posed a block at a time."""
        for start in range(0, n_frames, BLOCK):
            frames = np.arange(start, min(start + BLOCK, n_frames))
            vertices = camera_vertices(self.track, self.tracking, frames)
            for each in vertices:
                raster = rasterize_mesh(each, self.track.head.triangles, self.K, SIDE, SIDE, cull=True)
                yield self.labels[raster.triangle_index]


def head_surface(track: HeadTrack, tracking: Tracking) -> HeadSurface:
    """Prepare a tracked head: its outer surface only, with a label per triangle."""
    outside = np.flatnonzero(track.head.region("face", "lips", "ear", "scalp", "neck", "torso"))
    head = _at_rest(select_vertices(dataclasses.replace(track.head, embedding=None), outside))
    scale = np.diag([SIDE / tracking.size, SIDE / tracking.size, 1.0]).astype(np.float32)
    # A pixel that sees nothing reads index -1, the last entry.
    labels = np.append(_triangle_labels(head), np.uint8(NOTHING))
    still = dataclasses.replace(track, head=head, expression=track.expression[:, :0])
    return HeadSurface(still, tracking, labels, scale @ tracking.K)


def _at_rest(head: HeadModel) -> HeadModel:
    """The head without expressions: ears, neck and outline hardly follow them, and they cost most of the posing."""
    return dataclasses.replace(
        head,
        expression=head.expression[:0],
        expression_names=(),
        joint_expression=None if head.joint_expression is None else head.joint_expression[:0],
        pose_correctives=None,
    )


def _triangle_labels(head: HeadModel) -> UInt8[np.ndarray, "t"]:
    """Label of every triangle by the majority of its corners."""
    vertex = np.full(len(head.template), SCALP, np.uint8)
    vertex[head.region("face", "lips")] = FACE
    vertex[head.region("ear")] = EARS
    vertex[throat(head)] = NECK
    vertex[head.region("torso")] = TORSO
    corners: Int32[np.ndarray, "t 3"] = head.triangles
    a, b, c = vertex[corners].T
    return np.where(b == c, b, a).astype(np.uint8)


def throat(head: HeadModel) -> np.ndarray:
    """Neck vertices, and those of the scalp that lie lower than the ears: throat and nape."""
    marks = head.region("ear") if head.region("ear").any() else head.region("lips")
    low = head.template[:, 1] > head.template[marks, 1].max()
    return head.region("neck") | (head.region("scalp") & low)


def surface_priors(labels: UInt8[np.ndarray, "l l"], side: int, unit: float) -> dict[str, Float32[np.ndarray, "s s"]]:
    """Soft expectations of ``face``, ``ears`` and ``neck`` at ``side``; ``unit`` is the face height in its pixels."""
    small = unit * labels.shape[0] / side
    # Ears stick out of the fitted head by some millimetres; the face's edge is left to the landmarks.
    grow = {FACE: 0, EARS: max(1, round(EAR_SLACK * small)), NECK: 1}
    priors = {}
    for name, number in (("face", FACE), ("ears", EARS), ("neck", NECK)):
        mask = cv2.compare(labels, number, cv2.CMP_EQ)
        if grow[number]:
            mask = cv2.dilate(mask, disc(grow[number]))
        large = cv2.resize(cv2.blur(mask, (3, 3)), (side, side), interpolation=cv2.INTER_LINEAR)
        priors[name] = large.astype(np.float32) / 255.0
    return priors


def certain_head(labels: UInt8[np.ndarray, "l l"], side: int, unit: float) -> Float32[np.ndarray, "s s"]:
    """1 well inside the head's outline, where no background can be; ``unit`` is the face height at ``side``."""
    head = cv2.inRange(labels, FACE, EARS) | cv2.compare(labels, SCALP, cv2.CMP_EQ)
    inner = cv2.erode(head, disc(max(1, round(INSET * unit * labels.shape[0] / side))), borderValue=255)
    return cv2.resize(inner, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255.0
