"""The person's landmarks in head space: refined mean face and a small basis of how the face deforms."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from gaussavatar.landmarks.indices import RIGID
from gaussavatar.tracking.poses.rotations import log_rotation, nearest_rotation
from gaussavatar.tracking.poses.solve import State, project


def deformation_basis(displaced: Float[np.ndarray, "n p 3"], n_modes: int) -> Float[np.ndarray, "k p 3"]:
    """Principal components of displacements from the mean face (metres), scaled so that codes have unit variance.

    There are ``n_modes`` of them, or a quarter of the frames where that is fewer.
    """
    n_modes = min(n_modes, len(displaced) // 4)
    if n_modes == 0:
        return np.zeros((0, *displaced.shape[1:]))
    flat = displaced.reshape(len(displaced), -1).astype(np.float32)
    values, vectors = principal_components(flat, n_modes)
    return (vectors * np.sqrt(np.maximum(values, 1e-14))).T.reshape(n_modes, *displaced.shape[1:])


def principal_components(
    rows: Float[np.ndarray, "n d"], count: int
) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "d k"]]:
    """The largest ``count`` eigenvalues and eigenvectors of ``rows.T @ rows / n``, largest first.

    Subspace iteration from a fixed start (Halko, Martinsson and Tropp 2011, algorithm 4.4): a full eigenvalue
    decomposition takes a thousand times as many small products, over which OpenBLAS's threads fall. The sign that
    an eigenvector leaves open makes its largest entry positive, so that runs agree.
    """
    n, d = rows.shape
    covariance = (rows.T @ rows).astype(np.float64) / n
    Q = np.random.default_rng(0).normal(size=(d, min(d, count + 10)))
    for _ in range(8):
        Q = np.linalg.qr(covariance @ Q)[0]
    values, rotation = np.linalg.eigh(Q.T @ covariance @ Q)
    vectors = (Q @ rotation)[:, ::-1][:, :count]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    return values[::-1][:count], vectors


def unproject(
    seen: Float[np.ndarray, "n p 2"],
    model: Float[np.ndarray, "#n p 3"],
    R: Float[np.ndarray, "n 3 3"],
    t: Float[np.ndarray, "n 3"],
    focal_px: float,
) -> Float[np.ndarray, "n p 3"]:
    """Head-space points that project exactly to ``seen``, at the camera depth of the head-space points ``model``."""
    depth = model @ R[:, 2, :, None] + t[:, None, 2:]
    camera = np.concatenate([seen * (depth / focal_px), depth], -1)
    return (camera - t[:, None]) @ R


def refine_shape(
    shape: Float[np.ndarray, "p 3"],
    basis: Float[np.ndarray, "k p 3"],
    state: State,
    seen: Float[np.ndarray, "n p 2"],
    weights: Float[np.ndarray, "n p"],
    focal_px: float,
    prior: Float[np.ndarray, "p 3"],
    prior_precision: float,
    sigma_px: float,
) -> Float[np.ndarray, "p 3"]:
    """Solve every landmark's mean position under perspective, poses and codes held (one 3 x 3 system each).

    Where the head hardly turns, depth is not observed and stays near ``prior``.

    Args:
        shape: Current mean face, metres.
        basis: Deformations, metres.
        state: Poses and codes.
        seen: Landmarks, pixels from the image's middle.
        weights: Weight of every observation.
        focal_px: Focal length.
        prior: Mean face to stay near to.
        prior_precision: Strength of that, 1 / m^2, against one frame's observations in px^2.
        sigma_px: Scale of the Cauchy weights.
    """
    p = len(shape)
    N, r = np.zeros((p, 3, 3)), np.zeros((p, 3))
    for first in range(0, len(seen), 256):
        part = slice(first, first + 256)
        R = state.R[part]
        pixels, camera = project(shape + np.tensordot(state.codes[part], basis, 1), R, state.t[part], focal_px)
        residual = seen[part] - pixels
        w = weights[part] / (1.0 + (residual**2).sum(-1) / sigma_px**2)
        A = np.zeros((*pixels.shape, 3))
        A[..., 0, 0] = A[..., 1, 1] = focal_px / camera[..., 2]
        A[..., 2] = -pixels / camera[..., 2:]
        J = (A @ R[:, None]) * np.sqrt(w)[..., None, None]
        J = J.transpose(1, 0, 2, 3).reshape(p, -1, 3)
        b = (residual * np.sqrt(w)[..., None]).transpose(1, 0, 2).reshape(p, -1, 1)
        N += J.swapaxes(1, 2) @ J
        r += (J.swapaxes(1, 2) @ b)[..., 0]
    total = weights.sum(0) / max(len(seen), 1)
    precision = prior_precision * np.maximum(total, 1e-3)[:, None] * len(seen)
    N += precision[..., None] * np.eye(3)
    r += precision * (prior - shape)
    return shape + np.linalg.solve(N, r[..., None])[..., 0]


def refit_basis(
    shape: Float[np.ndarray, "p 3"],
    basis: Float[np.ndarray, "k p 3"],
    state: State,
    seen: Float[np.ndarray, "n p 2"],
    focal_px: float,
) -> Float[np.ndarray, "k p 3"]:
    """Regress what the landmarks show on the codes: the basis under perspective, for all landmarks.

    Observations are back-projected at the model's depth, so motion along the line of sight keeps its old value.
    What goes with the pose is left to the pose.
    """
    n, k = state.codes.shape
    if k == 0:
        return basis
    model = shape + np.tensordot(state.codes, basis, 1)
    left = unproject(seen, model, state.R, state.t, focal_px) - model
    features = np.concatenate([state.codes, pose_features(state)], 1)
    # A ridge on the change only: the present basis is the prior.
    gram = features.T @ features + 0.05 * n * np.eye(features.shape[1])
    change = np.linalg.solve(gram, features.T @ left.reshape(n, -1))[:k]
    return basis + change.reshape(k, *shape.shape)


def pose_features(state: State) -> Float[np.ndarray, "n 6"]:
    """Rotation and translation from their means, scaled to unit variance (at least half a degree and a millimetre)."""
    turns = log_rotation(state.R @ nearest_rotation(state.R.mean(0)).T)
    features = np.concatenate([turns, state.t], 1)
    features = features - features.mean(0)
    return features / np.maximum(features.std(0), [0.01] * 3 + [0.001] * 3)


def without_pose(displaced: Float[np.ndarray, "n p 3"], state: State) -> Float[np.ndarray, "n p 3"]:
    """Displacements less their mean and what goes linearly with the pose.

    MediaPipe's face stretches as the head turns. A mode made of that would compete with the pose.
    """
    n = len(displaced)
    features = pose_features(state)
    flat = (displaced - displaced.mean(0)).reshape(n, -1)
    slopes = np.linalg.solve(features.T @ features + 1e-3 * n * np.eye(6), features.T @ flat)
    return (flat - features @ slopes).reshape(displaced.shape)


def fix_gauge(shape: Float[np.ndarray, "p 3"], basis: Float[np.ndarray, "k p 3"]) -> Float[np.ndarray, "k p 3"]:
    """Take out of every mode the rigid motion (small rotation and translation) of the rigid points.

    Modes and pose could trade a rigid motion freely; this says that the rigid points' motion is the pose's.
    """
    motions = _rigid_motions(shape)
    rigid = list(RIGID)
    M = motions[:, rigid].reshape(6, -1)
    solved = np.linalg.lstsq(M.T, basis[:, rigid].reshape(len(basis), M.shape[1]).T, rcond=None)[0]
    return basis - np.tensordot(solved.T, motions, 1)


def _rigid_motions(shape: np.ndarray) -> np.ndarray:
    motions = np.zeros((6, *shape.shape))
    for axis in range(3):
        motions[axis] = np.cross(np.eye(3)[axis], shape)
        motions[3 + axis, :, axis] = 0.1
    return motions
