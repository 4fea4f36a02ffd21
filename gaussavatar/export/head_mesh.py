"""A motion as binary glTF: the person's tracked head as a mesh, whose 52 morph targets and pose are animated.

Axes are glTF's: y up, the face looks along z. The shoulders are left out, for the whole mesh turns with the head. The
eyeballs turn by morph targets too: a look of 1 is taken for 30 degrees, as in the curves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from scipy.spatial.transform import Rotation

from gaussavatar.avatar.curves import curves_of_motion
from gaussavatar.avatar.mark import Mark, mark_of
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.export.gltf import TRIANGLES, Part, glb_bytes
from gaussavatar.head.model import HeadModel, load_head, select_vertices
from gaussavatar.image.srgb import linear
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS, FULL_LOOK, ArkitCurves
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import atomic_path

FLIP = np.array([1, -1, -1], np.float32)
"""Half a turn about x, from our axes to glTF's."""

LOOKS = {
    "eyeLookDownLeft": ("eye_left", (1.0, 0.0)), "eyeLookUpLeft": ("eye_left", (-1.0, 0.0)),
    "eyeLookOutLeft": ("eye_left", (0.0, 1.0)), "eyeLookInLeft": ("eye_left", (0.0, -1.0)),
    "eyeLookDownRight": ("eye_right", (1.0, 0.0)), "eyeLookUpRight": ("eye_right", (-1.0, 0.0)),
    "eyeLookOutRight": ("eye_right", (0.0, -1.0)), "eyeLookInRight": ("eye_right", (0.0, 1.0)),
}  # fmt: skip
"""Which eye a shape turns, and how about glTF's x (down) and y (to the person's left)."""


def write(
    path: Path, avatar: LoadedAvatar, motion: MotionTrack, *, head: Path | None, tell: Callable[[str], None]
) -> int:
    """Write the mesh and its animation; returns the number of frames.

    Raises:
        UserError: there is no head, it has none of ARKit's shapes, or the file cannot be written.
    """
    if head is None:
        do = "keep the avatar's folder capture, or give --set head=FILE"
        raise UserError("the person's head mesh, capture/head.npz", "none beside the avatar", do)
    model = load_head(head)
    if not set(model.expression_names) & set(ARKIT_EXPRESSIONS):
        raise UserError("a head with ARKit's shapes", f"{model.name}", "fit with the built-in head")
    curves = curves_of_motion(avatar, motion)
    with atomic_path(path) as temporary:
        temporary.write_bytes(head_bytes(model, curves, motion.T_camera_world, mark_of(avatar.record)))
    return len(motion)


def head_bytes(
    model: HeadModel, curves: ArkitCurves, T_camera_head: Float32[np.ndarray, "n 4 4"], mark: Mark | None = None
) -> bytes:
    """The whole file."""
    head = without_shoulders(model)
    known = [name for name in ARKIT_EXPRESSIONS if name in head.expression_names]
    shapes = [(head.expression[head.expression_names.index(name)] * FLIP + look(head, name)) for name in known]
    points = head.template * FLIP
    primitive: dict[str, Any] = {"attributes": {"POSITION": 0, "NORMAL": 1}, "indices": 2, "material": 0}
    parts = [
        Part(points, bounds=True),
        Part(normals(points, head.triangles)),
        Part(head.triangles.astype(np.uint32).ravel(), TRIANGLES),
    ]
    if head.colour is not None:
        primitive["attributes"]["COLOR_0"] = len(parts)
        parts.append(Part(linear(head.colour).astype(np.float32)))
    primitive["targets"] = [{"POSITION": len(parts) + index} for index in range(len(known))]
    parts += [Part(shape.astype(np.float32), bounds=True) for shape in shapes]
    turns, places = poses(T_camera_head)
    weights = curves.values[:, [ARKIT_EXPRESSIONS.index(name) for name in known]]
    keys = len(parts)
    parts += [
        Part((np.arange(len(curves)) / curves.fps).astype(np.float32), None, bounds=True),
        Part(np.ascontiguousarray(weights.ravel()), None),
        Part(turns, None),
        Part(places, None),
    ]
    moved = ("weights", "rotation", "translation")
    animation = {
        "name": "motion",
        "samplers": [{"input": keys, "output": keys + 1 + index} for index in range(3)],
        "channels": [{"sampler": i, "target": {"node": 0, "path": name}} for i, name in enumerate(moved)],
    }
    mesh = {"name": "head", "primitives": [primitive], "weights": [0.0] * len(known), "extras": {"targetNames": known}}
    skin = {"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.7}, "doubleSided": True}
    document = {
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "head", "mesh": 0}],
        "meshes": [mesh],
        "materials": [skin],
        "animations": [animation],
    }
    return glb_bytes(document, parts, mark)


def without_shoulders(model: HeadModel) -> HeadModel:
    """The vertices that do not follow the torso."""
    if "torso" not in model.joint_names:
        return model
    return select_vertices(model, np.flatnonzero(model.skin_weights[:, model.joint_names.index("torso")] < 0.5))


def look(head: HeadModel, name: str) -> Float32[np.ndarray, "v 3"]:
    """What a shape moves the eyeball's vertices, in glTF's axes; zeros where it is no look or the head has no eyes."""
    eye, (down, left) = LOOKS.get(name, ("", (0.0, 0.0)))
    if eye not in head.joint_names:
        return np.zeros_like(head.template)
    joint = head.joint_names.index(eye)
    away = (head.template - head.joint_positions[joint]) * FLIP
    turn = Rotation.from_rotvec([down * FULL_LOOK, left * FULL_LOOK, 0.0]).as_matrix()
    return (head.skin_weights[:, joint, None] * (away @ turn.T - away)).astype(np.float32)


def poses(T: Float32[np.ndarray, "n 4 4"]) -> tuple[Float32[np.ndarray, "n 4"], Float32[np.ndarray, "n 3"]]:
    """Rotations (xyzw, without jumps of sign) and places in glTF's axes; the head is on average at the origin."""
    turned = FLIP[:, None] * T[:, :3, :3].astype(float) * FLIP
    quats = Rotation.from_matrix(turned).as_quat()
    flips = np.cumprod(np.where((quats[1:] * quats[:-1]).sum(axis=1) < 0, -1.0, 1.0))
    quats[1:] *= flips[:, None]
    places = (T[:, :3, 3] - T[:, :3, 3].mean(axis=0)) * FLIP
    return quats.astype(np.float32), places.astype(np.float32)


def normals(points: Float32[np.ndarray, "v 3"], triangles: np.ndarray) -> Float32[np.ndarray, "v 3"]:
    """Unit normals of vertices, by the areas of their triangles; up where a vertex has none."""
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    faces = np.cross(b - a, c - a)
    summed = np.zeros_like(points)
    for corner in range(3):
        np.add.at(summed, triangles[:, corner], faces)
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    return np.where(length > 1e-20, summed / np.maximum(length, 1e-20), np.float32([0, 1, 0])).astype(np.float32)
