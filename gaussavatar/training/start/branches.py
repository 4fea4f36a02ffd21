"""Where the Gaussians start: on the person's landmark surface, on a skull behind the head mask, behind the lips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from scipy.spatial import Delaunay, cKDTree

from gaussavatar.easing import smoothstep
from gaussavatar.landmarks.indices import (
    LEFT_EYE,
    LEFT_IRIS,
    LIPS_INNER,
    LIPS_OUTER,
    RIGHT_EYE,
    RIGHT_IRIS,
)
from gaussavatar.mesh.sampling import draw_triangles, even_barycentrics
from gaussavatar.mesh.surface import area_normals
from gaussavatar.model.gaussians import MOTION_SCALE, InitialBranch, RawGaussians
from gaussavatar.types import FaceMotion, Tracking

EYES = RIGHT_EYE + LEFT_EYE
IRISES = RIGHT_IRIS + LEFT_IRIS

DETAIL = 3.0
"""Density of Gaussians on lips and eyes, relative to the cheeks."""

FADE = 0.02
"""Distance from the landmarks, in metres, at which their motion has faded to nothing."""

EAR_MARGIN = 0.024
"""Share of the image's side by which a known depth is carried beyond its edges."""

SKULL_DEPTH = 0.095
"""Half the depth of the ellipsoid that hair and ears start on, metres."""


@dataclass(frozen=True)
class ReferenceView:
    """A real frame that lends its colours and its silhouette."""

    image: UInt8[np.ndarray, "s s 3"]
    head: UInt8[np.ndarray, "s s"]
    R_camera_head: Float[np.ndarray, "3 3"]
    t_camera_head: Float[np.ndarray, "3"]
    K: Float[np.ndarray, "3 3"]
    depth: Float[np.ndarray, "s s"] | None = None
    """Camera depth in metres where it is known (of the ears, say), 0 elsewhere."""


def project(points: Float[np.ndarray, "n 3"], view: ReferenceView) -> Float[np.ndarray, "n 2"]:
    """Pixels of head-space points in a view."""
    camera = points @ view.R_camera_head.T + view.t_camera_head
    pixels = camera @ view.K.T
    return pixels[:, :2] / pixels[:, 2:3]


def sample_image(image: UInt8[np.ndarray, "s s c"], pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n c"]:
    """Nearest pixel colours in 0..1."""
    size = image.shape[0]
    column, row = np.clip(np.floor(pixels), 0, size - 1).astype(int).T
    return image[row, column].astype(np.float32) / 255


def landmark_triangles(shape: Float[np.ndarray, "478 3"]) -> Int[np.ndarray, "t 3"]:
    """Triangles over the landmarks, from their frontal projection; the mouth stays open."""
    triangles = Delaunay(shape[:, :2]).simplices
    inside = np.isin(triangles, LIPS_INNER).all(axis=1)
    corners = shape[triangles]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(axis=1)
    return triangles[~inside & (longest < 0.05)]


def sample_surface(
    shape: Float[np.ndarray, "478 3"], count: int, random: np.random.Generator
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
    """Points on the landmark surface and their spacing in metres; lips and eyes are denser."""
    triangles = landmark_triangles(shape)
    corners = shape[triangles]
    area = 0.5 * np.linalg.norm(area_normals(corners), axis=-1)
    fine = np.isin(triangles, LIPS_OUTER + LIPS_INNER + EYES + IRISES).any(axis=1)
    weight = area * np.where(fine, DETAIL, 1.0)
    chosen = draw_triangles(weight, count, random)
    _, u, v = even_barycentrics(*random.random((2, count))).T[..., None]
    a, b, c = corners[chosen].swapaxes(0, 1)
    points = a + u * (b - a) + v * (c - a)
    spacing = np.sqrt(weight.sum() / count / np.where(fine, DETAIL, 1.0))
    return points, spacing[chosen]


def skull_points(
    shape: Float[np.ndarray, "478 3"], views: list[ReferenceView], count: int, random: np.random.Generator
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
    """Points under the head masks that the landmark surface does not cover, on an ellipsoid skull.

    Returns points, spacing (metres) and colours. Pixels whose ray misses the ellipsoid
    take the ray's closest point to its centre (ears, hair that stands off).
    """
    front = views[0]
    centre, axes = _skull(shape, front)
    shares = [0.6] + [0.4 / max(1, len(views) - 1)] * (len(views) - 1) if len(views) > 1 else [1.0]
    points, spacings, colors = [], [], []
    for view, share in zip(views, shares, strict=True):
        number = round(count * share)
        pixels = _uncovered_pixels(shape, view)
        if len(pixels) == 0 or number == 0:
            continue
        chosen = pixels[random.choice(len(pixels), number)] + random.random((number, 2))
        origin = -view.R_camera_head.T @ view.t_camera_head
        rays = np.column_stack([chosen, np.ones(number)]) @ np.linalg.inv(view.K).T @ view.R_camera_head
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        o, d = (origin - centre) / axes, rays / axes
        a, b, c = (d * d).sum(1), (o * d).sum(1), (o * o).sum() - 1
        root = np.sqrt(np.maximum(b * b - a * c, 0))
        distance = (-b - root) / a
        if view.depth is not None:
            known = _grown(view.depth)[tuple(np.floor(chosen).astype(int).T[::-1])]
            distance = np.where(known > 0, known / (rays @ view.R_camera_head[2]), distance)
        points.append(origin + distance[:, None] * rays)
        pixel = np.median(distance) / view.K[0, 0]
        spacings.append(np.full(number, pixel * np.sqrt(len(pixels) / number)))
        colors.append(sample_image(view.image, chosen))
    if not points:
        return np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3))
    return np.concatenate(points), np.concatenate(spacings), np.concatenate(colors)


def _grown(depth: Float[np.ndarray, "s s"]) -> Float[np.ndarray, "s s"]:
    """The depth carried :data:`EAR_MARGIN` of the image beyond its edges: a real ear may be larger than the head's."""
    import cv2

    grown, kernel = depth.astype(np.float32), np.ones((3, 3), np.uint8)
    for _ in range(max(1, round(EAR_MARGIN * len(depth)))):
        grown = np.where(grown > 0, grown, cv2.dilate(grown, kernel))
    return grown


def _skull(shape: np.ndarray, view: ReferenceView) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half axes of an ellipsoid whose silhouette is the head mask's box in ``view``."""
    rows, columns = np.nonzero(view.head > 127)
    temples = shape[[234, 454]].mean(axis=0)
    depth = (view.R_camera_head @ temples + view.t_camera_head)[2]
    metres = depth / view.K[0, 0]
    left, right = np.quantile(columns, [0.005, 0.995])
    top, bottom = np.quantile(rows, [0.002, 0.998])
    middle = project(temples[None], view)[0]
    centre = temples + metres * np.array([(left + right) / 2 - middle[0], (top + bottom) / 2 - middle[1], 0])
    axes = np.array([(right - left) / 2 * metres, (bottom - top) / 2 * metres, SKULL_DEPTH])
    return centre, axes


def _uncovered_pixels(shape: np.ndarray, view: ReferenceView) -> np.ndarray:
    """(x, y) corners of head-mask pixels outside the projected face."""
    import cv2

    outline = cv2.convexHull(project(shape[:468], view).astype(np.float32)).astype(np.int32)
    covered = np.zeros(view.head.shape, np.uint8)
    cv2.fillConvexPoly(covered, outline, (1,))
    rows, columns = np.nonzero((view.head > 127) & (covered == 0))
    return np.column_stack([columns, rows]).astype(np.float64)


def spread_motion(
    points: Float[np.ndarray, "n 3"], shape: Float[np.ndarray, "478 3"], basis: Float[np.ndarray, "c 478 3"]
) -> Float[np.ndarray, "c n 3"]:
    """Landmark displacements carried to nearby points: six nearest, inverse squared distance, fading at 2 cm."""
    distance, index = cKDTree(shape).query(points, k=6)
    weight = 1 / (distance**2 + 1e-6)
    weight /= weight.sum(axis=1, keepdims=True)
    fade = smoothstep(np.clip(1 - distance[:, 0] / FADE, 0, 1))
    return np.einsum("nk,cnkd->cnd", weight, basis[:, index]) * fade[None, :, None]


def initial_face(
    tracking: Tracking, motion: FaceMotion, views: list[ReferenceView], count: int, hair_fraction: float, seed: int
) -> InitialBranch:
    """The face branch: landmark surface (moving) and skull shell (fixed, except close to the face)."""
    random = np.random.default_rng(seed)
    n_hair = round(count * hair_fraction)
    surface, spacing = sample_surface(tracking.shape, count - n_hair, random)
    color = sample_image(views[0].image, project(surface, views[0]))
    shell, shell_spacing, shell_color = skull_points(tracking.shape, views, n_hair, random)
    basis = np.concatenate([motion.mouth_basis, motion.upper_basis])
    near = cKDTree(tracking.shape).query(shell)[0] < FADE * 0.7 if len(shell) else np.zeros(0, bool)
    points = np.concatenate([surface, shell[near], shell[~near]])
    spacing = np.concatenate([spacing, shell_spacing[near], shell_spacing[~near]])
    colors = np.concatenate([color, shell_color[near], shell_color[~near]])
    n_moving = len(surface) + int(near.sum())
    position = spread_motion(points[:n_moving], tracking.shape, basis) / MOTION_SCALE["position"]
    return InitialBranch(_raw(points, spacing, colors, 0.6), n_moving, torch.tensor(position, dtype=torch.float32))


def initial_mouth(tracking: Tracking, motion: FaceMotion, count: int, seed: int) -> InitialBranch:
    """The mouth branch: a slab behind the lips; its lower half follows the lower lip."""
    random = np.random.default_rng(seed + 1)
    inner = tracking.shape[list(LIPS_INNER)]
    low, high = inner.min(axis=0), inner.max(axis=0)
    low, high = low + [0.002, -0.004, 0.003], high + [-0.002, 0.010, 0.010]
    points = low + random.random((count, 3)) * (high - low)
    lower = points[:, 1] > tracking.shape[13, 1] + 0.003
    position = np.zeros((motion.mouth_basis.shape[0], count, 3))
    position[:, lower] = motion.mouth_basis[:, 14][:, None]
    spacing = np.full(count, float(np.prod(high - low) / max(count, 1)) ** (1 / 3))
    colors = np.array([0.35, 0.2, 0.18]) + random.normal(0, 0.03, (count, 3))
    scaled = torch.tensor(position / MOTION_SCALE["position"], dtype=torch.float32)
    return InitialBranch(_raw(points, spacing, colors, 0.5), count, scaled)


def _raw(points: np.ndarray, spacing: np.ndarray, colors: np.ndarray, opacity: float) -> RawGaussians:
    count = len(points)
    scales = np.repeat(np.maximum(spacing, 2e-4)[:, None], 3, axis=1) * 0.75
    quats = np.tile([1.0, 0, 0, 0], (count, 1))
    logit = np.full(count, np.log(opacity / (1 - opacity)))
    return RawGaussians(
        *(torch.tensor(array, dtype=torch.float32) for array in (points, quats, np.log(scales), logit, colors))
    )
