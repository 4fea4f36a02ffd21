"""Gaussians that are bound to FLAME's triangles, as GaussianAvatars writes them, put where the posed head has them.

Each Gaussian lives in the space of a triangle (Qian et al., "GaussianAvatars", 2024, section 3.2): its origin is the
mean of the corners; its axes are one edge, the normal and what is across both; its unit is the mean of that edge's
length and of the triangle's height over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from gaussavatar.errors import UserError
from gaussavatar.head.formats.flame import AXES
from gaussavatar.head.installed import BUILT_IN, default_head_name, get_head
from gaussavatar.head.model import HeadModel, pose_vertices
from gaussavatar.head.safe.archive import open_archive, read_npz
from gaussavatar.media.gaussians import RawCloud, read_gaussians
from gaussavatar.types import Activated

CLOUD, PARAMETERS = "point_cloud.ply", "flame_param.npz"
TRIANGLES, VERTICES = 9976, 5023
"""FLAME's own; GaussianAvatars appends teeth of its own making, which no file describes."""

_TURNS = {"neck_pose": (1,), "jaw_pose": (2,), "eyes_pose": (3, 4)}


def read_gaussian_avatar(folder: Path, head: HeadModel | None = None) -> tuple[Activated, int]:
    """The first state of a GaussianAvatars folder, upright; its head's turn and place before the camera are left out.

    Args:
        folder: with ``point_cloud.ply`` and ``flame_param.npz``.
        head: FLAME; the installed one when None.

    Returns:
        The Gaussians, and how many were left out because they are bound to teeth that no file describes.

    Raises:
        UserError: a file is missing or damaged, or no FLAME is installed.
    """
    raw = read_gaussians(folder / CLOUD)
    if raw.binding is None:
        return raw.activated(), 0
    points, triangles = posed_flame(_read_parameters(folder / PARAMETERS), head or _installed_flame())
    known = (raw.binding >= 0) & (raw.binding < TRIANGLES)
    if not known.any():
        raise UserError(f"Gaussians on FLAME's triangles in {folder / CLOUD}", "none", "take the folder as it was made")
    kept = RawCloud({name: column[known] for name, column in raw.columns.items()}, raw.binding[known])
    return on_triangles(kept, points, triangles), int((~known).sum())


def _installed_flame() -> HeadModel:
    if default_head_name() == BUILT_IN:
        do = "gaussavatar head install FLAME2023.zip"
        raise UserError("an installed FLAME for Gaussians that are bound to it", "none", do)
    return get_head()


def _read_parameters(path: Path) -> Mapping[str, np.ndarray]:
    if not path.is_file():
        raise UserError(f"{PARAMETERS} beside {CLOUD}", "no such file", "take the folder as GaussianAvatars wrote it")
    with path.open("rb") as file, open_archive(file) as archive:
        return read_npz(archive)


def posed_flame(
    parameters: Mapping[str, np.ndarray], head: HeadModel
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "t 3"]]:
    """Vertices and triangles of FLAME as the first row of GaussianAvatars' parameters poses it, in template space.

    Joints are those of shape and expression; that the static offsets move them, by tenths of a millimetre, is left out.

    Raises:
        UserError: arrays of other shapes, or not of finite numbers.
    """

    def row(name: str, width: int) -> Float[np.ndarray, "w"]:
        given = np.asarray(parameters.get(name, np.zeros(width)))
        flat = given.reshape(-1, given.shape[-1] if given.ndim else 1)[:1].ravel()
        if given.dtype.kind not in "fiu" or len(flat) == 0 or not np.isfinite(flat).all():
            raise UserError(f"finite numbers for {name} in {PARAMETERS}", f"{given.dtype} {given.shape}", "check it")
        fitted = np.zeros(width)
        fitted[: min(width, len(flat))] = flat[:width]
        return fitted

    offsets = np.asarray(parameters.get("static_offset", np.zeros((1, VERTICES, 3)))).reshape(-1, 3)[:VERTICES]
    if len(head.template) < VERTICES or len(head.triangles) < TRIANGLES or offsets.shape != (VERTICES, 3):
        came = f"{len(head.template)} vertices and {len(offsets)} offsets"
        raise UserError(f"FLAME's {VERTICES} vertices, and an offset for each", came, "install FLAME 2020 or 2023")
    template = head.template.astype(float)
    template[:VERTICES] += np.nan_to_num(offsets.astype(float)) * AXES
    turns = np.zeros((5, 3))
    for name, joints in _TURNS.items():
        turns[list(joints)] = row(name, 3 * len(joints)).reshape(-1, 3) * AXES
    shape, expression = row("shape", len(head.identity)), row("expr", len(head.expression))
    posed = pose_vertices(
        replace(head, template=template.astype(np.float32)),
        *(torch.from_numpy(values)[None].float() for values in (shape, expression, turns)),
    )
    return posed[0].numpy().astype(float), head.triangles[:TRIANGLES].astype(np.int64)


def on_triangles(cloud: RawCloud, points: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]) -> Activated:
    """Gaussians out of the spaces of the triangles that they are bound to."""
    assert cloud.binding is not None
    corners = points[triangles[cloud.binding]]
    edge, side = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    along = _unit(edge)
    normal = _unit(np.cross(along, side))
    across = -_unit(np.cross(normal, along))
    R = np.stack([along, normal, across], axis=2)
    unit = (np.linalg.norm(edge, axis=1) + np.abs((across * side).sum(axis=1))) / 2
    local = cloud.activated()
    means = np.einsum("nab,nb->na", R, local.means.numpy()) * unit[:, None] + corners.mean(axis=1)
    turns = Rotation.from_matrix(R) * Rotation.from_quat(local.quats.numpy()[:, [1, 2, 3, 0]])
    quats = turns.as_quat()[:, [3, 0, 1, 2]]
    scales = local.scales.numpy() * unit[:, None]
    placed = (torch.from_numpy(array.astype(np.float32)) for array in (means, quats, scales))
    return Activated(*placed, local.opacities, local.colors)


def _unit(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-20)
