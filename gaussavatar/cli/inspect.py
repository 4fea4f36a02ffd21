"""The verbs that look at parts: head, bench, doctor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from gaussavatar.cli.common import say, shown
from gaussavatar.errors import UserError


@dataclass(frozen=True)
class Head:
    """Head models: the built-in one, and FLAME, ICT-FaceKit or GNM installed from your files."""

    action: Positional[Literal["list", "show", "install", "remove"]] = "list"
    """list: what there is; show: write a picture of one; install: take one from a file; remove: delete one."""

    what: Positional[str | None] = None
    """Name of the head (show, remove); FLAME's .pkl or .zip, ICT-FaceKit's folder or .npz, GNM's .npz (install)."""

    name: str | None = None
    """What to call the head that is installed; by its kind when not given."""

    expression: Annotated[tuple[str, ...], arg(metavar="NAME=WEIGHT ...")] = ()
    """Expressions of the picture, such as jawOpen=0.6 eyeBlinkLeft=1."""

    out: Path = Path("head.png")
    """The png or jpg to write."""

    def run(self) -> None:
        """Do it and say where the result is."""
        from gaussavatar.cli import head

        if self.action == "list":
            head.list_heads()
        elif self.action == "show":
            head.show_head(self.what, self.expression, self.out)
        elif self.action == "install":
            head.install(None if self.what is None else Path(self.what), self.name)
        else:
            head.remove(self.what)


@dataclass(frozen=True)
class Bench:
    """Measure: the rasterizer's speed, an avatar's lips under a voice, or what the sound tells of a clip's lips."""

    what: Positional[Literal["raster", "step", "tracking", "voice", "lips", "closure", "ablations"]] = "raster"
    """raster: milliseconds per frame; step: a training step of --recipe, part by part; tracking: errors against the
    demo actor's truth or, with --video, speed and steadiness on that clip; voice: rendered lips under --audio;
    lips: the audio network, block by block; closure: whether the mouth closes on m, b and p, in the silence of
    --audio and where the real lips close; ablations: one fit per design choice on --video, and a table of their
    figures."""

    video: Path | None = None
    """Clip of tracking (the demo actor is filmed for it when not given) and of ablations."""

    avatar: Path | None = None
    """Avatar folder of voice, lips and closure; the one fitted last below ./avatars when not given."""

    audio: Path | None = None
    """Sound of voice and closure."""

    out: Path | None = None
    """JSON file to write the figures into as well."""

    recipe: str = "preview"
    """Recipe whose choices ablations changes, and whose sizes step takes."""

    set: Annotated[tuple[str, ...], arg(metavar="KEY=VALUE ...")] = ()
    """Fields of the recipe to change, in all rows of ablations and in step."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where step is measured."""

    seeds: int = 1
    """Fits per row of ablations."""

    only: tuple[str, ...] = ()
    """Rows of ablations to fit besides the first; all when not given."""

    folder: Path = Path("ablations")
    """Folder of the fits of ablations; rows that are there already are kept."""

    table: Path | None = None
    """Markdown file that ablations writes."""

    def run(self) -> None:
        """Measure and print."""
        figures = getattr(self, f"_{self.what}")()
        if self.out is not None:
            from gaussavatar.storage import write_json

            write_json(self.out, figures)
            say(f"figures: {shown(self.out)}")

    def _raster(self) -> dict[str, Any]:
        from gaussavatar.bench.raster import bench_raster, format_rows

        figures = bench_raster()
        say(format_rows(figures))
        return figures

    def _step(self) -> dict[str, Any]:
        from gaussavatar.bench.step import bench_step, format_step

        figures = bench_step(self.recipe, self.set, self.device)
        say(format_step(figures))
        return figures

    def _tracking(self) -> dict[str, Any]:
        from gaussavatar.progress import TerminalProgress

        if self.video is None:
            from gaussavatar.bench.truth import bench_truth

            figures = bench_truth(progress=TerminalProgress())
        else:
            from gaussavatar.bench.tracking import bench_tracking

            figures = bench_tracking(self.video, TerminalProgress())
        for name, value in figures.items():
            say(f"{name:<28} {value:.4g}")
        return figures

    def _ablations(self) -> dict[str, Any]:
        from gaussavatar.bench.ablations import run_ablations
        from gaussavatar.progress import TerminalProgress

        if self.video is None:
            raise UserError("a clip for bench ablations", "none", "name one with --video")
        rows = run_ablations(
            self.video, self.folder, self.recipe, self.set, self.seeds, self.only, self.table, TerminalProgress()
        )
        for name, row in rows.items():
            mean = row["mean"]
            say(f"{name:<24} head {mean['head']:.2f}  mouth {mean['mouth']:.2f}  LMD {mean['LMD']:.2f}")
        if self.table is not None:
            say(f"table: {shown(self.table)}")
        return rows

    def _voice(self) -> dict[str, Any]:
        from gaussavatar.avatar.folder import find_avatar
        from gaussavatar.bench.voice import bench_voice

        if self.audio is None:
            raise UserError("a sound for bench voice", "none", "name one with --audio")
        figures = bench_voice(find_avatar(self.avatar), self.audio)
        for name, value in figures.items():
            say(f"{name:<20} {value:.4g}")
        return figures

    def _closure(self) -> dict[str, Any]:
        from gaussavatar.avatar.folder import find_avatar
        from gaussavatar.bench.closure import bench_closure

        figures = bench_closure(find_avatar(self.avatar), self.audio)
        for name, value in figures.items():
            say(f"{name:<22} {value:.3f}")
        return figures

    def _lips(self) -> dict[str, Any]:
        from gaussavatar.audio.mel import log_mel
        from gaussavatar.avatar.folder import find_avatar
        from gaussavatar.bench.lips import bench_lips
        from gaussavatar.media.ffmpeg import read_audio
        from gaussavatar.progress import TerminalProgress
        from gaussavatar.tracking.face.motion import load_motion
        from gaussavatar.tracking.poses.fit import load_tracking

        capture = find_avatar(self.avatar) / "capture"
        motion = load_motion(capture / "motion.safetensors")
        figures = bench_lips(
            log_mel(read_audio(capture / "audio.wav")),
            motion,
            tracking=load_tracking(capture / "tracking.safetensors"),
            progress=TerminalProgress(),
        )
        for name, value in figures.items():
            if isinstance(value, float):
                say(f"{name:<20} {value:.3f}")
        return figures


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, which backend will be used, what is missing and what to do about it."""

    def run(self) -> int:
        """Print one line per part; the exit code is 0 when the main road works."""
        from gaussavatar.cli.doctor import run_checks

        return run_checks()
