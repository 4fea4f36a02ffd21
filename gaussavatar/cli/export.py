"""The verb ``export``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from gaussavatar.cli.common import require_files, say, shown
from gaussavatar.cli.controls import ControlOptions
from gaussavatar.cli.signing import SigningOptions
from gaussavatar.errors import UserError
from gaussavatar.export.registry import WRITERS

if TYPE_CHECKING:
    from gaussavatar.export.states import MotionWish

FILMS = {
    "png": "numbered pictures in a folder",
    "gif": "an animated picture",
    "mp4": "a video",
    "mov": "a video with transparency for editors",
    "webm": "a video with transparency for browsers",
}
"""What ``speak`` writes, by this door."""

SIGNABLE_FILMS = (".png", ".gif", ".mp4", ".mov")
"""Those of them that have a place for content credentials."""

HOLDS = {**{name: writer.holds for name, writer in WRITERS.items()}, **FILMS}
FORMAT_HELP = f"What to write: {'; '.join(f'{name}: {holds}' for name, holds in HOLDS.items())}."
OPTIONS_HELP = "About the file. " + " ".join(
    f"{kind}: {'; '.join(f'{name}={option.default}: {option.meaning}' for name, option in writer.settings.items())}."
    for kind, writer in WRITERS.items()
)


@dataclass(frozen=True)
class Export:
    """Write an avatar for other programs."""

    avatar: Positional[Path | None] = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    format: Annotated[str, arg(metavar="{" + ",".join(HOLDS) + "}", help=FORMAT_HELP)] = "ply"

    out: Path | None = None
    """The file to write; <name of the avatar>.<format> when not given."""

    motion: Path | None = None
    """What it does, or the motion of which it is a moment: a motion file, or 52 ARKit curves as CSV or JSON."""

    audio: Path | None = None
    """The same by a sound that it speaks; web: a sound that visitors can play."""

    frame: int | None = None
    """Formats of one state: which frame, from 0; of --motion or --audio, or of the filmed clip."""

    at: float | None = None
    """Formats of one state: which second."""

    opening: float | None = None
    """How far the lips are open: 0 is closed, 1 wide open; as in the motion when not given."""

    start: Annotated[float, arg(name="from")] = 0.0
    """Formats that move: from which second."""

    stop: Annotated[float | None, arg(name="to")] = None
    """Formats that move: to which second; to the end when not given."""

    background: str | None = None
    """Pictures and videos: plate, #rrggbb, a picture's path, or none for transparency; none for mov and webm when not
    given, the filmed place for the others."""

    fps: float | None = None
    """Pictures and videos: frames per second; those of the motion when not given."""

    size: int | None = None
    """Pictures and videos: the larger side in pixels; as it was filmed when not given."""

    crop: str | None = None
    """Pictures and videos: head, or x,y,width,height in pixels of the filmed picture."""

    controls: ControlOptions = field(default_factory=ControlOptions)

    signing: SigningOptions = field(default_factory=SigningOptions)

    quality: Literal["small", "normal", "full"] | None = None
    """web, avatar: how many bits the bases and the video get; normal when not given."""

    features: Literal["light", "best"] | None = None
    """web, avatar: what it hears with, light when not given. With best, whole sounds are spoken by the avatar's best
    network (mel and hama, with the light one) and live sound by the light one alone. The file is 4 MB larger."""

    split: bool = False
    """web: a folder with page, player and avatar file instead of one file."""

    force: bool = False
    """web, avatar: also where the avatar's motion comes out more than 2 pixels off."""

    set: Annotated[tuple[str, ...], arg(metavar="NAME=VALUE ...", help=OPTIONS_HELP)] = ()

    def run(self) -> None:
        """Write the file and say where it is."""
        if self.format not in HOLDS:
            raise UserError(f"a format: {', '.join(HOLDS)}", repr(self.format), "name one of these with --format")
        from gaussavatar.avatar.finding import find_avatar
        from gaussavatar.export.registry import export_avatar

        sign = self.signing.credentials()
        if sign is not None and f".{self.format}" not in SIGNABLE_FILMS:
            wanted = ", ".join(suffix[1:] for suffix in SIGNABLE_FILMS)
            raise UserError(f"a format that can be signed: {wanted}", self.format, "leave out --sign-cert")
        if self.format in FILMS:
            say(f"{self.format}: {shown(self._film())}")
            return
        options, wish = words(self.set) | self._file_options(), self._wish()
        folder = find_avatar(self.avatar)
        options |= self._tracked_head(folder) if "head" not in options else {}
        path, count = export_avatar(folder, self.format, self.out, wish, options, tell=say)
        say(f"{count} {WRITERS[self.format].counts}: {shown(path)}")

    @property
    def _carried(self) -> Path | None:
        """The sound that goes into the file rather than into the motion."""
        writer = WRITERS.get(self.format)
        return self.audio if writer is not None and "audio" in writer.settings else None

    def _file_options(self) -> dict[str, Any]:
        """What was given of the file besides --set."""
        given = {"quality": self.quality, "audio": self._carried, "split": self.split, "force": self.force}
        given["features"] = self.features
        return {name: value for name, value in given.items() if value}

    def _tracked_head(self, folder: Path) -> dict[str, Path]:
        """The head's mesh where the avatar still has what was captured, and the format takes one."""
        from gaussavatar.avatar.finding import CAPTURE
        from gaussavatar.capture.layout import CaptureLayout

        writer, head = WRITERS.get(self.format), CaptureLayout(folder / CAPTURE).head
        return {"head": head} if writer is not None and "head" in writer.settings and head.is_file() else {}

    def _film(self) -> Path:
        """Pictures or a video of the motion, as ``speak`` makes them."""
        for option, value in (("--frame", self.frame), ("--at", self.at), ("--opening", self.opening)):
            if value is not None:
                raise UserError(
                    f"a format of one state for {option}", f"--format {self.format}", "give --from and --to"
                )
        if self.set:
            raise UserError("no --set for pictures and videos", " ".join(self.set), "leave it out")
        self._check()
        from gaussavatar.avatar.finding import find_avatar
        from gaussavatar.avatar.load import load_avatar
        from gaussavatar.progress import TerminalProgress
        from gaussavatar.speak.offline import speak
        from gaussavatar.speak.wish import VideoWish

        folder, controls = find_avatar(self.avatar), self.controls.controls()
        named, clear = folder.resolve().name, self.format in ("mov", "webm")
        out = self.out or Path(f"{named}-png" if self.format == "png" else f"{named}.{self.format}")
        if self.format != "png" and out.suffix.lower() != f".{self.format}":
            raise UserError(f"a file for --out that ends in .{self.format}", f"{out}", "change the ending")
        loaded = load_avatar(folder)
        background = self.background or ("none" if clear else "plate")
        wish = VideoWish(background, "real", self.fps, self.size, self.crop, self.start, self.stop)
        motion = self.motion or (None if self.audio else loaded.filmed)
        film = out / "frame.png" if self.format == "png" else out
        speak(
            self.audio, loaded, film, TerminalProgress(), wish, motion, controls=controls, seed=self.controls.seed,
            sign=self.signing.credentials(),
        )  # fmt: skip
        return out

    def _check(self) -> None:
        """What is not there is said at once, before anything heavy is imported."""
        for option, path in (("--motion", self.motion), ("--audio", self.audio)):
            require_files(option, () if path is None else (path,))
        self.controls.check()

    def _wish(self) -> MotionWish:
        self._check()
        from gaussavatar.export.states import MotionWish

        spoken = None if self._carried else self.audio
        return MotionWish(
            self.motion, spoken, self.frame, self.at, self.opening, self.start, self.stop,
            self.controls.controls(), self.controls.seed,
        )  # fmt: skip


def words(given: tuple[str, ...]) -> dict[str, str]:
    """``name=value`` words by name.

    Raises:
        UserError: a word is not of that form.
    """
    pairs = [word.partition("=") for word in given]
    for word, (name, equals, value) in zip(given, pairs, strict=True):
        if not (name and equals and value):
            raise UserError("NAME=VALUE after --set", repr(word), "write, for example, faintest=0.02")
    return {name: value for name, _, value in pairs}
