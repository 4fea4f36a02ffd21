"""A sound file in, a video of the avatar speaking it out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from gaussavatar.avatar.backdrop import parse_backdrop
from gaussavatar.avatar.behind import Behind, TorsoKind, behind_head, straight, torso_as_filmed
from gaussavatar.avatar.player import LoadedAvatar, load_avatar, to_bytes
from gaussavatar.errors import UserError
from gaussavatar.media.alpha_video import require_alpha, write_alpha_video
from gaussavatar.media.ffmpeg import read_audio, write_video
from gaussavatar.motion.timeline import back_and_forth, nearest
from gaussavatar.native.threads import frame_parallel
from gaussavatar.progress import Progress
from gaussavatar.storage import FrameStore
from gaussavatar.types import VIDEO_FPS, Cameras, Rendered, Waveform

CHUNK = 4
"""Frames rendered per call, in parallel."""


def speak(
    audio: Path,
    avatar: Path,
    out: Path | None,
    progress: Progress,
    background: str = "plate",
    torso: TorsoKind = "real",
) -> Path:
    """Write a video of the avatar speaking ``audio``, with that sound and exactly as long.

    Args:
        audio: any sound or video that ffmpeg reads.
        avatar: avatar folder.
        out: ``<avatar>-<audio>.mp4`` in the working directory when None; ``.mov`` where it is transparent.
        progress: told of every frame.
        background: ``plate``, ``none``, ``#rrggbb`` or a picture, see :mod:`gaussavatar.avatar.backdrop`.
        torso: ``real`` pastes the filmed torso, ``gaussians`` draws the torso branch.

    Raises:
        UserError: no such sound, avatar or picture, or the output cannot be written.
    """
    backdrop = parse_backdrop(background)
    out = out or Path(f"{avatar.resolve().name}-{audio.stem}{'.mov' if backdrop.clear else '.mp4'}")
    if out.is_dir():
        raise UserError("a file name for --out", f"the folder {out}", "add a name such as talk.mp4")
    if backdrop.clear:
        require_alpha(out)
    waveform = read_audio(audio)
    loaded = load_avatar(avatar)
    n_frames = frame_count(waveform)
    facts = {
        "comment": "AI-generated: synthetic video of a Gaussian avatar (gaussavatar)",
        "title": f"{loaded.header.get('subject', 'unknown')} (synthetic)",
    }
    write = write_alpha_video if backdrop.clear else write_video
    with tempfile.TemporaryDirectory() as folder, frame_parallel(), progress.stage("speaking", n_frames) as advance:
        behind = behind_head(loaded, backdrop, Path(folder), torso)
        layers = talking_layers(loaded, waveform, behind, n_frames)
        frames = _transparent(layers) if backdrop.clear else _whole(layers)
        counted = _counted(frames, advance)
        size = (loaded.size, loaded.size)
        write(out, counted, VIDEO_FPS, size, audio=audio, seconds=waveform.seconds, metadata=facts)
    return out


def frame_count(waveform: Waveform) -> int:
    """Video frames that cover a sound to within one frame."""
    return max(1, round(waveform.seconds * VIDEO_FPS))


def talking_frames(avatar: LoadedAvatar, waveform: Waveform, under: FrameStore, n_frames: int) -> Iterator[np.ndarray]:
    """Composited 8-bit frames of the avatar speaking a sound over its own pose track, as filmed."""
    return _whole(talking_layers(avatar, waveform, torso_as_filmed(under), n_frames))


def talking_layers(avatar: LoadedAvatar, waveform: Waveform, behind: Behind, n_frames: int) -> Iterator[Rendered]:
    """The avatar speaking a sound over its own pose track, a few frames at a time, over what is ``behind``."""
    codes = torch.from_numpy(avatar.codes_for_audio(waveform, n_frames))
    track = avatar.pose_track
    places = nearest(back_and_forth(len(track), n_frames))
    K = torch.from_numpy(avatar.K)
    for start in range(0, n_frames, CHUNK):
        part = places[start : start + CHUNK]
        poses = torch.from_numpy(track.T_camera_world[part]).float()
        cameras = Cameras(poses, K.float().expand(len(part), 3, 3), avatar.size, avatar.size)
        upper = torch.from_numpy(track.upper[part])
        yield avatar.render_over(codes[start : start + CHUNK], upper, cameras, behind(part))


def _whole(layers: Iterator[Rendered]) -> Iterator[np.ndarray]:
    for layer in layers:
        yield from to_bytes(layer.rgb)


def _transparent(layers: Iterator[Rendered]) -> Iterator[np.ndarray]:
    for layer in layers:
        yield from straight(layer)


def _counted(frames: Iterator[np.ndarray], advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    for frame in frames:
        yield frame
        advance(1)
