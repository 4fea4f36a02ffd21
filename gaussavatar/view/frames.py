"""From a view state to what is shown: a picture, or Gaussians for the browser to draw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from gaussavatar.avatar.behind import torso_as_filmed, torso_elsewhere
from gaussavatar.avatar.driving import layers, layers_from, opaque_frames
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.motion.rotations import rotation_quaternions
from gaussavatar.motion.viewpoint import head_motion
from gaussavatar.render.torch_oracle import rotation_from_quats
from gaussavatar.storage import FrameStore
from gaussavatar.types import Activated
from gaussavatar.view.state import ViewState

BACKDROP_TOP, BACKDROP_BOTTOM = 0.93, 0.72
"""Grey behind an avatar that is looked at from anywhere, from the picture's top to its bottom."""

PUSHED = 1.5
"""How many times as far from the eye the mouth stands where one order by depth would show it through the face."""

MARGIN = 40
"""Grey (of 255) beside the filmed picture where the page is wider or higher."""


@dataclass(frozen=True)
class Splats:
    """Gaussians as a browser draws them, and where the head that they belong to has moved."""

    means: Float32[np.ndarray, "n 3"]
    covariances: Float32[np.ndarray, "n 3 3"]
    colors: Float32[np.ndarray, "n 3"]
    """In 0..1."""
    opacities: Float32[np.ndarray, "n 1"]
    T_world_head: Float32[np.ndarray, "4 4"]
    """From the head space of the state to that of the filmed track's first frame."""


class Painter:
    """Draws the view states of an avatar; holds its filmed torso, which is decoded when it is first seen."""

    def __init__(self, avatar: LoadedAvatar, folder: Path) -> None:
        """Set up the drawing.

        Args:
            avatar: whose states they are.
            folder: where decoded frames may be put.
        """
        self.avatar = avatar
        self._folder = folder
        self._under: FrameStore | None = None

    def show(self, avatar: LoadedAvatar) -> None:
        """Go over to another avatar, or to another state of the same one's training."""
        if avatar.path != self.avatar.path or type(avatar) is not type(self.avatar):
            self._under = None
        self.avatar = avatar

    def picture(self, state: ViewState) -> UInt8[np.ndarray, "h w 3"]:
        """The state as its camera sees it, or as it was filmed, in the middle of a picture of the same shape."""
        if state.seen == "orbit":
            return orbit_picture(self.avatar, state)
        if self._under is None:
            self._under = self.avatar.under_frames(self._folder)
        image = filmed_picture(self.avatar, state, self._under)
        return centred(image, state.camera.width / state.camera.height)

    def splats(self, state: ViewState) -> Splats:
        """The state's Gaussians, torso included where there is one."""
        return state_splats(self.avatar, state)


def orbit_picture(avatar: LoadedAvatar, state: ViewState) -> UInt8[np.ndarray, "h w 3"]:
    """The avatar from the browser's camera, with its torso branch where it has one, before a grey that darkens."""
    behind = torso_elsewhere(avatar, backdrop(state.camera.width, state.camera.height), state.camera)
    return next(opaque_frames(layers_from(avatar, state.track, state.camera, behind, state.expression)))


def backdrop(width: int, height: int) -> Float32[np.ndarray, "h w 3"]:
    """The grey that an avatar stands before, 0..1."""
    shade = np.linspace(BACKDROP_TOP, BACKDROP_BOTTOM, height, dtype=np.float32)
    return np.broadcast_to(shade[:, None, None], (height, width, 3))


def filmed_picture(avatar: LoadedAvatar, state: ViewState, under: FrameStore) -> UInt8[np.ndarray, "h w 3"]:
    """The whole picture by the filming camera, before the filmed torso and place in ``under``."""
    return next(opaque_frames(layers(avatar, state.track, torso_as_filmed(under), state.expression)))


def state_splats(avatar: LoadedAvatar, state: ViewState) -> Splats:
    """All Gaussians of a state in its head space, and where that is."""
    gaussians = avatar.gaussians(state.face, state.expression, state.place, state.T_camera_head)
    drawn = (gaussians.means, covariances(gaussians), gaussians.colors.clamp(0, 1), gaussians.opacities[:, None])
    moved = head_motion(state.T_camera_head, avatar.filmed.T_camera_world[0])
    return Splats(*(each.cpu().numpy() for each in drawn), moved)


def parted(splats: Splats, part: slice) -> tuple[Splats, Splats]:
    """Splats without a part of them, and that part."""
    inside = np.zeros(len(splats.means), bool)
    inside[part] = True
    drawn = (splats.means, splats.covariances, splats.colors, splats.opacities)
    rest, own = (Splats(*(each[which] for each in drawn), splats.T_world_head) for which in (~inside, inside))
    return rest, own


def pushed_place(
    place: Float[np.ndarray, "3"], eye: Float[np.ndarray, "3"], by: float = PUSHED
) -> Float[np.ndarray, "3"]:
    """Where a thing has to stand that was ``place``d, is drawn ``by`` times as large, and looks alike from ``eye``."""
    return by * place + (1 - by) * eye


def covariances(gaussians: Activated) -> Float32[Tensor, "n 3 3"]:
    """Covariance matrices (square metres) of Gaussians without batch dimension."""
    R = rotation_from_quats(gaussians.quats)
    spread = R * gaussians.scales[:, None, :]
    return spread @ spread.transpose(1, 2)


def centred(image: UInt8[np.ndarray, "h w 3"], aspect: float) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Put a picture into the middle of a grey canvas of ``aspect`` = width / height."""
    height, width = image.shape[:2]
    canvas_width, canvas_height = (round(height * aspect), height) if aspect > width / height else (
        width, round(width / aspect))  # fmt: skip
    canvas = np.full((canvas_height, canvas_width, 3), MARGIN, np.uint8)
    top, left = (canvas_height - height) // 2, (canvas_width - width) // 2
    canvas[top : top + height, left : left + width] = image
    return canvas


def quaternion(R: Float32[np.ndarray, "3 3"]) -> tuple[float, float, float, float]:
    """A rotation matrix as unit quaternion, wxyz."""
    w, x, y, z = rotation_quaternions(torch.from_numpy(R)).tolist()
    return w, x, y, z
