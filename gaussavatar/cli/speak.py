"""The verb ``speak``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gaussavatar.cli.common import complain, require_files, say, shown
from gaussavatar.errors import EXIT_USER_ERROR, UserError

if TYPE_CHECKING:
    from gaussavatar.speak.wish import VideoWish


@dataclass(frozen=True)
class Speak:
    """Let an avatar speak a sound file; writes a video with that sound, exactly as long as the audio."""

    audio: tuple[Path, ...] = ()
    """Any sound or video file that ffmpeg reads. Several give a video each, below the folder --out."""

    avatar: Path | None = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    out: Path | None = None
    """The video to write; ./<avatar>-<audio>.mp4 when not given, .mov when it is transparent."""

    motion: Path | None = None
    """A motion file, shown instead of the motion that the sound gives; without --audio the video has no sound."""

    save_motion: Path | None = None
    """Write the motion that the video shows to this file too, to edit it; a folder for several sounds."""

    start: Annotated[float, tyro.conf.arg(name="from")] = 0.0
    """The second of the sound (and of the motion) with which the video begins."""

    stop: Annotated[float | None, tyro.conf.arg(name="to")] = None
    """The second with which it ends; the end of the sound when not given."""

    fps: float | None = None
    """Frames per second: 25, or those of the motion file, when not given; others are interpolated."""

    size: int | None = None
    """The larger side of the video in pixels; as it was filmed when not given."""

    crop: str | None = None
    """head: a square around the head; x,y,width,height: that part of the filmed picture, in its pixels."""

    background: str = "plate"
    """plate: the filmed place; #rrggbb: a colour; a picture's path: that picture, cut to fill the frame; none: a video
    with transparency, ProRes 4444 (.mov) or VP9 (.webm) by the extension of --out."""

    torso: Literal["real", "gaussians"] = "real"
    """real: the filmed torso; gaussians: the torso branch, of avatars fitted with --set torso.enabled=true."""

    def run(self) -> int:
        """Render the videos and say where they are."""
        if not self.audio and self.motion is None:
            raise UserError("something to say", "neither --audio nor --motion", "give --audio FILE")
        # What is not there is said at once, before anything heavy is imported.
        require_files("--motion", () if self.motion is None else (self.motion,))
        if len(self.audio) <= 1:
            require_files("--audio", self.audio)
            return self._one()
        if self.motion is not None:
            raise UserError("one sound for --motion", f"{len(self.audio)}", "give each sound its own motion")
        return self._several()

    def _wish(self) -> VideoWish:
        from gaussavatar.speak.wish import VideoWish

        return VideoWish(self.background, self.torso, self.fps, self.size, self.crop, self.start, self.stop)

    def _one(self) -> int:
        from gaussavatar.avatar.folder import find_avatar
        from gaussavatar.motion.track import MotionTrack
        from gaussavatar.progress import TerminalProgress
        from gaussavatar.speak.offline import speak

        folder, out = find_avatar(self.avatar), self.out
        motion = None if self.motion is None else MotionTrack.load(self.motion)
        audio = self.audio[0] if self.audio else None
        if out is None and audio is None and self.motion is not None:
            out = self._named(folder, self.motion.stem)
        video = speak(audio, folder, out, TerminalProgress(), self._wish(), motion, self.save_motion)
        if self.save_motion is not None:
            say(f"motion: {shown(self.save_motion)}")
        say(f"video: {shown(video)}")
        return 0

    def _several(self) -> int:
        from gaussavatar.avatar.folder import find_avatar
        from gaussavatar.avatar.load import load_avatar
        from gaussavatar.progress import TerminalProgress
        from gaussavatar.speak.batch import speak_each
        from gaussavatar.speak.offline import speak

        loaded, wish, progress = load_avatar(find_avatar(self.avatar)), self._wish(), TerminalProgress()
        folder = self.out or Path()

        def say_one(audio: Path, name: str) -> Path:
            progress.say(f"{shown(audio)}:")
            motion = None if self.save_motion is None else self.save_motion / f"{name}.safetensors"
            return speak(audio, loaded, folder / self._named(loaded.path, name), progress, wish, None, motion)

        failed = 0
        for one in speak_each(self.audio, say_one, folder):
            if isinstance(one.video, UserError):
                failed += 1
                complain(one.video)
            else:
                say(f"video: {shown(one.video)}")
        if failed:
            progress.say(f"{failed} of {len(self.audio)} sounds gave no video; the others are in {shown(folder)}")
        return EXIT_USER_ERROR if failed else 0

    def _named(self, avatar: Path, name: str) -> Path:
        return Path(f"{avatar.resolve().name}-{name}{'.mov' if self.background == 'none' else '.mp4'}")
