"""The verbs that make an avatar or its parts: fit, track, demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from gaussavatar.cli.common import print_metrics, print_quality, say, shown

if TYPE_CHECKING:
    from gaussavatar.fitting.preparation import Wishes


@dataclass(frozen=True)
class Fit:
    """Fit an avatar to a video of one person talking. Calling it again continues where it stopped."""

    video: Positional[Path]
    """Any video that ffmpeg reads, with sound and one face."""

    out: Path | None = None
    """Avatar folder to write; ./avatars/<name of the video> when not given."""

    recipe: str = "default"
    """Recipe name (preview: 256 px, default: 512 px) or a YAML file."""

    set: Annotated[tuple[str, ...], arg(metavar="KEY=VALUE ...")] = ()
    """Fields of the recipe to change, such as capture.size=384."""

    subject: str = "unknown"
    """Whose face and voice this is; stored with the avatar."""

    consent: str = "not recorded"
    """On what consent of that person: self, written, or a note; stored with the avatar."""

    seed: int = 0
    """Seed of everything random; the same seed on the same machine gives the same avatar."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto: a GPU where torch sees one and gsplat is installed, else the CPU."""

    focal: float | None = None
    """Focal length of the source video in its pixels, when it is known; 1.2 times its longer side otherwise."""

    av_offset: Annotated[float, arg(metavar="MS")] = 0.0
    """Milliseconds by which the sound comes later than the picture, as capture/quality.html reports it."""

    head: str | None = None
    """Head model to track (see gaussavatar head list); FLAME where it is installed, else the built-in one."""

    seg_model: Path | None = None
    """A better parser for the masks: selfie_multiclass_256x256.tflite, or a 19-class BiSeNet as .onnx."""

    blendshapes: Path | None = None
    """A face_landmarker.task, for its 52 blendshapes."""

    def run(self) -> None:
        """Fit, then print the figures and where everything is."""
        from gaussavatar.fitting.fit import fit
        from gaussavatar.progress import TerminalProgress

        result = fit(
            self.video,
            self.out,
            self.recipe,
            self.set,
            self.subject,
            self.consent,
            self.seed,
            wishes_of(self),
            TerminalProgress(),
            self.device,
        )
        print_metrics(result.metrics)
        say(f"avatar: {shown(result.avatar)}")
        say(f"report: {shown(result.report)}")
        say(f"next:   gaussavatar speak --avatar {shown(result.avatar)} --audio FILE")


@dataclass(frozen=True)
class Track:
    """Stop after preprocessing: frames, head poses, masks and, where there is sound, audio features."""

    video: Positional[Path]
    """Any video that ffmpeg reads, with one face; sound is not needed."""

    out: Path | None = None
    """Folder to write; ./tracks/<name of the video> when not given."""

    set: Annotated[tuple[str, ...], arg(metavar="KEY=VALUE ...")] = ()
    """Fields of the recipe to change, such as capture.size=384."""

    focal: float | None = None
    """Focal length of the source video in its pixels, when it is known; 1.2 times its longer side otherwise."""

    av_offset: Annotated[float, arg(metavar="MS")] = 0.0
    """Milliseconds by which the sound comes later than the picture, as capture/quality.html reports it."""

    head: str | None = None
    """Head model to track (see gaussavatar head list); FLAME where it is installed, else the built-in one."""

    seg_model: Path | None = None
    """A better parser for the masks: selfie_multiclass_256x256.tflite, or a 19-class BiSeNet as .onnx."""

    blendshapes: Path | None = None
    """A face_landmarker.task, for its 52 blendshapes."""

    def run(self) -> None:
        """Track, then say where the result is."""
        from gaussavatar.fitting.fit import track
        from gaussavatar.progress import TerminalProgress

        out = self.out or Path("tracks") / self.video.stem
        folder = track(self.video, out, TerminalProgress(), wishes=wishes_of(self), overrides=self.set)
        print_quality(folder)
        say(f"tracking: {shown(folder)}")
        say(f"quality:  {shown(folder / 'quality.html')}")


def wishes_of(verb: Fit | Track) -> Wishes:
    """What the user says about the video, from a verb's options."""
    from gaussavatar.fitting.preparation import Wishes

    return Wishes(verb.focal, verb.av_offset, verb.head, verb.seg_model, verb.blendshapes)


@dataclass(frozen=True)
class Demo:
    """Make a synthetic talking clip, fit an avatar to it, and let it speak a sentence that it never heard."""

    out: Path = Path("demo_out")
    """Folder to write the clip, the avatar and the video into."""

    def run(self) -> None:
        """Run the main job from end to end."""
        from gaussavatar.fitting.demo import run_demo
        from gaussavatar.progress import TerminalProgress

        result = run_demo(self.out, TerminalProgress())
        print_metrics(result.metrics)
        say(f"clip:   {shown(result.clip)}")
        say(f"avatar: {shown(result.avatar)}")
        say(f"report: {shown(result.report)}")
        if result.english is not None:
            say(f"video:  {shown(result.english)} (a sentence by espeak-ng)")
        say(f"video:  {shown(result.video)}")
