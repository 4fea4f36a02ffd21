"""An avatar that is still being trained: what its checkpoints lack, and how to load the newest of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.avatar.load import blank_model, filmed_track
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.avatar.record import AvatarRecord
from gaussavatar.errors import UserError
from gaussavatar.media.images import read_image
from gaussavatar.media.packed import open_frames
from gaussavatar.render.api import get_rasterizer
from gaussavatar.storage import ChosenFrames, FrameStore, read_arrays, write_arrays
from gaussavatar.training.checkpoint import Position, read_checkpoint
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import cameras_of
from gaussavatar.training.layout import FitLayout
from gaussavatar.training.publish import longest_run, opening_direction, record_of
from gaussavatar.training.step import Run

NAME = "description.safetensors"
"""In ``train/``: record, codes of the closed mouth and the filmed track; written before the first step."""


@dataclass(frozen=True)
class RunDescription:
    """What the checkpoints of a run lack. Paths are relative to the avatar folder."""

    record: AvatarRecord
    stages: tuple[tuple[str, int, str], ...]
    """Name, iterations and kind of every stage."""
    under: str
    """Frame store of what is behind the head."""
    plate: str
    first: int
    """Frame of the clip at which the filmed track begins."""
    key: str


@dataclass(frozen=True)
class LiveAvatar(LoadedAvatar):
    """An avatar from a checkpoint; what is behind the head is read from the capture."""

    under: Path = Path()
    first: int = 0

    def under_frames(self, folder: Path) -> FrameStore:
        """The filmed track's torso frames, as training sees them; nothing is written into ``folder``."""
        whole = open_frames(self.under)
        return ChosenFrames(whole, range(self.first, len(whole)))


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
    description = RunDescription(
        record=record_of(run.model, run.encoder, clip, {}),
        stages=tuple((stage.name, stage.iterations, stage.kind) for stage in stages),
        under=under,
        plate=plate,
        first=int(stretch.start),
        key=run.key,
    )
    write_arrays(run.folder / NAME, arrays, {"description": msgspec.json.encode(description).decode()})


def read_description(train: Path) -> tuple[RunDescription, dict[str, np.ndarray]]:
    """Description and arrays of a training folder.

    Raises:
        UserError: there is none, a damaged one, or one of another version of the program.
    """
    arrays, metadata = read_arrays(train / NAME)
    try:
        return msgspec.json.decode(metadata["description"], type=RunDescription), arrays
    except (KeyError, msgspec.DecodeError) as error:
        raise UserError(f"a description of the run in {train}", "a damaged one", "run gaussavatar fit again") from error


def load_live(folder: Path) -> tuple[LiveAvatar, Position]:
    """The newest checkpoint of the fit in ``folder`` as an avatar.

    Raises:
        UserError: nothing of it can be read, at least not now.
    """
    layout = FitLayout(folder)
    description, arrays = read_description(layout.train)
    record = description.record
    saved = read_checkpoint(layout.train, description.key)
    if saved is None:
        raise UserError(f"a checkpoint in {folder / 'train'}", "none that can be read", "wait for the next one")
    weights = saved.part("model.")
    shapes = dict(record.shapes)
    for name in ("face", "mouth"):
        shapes[name] = len(weights[f"avatar.{name}.gaussians.means"])
        shapes[f"{name}_moving"] = saved.moving[name]
    model = blank_model(record.model, shapes, record.expression_names)
    encoder = AudioEncoder(record.encoder)
    modules = nn.ModuleDict({"avatar": model, "encoder": encoder})
    modules.load_state_dict(weights)
    modules.eval().requires_grad_(False)
    size, plate = record.image_size, folder / description.plate
    avatar = LiveAvatar(
        path=folder,
        record=record,
        model=model,
        encoder=encoder,
        rasterizer=get_rasterizer("cpu"),
        closed=torch.from_numpy(arrays["closed"]),
        mouth_open_direction=arrays["mouth_open_direction"],
        filmed=filmed_track(arrays, record),
        K=arrays["K"],
        plate=read_image(plate) if plate.exists() else np.full((size, size, 3), 128, np.uint8),
        under=folder / description.under,
        first=description.first,
    )
    return avatar, saved.position
