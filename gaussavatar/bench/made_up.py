"""A clip, a model and a training run of a recipe's sizes that nobody filmed, for measuring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from gaussavatar.audio.batches import AudioBatcher, Voice
from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.pretrain import encoder_config
from gaussavatar.avatar.load import blank_model
from gaussavatar.avatar.player import to_bytes
from gaussavatar.bench.raster import CAMERA_DISTANCE, HEAD_FRACTION, HEAD_SIZE, head_scene
from gaussavatar.fitting.recipe import FitConfig
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.render.api import get_rasterizer
from gaussavatar.storage import FrameStore, write_json
from gaussavatar.training.data import Clip, cameras_of
from gaussavatar.training.loss_design import face_marks
from gaussavatar.training.step import Run
from gaussavatar.types import VIDEO_FPS, FaceMotion, Tracking

SHOWN = 24
"""Frames that hold a picture; the others are holes in the file, and are never drawn."""

N_UPPER = 9
"""Upper-face channels of a tracked clip."""

MOVING = 0.65
"""Share of the face branch that moves."""


def made_up_run(config: FitConfig, folder: Path, frames: int, device: torch.device) -> Run:
    """A run of the recipe's sizes on a head-like shell and ``frames`` frames of it in ``folder``."""
    codes, feature = config.motion.n_mouth, open_features(config.audio.features)
    model = made_up_model(config, codes)
    clip = made_up_clip(config, model, folder, frames)
    size = (frames * feature.facts.window.rate // VIDEO_FPS, feature.facts.dimension)
    raw = np.random.default_rng(0).normal(-6, 2, size).astype(np.float32)
    voices = [Voice(raw, raw[None, :80])] * config.audio.batches.versions
    encoder = AudioEncoder(encoder_config(feature, codes, config.audio))
    return Run(
        model=model.to(device),
        encoder=encoder.to(device),
        audio=AudioBatcher(feature, voices, config.audio.batches, 0),
        clip=clip,
        closed=torch.zeros(codes, device=device),
        marks=face_marks(clip.tracking.shape, device),
        rasterizer=get_rasterizer(device),
        folder=folder,
        seed=0,
        key="bench",
        device=device,
    )


def made_up_model(config: FitConfig, n_codes: int) -> AvatarModel:
    """A shell of Gaussians the size of a head, and a clump behind its lips; free of any head model."""
    face, mouth = config.model.face.count, config.model.mouth.count
    shapes = {
        "n_mouth": n_codes,
        "n_upper": N_UPPER,
        "face": face,
        "face_moving": int(face * MOVING),
        "mouth": mouth,
        "mouth_moving": mouth,
    }
    model = blank_model(replace(config.model, binding="free"), shapes)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for branch, count, scale, shift in (
            (model.face, face, 1.0, (0.0, 0.0, 0.0)),
            (model.mouth, mouth, 0.25, (0.0, 0.05, -0.06)),
        ):
            scene, _ = head_scene(64, max(count, 1))
            # As large as a trained branch of so many has them: together they cover the same surface.
            size = scale * (10_000 / max(count, 1)) ** 0.5 * 0.5
            branch.gaussians.means.copy_(scene.means[0][:count] * scale + torch.tensor(shift))
            branch.gaussians.quats.copy_(scene.quats[0][:count])
            branch.gaussians.log_scales.copy_((scene.scales[0][:count] * size).log())
            branch.gaussians.logit_opacities.copy_(torch.logit(scene.opacities[0][:count], eps=1e-4))
            branch.gaussians.colors.copy_(0.5 + 0.1 * torch.randn(count, 3, generator=generator))
            for parameter in branch.motion.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return model


def made_up_clip(config: FitConfig, model: AvatarModel, folder: Path, frames: int) -> Clip:
    """A clip of a swaying head whose picture ``model`` renders; :data:`SHOWN` of its frames, evenly spread, are usable.

    The stores have their full length, but only these frames take room on the disk.
    """
    size = config.image_size
    random = np.random.default_rng(1)
    focal = HEAD_FRACTION * size * CAMERA_DISTANCE / HEAD_SIZE[1]
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float32)
    t = np.zeros((frames, 3), np.float32)
    t[:, 0], t[:, 2] = 0.01 * np.sin(np.arange(frames) * 0.1), CAMERA_DISTANCE
    R = np.tile(np.eye(3, dtype=np.float32), (frames, 1, 1))
    codes = random.normal(0, 1, (frames, model.n_mouth)).astype(np.float32)
    upper = random.uniform(0, 1, (frames, model.n_upper)).astype(np.float32)
    usable = np.zeros(frames, bool)
    usable[np.linspace(0, int(frames * 0.9), SHOWN).astype(int)] = True
    blank = np.zeros((1, 478, 3), np.float32)
    points = random.uniform(-0.06, 0.06, (478, 3)).astype(np.float32)
    tracking = Tracking(
        R, t, K, size, points, blank, np.zeros((frames, 1), np.float32), usable, np.zeros(frames, np.float32)
    )
    motion = FaceMotion(
        codes,
        np.zeros((model.n_mouth, 478, 3), np.float32),
        upper,
        np.zeros((model.n_upper, 478, 3), np.float32),
        tuple(f"channel_{index}" for index in range(model.n_upper)),
        random.uniform(0, 0.1, frames).astype(np.float32),
        np.full(frames, 0.5, np.float32),
    )
    names = {"frames": 3, "masks": 4, "under": 3}
    stores = {name: _holes(folder / f"{name}.u8", (frames, size, size, n)) for name, n in names.items()}
    boxes = np.array([[0.4, 0.62, 0.6, 0.75], [0.35, 0.4, 0.47, 0.47], [0.53, 0.4, 0.65, 0.47]]) * size
    n_train = frames - max(1, round(frames * config.training.held_out))
    every = np.tile(boxes, (frames, 1, 1)).astype(np.float32)
    clip = Clip(stores["frames"], stores["masks"], stores["under"], size, tracking, motion, every, usable, n_train)
    _film(clip, model)
    return clip


def _holes(path: Path, shape: tuple[int, int, int, int]) -> FrameStore:
    """A frame store that takes no room until something is written into it."""
    with path.open("wb") as file:
        file.truncate(int(np.prod(shape)))
    write_json(path.with_name(path.name + ".json"), {"shape": list(shape)})
    return FrameStore(path)


def _film(clip: Clip, model: AvatarModel) -> None:
    """Write pictures and masks of the usable frames: what ``model`` renders of them, with the sensor's noise."""
    rasterizer, random = get_rasterizer("cpu"), np.random.default_rng(2)
    for index in np.flatnonzero(clip.usable):
        row = np.array([index])
        under = torch.full((1, clip.size, clip.size, 3), 0.6)
        codes, upper = torch.from_numpy(clip.motion.mouth_codes[row]), torch.from_numpy(clip.motion.upper[row])
        with torch.no_grad():
            seen = model.render(rasterizer, codes, upper, cameras_of(clip.tracking, row, clip.size), under)
        noisy = seen.image + 0.03 * torch.from_numpy(random.normal(size=seen.image.shape)).float()
        head, inside = seen.face.alpha, seen.mouth.alpha * (1 - seen.face.alpha)
        masks = torch.stack([head, inside, head, head], dim=-1)
        for store, picture in ((clip.frames, noisy), (clip.masks, masks), (clip.under, under)):
            _put(store, int(index), to_bytes(picture.clamp(0, 1))[0])


def _put(store: FrameStore, index: int, image: UInt8[np.ndarray, "h w c"]) -> None:
    with store.path.open("r+b") as file:
        file.seek(index * image.nbytes)
        file.write(np.ascontiguousarray(image).data)
