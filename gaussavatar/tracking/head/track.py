"""The person's own head and how it moves, frame by frame: what a head model is turned into by tracking a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int

from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.errors import UserError
from gaussavatar.head.model import HeadModel, load_head, pose_vertices, save_head
from gaussavatar.motion.rotations import rotation_matrices
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.types import Tracking


@dataclass(frozen=True)
class HeadTrack:
    """A head model fitted to a clip.

    ``head`` is the person's own head: the identity is in its template (it has no identity rows), and it lies in the
    head space of the :class:`Tracking` that it was fitted to, so that the tracking's pose moves its skull.
    ``identity`` are the source model's coefficients. ``joint_rotations`` are axis-angle, radians, relative to the
    parent joint, at the head's own joints; those of the root and the neck say how the shoulders stand against the
    skull. ``rms`` is the landmarks' distance from the fitted head in pixels of the tracking's size.
    """

    head: HeadModel
    model: str
    identity: Float32[np.ndarray, "i"]
    expression: Float32[np.ndarray, "n e"]
    joint_rotations: Float32[np.ndarray, "n j 3"]
    rms: Float32[np.ndarray, "n"]


def skull_joint(model: HeadModel) -> int:
    """Index of the joint that carries the skull: ``head`` where there is one, else FLAME's ``neck``."""
    return model.joint_names.index("head" if "head" in model.joint_names else "neck")


def head_vertices(track: HeadTrack, frames: Int[np.ndarray, "f"]) -> Float32[np.ndarray, "f v 3"]:
    """Vertices of the person's head in head space: the skull at rest; face, neck and shoulders moving against it."""
    head = track.head
    expression = torch.from_numpy(track.expression[frames])
    rotations = torch.from_numpy(track.joint_rotations[frames])
    posed = pose_vertices(head, torch.zeros(1, len(head.identity_names)), expression, rotations).numpy()
    joints = np.broadcast_to(head.joint_positions, (len(frames), *head.joint_positions.shape))
    if head.joint_expression is not None:
        joints = joints + np.einsum("fe,ejk->fjk", track.expression[frames], head.joint_expression)
    turn, place = _joint_frame(joints, rotation_matrices(rotations).numpy(), head.joint_parents, skull_joint(head))
    return ((posed - place[:, None]) @ turn + joints[:, skull_joint(head)][:, None]).astype(np.float32)


def _joint_frame(
    joints: np.ndarray, rotations: np.ndarray, parents: tuple[int, ...], joint: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (f, 3, 3) and place (f, 3) of one joint of the posed chain."""
    chain = [joint]
    while parents[chain[-1]] >= 0:
        chain.append(parents[chain[-1]])
    turn, place = rotations[:, chain[-1]], joints[:, chain[-1]]
    for parent, child in zip(chain[::-1][:-1], chain[::-1][1:], strict=True):
        place = place + (turn @ (joints[:, child] - joints[:, parent])[..., None])[..., 0]
        turn = turn @ rotations[:, child]
    return turn, place


def camera_vertices(track: HeadTrack, tracking: Tracking, frames: Int[np.ndarray, "f"]) -> Float32[np.ndarray, "f v 3"]:
    """Vertices of the person's head in camera space, metres."""
    vertices = head_vertices(track, frames)
    R, t = tracking.R_camera_head[frames], tracking.t_camera_head[frames]
    return vertices @ R.swapaxes(1, 2) + t[:, None]


def save_head_track(folder: Path, track: HeadTrack) -> None:
    """Write ``head.npz`` and ``head_track.safetensors`` into a capture folder, atomically."""
    layout = CaptureLayout(folder)
    save_head(layout.head, track.head)
    names = ("identity", "expression", "joint_rotations", "rms")
    write_arrays(layout.head_track, {name: getattr(track, name) for name in names}, {"model": track.model})


def load_head_track(folder: Path) -> HeadTrack:
    """Read :func:`save_head_track`.

    Raises:
        UserError: a file is missing or damaged.
    """
    path = CaptureLayout(folder).head_track
    head = load_head(CaptureLayout(folder).head)
    arrays, metadata = read_arrays(path)
    try:
        track = HeadTrack(head=head, model=metadata["model"], **arrays)
    except (KeyError, TypeError) as error:
        raise UserError(f"a head track in {path}", f"a damaged file ({error!r})", "delete it and run again") from error
    n_expressions, n_joints = len(head.expression_names), len(head.joint_names)
    shapes = (track.expression.shape[1:], track.joint_rotations.shape[1:])
    if shapes != ((n_expressions,), (n_joints, 3)):
        raise UserError(
            f"{n_expressions} expressions and {n_joints} joints in {path}", f"shapes {shapes}", "delete it, run again"
        )
    return track
