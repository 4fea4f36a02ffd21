"""Which part of the filmed picture is shown, and how large: the head is drawn at that size, the torso is scaled."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch.nn import functional

from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.types import Rendered

SMALLEST, LARGEST = 16, 4096
"""Pixels that a side of a video may have."""

AROUND_HEAD = 1.25
"""Side of the square around the head, over the larger side of the head's Gaussians."""


@dataclass(frozen=True)
class Framing:
    """A part of the filmed square picture, in its pixels, shown at a size of its own."""

    left: int
    top: int
    wide: int
    high: int
    width: int
    """Of what is shown, pixels."""
    height: int

    def matrix(self, K: Float32[np.ndarray, "3 3"]) -> Float32[np.ndarray, "3 3"]:
        """Intrinsics of the filmed picture as those of what is shown."""
        shift = np.array([[1, 0, -self.left], [0, 1, -self.top], [0, 0, 1]], float)
        scale = np.diag([self.width / self.wide, self.height / self.high, 1.0])
        return (scale @ shift @ K.astype(float)).astype(np.float32)

    def shown(self, layer: Rendered) -> Rendered:
        """The part of a filmed layer, scaled; colour premultiplied, 0..1."""
        rows, columns = slice(self.top, self.top + self.high), slice(self.left, self.left + self.wide)
        rgb, alpha = layer.rgb[:, rows, columns], layer.alpha[:, rows, columns]
        if (self.high, self.wide) == (self.height, self.width):
            return Rendered(rgb, alpha)
        both = torch.cat([rgb, alpha[..., None]], -1).permute(0, 3, 1, 2)
        size = (self.height, self.width)
        scaled = functional.interpolate(both, size, mode="bicubic", antialias=True).permute(0, 2, 3, 1).clamp(0, 1)
        return Rendered(scaled[..., :3].minimum(scaled[..., 3:]), scaled[..., 3])


def framing_of(avatar: LoadedAvatar, crop: str | None, size: int | None) -> Framing | None:
    """What a user's words mean for an avatar; None where the whole picture is shown as it was filmed.

    Args:
        avatar: whose picture it is.
        crop: ``head`` for a square around the head, or ``x,y,width,height`` in pixels of the filmed picture.
        size: the larger side of what is shown, pixels; as filmed when None.

    Raises:
        UserError: a part outside the picture, or a size out of range.
    """
    if crop is None and size in (None, avatar.size):
        return None
    left, top, wide, high = (0, 0, avatar.size, avatar.size) if crop is None else parse_crop(avatar, crop)
    scale = 1.0
    if size is not None:
        if not SMALLEST <= size <= LARGEST:
            raise UserError(f"a --size of {SMALLEST} to {LARGEST} pixels", f"{size}", "give another one")
        scale = size / max(wide, high)
    # Codecs want even sides.
    width, height = (max(2, round(side * scale / 2) * 2) for side in (wide, high))
    return Framing(left, top, wide, high, width, height)


def parse_crop(avatar: LoadedAvatar, crop: str) -> tuple[int, int, int, int]:
    """Left, top, width and height of the wished-for part.

    Raises:
        UserError: neither ``head`` nor four whole numbers that lie within the picture.
    """
    if crop == "head":
        return around_head(avatar)
    wanted = f"--crop head, or x,y,width,height within the picture of {avatar.size} x {avatar.size}"
    numbers = re.fullmatch(r"(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})", crop.replace(" ", ""))
    if numbers is None:
        raise UserError(wanted, repr(crop), "give four whole numbers with commas between")
    left, top, wide, high = (int(number) for number in numbers.groups())
    if min(wide, high) < SMALLEST or max(left + wide, top + high) > avatar.size:
        raise UserError(wanted, repr(crop), f"give a part of at least {SMALLEST} x {SMALLEST} that lies within it")
    return left, top, wide, high


def around_head(avatar: LoadedAvatar) -> tuple[int, int, int, int]:
    """A square that holds the head through the whole filmed track, within the picture."""
    means = avatar.model.face.gaussians.means.detach().cpu().numpy()
    poses = avatar.filmed.T_camera_world[:: max(1, len(avatar.filmed) // 50)]
    seen = means @ poses[:, :3, :3].swapaxes(1, 2) + poses[:, None, :3, 3]
    pixels = (seen @ avatar.K.T)[..., :2] / seen[..., 2:].clip(1e-3)
    # Single Gaussians far out, as of flying hair, do not count.
    low, high = np.quantile(pixels, 0.01, axis=1).min(0), np.quantile(pixels, 0.99, axis=1).max(0)
    side = min(avatar.size, max(SMALLEST, round(AROUND_HEAD * float((high - low).max()))))
    left, top = (int(np.clip(round(float(middle) - side / 2), 0, avatar.size - side)) for middle in (low + high) / 2)
    return left, top, side, side
