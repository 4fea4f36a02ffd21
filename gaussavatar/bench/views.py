"""How an avatar looks from the side: against the demo's actor, who can be drawn from everywhere, or its head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from gaussavatar.avatar.finding import CAPTURE
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.bench.machine import load_average
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.capture.store import load_capture
from gaussavatar.errors import UserError
from gaussavatar.evaluate.metrics import psnr
from gaussavatar.image.losses import ssim
from gaussavatar.mesh.zbuffer import rasterize_mesh
from gaussavatar.motion.viewpoint import orbited
from gaussavatar.synthetic.actor import load_truth
from gaussavatar.synthetic.sides import ActorSides, is_of_seed
from gaussavatar.tracking.head.track import load_head_track
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.types import Camera, Cameras, Rendered

VIEWS: tuple[tuple[float, float], ...] = (
    (0, 0), (10, 0), (20, 0), (30, 0), (45, 0), (0, 10), (0, 20),
)  # fmt: skip
"""Degrees of yaw and pitch; both signs are measured."""

FRAMES = 8
FACE = list(range(468))
"""Landmarks about whose middle the camera turns: a point of the head that tracking and truth both know."""

GREY = 0.5

HEAD, NECK = ("face", "scalp", "ear", "lips"), ("neck", "torso")
"""Regions of a head model whose outlines are to be covered."""


def bench_views(
    avatar: Path, clip: Path, seed: int = 0, frames: int = FRAMES, save: Path | None = None
) -> dict[str, float]:
    """Draw an avatar and its actor from the same places.

    Args:
        avatar: folder of an avatar that was fitted to an actor's clip.
        clip: folder of that clip, with its truth.
        seed: of the actor.
        frames: so many frames of the clip, even over it.
        save: folder for the pictures, the actor's and the avatar's side by side.

    Returns:
        For each of :data:`VIEWS` ``psnr`` and ``ssim`` inside the true mask of the head and ``iou`` of the silhouettes
        (before neck and clothes anything may lie), mean of both sides and all frames; and the machine's load.

    Raises:
        UserError: no such avatar or clip, or the clip is of another actor.
    """
    loaded, truth = load_avatar(avatar), load_truth(clip / "truth.safetensors")
    if not is_of_seed(truth, seed):
        raise UserError(f"the clip of the actor with seed {seed} in {clip}", "another one", "give its --seed")
    sides, layout = ActorSides(truth, seed), CaptureLayout(avatar / CAPTURE)
    capture, tracking = load_capture(layout.folder), load_tracking(layout.tracking)
    K = _cropped(truth.K.astype(float), capture.crop, loaded.size)
    middle = tracking.shape[FACE].astype(float).mean(axis=0)
    chosen = np.linspace(0, len(loaded.filmed) - 1, frames).round().astype(int)
    figures: dict[str, float] = {}
    for yaw, pitch in VIEWS:
        rows = []
        for sign in (1, -1) if yaw or pitch else (1,):
            turn = (sign * np.radians(yaw), sign * np.radians(pitch))
            for frame in chosen.tolist():
                real, mask, body = sides.draw(frame, K, loaded.size, sides.point(frame, FACE), *turn)
                drawn, alpha = head_from(loaded, frame, middle, *turn)
                rows.append(compared(drawn, np.where(body, 0, alpha), real, mask))
                if save is not None and frame == chosen[len(chosen) // 2]:
                    _save(save / f"yaw_{sign * yaw:+.0f}_pitch_{sign * pitch:+.0f}.png", real, drawn)
        name = f"yaw {yaw:.0f}" if not pitch else f"pitch {pitch:.0f}"
        means = np.mean(rows, axis=0)
        figures |= {f"{name}, {what}": float(value) for what, value in zip(("psnr", "ssim", "iou"), means, strict=True)}
    return figures | {"load": load_average()}


def bench_covered(avatar: Path, frames: int = FRAMES) -> dict[str, float]:
    """How much of its tracked head's outline an avatar covers, from where its clip never looked.

    Args:
        avatar: folder of an avatar, with its capture.
        frames: so many frames of the filmed track, even over it.

    Returns:
        For each of :data:`VIEWS` the share of two outlines that is covered, by half at least, mean of both sides and
        all frames: of ``head`` by the head alone, and of ``neck`` with the shoulders, as far as the picture goes.

    Raises:
        UserError: no such avatar, or its capture was deleted.
    """
    loaded, layout = load_avatar(avatar), CaptureLayout(avatar / CAPTURE)
    bare, model = replace(loaded, torso=None), load_head_track(layout.folder).head
    parts = {"head": model.triangle_region(*HEAD), "neck": model.triangle_region(*NECK)}
    middle = load_tracking(layout.tracking).shape[FACE].astype(float).mean(axis=0)
    figures: dict[str, float] = {}
    for yaw, pitch in VIEWS:
        rows = []
        for sign in (1, -1) if yaw or pitch else (1,):
            for frame in np.linspace(0, len(loaded.filmed) - 1, frames).round().astype(int).tolist():
                camera = filmed_from(loaded, frame, middle, sign * np.radians(yaw), sign * np.radians(pitch))
                vertices = model.template @ camera.T_camera_world[:3, :3].T + camera.T_camera_world[:3, 3]
                seen = rasterize_mesh(vertices[None], model.triangles, loaded.K.astype(float), loaded.size, loaded.size)
                index = seen.triangle_index[0]
                opacities = _drawn(bare, frame, camera)[1], _drawn(loaded, frame, camera)[1]
                outlines = ((index >= 0) & part[index.clip(0)] for part in parts.values())
                rows.append([_share(alpha > 0.5, outline) for alpha, outline in zip(opacities, outlines, strict=True)])
        name = f"yaw {yaw:.0f}" if not pitch else f"pitch {pitch:.0f}"
        means = np.nanmean(rows, axis=0)
        figures |= {f"{name}, {part} covered": float(mean) for part, mean in zip(parts, means, strict=True)}
    return figures


def filmed_from(loaded: LoadedAvatar, frame: int, centre: Float[np.ndarray, "3"], yaw: float, pitch: float) -> Camera:
    """The filming camera of a frame turned about a point of the head, radians."""
    return orbited(Camera(loaded.filmed.T_camera_world[frame], loaded.K, loaded.size, loaded.size), centre, yaw, pitch)


def head_from(
    loaded: LoadedAvatar, frame: int, centre: Float[np.ndarray, "3"], yaw: float, pitch: float
) -> tuple[UInt8[np.ndarray, "s s 3"], Float[np.ndarray, "s s"]]:
    """A frame of an avatar's own motion over grey, from a camera turned about a point of the head; and its opacity."""
    return _drawn(replace(loaded, torso=None), frame, filmed_from(loaded, frame, centre, yaw, pitch))


def _drawn(
    loaded: LoadedAvatar, frame: int, camera: Camera
) -> tuple[UInt8[np.ndarray, "s s 3"], Float[np.ndarray, "s s"]]:
    """A frame of an avatar's own motion over grey, from a camera in that frame's head space; and its opacity."""
    filmed, size = loaded.filmed, loaded.size
    cameras = Cameras(loaded.tensor(camera.T_camera_world[None]), loaded.tensor(loaded.K[None]), size, size)
    light = loaded.tensor(filmed.T_camera_world[frame : frame + 1])
    clear = Rendered(torch.zeros(1, size, size, 3), torch.zeros(1, size, size))
    if loaded.torso is not None:
        moved = np.linalg.inv(filmed.T_camera_world[frame]) @ loaded.torso.T_camera_torso[frame]
        poses = loaded.tensor(camera.T_camera_world @ moved)[None]
        clear = loaded.torso.draw(loaded.rasterizer, Cameras(poses, cameras.K, size, size))
    codes, upper = (loaded.tensor(values[frame : frame + 1]) for values in (filmed.mouth_codes, filmed.upper))
    drawn = loaded.render_over(codes, upper, cameras, clear, T_light_world=light)
    image = drawn.rgb + (1 - drawn.alpha)[..., None] * GREY
    return (image[0].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy(), drawn.alpha[0].cpu().numpy()


def _share(solid: Bool[np.ndarray, "s s"], outline: Bool[np.ndarray, "s s"]) -> float:
    """The share of an outline that is solid; NaN where there is none in the picture."""
    return float(solid[outline].mean()) if outline.any() else float("nan")


def compared(
    drawn: UInt8[np.ndarray, "s s 3"],
    alpha: Float[np.ndarray, "s s"],
    real: UInt8[np.ndarray, "s s 3"],
    mask: Bool[np.ndarray, "s s"],
) -> tuple[float, float, float]:
    """PSNR and SSIM inside the true mask, and the silhouettes' intersection over union."""
    pair = (torch.from_numpy(image.copy())[None].float() / 255 for image in (drawn, real))
    similar = ssim(*pair)[0].mean(dim=-1).numpy()
    solid = alpha > 0.5
    iou = (solid & mask).sum() / max((solid | mask).sum(), 1)
    return psnr(drawn, real, mask), float(similar[mask].mean()), float(iou)


def _cropped(K: Float[np.ndarray, "3 3"], crop: tuple[int, int, int], size: int) -> Float[np.ndarray, "3 3"]:
    """A camera matrix of the whole picture as that of its crop at another size."""
    x, y, side = crop
    cropped = K.copy()
    cropped[:2, 2] -= (x, y)
    cropped[:2] *= size / side
    return cropped


def _save(path: Path, real: np.ndarray, drawn: np.ndarray) -> None:
    from gaussavatar.media.images import write_image

    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.concatenate([real, drawn], axis=1))
