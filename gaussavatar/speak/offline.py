"""A sound file in, an mp4 of the avatar speaking it out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gaussavatar.avatar.player import LoadedAvatar, load_avatar
from gaussavatar.errors import UserError
from gaussavatar.media.ffmpeg import read_audio, write_video
from gaussavatar.progress import Progress
from gaussavatar.render.threads import frame_parallel
from gaussavatar.speak.timeline import back_and_forth, nearest
from gaussavatar.storage import FrameStore
from gaussavatar.types import VIDEO_FPS, Waveform

CHUNK = 4
"""Frames rendered per call, in parallel."""


def speak(audio: Path, avatar: Path, out: Path | None, progress: Progress) -> Path:
    """Write an mp4 of the avatar speaking ``audio``, with that sound and exactly as long.

    ``out`` defaults to ``<avatar>-<audio>.mp4`` in the working directory.

    Raises:
        UserError: no such sound or avatar, or the output cannot be written.
    """
    out = out or Path(f"{avatar.resolve().name}-{audio.stem}.mp4")
    if out.is_dir():
        raise UserError("a file name for --out", f"the folder {out}", "add a name such as talk.mp4")
    waveform = read_audio(audio)
    loaded = load_avatar(avatar)
    n_frames = frame_count(waveform)
    facts = {
        "comment": "AI-generated: synthetic video of a Gaussian avatar (gaussavatar)",
        "title": f"{loaded.header.get('subject', 'unknown')} (synthetic)",
    }
    with tempfile.TemporaryDirectory() as folder, frame_parallel(), progress.stage("speaking", n_frames) as advance:
        under = loaded.under_frames(Path(folder))
        frames = talking_frames(loaded, waveform, under, n_frames)
        counted = _counted(frames, advance)
        write_video(
            out, counted, VIDEO_FPS, (loaded.size, loaded.size), audio=audio, seconds=waveform.seconds, metadata=facts
        )
    return out


def frame_count(waveform: Waveform) -> int:
    """Video frames that cover a sound to within one frame."""
    return max(1, round(waveform.seconds * VIDEO_FPS))


def talking_frames(avatar: LoadedAvatar, waveform: Waveform, under: FrameStore, n_frames: int) -> Iterator[np.ndarray]:
    """Composited 8-bit frames of the avatar speaking a sound over its own pose track."""
    codes = avatar.codes_for_audio(waveform, n_frames)
    track = avatar.pose_track
    places = nearest(back_and_forth(min(len(track), len(under)), n_frames))
    for start in range(0, n_frames, CHUNK):
        part = places[start : start + CHUNK]
        K = np.tile(avatar.K, (len(part), 1, 1))
        images = avatar.render(
            codes[start : start + CHUNK],
            track.upper[part],
            track.T_camera_world[part],
            K,
            avatar.size,
            under.read_batch(part.tolist()),
        )
        yield from images


def _counted(frames: Iterator[np.ndarray], advance) -> Iterator[np.ndarray]:  # noqa: ANN001
    for frame in frames:
        yield frame
        advance(1)
