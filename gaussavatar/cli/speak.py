"""The verb ``speak``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from gaussavatar.cli.common import complain, require_files, say, shown
from gaussavatar.cli.controls import ControlOptions
from gaussavatar.cli.signing import SigningOptions
from gaussavatar.errors import EXIT_USER_ERROR, UserError
from gaussavatar.packages import require_tracking

if TYPE_CHECKING:
    from gaussavatar.speak.wish import VideoWish


@dataclass(frozen=True)
class Speak:
    """Let an avatar speak a sound or a text, follow a motion, or re-enact a video; as long as the sound, exactly."""

    audio: tuple[Path, ...] = ()
    """Any sound or video file that ffmpeg reads. Several give a video each, below the folder --out."""

    text: str | None = None
    """A text instead of a sound; a speech engine that is installed here says it."""

    engine: str | None = None
    """kokoro, kokoro-ja, piper, espeak-ng or flite; the first that is there and has the language when not given."""

    voice: str | None = None
    """A voice of that engine; a wrong one is answered with those that it has."""

    language: str | None = None
    """Language of the text, such as de or en-gb; English when not given."""

    video: Path | None = None
    """A video of another person: the avatar re-enacts face and head, with that video's sound unless there is --audio.
    It is tracked in ./tracks/<name of the video>, once."""

    avatar: Path | None = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    features: Literal["best", "light"] = "best"
    """What it hears the sound with: its best audio network, or the light one, which needs nothing installed."""

    ood: float | None = None
    """How far a voice of a kind that the avatar never heard is brought to what it did hear, 0 (not at all) to 1; as its
    recipe says (.3) when not given. With more, voices move the lips more alike, its own a little less well."""

    out: Path | None = None
    """The video to write; ./<avatar>-<audio>.mp4 when not given, .mov when it is transparent."""

    motion: Path | None = None
    """A motion (--save-motion wrote it, or 52 ARKit curves as CSV or JSON) instead of what the sound gives; without a
    sound the video has none."""

    save_motion: Path | None = None
    """Write the motion that the video shows too, as .csv or .safetensors; a folder for several sounds."""

    save_curves: Path | None = None
    """Write that motion as 52 ARKit curves too, as Live Link Face does (.csv); for one sound."""

    start: Annotated[float, arg(name="from")] = 0.0
    """The second of the sound (and of the motion) with which the video begins."""

    stop: Annotated[float | None, arg(name="to")] = None
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

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to render."""

    part: Annotated[str | None, arg(metavar="hear|K/N")] = None
    """A long video on several machines: hear makes its motion beside --out, K/N draws the K-th of N shares of its
    segments there, and the same command without --part joins them."""

    controls: ControlOptions = field(default_factory=ControlOptions)

    signing: SigningOptions = field(default_factory=SigningOptions)

    def run(self) -> int:
        """Render the videos and say where they are."""
        self._check()
        return self._several() if len(self.audio) > 1 else self._one()

    def _check(self) -> None:
        """What is not there is said at once, before anything heavy is imported."""
        if not self.audio and self.text is None and self.motion is None and self.video is None:
            came = "none of --audio, --text, --motion and --video"
            raise UserError("something to say", came, "give --audio FILE")
        if self.audio and self.text is not None:
            raise UserError("a sound or a text", "both --audio and --text", "leave one of them out")
        if self.motion is not None and self.video is not None:
            raise UserError("a motion or a video", "both --motion and --video", "leave one of them out")
        if self.part is not None and (len(self.audio) != 1 or self.video is not None):
            came = "--video" if self.video is not None else f"{len(self.audio)}"
            raise UserError("one sound in --audio for --part", came, "give the sound's file")
        if self.text is None and (self.engine or self.voice or self.language):
            raise UserError("a --text for --engine, --voice or --language", "none", "give --text, or leave them out")
        for option, path in (("--motion", self.motion), ("--video", self.video)):
            require_files(option, () if path is None else (path,))
            if path is not None and len(self.audio) > 1:
                raise UserError(f"one sound for {option}", f"{len(self.audio)}", "give them one after the other")
        if len(self.audio) <= 1:
            require_files("--audio", self.audio)
        elif self.save_curves is not None:
            raise UserError("one sound for --save-curves", f"{len(self.audio)}", "save motions, or say them one by one")
        self.controls.check()
        self.signing.credentials()
        from gaussavatar.avatar.finding import find_avatar

        if self.video is not None:
            require_tracking("speak --video")
        find_avatar(self.avatar)

    def _wish(self) -> VideoWish:
        from gaussavatar.speak.wish import VideoWish

        return VideoWish(self.background, self.torso, self.fps, self.size, self.crop, self.start, self.stop)

    def _one(self) -> int:
        from gaussavatar.avatar.finding import find_avatar
        from gaussavatar.avatar.load import load_avatar
        from gaussavatar.progress import TerminalProgress
        from gaussavatar.render.device import choose_device
        from gaussavatar.speak.offline import speak
        from gaussavatar.speak.segments import Share

        share = None if self.part is None else Share.read(self.part)
        controls, folder, progress = self.controls.controls(), find_avatar(self.avatar), TerminalProgress()
        place = choose_device(self.device)
        with self._sound() as audio:
            out = self.out or self._named(folder, self._name(audio))
            motion = self.motion
            avatar = folder
            if self.video or self.features == "light" or self.ood is not None or place.type != "cpu":
                avatar = load_avatar(folder, hearing=self.features, ood=self.ood, device=self.device)
            if self.video is not None:
                from gaussavatar.fitting.reenact import reenact

                assert not isinstance(avatar, Path)
                audio, motion = reenact(avatar, self.video, audio, out, progress)
            video = speak(
                audio, avatar, out, progress, self._wish(), motion, self.save_motion, controls,
                self.controls.seed, self.save_curves, share, self.signing.credentials(),
            )  # fmt: skip
        if share is not None:
            say(f"part: {shown(video)}")
            return 0
        if self.save_motion is not None:
            say(f"motion: {shown(self.save_motion)}")
        if self.save_curves is not None:
            say(f"curves: {shown(self.save_curves)}")
        say(f"video: {shown(video)}")
        return 0

    @contextmanager
    def _sound(self) -> Iterator[Path | None]:
        """The sound's file: the given one, or what a speech engine makes of the text."""
        if self.text is None:
            yield self.audio[0] if self.audio else None
            return
        from gaussavatar.speak.text.registry import say_text
        from gaussavatar.storage import scratch_folder

        with scratch_folder() as folder:
            path = folder / "text.wav"
            engine = say_text(self.text, path, self.engine, self.voice, self.language)
            say(f"said by {engine}")
            yield path

    def _several(self) -> int:
        from gaussavatar.avatar.finding import find_avatar
        from gaussavatar.avatar.load import load_avatar
        from gaussavatar.progress import TerminalProgress
        from gaussavatar.speak.batch import speak_each
        from gaussavatar.speak.offline import speak

        controls, wish, progress = self.controls.controls(), self._wish(), TerminalProgress()
        loaded = load_avatar(find_avatar(self.avatar), hearing=self.features, ood=self.ood, device=self.device)
        folder = self.out or Path()

        def say_one(audio: Path, name: str) -> Path:
            progress.say(f"{shown(audio)}:")
            saved = None if self.save_motion is None else self.save_motion / f"{name}.safetensors"
            out = folder / self._named(loaded.path, name)
            sign = self.signing.credentials()
            return speak(audio, loaded, out, progress, wish, None, saved, controls, self.controls.seed, sign=sign)

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

    def _name(self, audio: Path | None) -> str:
        """What the video is named after."""
        if self.text is not None:
            words = "".join(letter if letter.isalnum() else " " for letter in self.text[:200]).split()
            return "-".join(words[:6])[:60]
        named = (self.video, audio, self.motion)
        return next(path.stem for path in named if path is not None)

    def _named(self, avatar: Path, name: str) -> Path:
        return Path(f"{avatar.resolve().name}-{name}{'.mov' if self.background == 'none' else '.mp4'}")
