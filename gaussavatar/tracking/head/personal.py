"""What the landmarks of all frames teach about this person's expressions: corrections of the shapes, and modes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from gaussavatar.head.model import HeadModel
from gaussavatar.landmarks.indices import FACE_OVAL, LEFT_EYE, LIPS_INNER, LIPS_OUTER, RIGHT_EYE
from gaussavatar.tracking.head.expression import Faces, LandmarkRig, Views
from gaussavatar.tracking.head.field import SkinField
from gaussavatar.tracking.head.identity import embedding_matrix
from gaussavatar.tracking.poses.shape import principal_components, unproject
from gaussavatar.tracking.poses.solve import visibility
from gaussavatar.types import N_LANDMARKS

_MAX_SAMPLE = 1500
_NOISE = 0.0025
"""A residual's error in metres for this purpose; errors of neighbouring frames go together, hence so much."""

_REST_SIGMA, _SHAPE_SHARE, _SHAPE_LEAST = 3e-4, 0.7, 4e-4
"""Prior of corrections: of the rest face, metres; of a shape, as a share of its own movement, and at least, metres."""

_LOST = 0.003
"""Residuals beyond this many metres are errors of the detector, and count less and less."""


def residual_moves(
    everything: tuple[LandmarkRig, Views], faces: Faces, frames: Int[np.ndarray, "m"]
) -> Float[np.ndarray, "m 478 3"]:
    """What the fitted head misses of the landmarks, head space, metres, at the head's own depth; 0 for irises.

    Points on the head's far side, and outliers, are taken to be where the head has them.
    """
    rig, views = everything
    model = rig.points(faces.expression[frames], faces.jaw[frames], views.slide[frames])
    R, t = views.R[frames], views.t[frames]
    left = unproject(views.seen[frames], model, R, t, views.focal_px) - model
    trust = visibility(rig.place, R, t) / (1 + (left**2).sum(-1) / _LOST**2)
    out = np.zeros((len(frames), N_LANDMARKS, 3))
    out[:, rig.landmarks] = left * trust[..., None]
    return out


def sample_frames(known: Bool[np.ndarray, "n"]) -> Int[np.ndarray, "m"]:
    """A bounded number of frames, evenly spread over the known ones."""
    frames = np.flatnonzero(known)
    return frames[np.linspace(0, len(frames) - 1, min(len(frames), _MAX_SAMPLE)).astype(int)]


def personalise(
    head: HeadModel,
    field: SkinField,
    everything: tuple[LandmarkRig, Views],
    faces: Faces,
    known: Bool[np.ndarray, "n"],
) -> HeadModel:
    """Correct the rest face and the expression shapes by regressing the residual on the expressions' weights.

    A Gaussian prior keeps every shape what it is: at each landmark the correction is of the size of a part of what
    the shape does there, so that a brow does not learn to open the mouth, and shapes that the person hardly uses
    stay as they were. The corrections go over the skin with the warp's own smoothness.
    """
    frames = sample_frames(known)
    left = residual_moves(everything, faces, frames)
    features = np.concatenate([np.ones((len(frames), 1)), faces.expression[frames].astype(np.float64)], 1)
    reach = np.linalg.norm(embedding_matrix(head.expression, head), axis=-1)
    sigma = np.concatenate([np.full((1, N_LANDMARKS), _REST_SIGMA), _SHAPE_SHARE * reach + _SHAPE_LEAST])
    gram = features.T @ features / _NOISE**2
    right = (features.T @ left.reshape(len(frames), -1) / _NOISE**2).reshape(-1, N_LANDMARKS, 3)
    precision = 1 / sigma.T[:, :, None] ** 2 * np.eye(len(gram))
    moves = np.linalg.solve(gram + precision, right.transpose(1, 0, 2)).transpose(1, 0, 2)
    moves[:, list(FACE_OVAL)] *= 0.2
    spread = field.extend(moves).astype(np.float32)
    return replace(head, template=head.template + spread[0], expression=head.expression + spread[1:])


def add_personal_modes(
    head: HeadModel,
    field: SkinField,
    everything: tuple[LandmarkRig, Views],
    faces: Faces,
    known: Bool[np.ndarray, "n"],
    count: int,
) -> HeadModel:
    """Add the residual's principal components as expressions ``personal_00`` and so on, of unit variance."""
    frames = sample_frames(known)
    count = min(count, len(frames) // 8)
    if count == 0:
        return head
    left = residual_moves(everything, faces, frames)
    left = left - left.mean(0)
    importance = np.ones(N_LANDMARKS)
    importance[[*LIPS_OUTER, *LIPS_INNER, *LEFT_EYE, *RIGHT_EYE]] = 3.0
    importance[list(FACE_OVAL)] = 0.3
    flat = (left * importance[:, None]).reshape(len(frames), -1).astype(np.float32)
    values, vectors = principal_components(flat, count)
    modes = (vectors * np.sqrt(np.maximum(values, 1e-14))).T
    moves = modes.reshape(count, N_LANDMARKS, 3) / importance[:, None]
    spread = field.extend(moves).astype(np.float32)
    extended = np.concatenate([head.expression, spread])
    joints = head.joint_expression
    if joints is not None:
        joints = np.concatenate([joints, np.zeros((count, *joints.shape[1:]), np.float32)])
    names = tuple(f"personal_{number:02d}" for number in range(count))
    return replace(head, expression=extended, expression_names=head.expression_names + names, joint_expression=joints)
