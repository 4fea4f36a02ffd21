"""Where a head model lies on the person's landmarks: similarity, identity and resting expression, by least squares."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.optimize import lsq_linear

from gaussavatar.head.model import HeadModel, LandmarkEmbedding
from gaussavatar.landmarks.indices import FACE_OVAL, LEFT_IRIS, LIPS_INNER, RIGHT_IRIS, RIGID
from gaussavatar.landmarks.measures import eye_openness, lip_aperture
from gaussavatar.tracking.poses.rotations import exp_rotation, nearest_rotation
from gaussavatar.types import N_LANDMARKS, Tracking

_SIGMA_PLANE, _SIGMA_DEPTH = 0.0025, 0.007
"""What a landmark's place is worth, metres across the face and along its depth. They err together, hence so much."""

_ROUNDS = 6
_LOCAL_SIGMA = 0.5
_MAX_IDENTITY = 2.5
_EXPRESSION_SIGMA = 0.15


@dataclass(frozen=True)
class Placement:
    """A model's place and shape on a person: ``x -> scale * R @ x + t`` of the model's identity and resting face.

    ``expression`` is the part of the expression weights that the person's closed, calm face holds.
    """

    scale: float
    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, "3"]
    identity: Float[np.ndarray, "i"]
    expression: Float[np.ndarray, "e"]


def calm_face(tracking: Tracking) -> Float[np.ndarray, "478 3"]:
    """The person's landmarks with the lips closed and the eyes open, head space, metres.

    The median over the frames whose lips are among the most closed (but not the pressed few) and whose eyes are as
    open as they mostly are. ``tracking.shape`` is the median of all frames, and in those people talk.
    """
    frames = np.flatnonzero(tracking.valid)
    if len(frames) == 0:
        return tracking.shape.astype(np.float64)
    frames = frames[np.linspace(0, len(frames) - 1, min(len(frames), 2000)).astype(int)]
    points = tracking.shape + np.tensordot(tracking.codes[frames], tracking.basis, 1)
    aperture, openness = lip_aperture(points), eye_openness(points).min(1)
    awake = openness >= np.percentile(openness, 30)
    low, high = np.percentile(aperture[awake], [2, 14])
    calm = awake & (aperture >= low) & (aperture <= high)
    return np.median(points[calm], axis=0).astype(np.float64)


def embedding_matrix(rows: Float[np.ndarray, "*b v 3"], model: HeadModel) -> Float[np.ndarray, "*b 478 3"]:
    """Landmark values of per-vertex rows (template, identity or expression rows)."""
    assert model.embedding is not None
    corners = model.triangles[model.embedding.face]
    return np.einsum("...lck,lc->...lk", rows[..., corners, :], model.embedding.barycentrics, optimize=True)


def landmark_trust(embedding: LandmarkEmbedding) -> Float[np.ndarray, "478"]:
    """How far a landmark's place on the model can be relied on, 0..1: the outline little, the irises not at all."""
    trust = embedding.confidence.astype(np.float64).copy()
    trust[list(FACE_OVAL)] *= 0.2
    trust[[*RIGHT_IRIS, *LEFT_IRIS]] = 0.0
    return trust


def place_head(model: HeadModel, target: Float[np.ndarray, "478 3"], *, prior_weight: float = 1.0) -> Placement:
    """Fit similarity, identity and resting expression of a head model to landmarks.

    Robust (Cauchy) least squares with a Gaussian prior on the coefficients: unit variance for statistical models,
    a standard deviation of 0.5 for named sliders; ARKit weights are bounded to 0..1.

    Args:
        model: the head, with its embedding.
        target: landmarks of the calm face, head space, metres.
        prior_weight: scales the identity's prior.
    """
    assert model.embedding is not None
    template, identity, expression = (
        embedding_matrix(np.asarray(rows, np.float64), model)
        for rows in (model.template, model.identity, model.expression)
    )
    trust = landmark_trust(model.embedding)
    rigid = np.array(RIGID)
    scale, R, t = fit_similarity(template[rigid], target[rigid], np.maximum(trust[rigid], 1e-3))
    place = Placement(scale, R, t, np.zeros(len(identity)), np.zeros(len(expression)))
    sigmas = np.array([_SIGMA_PLANE, _SIGMA_PLANE, _SIGMA_DEPTH])
    prior = np.full(len(identity), identity_sigma(model) / np.sqrt(prior_weight))
    arkit = is_arkit(model)
    robust = np.ones(N_LANDMARKS)
    for _ in range(_ROUNDS):
        weights = np.sqrt(trust * robust)[:, None] / sigmas
        place = _step(place, template, identity, expression, target, weights, prior, arkit=arkit)
        left = (target - landmarks_of(place, template, identity, expression)) / sigmas
        robust = 1.0 / (1.0 + (left**2).sum(1) / 4.0)
    return place


def fit_similarity(
    source: Float[np.ndarray, "p 3"], target: Float[np.ndarray, "p 3"], weights: Float[np.ndarray, "p"]
) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Scale, rotation and shift that bring points onto others, weighted least squares (Umeyama 1991, eq. 34-43)."""
    share = weights / weights.sum()
    middle, goal = share @ source, share @ target
    source, target = source - middle, target - goal
    M = (target * share[:, None]).T @ source
    R = nearest_rotation(M)
    scale = float((R * M).sum() / (share @ (source**2).sum(1)))
    return scale, R, goal - scale * R @ middle


def landmarks_of(
    place: Placement, template: np.ndarray, identity: np.ndarray, expression: np.ndarray
) -> Float[np.ndarray, "p 3"]:
    """Points of a placed model, from rows of its template, identity and expression."""
    shape = template + np.tensordot(place.identity, identity, 1) + np.tensordot(place.expression, expression, 1)
    return place.scale * shape @ place.R.T + place.t


def is_arkit(model: HeadModel) -> bool:
    """Whether the model's expressions are the named ARKit shapes."""
    return "jawOpen" in model.expression_names


def identity_sigma(model: HeadModel) -> float:
    """Standard deviation of the identity's prior: 1 for principal components, less for hand-made sliders."""
    return 1.0 if is_statistical(model) else _LOCAL_SIGMA


def is_statistical(model: HeadModel) -> bool:
    """Whether the identity axes are principal components (numbered names) and not named sliders."""
    return all(name[-1:].isdigit() for name in model.identity_names)


def _step(
    place: Placement,
    template: np.ndarray,
    identity: np.ndarray,
    expression: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray,
    prior: np.ndarray,
    *,
    arkit: bool,
) -> Placement:
    """One Gauss-Newton step in all unknowns: turn, shift, log scale, identity, expression."""
    n_identity, n_expression = len(identity), len(expression)
    points = landmarks_of(place, template, identity, expression)
    turned = points - place.t
    linear = place.scale * place.R
    columns = [np.cross(axis, turned) for axis in np.eye(3)]
    columns += [np.broadcast_to(axis, points.shape) for axis in np.eye(3)]
    columns += [turned, *(identity @ linear.T), *(expression @ linear.T)]
    J = np.stack([column * weights for column in columns], -1).reshape(-1, 7 + n_identity + n_expression)
    right = ((target - points) * weights).ravel()
    # The coefficients themselves are the unknowns, so that their bounds and priors are plain.
    now = np.concatenate([np.zeros(7), place.identity, place.expression])
    right = right + J @ now
    sigmas = np.concatenate([np.full(7, 1e3), prior, np.full(n_expression, _EXPRESSION_SIGMA if arkit else 0.7)])
    low = np.concatenate(
        [np.full(7, -np.inf), np.full(n_identity, -_MAX_IDENTITY), np.full(n_expression, 0.0 if arkit else -2.0)]
    )
    high = np.concatenate(
        [np.full(7, np.inf), np.full(n_identity, _MAX_IDENTITY), np.full(n_expression, 1.0 if arkit else 2.0)]
    )
    H = J.T @ J + np.diag(1 / sigmas**2)
    factor = np.linalg.cholesky(H)
    solved = lsq_linear(factor.T, np.linalg.solve(factor, J.T @ right), (low, high), method="bvls", max_iter=200).x
    return replace(
        place,
        R=exp_rotation(solved[:3]) @ place.R,
        t=place.t + solved[3:6],
        scale=place.scale * float(np.exp(solved[6])),
        identity=solved[7 : 7 + n_identity],
        expression=solved[7 + n_identity :],
    )


def part_lips(points: Float[np.ndarray, "478 3"], least: float = 2e-4) -> Float[np.ndarray, "478 3"]:
    """Landmarks whose upper inner lip nowhere lies below the lower one: where it did, both meet in the middle."""
    parted = points.copy()
    lower, upper = LIPS_INNER[1:10], LIPS_INNER[:10:-1]
    for low, high in zip(lower, upper, strict=True):
        gap = parted[low, 1] - parted[high, 1]
        if gap < least:
            parted[low, 1] += (least - gap) / 2
            parted[high, 1] -= (least - gap) / 2
    return parted
