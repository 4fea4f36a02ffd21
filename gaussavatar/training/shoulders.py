"""Neck and shoulders of an avatar whose torso is not trained: laid on the tracked ones as one frame shows them.

Only the filming camera has a filmed torso. What other views show below the head are Gaussians that tile one completed
torso frame at the depth of the tracked neck and shoulders, and more where no frame sees these: at their back, within
the head, under the jaw, beside and below the picture. A torso is drawn under the head, so it never hides the face.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from scipy.spatial import cKDTree

from gaussavatar.image.cutout import cut_out, torso_matte
from gaussavatar.image.filling import disc, fill_holes, grow, shrink
from gaussavatar.mesh.sampling import draw_triangles
from gaussavatar.mesh.surface import area_normals
from gaussavatar.model.torso import Torso, blank_torso, slow_motion
from gaussavatar.motion.rotations import rotation_quaternions
from gaussavatar.tracking.head.track import HeadTrack, camera_vertices, skull_joint
from gaussavatar.training.data import Clip, cameras_of
from gaussavatar.training.start.flat import THICK, across, flat_shapes
from gaussavatar.training.torso_branch import carried_below, mean_pose, shoulder_depth

FRONT, BACK = 3600, 1200
"""Gaussians that tile the frame, about, and those where it shows nothing, at most."""

TILE, OVERLAP = 0.6, 0.8
"""Standard deviation of a Gaussian in distances to the next ones: on the frame's grid, and where they lie at random."""

STEEPEST = 3.0
"""Metres of depth per metre across the picture up to which Gaussians are drawn out along a slope."""

SOLID, FAINTEST = 0.75, 0.1
"""Share of torso in a pixel from which on its colour is the torso's own, and from which on there is a Gaussian."""

SPECK, RIM = 0.012, 0.025
"""Image widths: half the width of what is taken off the matte as a speck or spike; and between the person's outline
and the Gaussians that the frame does not show, which are blurred and would stick out."""

OPACITY = 0.95

DRAWN = 10
"""Points tried on neck and shoulders for each Gaussian on them."""

BEYOND = 1.0
"""Image widths from the picture's middle up to which neck and shoulders are continued outside it."""

NEIGHBOURS = 12
"""Of the frame's Gaussians, whose median colour one gets that the frame does not show."""

FLAT = np.array([1.0, 1.0, 0.3])
"""Factors on a distance to those: a collar is as high at the back as in front of it in the picture."""


@dataclass(frozen=True)
class _Surfels:
    """Flat Gaussians in camera space."""

    means: Float64[np.ndarray, "n 3"]
    axes: Float64[np.ndarray, "n 3 3"]
    """Rotations, whose columns are the Gaussians' axes."""
    scales: Float64[np.ndarray, "n 3"]
    opacities: Float64[np.ndarray, "n"]
    colors: Float64[np.ndarray, "n 3"]


def lay_shoulders(clip: Clip, head: HeadTrack, plate: UInt8[np.ndarray, "s s 3"] | None, seed: int) -> Torso | None:
    """Neck and shoulders as the frame shows them that is nearest to the mean pose; None where it shows none.

    Args:
        clip: the prepared clip, with the poses that training ended with.
        head: the tracked head, which says where neck and shoulders are.
        plate: background of a camera that stood still, else None.
        seed: of where Gaussians lie that the frame does not show.
    """
    base = mean_pose(clip)
    motion = slow_motion(clip.tracking.R_camera_head, clip.tracking.t_camera_head, base)
    usable = np.flatnonzero(clip.usable[: clip.n_train])
    index = int(usable[np.square(motion[usable, 6:]).sum(axis=1).argmin()])
    frame, under, masks = (store.read(index) for store in (clip.frames, clip.under, clip.masks))
    cut = cut_out(under, torso_matte(frame, under, masks, plate), plate)
    kernel = disc(max(1, round(SPECK * clip.size)))
    solid = cv2.morphologyEx((cut.alpha > SOLID).astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
    own = (cut.rgb / np.maximum(cut.alpha, SOLID)[..., None]).clip(0, 1)
    rgb = fill_holes(own.astype(np.float32), shrink(solid, 1).astype(np.float32))
    alpha = np.where(grow(solid, 2), cut.alpha, 0).astype(np.float32)
    K = cameras_of(clip.tracking, np.array([index]), clip.size).K[0].numpy()
    front = _shown(rgb, alpha, shoulder_depth(clip, head, index, K, clip.size), K.astype(float))
    if len(front.means) < NEIGHBOURS:
        return None
    surface = _surface(head, camera_vertices(head, clip.tracking, np.array([index]))[0])
    back = _unshown(surface, solid, masks[..., 0] > 127, K.astype(float), front, np.random.default_rng(seed))
    both = _Surfels(*(np.concatenate(pair) for pair in zip(vars(front).values(), vars(back).values(), strict=True)))
    torso = blank_torso(len(both.means), base)
    _fill(torso, both, torso.poses(torch.from_numpy(motion[index])[None])[0].detach().numpy())
    return torso.requires_grad_(False)


def _shown(
    rgb: Float32[np.ndarray, "s s 3"],
    alpha: Float32[np.ndarray, "s s"],
    depth: Float[np.ndarray, "s s"],
    K: Float64[np.ndarray, "3 3"],
) -> _Surfels:
    """Gaussians that tile the torso of a picture: an even grid, drawn out in depth where the surface slopes."""
    size = len(alpha)
    step = max(1.0, float(np.sqrt(alpha.sum() / FRONT)))
    alpha = cv2.GaussianBlur(alpha, (0, 0), step / 2, borderType=cv2.BORDER_REPLICATE)
    y, x = np.meshgrid(np.arange(step / 2, size, step), np.arange(step / 4, size - step / 2, step), indexing="ij")
    x = x + step / 2 * (np.arange(len(x)) % 2)[:, None]
    on = alpha[y.astype(int), x.astype(int)] > FAINTEST
    x, y = x[on], y[on]
    row, column = y.astype(int), x.astype(int)
    z = depth[row, column].astype(float)
    f = K[[0, 1], [0, 1]]
    ray = np.column_stack([(x - K[0, 2]) / f[0], (y - K[1, 2]) / f[1], np.ones(len(x))])
    # The surface point's derivative by the pixel: it moves with the ray, and along it with the depth.
    slopes = [slope[row, column].clip(-STEEPEST * z / f[0], STEEPEST * z / f[0]) for slope in np.gradient(depth)[::-1]]
    moved = [ray * slopes[axis][:, None] + (z / f[axis])[:, None] * np.eye(3)[axis] for axis in (0, 1)]
    axes, scales = flat_shapes(np.stack(moved, axis=-1) * (TILE * step), np.full(len(x), THICK))
    opacities, colors = OPACITY * alpha[row, column].astype(float), rgb[row, column].astype(float)
    return _Surfels(ray * z[:, None], axes, scales, opacities, colors)


def _surface(head: HeadTrack, vertices: Float32[np.ndarray, "v 3"]) -> Float64[np.ndarray, "t 3 3"]:
    """Corners of the triangles of neck and shoulders."""
    model = head.head
    below = carried_below(model.skin_weights.argmax(axis=1), model.joint_parents, skull_joint(model))
    return vertices[model.triangles[below[model.triangles].any(axis=1)]].astype(float)


def _unshown(
    surface: Float64[np.ndarray, "t 3 3"],
    solid: Bool[np.ndarray, "s s"],
    head: Bool[np.ndarray, "s s"],
    K: Float64[np.ndarray, "3 3"],
    front: _Surfels,
    random: np.random.Generator,
) -> _Surfels:
    """Gaussians evenly on neck and shoulders where the picture does not show them, but within the person.

    They are turned away, or inside the head, or outside the picture, where shoulders are no higher than at its sides.
    """
    normal = area_normals(surface)
    double = np.linalg.norm(normal, axis=1)
    tried = DRAWN * BACK
    chosen = draw_triangles(double, tried, random)
    points = np.einsum("nk,nkd->nd", random.dirichlet((1.0, 1.0, 1.0), tried), surface[chosen])
    normal = normal[chosen] / double[chosen, None]
    size, projected = len(solid), points @ K.T
    pixel = projected[:, :2] / projected[:, 2:]
    near = (np.abs(pixel - size / 2) < BEYOND * size).all(axis=1)
    within = np.floor(pixel).clip(0, size - 1).astype(int)
    column, row = within.T
    inside = (np.floor(pixel) == within).all(axis=1)
    shown = inside & solid[row, column] & ((normal * points).sum(axis=1) < 0)
    person = shrink(solid | head, max(1, round(RIM * size)))
    kept = np.flatnonzero(person[row, column] & near & ~shown)
    spacing = float(np.sqrt(double.sum() / 2 * len(kept) / tried / min(BACK, max(1, len(kept)))))
    kept = kept[:BACK]
    points, normal = points[kept], normal[kept]
    axes, scales = flat_shapes(across(normal) * (OVERLAP * spacing), np.full(len(points), THICK))
    _, nearest = cKDTree(front.means * FLAT).query(points * FLAT, k=NEIGHBOURS)
    opacities = np.full(len(points), OPACITY)
    return _Surfels(points, axes, scales, opacities, np.median(front.colors[nearest], axis=1))


def _fill(torso: Torso, surfels: _Surfels, T_camera_torso: Float32[np.ndarray, "4 4"]) -> None:
    """Make camera-space surfels the torso's own."""
    R, t = T_camera_torso[:3, :3].astype(float), T_camera_torso[:3, 3]
    own = torso.gaussians
    with torch.no_grad():
        own.means.copy_(torch.from_numpy((surfels.means - t) @ R))
        own.quats.copy_(rotation_quaternions(torch.from_numpy(R.T @ surfels.axes)))
        own.log_scales.copy_(torch.from_numpy(np.log(surfels.scales)))
        own.logit_opacities.copy_(torch.from_numpy(np.log(surfels.opacities / (1 - surfels.opacities))))
        own.colors.copy_(torch.from_numpy(surfels.colors))
