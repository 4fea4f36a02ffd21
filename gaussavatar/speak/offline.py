"""A sound or a motion in, a video of the avatar out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gaussavatar import __version__
from gaussavatar.avatar.background import Background, parse_background
from gaussavatar.avatar.behind import Behind, behind_head
from gaussavatar.avatar.controlled import controlled
from gaussavatar.avatar.curves import curves_of_motion, motion_of_file
from gaussavatar.avatar.driving import (
    check_motion,
    in_order,
    layers,
    motion_for_sound,
    opaque_frames,
    transparent_frames,
)
from gaussavatar.avatar.framing import Framing, framing_of
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.mark import mark_of
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.avatar.record import record_to_plain
from gaussavatar.errors import UserError
from gaussavatar.media.alpha_video import require_alpha, write_alpha_video
from gaussavatar.media.joining import join_videos
from gaussavatar.media.picture_series import numbered, write_gif, write_pngs
from gaussavatar.media.signing import ALL_MADE, PARTLY_MADE, ContentSigner, Credentials, open_signer
from gaussavatar.media.sound_file import hear
from gaussavatar.media.writing import write_video
from gaussavatar.motion.arkit import write_curves
from gaussavatar.motion.controls import Controls
from gaussavatar.motion.track import MotionTrack, frames_of_seconds
from gaussavatar.native.threads import frame_parallel
from gaussavatar.progress import Progress
from gaussavatar.speak.segments import (
    PartFolder,
    Segment,
    Share,
    ends_of_segments,
    frames_of_segment,
    write_in_segments,
)
from gaussavatar.speak.wish import VideoWish
from gaussavatar.storage import content_key, file_digest, scratch_folder
from gaussavatar.types import VIDEO_FPS, Waveform

SERIES = (".png", ".gif")
"""Endings of what is written at once, however long, and has no sound: numbered pictures, and a GIF."""
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")

_SLACK = 1.0
"""Seconds by which a motion may be shorter or longer than its sound."""


def speak(
    audio: Path | None,
    avatar: Path | LoadedAvatar,
    out: Path | None,
    progress: Progress,
    wish: VideoWish | None = None,
    motion: MotionTrack | Path | None = None,
    save_motion: Path | None = None,
    controls: Controls | None = None,
    seed: int = 0,
    save_curves: Path | None = None,
    share: Share | None = None,
    sign: Credentials | None = None,
) -> Path:
    """Write a video of the avatar speaking ``audio``, with that sound and exactly as long.

    A video of more than a minute is written in segments: a run that was killed goes on where it stopped. Several
    runs that are each given a ``share`` write it together; one without then joins what they wrote.

    Args:
        audio: any sound or video that ffmpeg reads; None for a video of ``motion`` without a sound track.
        avatar: avatar folder, or what was loaded from it.
        out: ``<avatar>-<audio>.mp4`` in the working directory when None; ``.mov`` where it is transparent. ``x.png``
            gives numbered pictures ``x_000000.png``, ``x.gif`` an animated picture; neither has a sound.
        progress: told of every frame.
        wish: how the video looks, and which stretch it shows.
        motion: an edited motion instead of the one that the sound gives, or its file: a motion track, or curves of
            ARKit's shapes.
        save_motion: where the motion is written that the video shows, ``.safetensors`` or ``.csv``.
        controls: wishes on top of the motion: gain of the mouth, blinks, brows, gaze, head, style, movements.
        seed: of what controls generate.
        save_curves: where the same motion is written as curves of ARKit's shapes, in the order of Live Link Face.
        share: which of the segments are drawn, beside ``out``; nothing is joined, and no motion saved elsewhere.
        sign: with whose certificate the video gets signed content credentials, once it is whole.

    Returns:
        The video; of a share, the folder of its segments.

    Raises:
        UserError: no such sound, avatar or picture, a wish that cannot be fulfilled, a certificate that does not sign,
            or the output cannot be written.
    """
    wish = wish or VideoWish()
    wish.check()
    background = parse_background(wish.background)
    folder = avatar.path if isinstance(avatar, LoadedAvatar) else avatar
    name = "motion" if audio is None else audio.stem
    out = out or Path(f"{folder.resolve().name}-{name}{'.mov' if background.clear else '.mp4'}")
    check_outputs(out, (save_motion, save_curves), (audio, motion), folder, background.clear)
    if share is not None and out.suffix.lower() in SERIES:
        raise UserError("a video for --part", f"{out}", "draw pictures in one run")
    signer = None if sign is None else open_signer(sign, out)
    if audio is None and motion is None:
        raise UserError("a sound or a motion", "neither", "give --audio, --text or --motion")
    waveform = None if audio is None else _heard(audio, progress)
    loaded = avatar if isinstance(avatar, LoadedAvatar) else load_avatar(avatar)
    motion = _given_motion(loaded, motion, progress)
    framing = framing_of(loaded, wish.crop, wish.size)
    parts = PartFolder(out, _key(audio, loaded, wish, background, motion, controls, seed))
    kept = parts.kept(progress)
    track = kept or _made_motion(loaded, waveform, motion, wish, controls or Controls(), seed)
    if save_motion is not None and share is None:
        track.save(save_motion)
    if save_curves is not None and share is None:
        write_curves(save_curves, curves_of_motion(loaded, track))
    start, seconds = wish.first_moment(VIDEO_FPS if motion is None else motion.fps), track.seconds
    if waveform is not None:
        seconds = max(min(waveform.seconds, wish.stop or waveform.seconds) - start, 1 / track.fps)
    shot = Shot(loaded, track, background, wish, framing, audio, start, seconds, out, signer)
    if kept is None and share is None and not in_parts(track, out):
        with scratch_folder() as scratch, frame_parallel():
            shot.write(scratch, progress)
        return out
    if kept is None:
        parts.keep(track)
    segments = parts.segments(ends_of_segments(track, waveform, start))
    with scratch_folder() as scratch, frame_parallel():
        if share is None:
            shot.write_all(segments, scratch, parts, progress)
            return out
        shot.write_some(share.of_segments(segments), scratch, progress)
    return parts.path


def _heard(audio: Path, progress: Progress) -> Waveform:
    """The sound of a file; what is unusual about it is told."""
    heard = hear(audio)
    for note in heard.notes:
        progress.say(f"{audio.name}: {note}")
    return heard.waveform


def check_outputs(
    out: Path, saved: Sequence[Path | None], made_from: Sequence[object], avatar: Path, clear: bool
) -> None:
    """Refuse places for the output that cannot be meant.

    Args:
        out: the video.
        saved: other files that are written.
        made_from: what the video is made from; files among it must stay.
        avatar: the avatar's folder.
        clear: whether the video is transparent.

    Raises:
        UserError: a folder, another kind of file than is written, or a file that the video is made from.
    """
    if out.is_dir():
        raise UserError("a file name for --out", f"the folder {out}", "add a name such as talk.mp4")
    if clear and out.suffix.lower() != ".png":
        require_alpha(out)
    written = [path for path in saved if path is not None]
    for path in written:
        if path.suffix.lower() not in (".csv", ".safetensors"):
            do = "name one with such an ending"
            raise UserError("a motion file that ends in .csv or .safetensors", path.name, do)
    sources = [path for path in made_from if isinstance(path, Path) and path.exists()]
    for path in (out, *written):
        if path.exists() and any(path.samefile(source) for source in sources):
            raise UserError("another file to write than one that is read", f"{path}", "name another one")
        if path.exists() and path.resolve().parent == avatar.resolve():
            raise UserError("a file to write that is no part of the avatar", f"{path}", "name another one")
    if out.suffix.lower() not in (*VIDEOS, *SERIES):
        wanted, do = ", ".join((*VIDEOS, *SERIES)), "name one such as talk.mp4"
        raise UserError(f"a file for --out that ends in {wanted}", f"{out}", do)


def in_parts(track: MotionTrack, out: Path) -> bool:
    """Whether a motion is so long that its video is written in segments."""
    return len(track) > frames_of_segment(track) and out.suffix.lower() not in SERIES


def _given_motion(avatar: LoadedAvatar, motion: MotionTrack | Path | None, progress: Progress) -> MotionTrack | None:
    """The motion that was asked for instead of the sound's, in the avatar's order of channels."""
    if isinstance(motion, Path):
        return motion_of_file(avatar, motion, progress.say)
    if motion is None:
        return None
    check_motion(avatar, motion)
    return in_order(avatar, motion)


def _made_motion(
    avatar: LoadedAvatar,
    waveform: Waveform | None,
    motion: MotionTrack | None,
    wish: VideoWish,
    controls: Controls,
    seed: int,
) -> MotionTrack:
    """What the video shows: the whole motion as the controls want it, then the wished-for stretch at its rate."""
    if motion is not None:
        whole = motion if waveform is None else fitted_to(motion, waveform.seconds)
    else:
        assert waveform is not None
        with frame_parallel():
            whole = motion_for_sound(avatar, waveform)
    track = wish.cut(controlled(avatar, whole, controls, seed, waveform))
    return track if wish.fps is None else track.at_fps(wish.fps)


def fitted_to(motion: MotionTrack, seconds: float) -> MotionTrack:
    """A motion as long as a sound: cut at the end, or held at its last frame.

    Raises:
        UserError: it is more than a second shorter or longer than the sound.
    """
    if abs(motion.seconds - seconds) > _SLACK:
        came = f"{motion.seconds:.1f} s of motion for {seconds:.1f} s of sound"
        raise UserError("a motion as long as the sound", came, "give the motion that belongs to this sound")
    return motion.taken(np.minimum(np.arange(frames_of_seconds(seconds, motion.fps)), len(motion) - 1))


@dataclass(frozen=True)
class Shot:
    """A video that is about to be written: who, what, how, and where to."""

    avatar: LoadedAvatar
    track: MotionTrack
    background: Background
    wish: VideoWish
    framing: Framing | None
    audio: Path | None
    start: float
    seconds: float
    out: Path
    signer: ContentSigner | None = None

    def write(self, scratch: Path, progress: Progress) -> None:
        """Write the video at once; ``scratch`` takes what is decoded on the way."""
        behind = self._behind(scratch)
        with progress.stage("speaking", len(self.track)) as advance:
            frames = _counted(self._frames(self.track, behind), advance)
            self._encode(self.out, frames, self.seconds, **self._sound, metadata=self._facts())
        self._sign()

    def write_some(self, segments: Sequence[Segment], scratch: Path, progress: Progress) -> None:
        """Write those of the segments that are not there."""
        missing = [each for each in segments if not each.path.is_file()]
        if not missing:
            return
        behind = self._behind(scratch)
        with progress.stage("speaking", _frames_of(missing)) as advance:
            for segment in missing:
                self._write_segment(segment, behind, advance)

    def write_all(self, segments: Sequence[Segment], scratch: Path, parts: PartFolder, progress: Progress) -> None:
        """Write those of the segments that are not there, then the video from all of them."""
        missing = [each for each in segments if not each.path.is_file()]
        behind = self._behind(scratch) if missing else None
        with progress.stage("speaking", _frames_of(missing)) as advance:

            def write(segment: Segment) -> None:
                assert behind is not None
                self._write_segment(segment, behind, advance)

            def join(segments: Sequence[Segment]) -> None:
                lengths = [self._seconds_of(each) for each in segments]
                videos = [each.path for each in segments]
                facts = self._facts()
                join_videos(self.out, videos, lengths, **self._sound, seconds=self.seconds, metadata=facts)

            write_in_segments(parts, segments, write, join, progress)
        self._sign()

    def _behind(self, scratch: Path) -> Behind:
        return behind_head(self.avatar, self.background, scratch, self.wish.torso, self.framing)

    @property
    def _sound(self) -> dict[str, Any]:
        return {"audio": self.audio, "audio_start": self.start}

    def _write_segment(self, segment: Segment, behind: Behind, advance: Callable[[int], None]) -> None:
        frames = self._frames(self.track.frames(segment.first, segment.stop), behind)
        self._encode(segment.path, _counted(frames, advance), self._seconds_of(segment))

    def _sign(self) -> None:
        """Sign what was written, where that was asked for: the video, or every one of its pictures.

        Raises:
            UserError: the certificate is not one for this; what was written is there, unsigned.
        """
        if self.signer is None:
            return
        mark, clear = mark_of(self.avatar.record), self.background.clear
        made = ALL_MADE if clear and self.wish.torso == "gaussians" else PARTLY_MADE
        written = [self.out]
        if self.out.suffix.lower() == ".png":
            written = [numbered(self.out, index) for index in range(len(self.track))]
        for path in written:
            self.signer.sign(path, mark.facts()["title"], made, mark.plain())

    def _seconds_of(self, segment: Segment) -> float:
        fps, last = self.track.fps, segment.stop == len(self.track)
        return (self.seconds if last else segment.stop / fps) - segment.first / fps

    def _frames(self, track: MotionTrack, behind: Behind) -> Iterator[np.ndarray]:
        drawn = layers(self.avatar, track, behind, framing=self.framing)
        return (transparent_frames if self.background.clear else opaque_frames)(drawn)

    def _encode(self, path: Path, frames: Iterable[np.ndarray], seconds: float, **more: Any) -> None:
        side = self.avatar.size
        size = (side, side) if self.framing is None else (self.framing.width, self.framing.height)
        kind = path.suffix.lower()
        if kind == ".png":
            write_pngs(path, frames, mark_of(self.avatar.record).comment("picture"))
        elif kind == ".gif":
            write_gif(path, frames, self.track.fps, mark_of(self.avatar.record).comment("video"))
        else:
            write = write_alpha_video if self.background.clear else write_video
            write(path, frames, self.track.fps, size, seconds=seconds, **more)

    def _facts(self) -> dict[str, str]:
        return mark_of(self.avatar.record).facts()


def _frames_of(segments: Sequence[Segment]) -> int:
    return sum(each.stop - each.first for each in segments)


def _key(
    audio: Path | None,
    avatar: LoadedAvatar,
    wish: VideoWish,
    background: Background,
    motion: MotionTrack | None,
    controls: Controls | None,
    seed: int,
) -> str:
    """Names all that a video's pictures depend on."""
    picture = None if background.picture is None else _digest(background.picture)
    sound = None if audio is None else file_digest(audio)
    asked = msgspec.to_builtins(replace(wish, background=str(wish.background)))
    wished = controls or Controls()
    head = _digest_of_motion(wished.head) if isinstance(wished.head, MotionTrack) else wished.head
    controlled_by = [repr(replace(wished, head="recorded")), head, seed]
    who = [record_to_plain(avatar.record), msgspec.to_builtins(avatar.encoder.config)]
    moved = None if motion is None else _digest_of_motion(motion)
    return content_key(__version__, who, sound, asked, picture, moved, controlled_by)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _digest_of_motion(motion: MotionTrack) -> list[object]:
    arrays = {name: _digest(array) for name, array in motion.arrays().items()}
    return [arrays, motion.fps, motion.upper_names, motion.movement_names]


def _counted(frames: Iterable[np.ndarray], advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    for frame in frames:
        yield frame
        advance(1)
