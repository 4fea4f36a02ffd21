"""The torso as a video loop: one period of the way back and forth through the filmed track, colour above, matte below.

The head's pose belongs to the torso frame on screen, so that a player needs neither seeking nor reverse play.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8

from gaussavatar.avatar.behind import straight
from gaussavatar.avatar.folder import MATTE
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.image.cutout import cut_out
from gaussavatar.media.writing import write_video
from gaussavatar.motion.timeline import TURN, back_and_forth, nearest
from gaussavatar.storage import FrameStore, frame_writer, scratch_folder
from gaussavatar.types import Rendered

OPAQUE = 255
SMALL, COARSER = 256, 3
"""Pictures up to this side, in pixels, are shown enlarged; of larger ones so much more of x264's scale is not seen."""


@dataclass(frozen=True)
class LoopWish:
    """How large a loop may be."""

    crf: int
    """Quality of the video of a small picture, as x264 counts it."""
    seconds: float | None = None
    """How much of the filmed track, from its start, it goes through; None is all."""


@dataclass(frozen=True)
class TorsoLoop:
    """An mp4 and the frames of the filmed track that it shows."""

    video: bytes
    places: Int[np.ndarray, "n"]
    fps: float
    matte: bool
    """Whether the lower half is a matte; an avatar of before there were any is opaque throughout."""


def one_period(frames: int) -> Int[np.ndarray, "n"]:
    """Places of one period of :func:`gaussavatar.motion.timeline.back_and_forth` through so many frames."""
    if frames < 5:
        return np.zeros(1, int)
    # A sweep is a frame longer than the track, and half a turn at either end takes as long again as its way.
    sweep = frames + 2 * min(TURN, (frames - 1) // 2) + 1
    return nearest(back_and_forth(frames, 2 * sweep))


def torso_loop(avatar: LoadedAvatar, wish: LoopWish) -> TorsoLoop:
    """The loop of an avatar.

    Colour is straight, not multiplied by the matte, and goes on smoothly where there is no person.
    """
    frames = len(avatar.filmed)
    frames = min(frames, round(wish.seconds * avatar.filmed.fps)) if wish.seconds else frames
    places = one_period(frames)
    matte = avatar.record.has(MATTE)
    side = avatar.size
    with scratch_folder() as folder:
        store = _layers(avatar, folder, matte, frames)
        places = np.minimum(places, len(store) - 1)
        pictures = (stacked(store.read(int(place))) for place in places)
        video = folder / "torso.mp4"
        crf = wish.crf + (COARSER if side > SMALL else 0)
        write_video(video, pictures, avatar.filmed.fps, (side, 2 * side), crf=crf)
        return TorsoLoop(video.read_bytes(), places, avatar.filmed.fps, matte)


def stacked(layer: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h2 w 3"]:
    """Colour above its matte."""
    return np.concatenate([layer[..., :3], np.repeat(layer[..., 3:], 3, axis=2)])


def _layers(avatar: LoadedAvatar, folder: Path, matte: bool, frames: int) -> FrameStore:
    """The torso of the filmed track's first frames, RGBA with straight alpha."""
    path = folder / "layers.u8"
    with frame_writer(path, (avatar.size, avatar.size, 4), lasting=False) as writer:
        for layer in islice(_cut(avatar, folder) if matte else _whole(avatar, folder), frames):
            writer.append(layer)
    return FrameStore(path)


def _cut(avatar: LoadedAvatar, folder: Path) -> Iterator[UInt8[np.ndarray, "h w 4"]]:
    under, mattes = avatar.under_frames(folder), avatar.matte_frames(folder)
    for index in range(min(len(under), len(mattes))):
        cut = cut_out(under.read(index), mattes.read(index)[..., 0], avatar.fixed_plate)
        yield from straight(Rendered(torch.from_numpy(cut.rgb)[None], torch.from_numpy(cut.alpha)[None]))


def _whole(avatar: LoadedAvatar, folder: Path) -> Iterator[UInt8[np.ndarray, "h w 4"]]:
    under = avatar.under_frames(folder)
    alpha = np.full((avatar.size, avatar.size, 1), OPAQUE, np.uint8)
    for index in range(len(under)):
        yield np.concatenate([under.read(index), alpha], axis=2)
