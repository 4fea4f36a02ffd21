"""The torso branch of a loaded avatar: its file, and drawing it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gaussavatar.avatar.checked import DO, check_branches, check_numbers, check_weights, require_array
from gaussavatar.avatar.folder import TORSO
from gaussavatar.avatar.record import AvatarRecord
from gaussavatar.errors import UserError
from gaussavatar.model.binding import quaternion_product
from gaussavatar.model.torso import Torso, blank_torso, torso_from
from gaussavatar.motion.poses import are_poses
from gaussavatar.motion.rotations import rotation_quaternions
from gaussavatar.render.api import Rasterizer
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.types import Activated, Cameras, Rendered


@dataclass(frozen=True)
class LoadedTorso:
    """Torso Gaussians and where they are in every frame of the avatar's pose track."""

    torso: Torso
    T_camera_torso: Float32[np.ndarray, "n 4 4"]

    def draw(self, rasterizer: Rasterizer, cameras: Cameras) -> Rendered:
        """The torso seen by cameras whose ``T_camera_world`` maps torso space to the camera."""
        with torch.no_grad():
            drawn = rasterizer(self.torso.activated(cameras.K.shape[0]), cameras)
        return Rendered(drawn.rgb.clamp_min(0).minimum(drawn.alpha[..., None]), drawn.alpha)

    def draw_over(
        self, rasterizer: Rasterizer, cameras: Cameras, background: Float[Tensor, "b h w 3"]
    ) -> Float[Tensor, "b h w 3"]:
        """The torso before an opaque background."""
        drawn = self.draw(rasterizer, cameras)
        return drawn.rgb + (1 - drawn.alpha)[..., None] * background

    def under_head(self, T_camera_head: Float32[np.ndarray, "4 4"], place: int) -> Activated:
        """The Gaussians, without batch dimension, in the space of a head of that pose; ``place`` says whose torso."""
        return self.placed(np.linalg.inv(T_camera_head) @ self.T_camera_torso[place])

    def placed(self, T_world_torso: Float32[np.ndarray, "4 4"]) -> Activated:
        """The Gaussians, without batch dimension, moved to another space."""
        own = self.torso.activated(1)
        T = torch.from_numpy(T_world_torso).to(own.means)
        turned = torch.stack(
            quaternion_product(rotation_quaternions(T[:3, :3]).unbind(), own.quats[0].unbind(-1)), dim=-1
        )
        means = own.means[0] @ T[:3, :3].T + T[:3, 3]
        return Activated(means, turned, own.scales[0], own.opacities[0], own.colors[0])


def joined(first: Activated, second: Activated) -> Activated:
    """Two sets of Gaussians without batch dimension as one."""
    return Activated(*(torch.cat([getattr(first, f.name), getattr(second, f.name)]) for f in fields(Activated)))


def write_torso(folder: Path, torso: Torso, T_camera_torso: Float32[np.ndarray, "n 4 4"]) -> None:
    """Write the torso's file of an avatar folder."""
    arrays = {name: value.detach().cpu().numpy() for name, value in torso.state_dict().items()}
    write_arrays(folder / TORSO, arrays | {"T_camera_torso": T_camera_torso.astype(np.float32)})


def load_torso(folder: Path, record: AvatarRecord, frames: int) -> LoadedTorso | None:
    """The torso branch of an avatar, or None where it was fitted without one.

    Raises:
        UserError: its file is damaged, or is not one of ``frames`` frames.
    """
    if not record.has(TORSO):
        return None
    path = folder / TORSO
    arrays, _ = read_arrays(path)
    check_numbers(arrays, path)
    means = require_array(arrays, "gaussians.means", (None, 3), path)
    check_weights(arrays, blank_torso(len(means)).state_dict(), path)
    check_branches(arrays, "", path)
    T_camera_torso = require_array(arrays, "T_camera_torso", (frames, 4, 4), path)
    if not are_poses(T_camera_torso):
        raise UserError(f"poses as T_camera_torso of {path}", "other matrices", DO)
    return LoadedTorso(torso_from(arrays), T_camera_torso)
