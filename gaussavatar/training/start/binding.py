"""Hanging an avatar's first Gaussians on the person's tracked head, and what moves that head by the avatar's codes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gaussavatar.easing import smoothstep
from gaussavatar.head.model import HeadModel
from gaussavatar.mesh.surface import closest_points
from gaussavatar.model.binding import Anchors, Binding, BoundStart, HeadRig, RigArrays, surface_frames
from gaussavatar.model.gaussians import MOTION_SCALE, InitialBranch
from gaussavatar.tracking.head.track import HeadTrack, skull_joint
from gaussavatar.training.start.branches import FADE
from gaussavatar.types import Activated, FaceMotion

CARRIERS = ("face", "lips", "ear", "scalp", "eyeball_left", "eyeball_right")
"""Regions that carry the face branch."""

MOUTH_CARRIERS = ("teeth_upper", "teeth_lower", "tongue", "inner_mouth")
"""Regions that carry the mouth branch; lips where a head has none of them."""

SNAP = 0.006
"""Gaussians of the face that start this close to the head's surface, metres, are put onto it."""

RIDGE = 0.01
"""Pull of the regression towards no movement, relative to the codes' own variance."""

ECHO_RIDGE, ECHO_SPREAD = 0.1, 0.02
"""Pull of the codes' regression on states towards none, relative to a state's variance; a state's least spread."""

SHOWN = 0.99
"""Share of the frames within what counts as the clip's range of a movement or code."""

JAW_OPEN = 0.3
"""Radians about the jaw's x axis that ``jawOpen`` stands for where a head's jaw is a joint without such a shape."""


@dataclass(frozen=True)
class _Moves:
    """How codes and names move the head, see :class:`RigArrays`."""

    weights: Float[np.ndarray, "c q"]
    bias: Float[np.ndarray, "q"]
    channels: Float[np.ndarray, "n q"]
    echo: Float[np.ndarray, "n c"]


@dataclass(frozen=True)
class _Carrier:
    """Vertices and triangles of one branch's part of the head at the rest face."""

    vertices: Float[np.ndarray, "v 3"]
    triangles: Int[np.ndarray, "t 3"]


def bind(
    track: HeadTrack, motion: FaceMotion, frames: Bool[np.ndarray, "n"], face: InitialBranch, mouth: InitialBranch
) -> tuple[BoundStart, InitialBranch, InitialBranch]:
    """Bind both branches' moving Gaussians; those of the face that lie close to the head are put onto it.

    Args:
        track: the head that the clip was tracked with.
        motion: the avatar's codes of the same frames.
        frames: those that the head's movement may be learnt from (not the held-out ones).
        face: the branch as it would start without a head.
        mouth: likewise.
    """
    head = track.head
    joints = moved_joints(track)
    codes, states = _codes_and_states(track, joints, motion, frames)
    weights, bias = regress(codes, states)
    names, channels = named_channels(head, joints)
    moves = _Moves(weights, bias, channels, echo_of_channels(channels, codes, states))
    whole = HeadRig(names, _rig_arrays(head, joints, np.arange(len(head.template)), moves))
    vertices = whole.vertices(whole.bias[None])[0].double().numpy()
    face_part = _Carrier(vertices, _outside_triangles(head, vertices))
    inside = head.triangle_region(*MOUTH_CARRIERS)
    mouth_part = _Carrier(vertices, head.triangles[inside if inside.any() else head.triangle_region("lips")])
    face, face_corners, face_hang = _hang(face, face_part, snap=True)
    mouth, mouth_corners, mouth_hang = _hang(mouth, mouth_part, snap=False)
    used, flat = np.unique(np.concatenate([face_corners, mouth_corners]), return_inverse=True)
    flat = flat.reshape(-1, 3)
    rig = _rig_arrays(head, joints, used, moves)
    rest = torch.from_numpy(vertices[used])[None].float()
    split = len(face_corners)
    start = BoundStart(names, rig, _anchors(rest, flat[:split], *face_hang), _anchors(rest, flat[split:], *mouth_hang))
    return start, _residual(face, rig, start.face), _residual(mouth, rig, start.mouth)


def _residual(branch: InitialBranch, rig: RigArrays, anchors: Anchors) -> InitialBranch:
    """The branch with what the head's movement leaves of each code's landmark displacement."""
    count, n_codes = branch.n_moving, len(branch.position)
    head, binding = HeadRig((), rig), Binding(anchors)
    means = branch.raw.means[None, :count]
    blank = torch.zeros(1, count, 3)
    still = Activated(means, torch.eye(4)[:1].expand(1, count, 4), blank + 1, blank[..., 0], blank)
    position = branch.position.clone()
    for code in range(n_codes):
        vertices = head.vertices(head.state(torch.eye(len(rig.weights))[code : code + 1]))
        position[code] -= (binding(still, vertices).means[0] - means[0]) / MOTION_SCALE["position"]
    return replace(branch, position=position)


def moved_joints(track: HeadTrack) -> list[int]:
    """Joints that hang on the skull and move in the clip: the jaw, the eyes."""
    head = track.head
    skull = skull_joint(head)
    below = [joint for joint, parent in enumerate(head.joint_parents) if parent == skull]
    return [joint for joint in below if np.abs(track.joint_rotations[:, joint]).max() > 1e-4]


def _codes_and_states(
    track: HeadTrack, joints: list[int], motion: FaceMotion, frames: Bool[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "f c"], Float[np.ndarray, "f q"]]:
    """Mouth codes and upper face, and expression and joints' turns, of the chosen frames."""
    codes = np.concatenate([motion.mouth_codes, motion.upper], axis=1)[frames].astype(np.float64)
    turns = track.joint_rotations[:, joints].reshape(len(track.expression), -1)
    return codes, np.concatenate([track.expression, turns], axis=1)[frames].astype(np.float64)


def regress(
    codes: Float[np.ndarray, "f c"], states: Float[np.ndarray, "f q"]
) -> tuple[Float[np.ndarray, "c q"], Float[np.ndarray, "q"]]:
    """Ridge regression of the head's state on the codes: ``codes @ weights + bias``."""
    middle, mean = codes.mean(0), states.mean(0)
    spread = codes - middle
    penalty = RIDGE * np.diag(np.maximum((spread**2).sum(0), 1e-9))
    weights = np.linalg.solve(spread.T @ spread + penalty, spread.T @ (states - mean))
    return weights, mean - middle @ weights


def echo_of_states(codes: Float[np.ndarray, "f c"], states: Float[np.ndarray, "f q"]) -> Float[np.ndarray, "q c"]:
    """Codes per unit of each part of the state, as they go together in the clip (ridge regression)."""
    unit = np.maximum(states.std(0), ECHO_SPREAD)
    scaled = (states - states.mean(0)) / unit
    normal = scaled.T @ scaled + ECHO_RIDGE * len(scaled) * np.eye(scaled.shape[1])
    return np.linalg.solve(normal, scaled.T @ (codes - codes.mean(0))) / unit[:, None]


def echo_of_channels(
    channels: Float[np.ndarray, "n q"], codes: Float[np.ndarray, "f c"], states: Float[np.ndarray, "f q"]
) -> Float[np.ndarray, "n c"]:
    """Codes that go with each named movement, as far as the clip has shown it.

    Learnt motion does not extrapolate: a movement beyond what the clip shows brings the codes of what it does show,
    the less of them the less that is, and no code leaves its own range.
    """
    reach = np.quantile(np.abs(states - states.mean(0)), SHOWN, axis=0)
    asked = np.abs(channels)
    shown = np.where(asked > 0, np.clip(reach / np.maximum(asked, 1e-9), 0, 1), 1).min(axis=1, keepdims=True)
    echo = shown**2 * (channels @ echo_of_states(codes, states))
    room = np.quantile(np.abs(codes - codes.mean(0)), SHOWN, axis=0)
    return echo / np.maximum((np.abs(echo) / np.maximum(room, 1e-9)).max(axis=1, keepdims=True), 1)


def named_channels(head: HeadModel, joints: list[int]) -> tuple[tuple[str, ...], Float[np.ndarray, "n q"]]:
    """Names that can be moved, and the state that each adds at 1: the head's expressions, and ``jawOpen`` always."""
    n_expressions = len(head.expression_names)
    channels = np.eye(n_expressions, n_expressions + 3 * len(joints))
    names = head.expression_names
    jaw = [place for place, joint in enumerate(joints) if head.joint_names[joint] == "jaw"]
    if "jawOpen" not in names and jaw:
        row = np.zeros((1, channels.shape[1]))
        row[0, n_expressions + 3 * jaw[0]] = JAW_OPEN
        names, channels = ("jawOpen", *names), np.concatenate([row, channels])
    return names, channels


def _outside_triangles(head: HeadModel, vertices: np.ndarray) -> np.ndarray:
    """Triangles of the skin and of the eyeballs' visible halves."""
    chosen = head.triangle_region(*CARRIERS)
    for side in ("eyeball_left", "eyeball_right"):
        eye = head.triangle_region(side)
        if eye.any():
            depth = vertices[head.triangles, 2].mean(1)
            chosen &= ~(eye & (depth > depth[eye].mean()))
    return head.triangles[chosen]


def _hang(
    start: InitialBranch, carrier: _Carrier, snap: bool
) -> tuple[InitialBranch, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Find each moving Gaussian's place on the carrier; its triangle's corners, its weights there and its hold."""
    means = start.raw.means[: start.n_moving].double().numpy()
    if len(means) == 0:
        return start, np.zeros((0, 3), np.int32), (np.zeros((0, 3)), np.zeros(0))
    found = closest_points(means, carrier.vertices, carrier.triangles)
    corners = carrier.triangles[found.face]
    hold = np.ones(len(means))
    raw = start.raw
    if snap:
        on = (found.barycentrics[..., None] * carrier.vertices[corners]).sum(1)
        close = found.distance < SNAP
        moved = raw.means.clone()
        moved[: start.n_moving][torch.from_numpy(close)] = torch.from_numpy(on[close]).float()
        raw = replace(raw, means=moved)
        # Hair that stands off follows the skin less and less.
        hold = smoothstep(np.clip((FADE - found.distance) / (FADE - SNAP), 0, 1))
    return replace(start, raw=raw), corners, (found.barycentrics, hold)


def _anchors(rest: Tensor, corners: np.ndarray, weights: np.ndarray, hold: np.ndarray) -> Anchors:
    index = torch.from_numpy(corners.astype(np.int32))
    share = torch.from_numpy(weights).float()
    point, frame, size = surface_frames(rest, index, share)
    return Anchors(index, share, torch.from_numpy(hold).float(), point[0], frame[0], size[0])


def _rig_arrays(
    head: HeadModel,
    joints: list[int],
    used: Int[np.ndarray, "v"],
    by: _Moves,
) -> RigArrays:
    """The head cut down to the vertices ``used``."""

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32))

    e, j = len(head.expression_names), len(joints)
    moves = np.zeros((e, j, 3)) if head.joint_expression is None else head.joint_expression[:, joints]
    correctives = np.zeros((0, len(used) * 3))
    if head.pose_correctives is not None:
        rows = [row for joint in joints for row in range(9 * (joint - 1), 9 * joint)]
        correctives = head.pose_correctives[rows][:, used].reshape(len(rows), -1)
    return RigArrays(
        rest=tensor(head.template[used]),
        basis=tensor(head.expression[:, used].reshape(e, -1)),
        joint_weights=tensor(head.skin_weights[used][:, joints].T),
        joint_places=tensor(head.joint_positions[joints]),
        joint_moves=tensor(moves.reshape(e, -1)),
        correctives=tensor(correctives),
        weights=tensor(by.weights),
        bias=tensor(by.bias),
        channels=tensor(by.channels),
        echo=tensor(by.echo),
    )
