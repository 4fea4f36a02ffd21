"""What is behind the head in each frame of the filmed track: the torso, and the background where there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

from gaussavatar.avatar.background import Background
from gaussavatar.avatar.framing import Framing
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.image.cutout import cut_out
from gaussavatar.image.filling import fill_holes
from gaussavatar.motion.viewpoint import head_motion
from gaussavatar.storage import FrameStore
from gaussavatar.types import Camera, Cameras, Rendered

Behind = Callable[[Int[np.ndarray, "b"]], Rendered]
"""Frames of the filmed track to the layer behind the head; colour premultiplied, 0..1."""


TorsoKind = Literal["real", "gaussians"]
"""Whose torso: the filmed one, pasted, or the fitted torso branch."""


def check_torso(avatar: LoadedAvatar, torso: TorsoKind) -> None:
    """Refuse a torso that there is not.

    Raises:
        UserError: another word than those of :data:`TorsoKind`, or the torso branch of an avatar without one.
    """
    if torso not in get_args(TorsoKind):
        raise UserError("a torso: real or gaussians", repr(torso), "give one of these")
    if torso == "gaussians" and avatar.torso is None:
        raise UserError("an avatar with a torso branch", "one without", "fit it with --set torso.enabled=true")


def behind_head(
    avatar: LoadedAvatar, wish: Background, folder: Path, torso: TorsoKind = "real", framing: Framing | None = None
) -> Behind:
    """The torso before the wished-for background; decoded videos go into ``folder``.

    Args:
        avatar: whose torso.
        wish: what is behind it.
        folder: where videos are decoded to.
        torso: whose torso.
        framing: which part is shown, and how large; the whole picture as filmed when None.

    Raises:
        UserError: another background is wanted of an avatar without a matte, or its torso branch, which it lacks.
    """
    check_torso(avatar, torso)
    if torso == "gaussians":
        return _drawn_torso(avatar, wish, framing)
    under = avatar.under_frames(folder)
    if wish.filmed:
        filmed = torso_as_filmed(under)
        return filmed if framing is None else lambda places: framing.shown(filmed(places))
    matte = avatar.matte_frames(folder)
    background = wish.image(avatar.size, avatar.size) if framing is None else wish.image(framing.width, framing.height)

    def replaced(places: Int[np.ndarray, "b"]) -> Rendered:
        frames = np.minimum(places, len(under) - 1).tolist()
        cut = [cut_out(under.read(index), matte.read(index)[..., 0], avatar.fixed_plate) for index in frames]
        stacked = (np.stack([each.rgb for each in cut]), np.stack([each.alpha for each in cut]))
        layer = Rendered(*(torch.from_numpy(array) for array in stacked))
        layer = layer if framing is None else framing.shown(layer)
        return layer if background is None else before(layer, torch.from_numpy(background.copy()))

    return replaced


def before(layer: Rendered, background: Float[Tensor, "h w 3"]) -> Rendered:
    """A layer before an opaque background."""
    return Rendered(layer.rgb + (1 - layer.alpha)[..., None] * background, torch.ones_like(layer.alpha))


def torso_as_filmed(under: FrameStore) -> Behind:
    """The completed frames themselves, with the filmed background."""

    def filmed(places: Int[np.ndarray, "b"]) -> Rendered:
        return _opaque(under.read_batch(np.minimum(places, len(under) - 1).tolist()))

    return filmed


def _drawn_torso(avatar: LoadedAvatar, wish: Background, framing: Framing | None) -> Behind:
    torso = avatar.torso
    assert torso is not None
    width, height = (avatar.size, avatar.size) if framing is None else (framing.width, framing.height)
    intrinsics = avatar.tensor(avatar.K if framing is None else framing.matrix(avatar.K))
    if wish.filmed:
        plate = _opaque(avatar.plate[None])
        background = (plate if framing is None else framing.shown(plate)).rgb[0].to(avatar.device)
    else:
        image = wish.image(width, height)
        background = None if image is None else avatar.tensor(image.copy())

    def drawn(places: Int[np.ndarray, "b"]) -> Rendered:
        poses = avatar.tensor(torso.T_camera_torso[places])
        K = intrinsics.expand(len(places), 3, 3)
        layer = torso.draw(avatar.rasterizer, Cameras(poses, K, width, height))
        return layer if background is None else before(layer, background)

    return drawn


PLAIN = 0.85
"""Grey behind an avatar that is seen from elsewhere, where the filmed background has no meaning."""


def behind_elsewhere(avatar: LoadedAvatar, wish: Background, camera: Camera) -> Behind:
    """What is behind the head for a camera of one's own: the torso branch, where there is one, before a background."""
    image = np.full((camera.height, camera.width, 3), PLAIN, np.float32) if wish.filmed else wish.image(
        camera.width, camera.height)  # fmt: skip
    return torso_elsewhere(avatar, image, camera)


def torso_elsewhere(avatar: LoadedAvatar, image: Float32[np.ndarray, "h w 3"] | None, camera: Camera) -> Behind:
    """The torso branch, where there is one, before a picture of the camera's size in 0..1, or before nothing."""
    shape = (camera.height, camera.width)
    still = avatar.tensor(np.zeros((*shape, 3), np.float32) if image is None else np.array(image))
    alpha = avatar.tensor(np.full(shape, 0 if image is None else 1, np.float32))
    K, torso = avatar.tensor(camera.K), avatar.torso

    def seen(places: Int[np.ndarray, "b"]) -> Rendered:
        count = len(places)
        background = Rendered(still.expand(count, *still.shape), alpha.expand(count, *shape))
        if torso is None:
            return background
        moved = head_motion(torso.T_camera_torso[places], avatar.filmed.T_camera_world[0])
        poses = avatar.tensor(camera.T_camera_world @ moved)
        drawn = torso.draw(avatar.rasterizer, Cameras(poses, K.expand(count, 3, 3), camera.width, camera.height))
        left = 1 - drawn.alpha
        return Rendered(drawn.rgb + left[..., None] * background.rgb, drawn.alpha + left * background.alpha)

    return seen


def _opaque(images: UInt8[np.ndarray, "b h w 3"] | Float32[np.ndarray, "b h w 3"]) -> Rendered:
    rgb = torch.from_numpy(images)
    rgb = rgb.float() / 255 if images.dtype == np.uint8 else rgb
    return Rendered(rgb, torch.ones(rgb.shape[:3]))


def straight(layer: Rendered) -> list[UInt8[np.ndarray, "h w 4"]]:
    """Premultiplied images as RGBA of 8 bits with straight alpha.

    Where hardly anything is there the colour is continued from the person's edge: codecs store it in
    coarse blocks, and black behind the edge would come back as a dark fringe.
    """
    rgb: Float[Tensor, "b h w 3"] = layer.rgb
    images = []
    for color, alpha in zip(rgb.cpu().numpy(), layer.alpha.cpu().numpy(), strict=True):
        known = np.clip((alpha - 0.25) / 0.5, 0, 1).astype(np.float32)
        own = color / np.maximum(alpha, 1e-4)[..., None]
        around = fill_holes(own.clip(0, 1).astype(np.float32), known)
        filled = np.where(alpha[..., None] > 0.25, own, around)
        both = np.concatenate([filled, alpha[..., None]], axis=-1)
        images.append((both * 255).round().clip(0, 255).astype(np.uint8))
    return images
