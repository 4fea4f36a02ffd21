"""One Gauss-Newton step over all frames: head pose and expression codes, tied in time by an acceleration prior.

Codes have no tie in time (a filter there would soften lips and lids), so every frame's codes are eliminated
from its own normal equations (Schur complement) and what is left is a block-banded system in the poses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy.linalg import solveh_banded

from gaussavatar.easing import smoothstep
from gaussavatar.tracking.poses.rotations import exp_rotation, log_rotation

_CHUNK = 256
_BAND = 12
"""Frame i and frame i + 2 share entries of one parameter, 2 x 6 places apart."""


@dataclass
class Motionless:
    """What all frames share: landmark model, camera and noise model.

    ``shape`` (p, 3) and ``basis`` (k, p, 3) in metres for the solved landmarks; ``weights`` (p,) are their
    information in 1 / px^2; ``sigma_px`` scales the Cauchy weights. ``sigmas`` are the prior's standard deviations
    of rotation (radians) and translation (metres) per frame^2, ``smoothness`` weighs it for frames i to i + 2.
    """

    shape: Float[np.ndarray, "p 3"]
    basis: Float[np.ndarray, "k p 3"]
    focal_px: float
    weights: Float[np.ndarray, "p"]
    sigma_px: float
    code_precision: float
    sigmas: Float[np.ndarray, "6"]
    smoothness: Float[np.ndarray, "m 6"]


@dataclass
class State:
    """The unknowns: rotations and translations head to camera, and codes, of every frame."""

    R: Float[np.ndarray, "n 3 3"]
    t: Float[np.ndarray, "n 3"]
    codes: Float[np.ndarray, "n k"]


def project(
    points: Float[np.ndarray, "#n p 3"], R: Float[np.ndarray, "n 3 3"], t: Float[np.ndarray, "n 3"], focal_px: float
) -> tuple[Float[np.ndarray, "n p 2"], Float[np.ndarray, "n p 3"]]:
    """Pixels from the image's middle, and camera points, of head-space points."""
    camera = points @ R.swapaxes(1, 2) + t[:, None]
    return focal_px * camera[..., :2] / camera[..., 2:], camera


def visibility(
    shape: Float[np.ndarray, "p 3"], R: Float[np.ndarray, "n 3 3"], t: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n p"]:
    """How far each landmark's surface faces the camera: 1 in front, 0 beyond the horizon, smooth between.

    The surface is taken as an ellipsoid about an axis behind the face, which is close enough for a weight.
    """
    outward = (shape - np.array([0.0, 0.0, 0.02])) * np.array([1.0, 0.5, 1.0])
    outward = outward / np.linalg.norm(outward, axis=-1, keepdims=True)
    towards = -(shape @ R.swapaxes(1, 2) + t[:, None])
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    cosine = ((outward @ R.swapaxes(1, 2)) * towards).sum(-1)
    return smoothstep(np.clip((cosine + 0.05) / 0.35, 0.0, 1.0))


def step(
    model: Motionless,
    state: State,
    seen: Float[np.ndarray, "n p 2"],
    frame_weights: Float[np.ndarray, "n p"],
    *,
    hold_poses: bool = False,
) -> State:
    """One robust Gauss-Newton step over all frames (iteratively reweighted least squares).

    Args:
        model: Shared quantities.
        state: Current unknowns.
        seen: Landmarks in pixels from the image's middle.
        frame_weights: Weight of every observation, 0 where a frame or point is not to be used.
        hold_poses: Solve the codes only.

    Returns:
        The next state.
    """
    n, k = len(seen), model.basis.shape[0]
    H, g = np.empty((n, 6, 6)), np.empty((n, 6))
    back, code_step = np.empty((n, k, 6)), np.empty((n, k))
    for first in range(0, n, _CHUNK):
        part = slice(first, min(first + _CHUNK, n))
        H[part], g[part], back[part], code_step[part] = _eliminate(model, state, seen, frame_weights, part)
    if hold_poses:
        return State(state.R, state.t, state.codes + code_step)
    delta = solve_chain(H, g, state.R, state.t, model.sigmas, model.smoothness)
    codes = state.codes + code_step - np.einsum("nkj,nj->nk", back, delta)
    return State(exp_rotation(delta[:, :3]) @ state.R, state.t + delta[:, 3:], codes)


def _eliminate(
    model: Motionless, state: State, seen: np.ndarray, frame_weights: np.ndarray, part: slice
) -> tuple[np.ndarray, ...]:
    """Normal equations of a chunk's poses with the codes eliminated, and how to get the codes back."""
    k = model.basis.shape[0]
    J, residual = _linearise(model, state, seen, part)
    squared = (residual**2).sum(1)
    weights = frame_weights[part] * model.weights / (1.0 + squared / model.sigma_px**2)
    root = np.sqrt(weights).astype(np.float32)[:, None, :, None]
    J *= root
    transposed = J.swapaxes(2, 3)
    # One product per image axis: each stays below the size from which OpenBLAS starts threads, which cost far more
    # than they bring for thousands of small products.
    N = (transposed @ J).sum(1, dtype=np.float64)
    r = (transposed @ (residual.astype(np.float32)[..., None] * root))[..., 0].sum(1, dtype=np.float64)
    m = len(residual)
    if k == 0:
        return N, r, np.zeros((m, 0, 6)), np.zeros((m, 0))
    Hcc = N[:, 6:, 6:] + model.code_precision * np.eye(k)
    rc = r[:, 6:] - model.code_precision * state.codes[part]
    solved = np.linalg.solve(Hcc, np.concatenate([N[:, 6:, :6], rc[..., None]], -1))
    back, code_step = solved[..., :6], solved[..., 6]
    H = N[:, :6, :6] - N[:, :6, 6:] @ back
    return H, r[:, :6] - (N[:, :6, 6:] @ code_step[..., None])[..., 0], back, code_step


def _linearise(
    model: Motionless, state: State, seen: np.ndarray, part: slice
) -> tuple[Float32[np.ndarray, "m 2 p q"], Float[np.ndarray, "m 2 p"]]:
    """Jacobian of the pixels by (rotation, translation, codes), float32, and the residual, by image axis."""
    R, t, codes = state.R[part], state.t[part], state.codes[part]
    k, m, p = model.basis.shape[0], len(R), len(model.shape)
    X = model.shape + np.tensordot(codes, model.basis, 1)
    turned = X @ R.swapaxes(1, 2)
    camera = turned + t[:, None]
    inverse = model.focal_px / camera[..., 2]
    pixels = (camera[..., :2] * inverse[..., None]).swapaxes(1, 2)
    A = np.zeros((m, 2, p, 3), np.float32)
    A[:, 0, :, 0] = A[:, 1, :, 1] = inverse
    A[..., 2] = -pixels / camera[:, None, :, 2]
    J = np.empty((m, 2, p, 6 + k), np.float32)
    # A turn e moves the point by e x v, so the row a gives a . (e x v) = e . (v x a).
    v = turned.astype(np.float32)[:, None]
    for axis in range(3):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        J[..., axis] = v[..., i] * A[..., j] - v[..., j] * A[..., i]
    J[..., 3:6] = A
    if k:
        rows = A @ R.astype(np.float32)[:, None]
        per_point = rows.transpose(2, 0, 1, 3).reshape(p, m * 2, 3)
        moved = per_point @ model.basis.astype(np.float32).transpose(1, 2, 0)
        J[..., 6:] = moved.reshape(p, m, 2, k).transpose(1, 2, 0, 3)
    return J, seen[part].swapaxes(1, 2) - pixels


def solve_chain(
    H: Float[np.ndarray, "n 6 6"],
    g: Float[np.ndarray, "n 6"],
    R: Float[np.ndarray, "n 3 3"],
    t: Float[np.ndarray, "n 3"],
    sigmas: Float[np.ndarray, "6"],
    smoothness: Float[np.ndarray, "m 6"],
) -> Float[np.ndarray, "n 6"]:
    """Steps of all poses from their normal equations ``H x = g`` and the prior on their acceleration.

    The prior is sum over frames and axes of smoothness ((x_i - 2 x_i+1 + x_i+2 + a_i) / sigma)^2 with the present
    accelerations a; the block-banded system is solved in units of ``sigmas`` (radians and metres per frame^2).
    """
    n = len(H)
    H, g = H * sigmas[:, None] * sigmas, g * sigmas
    band = np.zeros((_BAND + 1, n * 6))
    blocks = np.arange(n) * 6
    for row in range(6):
        for column in range(row, 6):
            band[_BAND + row - column, blocks + column] = H[:, row, column]
    # A frame without observations and without neighbours stays where it is.
    band[_BAND] += 1e-6
    right = g.copy()
    if n >= 3:
        turns = log_rotation(R[1:] @ R[:-1].swapaxes(1, 2))
        acceleration = np.concatenate([np.diff(turns, axis=0), np.diff(t, n=2, axis=0)], 1) / sigmas
        stencil = (1.0, -2.0, 1.0)
        for a in range(3):
            right[a : n - 2 + a] -= stencil[a] * smoothness * acceleration
            for b in range(a, 3):
                columns = (np.arange(n - 2)[:, None] + b) * 6 + np.arange(6)
                band[_BAND - 6 * (b - a), columns] += stencil[a] * stencil[b] * smoothness
    return solveh_banded(band, right.reshape(-1), overwrite_ab=True, check_finite=False).reshape(n, 6) * sigmas
