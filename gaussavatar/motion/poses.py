"""Head poses in time: between two, about a mean, and as rotation vectors."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial.transform import Rotation

NECK = np.array([[0.0, 0.12, 0.06], [0.05, 0.12, 0.06], [0.0, 0.04, -0.06]])
"""Points of head space, metres: two at the neck and one at the chin. Poses that agree on them agree on the torso."""


def turns(T: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 3"]:
    """Rotation vectors of poses, radians."""
    return Rotation.from_matrix(T[:, :3, :3].astype(float)).as_rotvec()


def posed(turn: Float[np.ndarray, "n 3"], place: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 4 4"]:
    """Poses of rotation vectors (radians) and translations."""
    T = np.tile(np.eye(4), (len(turn), 1, 1))
    T[:, :3, :3], T[:, :3, 3] = Rotation.from_rotvec(turn).as_matrix(), place
    return T


def mean_pose(T: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "4 4"]:
    """The mean rotation (of least squared chordal distance) with the mean place."""
    mean = np.eye(4)
    mean[:3, :3] = Rotation.from_matrix(T[:, :3, :3].astype(float)).mean().as_matrix()
    mean[:3, 3] = T[:, :3, 3].astype(float).mean(axis=0)
    return mean


def between_poses(
    before: Float[np.ndarray, "n 4 4"], after: Float[np.ndarray, "n 4 4"], share: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n 4 4"]:
    """Poses a share of the way from one to the other: the shortest turn at even speed, the place along a line."""
    first, second = (T[:, :3, :3].astype(float) for T in (before, after))
    part = Rotation.from_matrix(first.swapaxes(1, 2) @ second).as_rotvec() * share[:, None]
    T = np.tile(np.eye(4), (len(before), 1, 1))
    T[:, :3, :3] = first @ Rotation.from_rotvec(part).as_matrix()
    T[:, :3, 3] = before[:, :3, 3] + share[:, None] * (after[:, :3, 3].astype(float) - before[:, :3, 3])
    return T


def deviations(T: Float[np.ndarray, "n 4 4"], mean: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "n 6"]:
    """How poses differ from one: rotation vector (radians) in head space, then metres in the camera's axes."""
    turn = Rotation.from_matrix(mean[:3, :3].T @ T[:, :3, :3].astype(float)).as_rotvec()
    return np.concatenate([turn, T[:, :3, 3] - mean[:3, 3]], axis=1)


def deviated(mean: Float[np.ndarray, "4 4"], by: Float[np.ndarray, "n 6"]) -> Float32[np.ndarray, "n 4 4"]:
    """The inverse of :func:`deviations`."""
    T = np.tile(np.eye(4), (len(by), 1, 1))
    T[:, :3, :3] = mean[:3, :3] @ Rotation.from_rotvec(by[:, :3]).as_matrix()
    T[:, :3, 3] = mean[:3, 3] + by[:, 3:]
    return T.astype(np.float32)


def neck_points(T: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 9"]:
    """Where :data:`NECK` lies in the camera's space, metres: what torsos are compared by."""
    return (NECK @ T[:, :3, :3].astype(float).swapaxes(1, 2) + T[:, None, :3, 3]).reshape(len(T), -1)


def are_poses(T: Float[np.ndarray, "n 4 4"]) -> bool:
    """Whether matrices are rotations with a place, as exactly as single precision and rounding to files leave them."""
    R = T[:, :3, :3].astype(float)
    turned = np.allclose(R.swapaxes(1, 2) @ R, np.eye(3), atol=0.01) and bool((np.linalg.det(R) > 0).all())
    return turned and np.allclose(T[:, 3], [0, 0, 0, 1], atol=1e-6)
