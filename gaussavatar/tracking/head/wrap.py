"""The person's own head: a placed head model wrapped through the person's landmarks, with all that hangs on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from gaussavatar.head.anatomy.eyeball import fit_sphere
from gaussavatar.head.model import HeadModel
from gaussavatar.landmarks.indices import (
    FACE_OVAL,
    LEFT_EYE,
    LEFT_IRIS,
    LEFT_LID_PAIRS,
    LIPS_INNER,
    LIPS_OUTER,
    MOUTH_CORNERS,
    RIGHT_EYE,
    RIGHT_IRIS,
    RIGHT_LID_PAIRS,
)
from gaussavatar.mesh.surface import area_normals
from gaussavatar.tracking.head.field import SkinField, local_linear, parts_of
from gaussavatar.tracking.head.identity import Placement, embedding_matrix, landmark_trust

_LENGTHS = (0.0025, 0.004, 0.007)
"""Smoothness of the warp, metres; the next one is taken where the one before folds the skin."""

_MOST_FOLDED = 0.002
_OUTLIER = 0.0025
_DEPTH_SHARE = 0.15
_REACH = 0.022
_LID_STRETCH = (0.6, 1.7)
_TEETH_METRIC = 0.6
_SUBNASAL = 2
_CLOSING = ("mouthClose", "mouthPress", "mouthRoll", "mouthShrug")
_EYE_SHAPES = ("eyeBlink", "eyeSquint", "eyeWide", "eyeLookUp", "eyeLookDown")
_MOUTH_PARTS = ("teeth_upper", "teeth_lower", "tongue", "inner_mouth")
_EYES = (
    ("Right", "eyeball_right", RIGHT_IRIS, RIGHT_EYE, RIGHT_LID_PAIRS),
    ("Left", "eyeball_left", LEFT_IRIS, LEFT_EYE, LEFT_LID_PAIRS),
)


@dataclass(frozen=True)
class WrappedHead:
    """The wrapped head in head space, without identity rows, and what the wrapping did.

    ``field`` extends further moves of landmarks over the same skin; ``folded`` is the share of the face's triangles
    that point the other way than before; ``miss`` is every landmark's distance from its goal in metres.
    """

    head: HeadModel
    field: SkinField
    folded: float
    miss: Float[np.ndarray, "478"]


def place_model(model: HeadModel, place: Placement) -> HeadModel:
    """The model with the placement's identity and similarity put into its template, joints and shapes."""
    linear = place.scale * place.R
    coefficients = place.identity
    template = model.template + np.tensordot(coefficients, model.identity, 1)
    joints = model.joint_positions + np.tensordot(coefficients, model.joint_identity, 1)
    n, j = len(model.template), len(joints)
    return replace(
        model,
        template=(template @ linear.T + place.t).astype(np.float32),
        identity=np.zeros((0, n, 3), np.float32),
        identity_names=(),
        expression=(model.expression @ linear.T).astype(np.float32),
        joint_positions=(joints @ linear.T + place.t).astype(np.float32),
        joint_identity=np.zeros((0, j, 3), np.float32),
        joint_expression=None
        if model.joint_expression is None
        else (model.joint_expression @ linear.T).astype(np.float32),
        pose_correctives=None if model.pose_correctives is None else _turned_correctives(model.pose_correctives, place),
    )


def _turned_correctives(correctives: Float[np.ndarray, "p v 3"], place: Placement) -> Float[np.ndarray, "p v 3"]:
    """Pose correctives for joint rotations in head space.

    They are linear in the entries of ``Q - I``; a rotation Q of the model's space is ``R Q R^T`` in head space.
    """
    rows = correctives.reshape(-1, 3, 3, *correctives.shape[1:])
    turned = np.einsum("jabvx,ca,db->jcdvx", rows, place.R, place.R, optimize=True) @ (place.scale * place.R).T
    return turned.reshape(correctives.shape).astype(np.float32)


def wrap_head(model: HeadModel, place: Placement, target: Float[np.ndarray, "478 3"]) -> WrappedHead:
    """Warp a placed head so that its calm face goes through the person's landmarks.

    Args:
        model: the source model, with its embedding.
        place: where it lies on the person, and the expression that the calm face holds.
        target: landmarks of the calm face, head space, metres.
    """
    placed = place_model(model, place)
    assert placed.embedding is not None
    closing = np.array([name.startswith(_CLOSING) for name in placed.expression_names])
    # Some models' lips are parted where all weights are zero; the person's rest face has them closed.
    closed = np.tensordot(place.expression * closing, placed.expression, 1)
    placed = replace(placed, template=(placed.template + closed).astype(np.float32))
    at_rest = embedding_matrix(placed.template, placed)
    held = np.tensordot(place.expression * ~closing, embedding_matrix(placed.expression, placed), 1)
    goal = target - at_rest - held
    trust = landmark_trust(placed.embedding)
    depth_trust = _DEPTH_SHARE * trust
    depth_trust[list(FACE_OVAL)] = 0.0
    for length in _LENGTHS:
        field = SkinField(placed, trust, depth_trust, length)
        robust = np.ones(len(goal))
        for _ in range(3):
            moved = field.extend(goal, robust)
            left = embedding_matrix(moved, placed) - goal
            robust = 1 / (1 + (left[:, :2] ** 2).sum(1) / _OUTLIER**2)
        folded = folded_share(placed, placed.template + moved)
        if folded <= _MOST_FOLDED:
            break
    head = _carry(placed, moved, field.covered, at_rest, goal * robust[:, None], trust * robust, place.scale)
    return WrappedHead(head, field, folded, np.linalg.norm(left[:, :2], axis=1))


def folded_share(head: HeadModel, moved: Float[np.ndarray, "v 3"]) -> float:
    """Share of the triangles of face and lips whose normals turn by more than a right angle."""
    faces = head.triangles[head.region("face", "lips")[head.triangles].all(1)]
    before, after = (area_normals(np.asarray(points, np.float64)[faces]) for points in (head.template, moved))
    return float(((before * after).sum(1) < 0).mean())


def _carry(
    placed: HeadModel,
    moved: Float[np.ndarray, "v 3"],
    covered: Bool[np.ndarray, "v"],
    handles: Float[np.ndarray, "478 3"],
    goal: Float[np.ndarray, "478 3"],
    trust: Float[np.ndarray, "478"],
    head_scale: float,
) -> HeadModel:
    """Take everything along with the warped skin: expressions, joints, eyeballs, teeth, tongue, lashes."""
    moved = moved.copy()
    template = np.asarray(placed.template, np.float64)
    joints = np.asarray(placed.joint_positions, np.float64).copy()
    expression = np.asarray(placed.expression, np.float64).copy()
    _carry_parts(placed, moved, covered, handles, goal, trust, head_scale)
    stretch = local_linear(handles, goal, trust, template, _REACH)
    expression = np.einsum("vij,evj->evi", stretch, expression)
    for eye in _EYES:
        side, region, iris, ring, pairs = eye
        inside = placed.region(region)
        if inside.any():
            centre, shift = _eyeball_move(placed, moved, template, inside, iris, ring)
            moved[inside] = shift
            # An eyeball stays a sphere: it turns at its joint and takes no part in expressions.
            expression[:, inside] = 0.0
            name = f"eye_{side.lower()}"
            if name in placed.joint_names:
                joints[placed.joint_names.index(name)] = centre + shift
        _stretch_lids(placed, expression, handles, goal, side, pairs)
    names = [k for k, name in enumerate(placed.joint_names) if name == "jaw"]
    joints[names] += 0.5 * goal[[234, 454]].mean(0)
    return replace(
        placed,
        template=(template + moved).astype(np.float32),
        expression=expression.astype(np.float32),
        joint_positions=joints.astype(np.float32),
    )


def _eyeball_move(
    placed: HeadModel,
    moved: Float[np.ndarray, "v 3"],
    template: Float[np.ndarray, "v 3"],
    inside: Bool[np.ndarray, "v"],
    iris: tuple[int, ...],
    ring: tuple[int, ...],
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """An eyeball's centre, and the shift that brings it as far behind the warped lids as it was behind the old ones."""
    assert placed.embedding is not None
    centre, _ = fit_sphere(template[inside])
    lids = np.unique(placed.triangles[placed.embedding.face[list(ring)]])
    before, after = template[lids], template[lids] + moved[lids]
    shift = (after - before).mean(0)
    # Lids that open wider lie nearer to the middle of the ball: keep their mean distance from its centre.
    kept = np.linalg.norm(before - centre, axis=1).mean()
    for _ in range(20):
        offset = after - (centre + shift)
        distance = np.linalg.norm(offset, axis=1)
        slope = (-offset[:, 2] / distance).mean()
        shift = shift + [0, 0, np.clip((kept - distance.mean()) / max(slope, 0.3), -2e-3, 2e-3)]
    return centre, shift


def _carry_parts(
    placed: HeadModel,
    moved: Float[np.ndarray, "v 3"],
    covered: Bool[np.ndarray, "v"],
    handles: Float[np.ndarray, "478 3"],
    goal: Float[np.ndarray, "478 3"],
    trust: Float[np.ndarray, "478"],
    head_scale: float,
) -> None:
    """Move what is not attached to the skin: the mouth's parts with the lips, the rest with the skin beside it."""
    loose = ~covered & ~placed.region("eyeball_left", "eyeball_right")
    if not loose.any():
        return
    template = np.asarray(placed.template, np.float64)
    part = parts_of(placed)
    in_mouth = np.zeros(len(template), bool)
    for number in np.unique(part[loose]):
        members = np.flatnonzero(part == number)
        # What hangs above the upper lip, such as the inside of the nose, goes with the skin there.
        below = template[members, 1].mean() > handles[_SUBNASAL, 1]
        in_mouth[members] = below and placed.region(*_MOUTH_PARTS)[members].mean() > 0.5
    mouth = loose & in_mouth
    if mouth.any():
        moved[mouth] = _mouth_move(template[mouth], handles, goal, trust, head_scale)
    rest = np.flatnonzero(loose & ~in_mouth)
    if len(rest):
        skin = np.flatnonzero(covered)
        distance, near = cKDTree(template[skin]).query(template[rest], k=4)
        share = 1 / np.maximum(distance, 1e-5)
        share /= share.sum(1, keepdims=True)
        moved[rest] = (share[..., None] * moved[skin[near]]).sum(1)


def _mouth_move(
    points: Float[np.ndarray, "n 3"],
    handles: Float[np.ndarray, "478 3"],
    goal: Float[np.ndarray, "478 3"],
    trust: Float[np.ndarray, "478"],
    head_scale: float,
) -> Float[np.ndarray, "n 3"]:
    """Displacement of teeth and tongue: the mouth's width scales them, the lips shift them.

    Teeth differ less in size between people and models than heads do: part of the head's scale is taken back.
    """
    lips = np.array([*LIPS_OUTER, *LIPS_INNER])
    weights = np.maximum(trust[lips], 1e-3) / np.maximum(trust[lips], 1e-3).sum()
    middle, shift = weights @ handles[lips], weights @ goal[lips]
    ends = handles[list(MOUTH_CORNERS)]
    before, after = (np.linalg.norm(pair[0] - pair[1]) for pair in (ends, ends + goal[list(MOUTH_CORNERS)]))
    # Jaws differ less than mouths do.
    scale = float(np.clip((after / before) ** 0.5, 0.88, 1.12)) / head_scale**_TEETH_METRIC
    return (scale - 1) * (points - middle) + shift


def _stretch_lids(
    placed: HeadModel,
    expression: Float[np.ndarray, "e v 3"],
    handles: Float[np.ndarray, "478 3"],
    goal: Float[np.ndarray, "478 3"],
    side: str,
    pairs: tuple[tuple[int, int], ...],
) -> None:
    """Scale the lids' shapes by how much wider this person's eye opens, so that a full blink closes it."""
    upper, lower = (np.array([pair[k] for pair in pairs]) for k in (0, 1))
    before = np.linalg.norm(handles[upper] - handles[lower], axis=1).mean()
    moved = handles + goal
    after = np.linalg.norm(moved[upper] - moved[lower], axis=1).mean()
    factor = float(np.clip(after / max(before, 1e-6), *_LID_STRETCH))
    for name in _EYE_SHAPES:
        if name + side in placed.expression_names:
            expression[placed.expression_names.index(name + side)] *= factor
