"""Gaussians that ride on the triangles of the person's head model.

Each carried Gaussian belongs to a triangle, whose frame turns it, scales it and takes it
along (GaussianAvatars, Qian et al., CVPR 2024, sec. 3.2). Two things differ from the
paper. Parameters stay in head space as they are at the clip's rest face, and the carrying
is the frame's change since then, so that densification, losses and export need not know of it.
And a Gaussian hangs on its own point of the triangle rather than on the centre, so that one
that lies on the surface stays on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gaussavatar.model.per_gaussian import PerGaussian
from gaussavatar.motion.rotations import rotation_matrices
from gaussavatar.types import Activated

SIZE_RANGE = (0.5, 2.0)
"""How far a triangle's size may scale its Gaussians: a lid's triangles nearly vanish when it folds."""


@dataclass(frozen=True)
class RigArrays:
    """A head cut down to the vertices that carry Gaussians, and how codes move it.

    A frame's state holds ``e`` expression weights and the axis-angle rotations of ``j``
    joints that hang on the skull (jaw, eyes), radians. ``rest`` is the head without expression, metres.
    """

    rest: Float[Tensor, "v 3"]
    basis: Float[Tensor, "e v3"]
    joint_weights: Float[Tensor, "j v"]
    joint_places: Float[Tensor, "j 3"]
    joint_moves: Float[Tensor, "e j3"]
    """How expression moves the joints."""
    correctives: Float[Tensor, "j9 v3"]
    """Pose correctives of the joints' rotations (FLAME); no rows where the head has none."""
    weights: Float[Tensor, "c q"]
    bias: Float[Tensor, "q"]
    """``state = codes @ weights + bias``, codes being mouth codes and upper face."""
    channels: Float[Tensor, "n q"]
    """The state that each named channel adds at 1."""
    echo: Float[Tensor, "n c"]
    """The codes that each channel comes with in the clip: by them the learnt motion (the shine of a closed lid,
    a crease) joins a movement that was asked for by name."""


@dataclass(frozen=True)
class Anchors:
    """Where a branch's moving Gaussians hang.

    ``hold`` is how far they follow, 0..1; ``point``, ``frame`` and ``size`` are those of the rest face (metres;
    columns of ``frame`` are its axes).
    """

    corners: Int[Tensor, "m 3"]
    weights: Float[Tensor, "m 3"]
    hold: Float[Tensor, "m"]
    point: Float[Tensor, "m 3"]
    frame: Float[Tensor, "m 3 3"]
    size: Float[Tensor, "m"]


@dataclass(frozen=True)
class BoundStart:
    """All that binding adds to a model."""

    names: tuple[str, ...]
    """Names of the rig's channels, e.g. ``jawOpen``."""
    rig: RigArrays
    face: Anchors
    mouth: Anchors


class HeadRig(nn.Module):
    """The person's head, moved by the same codes as the avatar; nothing in it is trained."""

    def __init__(self, names: Sequence[str], arrays: RigArrays) -> None:
        super().__init__()
        self.names = tuple(names)
        for field in fields(arrays):
            self.register_buffer(field.name, getattr(arrays, field.name))

    rest: Tensor
    basis: Tensor
    joint_weights: Tensor
    joint_places: Tensor
    joint_moves: Tensor
    correctives: Tensor
    weights: Tensor
    bias: Tensor
    channels: Tensor
    echo: Tensor

    def state(
        self, codes: Float[Tensor, "b c"], expression: Float[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b q"]:
        """The head's state for codes, plus named channels on top."""
        state = codes @ self.weights + self.bias
        return state if expression is None else state + expression @ self.channels

    def vertices(self, state: Float[Tensor, "b q"]) -> Float[Tensor, "b v 3"]:
        """Vertices in head space, metres; the skull stands still."""
        n_joints, n_expressions = len(self.joint_places), len(self.basis)
        expression = state[:, :n_expressions]
        points = (self.rest.flatten() + expression @ self.basis).unflatten(1, (-1, 3))
        if n_joints == 0:
            return points
        identity = torch.eye(3, dtype=state.dtype, device=state.device)
        turn = rotation_matrices(state[:, n_expressions:].unflatten(1, (n_joints, 3))) - identity
        if len(self.correctives):
            points = points + (turn.flatten(1) @ self.correctives).unflatten(1, (-1, 3))
        places = self.joint_places + (expression @ self.joint_moves).unflatten(1, (n_joints, 3))
        for joint in range(n_joints):
            # Children of a skull that stands still: skinning is the sum of their turns about their own places.
            moved = (points - places[:, joint, None]) @ turn[:, joint].transpose(1, 2)
            points = points + self.joint_weights[joint, :, None] * moved
        return points


class Binding(nn.Module):
    """Takes a branch's moving Gaussians along with the head's surface."""

    corners: Tensor
    weights: Tensor
    hold: Tensor
    point: Tensor
    frame: Tensor
    size: Tensor

    def __init__(self, anchors: Anchors) -> None:
        super().__init__()
        for field in fields(anchors):
            self.register_buffer(field.name, getattr(anchors, field.name))

    def per_gaussian(self) -> dict[str, PerGaussian]:
        """Every buffer: Gaussians are the first axis of all."""
        return dict.fromkeys((field.name for field in fields(Anchors)), PerGaussian())

    def forward(self, gaussians: Activated, vertices: Float[Tensor, "b v 3"]) -> Activated:
        """The Gaussians, given at the rest face with their residual motion, on the moved head."""
        # Gaussians are the last axis in here: sums over three coordinates are then several times faster.
        count = len(self.corners)
        point, frame, size = _frames(vertices, self.corners, self.weights)
        ratio = (size / self.size).clamp(*SIZE_RANGE)
        turn = (frame[:, :, None] * self.frame.permute(1, 2, 0)).sum(3)
        means = gaussians.means[:, :count].transpose(1, 2)
        carried = point + ratio[:, None] * (turn * (means - self.point.T)[:, None]).sum(2)
        means = torch.lerp(means, carried, self.hold.expand_as(carried))
        twist = _quaternions(turn)
        twist = [1 + self.hold * (twist[0] - 1), *(self.hold * part for part in twist[1:])]
        quats = quaternion_product(_unit(twist), gaussians.quats[:, :count].unbind(-1))
        scales = gaussians.scales[:, :count] * (1 + self.hold * (ratio - 1))[..., None]
        return Activated(
            means=_with_tail(means.transpose(1, 2), gaussians.means),
            quats=_with_tail(torch.stack(quats, dim=-1), gaussians.quats),
            scales=_with_tail(scales, gaussians.scales),
            opacities=gaussians.opacities,
            colors=gaussians.colors,
        )


def _with_tail(head: Tensor, whole: Tensor) -> Tensor:
    """``whole`` with its first Gaussians replaced."""
    return torch.cat([head, whole[:, head.shape[1] :]], dim=1) if head.shape[1] < whole.shape[1] else head


def surface_frames(
    vertices: Float[Tensor, "b v 3"], corners: Int[Tensor, "m 3"], weights: Float[Tensor, "m 3"]
) -> tuple[Float[Tensor, "b m 3"], Float[Tensor, "b m 3 3"], Float[Tensor, "b m"]]:
    """Point, rotation and size of triangles (GaussianAvatars, sec. 3.2).

    The rotation's columns are the first edge's direction, the normal and their cross product; the size is the mean
    of the first edge and the height over it, metres.
    """
    point, frame, size = _frames(vertices, corners, weights)
    return point.transpose(1, 2), frame.permute(0, 3, 1, 2), size


def _frames(
    vertices: Float[Tensor, "b v 3"], corners: Int[Tensor, "m 3"], weights: Float[Tensor, "m 3"]
) -> tuple[Float[Tensor, "b 3 m"], Float[Tensor, "b 3 3 m"], Float[Tensor, "b m"]]:
    """:func:`surface_frames` with the triangles last."""
    places = vertices.transpose(1, 2)[:, :, corners.T.flatten().long()].unflatten(2, (3, -1))
    point = (weights.T * places).sum(2)
    edge, other = places[:, :, 1] - places[:, :, 0], places[:, :, 2] - places[:, :, 0]
    normal = torch.linalg.cross(edge, other, dim=1)
    length = edge.square().sum(1).clamp_min(1e-18).sqrt()
    area = normal.square().sum(1).clamp_min(1e-30).sqrt()
    first, second = edge / length[:, None], normal / area[:, None]
    frame = torch.stack([first, second, torch.linalg.cross(first, second, dim=1)], dim=2)
    return point, frame, (length + area / length) / 2


def small_quaternions(rotations: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4"]:
    """Unit quaternions (wxyz) of rotations well under half a turn; smooth there."""
    return torch.stack(_quaternions(rotations.flatten(0, -3).permute(1, 2, 0)[None]), dim=-1).view(
        *rotations.shape[:-2], 4
    )


def _quaternions(R: Float[Tensor, "b 3 3 m"]) -> list[Float[Tensor, "b m"]]:
    """The four parts of :func:`small_quaternions`."""
    w = 1 + R[:, 0, 0] + R[:, 1, 1] + R[:, 2, 2]
    return _unit([w, R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]])


def _unit(parts: Sequence[Tensor]) -> list[Tensor]:
    norm = sum((part.square() for part in parts[1:]), parts[0].square()).clamp_min(1e-24).sqrt()
    return [part / norm for part in parts]


def quaternion_product(p: Sequence[Tensor], q: Sequence[Tensor]) -> list[Tensor]:
    """Hamilton product of quaternions by parts, wxyz: first ``q``, then ``p``."""
    a, b, c, d = p
    w, x, y, z = q
    return [
        a * w - b * x - c * y - d * z,
        a * x + b * w + c * z - d * y,
        a * y - b * z + c * w + d * x,
        a * z + b * y - c * x + d * w,
    ]


def rig_shapes(rig: RigArrays | HeadRig) -> dict[str, int]:
    """Vertices, expressions, joints and correctives of a rig."""
    return {
        "rig_vertices": len(rig.rest),
        "rig_expressions": len(rig.basis),
        "rig_joints": len(rig.joint_places),
        "rig_correctives": len(rig.correctives),
    }


def blank_binding(names: Sequence[str], n_codes: int, shapes: dict[str, int]) -> BoundStart:
    """A binding of the right shapes, to be filled from a file."""
    v, e, j = shapes["rig_vertices"], shapes["rig_expressions"], shapes["rig_joints"]
    q = e + 3 * j
    zeros = torch.zeros
    rig = RigArrays(
        rest=zeros(v, 3),
        basis=zeros(e, v * 3),
        joint_weights=zeros(j, v),
        joint_places=zeros(j, 3),
        joint_moves=zeros(e, j * 3),
        correctives=zeros(shapes["rig_correctives"], v * 3),
        weights=zeros(n_codes, q),
        bias=zeros(q),
        channels=zeros(len(names), q),
        echo=zeros(len(names), n_codes),
    )
    return BoundStart(tuple(names), rig, _blank_anchors(shapes["face_moving"]), _blank_anchors(shapes["mouth_moving"]))


def _blank_anchors(m: int) -> Anchors:
    zeros = torch.zeros
    return Anchors(zeros(m, 3, dtype=torch.int32), zeros(m, 3), zeros(m), zeros(m, 3), zeros(m, 3, 3), zeros(m))
