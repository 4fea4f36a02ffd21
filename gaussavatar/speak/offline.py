"""A sound file in, a video of the avatar speaking it out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gaussavatar.avatar.background import parse_background
from gaussavatar.avatar.behind import TorsoKind, behind_head
from gaussavatar.avatar.driving import check_motion, layers, motion_for_sound, opaque_frames, transparent_frames
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.media.alpha_video import require_alpha, write_alpha_video
from gaussavatar.media.ffmpeg import read_audio, write_video
from gaussavatar.motion.track import MotionTrack, frames_of_seconds
from gaussavatar.native.threads import frame_parallel
from gaussavatar.progress import Progress
from gaussavatar.types import VIDEO_FPS


def speak(
    audio: Path,
    avatar: Path | LoadedAvatar,
    out: Path | None,
    progress: Progress,
    background: str = "plate",
    torso: TorsoKind = "real",
    motion: MotionTrack | None = None,
) -> Path:
    """Write a video of the avatar speaking ``audio``, with that sound and exactly as long.

    Args:
        audio: any sound or video that ffmpeg reads.
        avatar: avatar folder, or what was loaded from it.
        out: ``<avatar>-<audio>.mp4`` in the working directory when None; ``.mov`` where it is transparent.
        progress: told of every frame.
        background: ``plate``, ``none``, ``#rrggbb`` or a picture, see :mod:`gaussavatar.avatar.background`.
        torso: ``real`` pastes the filmed torso, ``gaussians`` draws the torso branch.
        motion: an edited motion instead of the one that the sound gives.

    Raises:
        UserError: no such sound, avatar or picture, or the output cannot be written.
    """
    wish = parse_background(background)
    folder = avatar.path if isinstance(avatar, LoadedAvatar) else avatar
    out = out or Path(f"{folder.resolve().name}-{audio.stem}{'.mov' if wish.clear else '.mp4'}")
    if out.is_dir():
        raise UserError("a file name for --out", f"the folder {out}", "add a name such as talk.mp4")
    if wish.clear:
        require_alpha(out)
    waveform = read_audio(audio)
    loaded = avatar if isinstance(avatar, LoadedAvatar) else load_avatar(avatar)
    track = motion_for_sound(loaded, waveform) if motion is None else fitted_to(motion, waveform.seconds)
    check_motion(loaded, track)
    facts = {
        "comment": "AI-generated: synthetic video of a Gaussian avatar (gaussavatar)",
        "title": f"{loaded.record.subject} (synthetic)",
    }
    write = write_alpha_video if wish.clear else write_video
    with tempfile.TemporaryDirectory() as folder, frame_parallel(), progress.stage("speaking", len(track)) as advance:
        behind = behind_head(loaded, wish, Path(folder), torso)
        drawn = layers(loaded, track, behind)
        frames = transparent_frames(drawn) if wish.clear else opaque_frames(drawn)
        counted = _counted(frames, advance)
        size = (loaded.size, loaded.size)
        write(out, counted, VIDEO_FPS, size, audio=audio, seconds=waveform.seconds, metadata=facts)
    return out


def fitted_to(motion: MotionTrack, seconds: float) -> MotionTrack:
    """A motion as long as a sound: cut at the end, or held at its last frame.

    Raises:
        UserError: it is of another frame rate than the video, or more than a second shorter or longer than the sound.
    """
    if motion.fps != VIDEO_FPS:
        raise UserError(f"a motion of {VIDEO_FPS} frames per second", f"{motion.fps}", "give one of that rate")
    if abs(motion.seconds - seconds) > 1:
        came = f"{motion.seconds:.1f} s of motion for {seconds:.1f} s of sound"
        raise UserError("a motion as long as the sound", came, "give the motion that belongs to this sound")
    return motion.taken(np.minimum(np.arange(frames_of_seconds(seconds)), len(motion) - 1))


def _counted(frames: Iterator[np.ndarray], advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    for frame in frames:
        yield frame
        advance(1)
