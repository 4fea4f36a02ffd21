"""What a mouth shows that its outline does not tell: teeth, tongue, pressed lips, the wrinkles of a shrug.

Shape-free appearance in the sense of active appearance models (Cootes, Edwards, Taylor 2001, sec. 2.2): grey values
are sampled at points that ride on the landmarks, so that the outline's motion is out of them; what landmark codes,
upper-face channels and head pose explain linearly is taken out, and the principal components of the rest are codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from scipy.spatial import Delaunay

from gaussavatar.landmarks.indices import LIPS_INNER, LIPS_OUTER
from gaussavatar.mesh.sampling import draw_triangles, even_barycentrics
from gaussavatar.mesh.surface import area_normals
from gaussavatar.tracking.face.motion import mouth_region
from gaussavatar.tracking.poses.rotations import log_rotation
from gaussavatar.tracking.poses.shape import principal_components
from gaussavatar.types import FaceMotion, Landmarks, Tracking

SAMPLES_INSIDE, SAMPLES_AROUND = 500, 500
"""Points between the lips, and on lips, chin and the cheeks beside them."""

AROUND_WEIGHT = 0.6
"""What a point outside of the lips counts against one between them."""

LIP_DENSITY = 3.0
"""Density of the points on lips, relative to chin and cheeks."""

LONGEST_EDGE = 0.03
"""Triangles over the landmarks with a longer edge (metres) bridge a gap of the face."""

BLUR_SHARE = 0.006
"""Standard deviation of the blur before sampling, as a share of the image's side: finer is noise."""


@dataclass(frozen=True)
class AppearanceConfig:
    """How many codes of the mouth's looks go beside those of its outline; 0 for none."""

    n_codes: int = 6


@dataclass(frozen=True)
class MouthPoints:
    """Points on the landmarks' triangles: three landmarks each, their weights, and what the point counts."""

    corners: Int[np.ndarray, "p 3"]
    weights: Float32[np.ndarray, "p 3"]
    counts: Float32[np.ndarray, "p"]


def mouth_points(shape: Float[np.ndarray, "478 3"], region: Float[np.ndarray, "478"]) -> MouthPoints:
    """Points inside the lips and on the mouth's ``region`` (0..1 per landmark); the same for the same shape."""
    random = np.random.default_rng(0)
    inside = np.array(LIPS_INNER)[Delaunay(shape[list(LIPS_INNER), :2]).simplices]
    near = np.flatnonzero(region > 0.5)
    around = near[Delaunay(shape[near, :2]).simplices]
    edges = shape[around] - np.roll(shape[around], 1, axis=1)
    bridging = np.linalg.norm(edges, axis=-1).max(axis=1) > LONGEST_EDGE
    around = around[~np.isin(around, LIPS_INNER).all(axis=1) & ~bridging]
    corners = [
        _draw(inside, shape, SAMPLES_INSIDE, random),
        _draw(around, shape, SAMPLES_AROUND, random),
    ]
    weights = even_barycentrics(*random.random((2, SAMPLES_INSIDE + SAMPLES_AROUND)))
    counts = np.repeat([1.0, AROUND_WEIGHT], [SAMPLES_INSIDE, SAMPLES_AROUND])
    return MouthPoints(np.concatenate(corners), weights.astype(np.float32), counts.astype(np.float32))


def _draw(triangles: np.ndarray, shape: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    area = np.linalg.norm(area_normals(shape[triangles]), axis=-1)
    chance = area * np.where(np.isin(triangles, LIPS_OUTER + LIPS_INNER).any(axis=1), LIP_DENSITY, 1.0)
    return triangles[draw_triangles(chance, count, random)]


def sample_appearance(
    images: Iterable[UInt8[np.ndarray, "s s 3"]], landmarks: Float[np.ndarray, "n 478 2"], points: MouthPoints
) -> Float32[np.ndarray, "n p"]:
    """Grey values in 0..1 at the points of every frame; landmarks in pixels of the images."""
    values = np.empty((len(landmarks), len(points.counts)), np.float32)
    for row, image in enumerate(images):
        places = np.einsum("pc,pck->pk", points.weights, landmarks[row][points.corners]).astype(np.float32) - 0.5
        # Only the mouth's own pixels are blurred; a frame without a face may have its points anywhere.
        sigma = BLUR_SHARE * len(image)
        low = np.clip(np.floor(places.min(axis=0) - 4 * sigma), 0, len(image) - 8).astype(int)
        high = np.clip(np.ceil(places.max(axis=0) + 4 * sigma), low + 8, len(image)).astype(int)
        grey = cv2.cvtColor(np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]]), cv2.COLOR_RGB2GRAY)
        grey = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), sigma)
        x, y = (places - low).astype(np.float32).T
        values[row] = cv2.remap(grey, x[:, None], y[:, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
    return values / 255


def appearance_codes(
    values: Float[np.ndarray, "n p"],
    counts: Float[np.ndarray, "p"],
    known: Float[np.ndarray, "n k"],
    used: Bool[np.ndarray, "n"],
    n_codes: int,
) -> Float32[np.ndarray, "n a"]:
    """Principal components, of unit standard deviation over the ``used`` frames, of what ``known`` does not explain.

    ``known`` (landmark codes, channels, pose) is taken out by linear regression with a small ridge.
    """
    features = np.concatenate([known, np.ones((len(known), 1))], axis=1).astype(np.float64)
    gram = features[used].T @ features[used] + 1e-3 * used.sum() * np.eye(features.shape[1])
    explained = np.linalg.solve(gram, features[used].T @ values[used])
    rest = ((values - features @ explained) * counts).astype(np.float32)
    rest -= rest[used].mean(axis=0)
    _, vectors = principal_components(rest[used], n_codes)
    codes = rest @ vectors.astype(np.float32)
    return (codes / np.maximum(codes[used].std(0), 1e-9)).astype(np.float32)


def mouth_appearance(
    frames: Iterable[UInt8[np.ndarray, "s s 3"]],
    landmarks: Landmarks,
    tracking: Tracking,
    motion: FaceMotion,
    config: AppearanceConfig,
) -> Float32[np.ndarray, "n a"]:
    """Appearance codes of every frame of a clip; ``frames`` have the landmarks' size, ``motion`` has the outline's."""
    used = tracking.valid.astype(bool)
    points = mouth_points(tracking.shape, mouth_region(tracking.shape))
    values = sample_appearance(frames, landmarks.points[..., :2], points)
    turn = log_rotation(tracking.R_camera_head)
    turn = (turn - turn[used].mean(0)) / np.maximum(turn[used].std(0), 1e-6)
    known = np.concatenate([motion.mouth_codes, motion.upper, turn], axis=1)
    return appearance_codes(values, points.counts, known, used, config.n_codes)
