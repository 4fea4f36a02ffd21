"""An avatar that is still being trained: what its checkpoints lack, and how to load the newest of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.avatar.player import LoadedAvatar, PoseTrack, blank_model, model_shapes
from gaussavatar.errors import UserError
from gaussavatar.media.images import read_image
from gaussavatar.model.config import ModelConfig
from gaussavatar.render.api import get_rasterizer
from gaussavatar.storage import FrameStore, read_arrays, write_arrays
from gaussavatar.training.checkpoint import Position, read_checkpoint
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import cameras_of
from gaussavatar.training.publish import longest_run, opening_direction
from gaussavatar.training.step import Run

NAME = "description.safetensors"
"""In ``train/``: config, shapes, codes of the closed mouth and the pose track; written before the first step."""


class _Stretch(FrameStore):
    """A frame store that begins at one of its frames."""

    def __init__(self, path: Path, first: int) -> None:
        super().__init__(path)
        self._first = first

    def read(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        return super().read(index + self._first)


@dataclass(frozen=True)
class LiveAvatar(LoadedAvatar):
    """An avatar from a checkpoint; what is behind the head is read from the capture."""

    def under_frames(self, folder: Path) -> FrameStore:
        """The pose track's torso frames, as training sees them; nothing is written into ``folder``."""
        return _Stretch(self.path / self.header["under"], self.header["first"])


def write_description(run: Run, stages: tuple[StageConfig, ...], under: str, plate: str) -> None:
    """Write beside the checkpoints what they lack; ``under`` and ``plate`` are paths relative to the avatar folder."""
    clip = run.clip
    stretch = longest_run(clip.usable[: clip.n_train])
    cameras = cameras_of(clip.tracking, np.arange(stretch.start, stretch.stop), clip.size)
    arrays: dict[str, Float[np.ndarray, "..."]] = {
        "closed": run.closed.cpu().numpy(),
        "mouth_open_direction": opening_direction(clip.motion),
        "T_camera_world": cameras.T_camera_world.numpy(),
        "K": cameras.K[0].contiguous().numpy(),
        "upper": clip.motion.upper[stretch],
        "mouth_codes": clip.motion.mouth_codes[stretch],
    }
    header = {
        "image_size": clip.size,
        "model": msgspec.to_builtins(run.model.config),
        "shapes": model_shapes(run.model),
        "expression_names": list(run.model.expression_names),
        "encoder": msgspec.to_builtins(run.encoder.config),
        "upper_names": list(clip.motion.upper_names),
        "stages": [[stage.name, stage.iterations, stage.kind] for stage in stages],
        "under": under,
        "plate": plate,
        "first": int(stretch.start),
        "key": run.key,
    }
    write_arrays(run.folder / NAME, arrays, {"header": json.dumps(header)})


def read_description(train: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a training folder.

    Raises:
        UserError: there is none, or a damaged one.
    """
    arrays, metadata = read_arrays(train / NAME)
    try:
        header = json.loads(metadata["header"])
    except (KeyError, ValueError) as error:
        raise UserError(f"a description of the run in {train}", "a damaged one", "run gaussavatar fit again") from error
    return header, arrays


def load_live(folder: Path) -> tuple[LiveAvatar, Position]:
    """The newest checkpoint of the fit in ``folder`` as an avatar.

    Raises:
        UserError: nothing of it can be read, at least not now.
    """
    header, arrays = read_description(folder / "train")
    saved = read_checkpoint(folder / "train", header["key"])
    if saved is None:
        raise UserError(f"a checkpoint in {folder / 'train'}", "none that can be read", "wait for the next one")
    weights = saved.part("model.")
    shapes = dict(header["shapes"])
    for name in ("face", "mouth"):
        shapes[name] = len(weights[f"avatar.{name}.gaussians.means"])
        shapes[f"{name}_moving"] = saved.moving[name]
    model = blank_model(msgspec.convert(header["model"], ModelConfig), shapes, header["expression_names"])
    encoder = AudioEncoder(msgspec.convert(header["encoder"], EncoderConfig))
    modules = nn.ModuleDict({"avatar": model, "encoder": encoder})
    modules.load_state_dict(weights)
    modules.eval().requires_grad_(False)
    size = int(header["image_size"])
    plate = folder / header["plate"]
    avatar = LiveAvatar(
        path=folder,
        header=header,
        model=model,
        encoder=encoder,
        rasterizer=get_rasterizer("cpu"),
        closed=torch.from_numpy(arrays["closed"]),
        mouth_open_direction=arrays["mouth_open_direction"],
        pose_track=PoseTrack(arrays["T_camera_world"], arrays["upper"], arrays["mouth_codes"]),
        K=arrays["K"],
        size=size,
        upper_names=tuple(header["upper_names"]),
        plate=read_image(plate) if plate.exists() else np.full((size, size, 3), 128, np.uint8),
    )
    return avatar, saved.position
