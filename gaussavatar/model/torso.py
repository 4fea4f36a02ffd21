"""The torso branch: Gaussians in a space of their own that follows the head only slowly and in part."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from gaussavatar.model.gaussians import Gaussians, RawGaussians, activate
from gaussavatar.motion.rotations import rotation_matrices, rotation_vectors
from gaussavatar.types import VIDEO_FPS, Activated

CUT_HERTZ = 0.3
"""Head motion slower than this (half power) is what shoulders take part in."""

SHARE = 0.3
"""Share of a slow turn of the head that the shoulders make, before training finds this person's own."""


def slow_motion(
    R_camera_head: Float[np.ndarray, "n 3 3"],
    t_camera_head: Float[np.ndarray, "n 3"],
    T_base: Float32[np.ndarray, "4 4"],
) -> Float32[np.ndarray, "n 12"]:
    """What the torso listens to: the head's turn (axis-angle, rad) and shift (m) from ``T_base``, slow and as it is."""
    turn = rotation_vectors(torch.from_numpy(R_camera_head @ T_base[:3, :3].T).double()).numpy()
    now = np.concatenate([turn, t_camera_head - T_base[:3, 3]], axis=1)
    # Half power of a Gaussian filter: sigma = sqrt(ln 2) / (2 pi f).
    slow = gaussian_filter1d(now, np.sqrt(np.log(2)) / (2 * np.pi * CUT_HERTZ) * VIDEO_FPS, axis=0, mode="nearest")
    return np.concatenate([slow, now], axis=1).astype(np.float32)


class Torso(nn.Module):
    """Rigid Gaussians in torso space: the head space of the clip's mean head pose, ``T_base``.

    The pose is linear in the head's slow and instantaneous motion, so that any head pose gives one.
    """

    T_base: Tensor

    def __init__(self, raw: RawGaussians, T_base: Float[Tensor, "4 4"]) -> None:
        super().__init__()
        self.gaussians = Gaussians(raw, 0)
        self.register_buffer("T_base", T_base.float())
        follow = torch.zeros(12, 6)
        follow[:3, :3] = SHARE * torch.eye(3)
        follow[3:6, 3:] = torch.eye(3)
        self.follow = nn.Parameter(follow)

    def poses(self, motion: Float[Tensor, "b 12"]) -> Float[Tensor, "b 4 4"]:
        """``T_camera_torso`` for the rows of :func:`slow_motion`."""
        offset = motion @ self.follow
        R = rotation_matrices(offset[:, :3]) @ self.T_base[:3, :3]
        t = (self.T_base[:3, 3] + offset[:, 3:])[..., None]
        last = self.T_base[3].expand(len(motion), 1, 4)
        return torch.cat([torch.cat([R, t], dim=2), last], dim=1)

    def activated(self, batch: int) -> Activated:
        """The Gaussians in torso space, ``batch`` times."""
        return activate(self.gaussians, None, (), batch)


def blank_torso(count: int, T_base: Float32[np.ndarray, "4 4"] | None = None) -> Torso:
    """A torso of the right shapes, to be filled."""
    raw = RawGaussians(
        torch.zeros(count, 3), torch.zeros(count, 4), torch.zeros(count, 3), torch.zeros(count), torch.zeros(count, 3)
    )
    return Torso(raw, torch.eye(4) if T_base is None else torch.from_numpy(T_base))


def torso_from(arrays: dict[str, np.ndarray]) -> Torso:
    """A torso from its stored tensors."""
    torso = blank_torso(len(arrays["gaussians.means"]))
    own = torso.state_dict().keys()
    torso.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items() if name in own})
    return torso.requires_grad_(False)
