"""Batched rotations in numpy: exponential, logarithm, and the nearest rotation of a matrix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def exp_rotation(vectors: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3 3"]:
    """Rotation matrices of rotation vectors in radians (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    # sinc stays exact at zero, where the quotient of the textbook formula is 0 / 0.
    sine = np.sinc(angle / np.pi)
    versine = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    W = cross_matrix(vectors)
    return np.eye(3) + sine * W + versine * (W @ W)


def log_rotation(R: Float[np.ndarray, "*b 3 3"]) -> Float[np.ndarray, "*b 3"]:
    """Rotation vectors of rotation matrices; meant for angles well under half a turn."""
    axis = np.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], -1) / 2
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    cosine = (np.trace(R, axis1=-2, axis2=-1)[..., None] - 1) / 2
    angle = np.arctan2(sine, cosine)
    return axis * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 1.0)


def cross_matrix(vectors: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3 3"]:
    """Matrices W with ``W @ x = cross(v, x)``."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def nearest_rotation(M: Float[np.ndarray, "*b 3 3"]) -> Float[np.ndarray, "*b 3 3"]:
    """The rotation R that maximises ``trace(R.T @ M)`` (orthogonal Procrustes, without reflections)."""
    U, _, Vt = np.linalg.svd(M)
    signs = np.ones(M.shape[:-1])
    signs[..., 2] = np.sign(np.linalg.det(U @ Vt))
    return (U * signs[..., None, :]) @ Vt
