"""How the shoulders stand against the skull: they follow the head only slowly and in part."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from gaussavatar.head.model import HeadModel
from gaussavatar.tracking.poses.rotations import exp_rotation, log_rotation, nearest_rotation
from gaussavatar.types import VIDEO_FPS

_CUT_HERTZ = 0.3
_FOLLOW = 0.3
"""Share of a slow turn of the head that the shoulders make too."""

_LIMITS_DEG = np.array([35.0, 60.0, 30.0])
"""How far the neck bends, turns and tilts at most; beyond, the shoulders give way."""

_NECK_SHARE = 0.45


def neck_rotations(
    head: HeadModel, R_camera_head: Float[np.ndarray, "n 3 3"], used: Bool[np.ndarray, "n"]
) -> Float[np.ndarray, "n j 3"]:
    """Joint rotations (axis-angle) of neck and head that leave the shoulders calm while the skull moves.

    The shoulders rest as the model's do under the clip's mean head, without its tilt. They make ``_FOLLOW`` of the
    head's turns that
    are slower than 0.3 Hz (Gaussian, half power there), and more where the neck would have to go past its limits.
    The root is left alone: the skull is where the tracking says, so only what lies between matters.
    """
    n = len(R_camera_head)
    rotations = np.zeros((n, len(head.joint_names), 3))
    R = R_camera_head.astype(np.float64)
    mean = nearest_rotation(R[used].mean(0)) if used.any() else np.eye(3)
    turns = log_rotation(R @ mean.T)
    # Cameras stand level more often than people hold their heads straight: the shoulders keep the picture's level.
    roll = np.arctan2(mean[1, 0], mean[0, 0])
    mean = exp_rotation(np.array([0.0, 0.0, -roll])) @ mean
    # Half power of a Gaussian filter: sigma = sqrt(ln 2) / (2 pi f).
    sigma = np.sqrt(np.log(2)) / (2 * np.pi * _CUT_HERTZ) * VIDEO_FPS
    slow = gaussian_filter1d(turns, sigma, axis=0, mode="nearest")
    shoulders = exp_rotation(_FOLLOW * slow) @ mean
    between = log_rotation(shoulders.swapaxes(1, 2) @ R)
    between = np.clip(between, -np.deg2rad(_LIMITS_DEG), np.deg2rad(_LIMITS_DEG))
    neck, names = head.joint_names.index("neck"), head.joint_names
    if "head" in names:
        rotations[:, neck] = _NECK_SHARE * between
        rotations[:, names.index("head")] = (1 - _NECK_SHARE) * between
    else:
        rotations[:, neck] = between
    return rotations
