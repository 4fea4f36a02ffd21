"""The verb ``bench``: one command per bench, each with its own options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg, subcommand

from gaussavatar.cli.common import say, shown


@dataclass(frozen=True, kw_only=True)
class Figures(ABC):
    """Option of every bench: a bench measures, prints its figures, and writes them where it is asked to."""

    out: Path | None = None
    """JSON file to write the figures into as well."""

    def run(self) -> None:
        """Measure and print."""
        figures = self.measure()
        if self.out is not None:
            from gaussavatar.storage import write_json

            write_json(self.out, figures)
            say(f"figures: {shown(self.out)}")

    @abstractmethod
    def measure(self) -> Mapping[str, Any]:
        """Measure, print, and return what was measured."""


@dataclass(frozen=True)
class Raster(Figures):
    """Milliseconds per frame of the rasterizer and of the image loss, forward and with gradients."""

    def measure(self) -> Mapping[str, Any]:
        """Draw a scene like a head in each size."""
        from gaussavatar.bench.raster import bench_raster, format_rows

        figures = bench_raster()
        say(format_rows(figures))
        return figures


@dataclass(frozen=True)
class Step(Figures):
    """A training step of a recipe, part by part."""

    recipe: str = "preview"
    """Recipe whose sizes are taken."""

    set: Annotated[tuple[str, ...], arg(metavar="KEY=VALUE ...")] = ()
    """Fields of the recipe to change."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it is measured; auto: a GPU where torch sees one and gsplat is installed, else the CPU."""

    def measure(self) -> Mapping[str, Any]:
        """Train a made-up avatar for some steps."""
        from gaussavatar.bench.step import bench_step, format_step

        figures = bench_step(self.recipe, self.set, self.device)
        say(format_step(figures))
        return figures


@dataclass(frozen=True)
class Tracking(Figures):
    """Errors of tracking against the demo actor's truth or, with --video, speed and steadiness on that clip."""

    video: Path | None = None
    """Clip to track; the demo actor is filmed when not given."""

    def measure(self) -> Mapping[str, Any]:
        """Track a clip."""
        from gaussavatar.progress import TerminalProgress

        if self.video is None:
            from gaussavatar.bench.truth import bench_truth

            figures = bench_truth(progress=TerminalProgress())
        else:
            from gaussavatar.bench.tracking import bench_tracking

            figures = bench_tracking(self.video, TerminalProgress())
        return _printed(figures, 28, ".4g")


@dataclass(frozen=True)
class Voice(Figures):
    """Rendered lips under a voice: how wide they open where it speaks and where it is silent."""

    audio: Path
    """Sound that drives the avatar."""

    avatar: Path | None = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    def measure(self) -> Mapping[str, Any]:
        """Render the lips under the sound."""
        from gaussavatar.avatar.finding import find_avatar
        from gaussavatar.bench.voice import bench_voice

        return _printed(bench_voice(find_avatar(self.avatar), self.audio), 20, ".4g")


@dataclass(frozen=True)
class Lips(Figures):
    """What the sound tells of a clip's lips: the audio network, block by block.

    Several networks, clips or seeds give a table of means and paired differences.
    """

    avatar: Path | None = None
    """Folder of the avatar, or of the capture, whose clip is read; the avatar fitted last below ./avatars when not
    given."""

    clips: tuple[Path, ...] = ()
    """Several such folders."""

    features: UseAppendAction[tuple[str, ...]] = ()
    """What the network hears, with commas (mel,viseme); give it once for every network to compare. The first one is
    what the others are compared with."""

    variant: UseAppendAction[tuple[str, ...]] = ()
    """Fields of the recipe to change ("audio.steps=350 audio.hidden=60"); give it once for every network to compare,
    with "" for one that changes nothing."""

    set: Annotated[tuple[str, ...], arg(metavar="KEY=VALUE ...")] = ()
    """Fields of the recipe to change in all of them."""

    recipe: str = "default"
    """Recipe whose audio network it is."""

    seeds: tuple[int, ...] = (0,)
    """Seeds to run each with."""

    blocks: int = 11
    """Consecutive blocks of a clip, each predicted by a network that never saw it."""

    jobs: int = 1
    """Processes side by side."""

    def measure(self) -> Mapping[str, Any]:
        """Fit the audio networks on parts of the clips."""
        from gaussavatar.avatar.finding import find_avatar
        from gaussavatar.bench.lips_table import format_lips, lips_rows, run_lips_table, summarise_lips
        from gaussavatar.errors import UserError
        from gaussavatar.progress import TerminalProgress

        for name, value, least in (("blocks", self.blocks, 2), ("jobs", self.jobs, 1), ("seeds", len(self.seeds), 1)):
            if value < least:
                raise UserError(f"at least {least} for --{name}", str(value), "give more")
        clips = (*(() if self.avatar is None else (self.avatar,)), *self.clips) or (find_avatar(None),)
        rows = lips_rows(self.features, self.variant, self.set, self.recipe)
        progress = TerminalProgress()
        records = run_lips_table(
            tuple(dict.fromkeys(clips)),
            rows,
            tuple(dict.fromkeys(self.seeds)),
            progress,
            recipe=self.recipe,
            blocks=self.blocks,
            jobs=self.jobs,
            done=lambda run: progress.say(
                f"{run['clip']}, {run['row']}, seed {run['seed']}: r {run['aperture_r']:.3f}"
            ),
        )
        if len(records) == 1:
            _printed({name: value for name, value in records[0].items() if isinstance(value, float)}, 20, ".3f")
            return records[0]
        summary = summarise_lips(records)
        say(format_lips(summary))
        return {**summary, "runs": records}


@dataclass(frozen=True)
class Closure(Figures):
    """Whether the mouth closes on m, b and p, in silence, and where the real lips close."""

    avatar: Path | None = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    audio: Path | None = None
    """Sound whose silence is measured too; without it only the demo's voices and the clip's own are."""

    def measure(self) -> Mapping[str, Any]:
        """Drive the avatar's codes."""
        from gaussavatar.avatar.finding import find_avatar
        from gaussavatar.bench.closure import bench_closure

        return _printed(bench_closure(find_avatar(self.avatar), self.audio), 22, ".3f")


@dataclass(frozen=True)
class Live(Figures):
    """A live session under a pretended clock: latencies, cost, lips against the file's, interruptions, memory."""

    avatar: Annotated[Path | None, Positional] = None
    """Avatar folder; the one fitted last below ./avatars when not given."""

    sound: Annotated[Path | None, Positional] = None
    """Sound that it says; syllables of noise when not given."""

    hearing: Literal["light", "best"] = "light"
    """Which of its audio networks hears."""

    minutes: float = 60.0
    """Pretended length of the session whose memory is watched; 0 leaves it out."""

    def measure(self) -> Mapping[str, Any]:
        """Run the sessions."""
        from gaussavatar.avatar.finding import find_avatar
        from gaussavatar.bench.live import bench_live

        return _printed(bench_live(find_avatar(self.avatar), self.sound, self.hearing, self.minutes), 52, ".4g")


@dataclass(frozen=True)
class Opening(Figures):
    """Lips of sound that is still coming against the whole file's: its first words and afterwards, over many voices."""

    avatar: Annotated[Path, Positional]
    """Avatar folder."""

    sounds: Annotated[tuple[Path, ...], Positional]
    """Recordings, one voice each; they are said in pieces of 15 seconds."""

    hearing: Literal["light", "best"] = "light"
    """Which of its audio networks hears."""

    own: Path | None = None
    """Recording of the person: the avatar then knows its own voice, as one does that was fitted lately."""

    voice: Literal["own"] | None = None
    """What the session is told of the voice."""

    def measure(self) -> Mapping[str, Any]:
        """Say every sound."""
        from gaussavatar.bench.opening import bench_opening

        figures = bench_opening(self.avatar, self.sounds, self.hearing, self.own, self.voice, say)
        for span in ("first second", "after 3 s"):
            say(f"{span:<13} " + ", ".join(f"{name} {value:.4f}" for name, value in figures[span].items()))
        return figures


@dataclass(frozen=True)
class Views(Figures):
    """An avatar seen from the side: of the demo's actor, against the actor from there; of anybody, what is covered."""

    avatar: Path | None = None
    """Avatar folder; the one of the demo, or beside the clip, when not given."""

    clip: Path | None = None
    """Folder of an actor's clip, with its truth, that the avatar was fitted to; the demo's when neither is given. Of an
    avatar alone it is measured how much of its tracked head's outline it covers."""

    seed: int = 0
    """Seed of the actor; the demo's is 0."""

    frames: int = 8
    """Frames of the clip that are looked at from each side."""

    pictures: Path | None = None
    """Folder for pictures of the actor and of the avatar side by side."""

    def measure(self) -> Mapping[str, Any]:
        """Draw both from the same places."""
        from gaussavatar.bench.views import bench_covered, bench_views
        from gaussavatar.errors import UserError

        if self.frames < 1:
            raise UserError("at least 1 for --frames", str(self.frames), "give more")
        if self.avatar is not None and self.clip is None:
            return _printed(bench_covered(self.avatar, self.frames), 24, ".3f")
        clip = self.clip or Path("demo_out/clip")
        avatar = self.avatar or clip.parent / "avatar"
        return _printed(bench_views(avatar, clip, self.seed, self.frames, self.pictures), 20, ".3f")


@dataclass(frozen=True)
class Ablations(Figures):
    """One fit per design choice on a clip, and a table of their figures."""

    video: Path
    """Clip to fit."""

    recipe: str = "preview"
    """Recipe whose choices are changed."""

    set: Annotated[tuple[str, ...], arg(metavar="KEY=VALUE ...")] = ()
    """Fields of the recipe to change in all rows."""

    seeds: int = 1
    """Fits per row."""

    only: tuple[str, ...] = ()
    """Rows to fit besides the first; all when not given."""

    folder: Path = Path("ablations")
    """Folder of the fits; rows that are there already are kept."""

    table: Path | None = None
    """Markdown file to write the table into."""

    def measure(self) -> Mapping[str, Any]:
        """Fit row by row."""
        from gaussavatar.bench.ablations import run_ablations
        from gaussavatar.progress import TerminalProgress

        rows = run_ablations(
            self.video, self.folder, self.recipe, self.set, self.seeds, self.only, self.table, TerminalProgress()
        )
        for name, row in rows.items():
            mean = row["mean"]
            say(f"{name:<24} head {mean['head']:.2f}  mouth {mean['mouth']:.2f}  LMD {mean['LMD']:.2f}")
        if self.table is not None:
            say(f"table: {shown(self.table)}")
        return rows


@dataclass(frozen=True)
class Bench:
    """Measure the rasterizer, a training step, tracking, an avatar's lips, its sides, or it live; raster by default."""

    what: (
        Annotated[Raster, subcommand("raster")]
        | Annotated[Step, subcommand("step")]
        | Annotated[Tracking, subcommand("tracking")]
        | Annotated[Voice, subcommand("voice")]
        | Annotated[Lips, subcommand("lips")]
        | Annotated[Closure, subcommand("closure")]
        | Annotated[Live, subcommand("live")]
        | Annotated[Opening, subcommand("opening")]
        | Annotated[Views, subcommand("views")]
        | Annotated[Ablations, subcommand("ablations")]
    ) = field(default_factory=Raster)

    def run(self) -> None:
        """Measure and print."""
        self.what.run()


def _printed(figures: Mapping[str, float], width: int, form: str) -> Mapping[str, float]:
    """The figures, after one line for each was printed."""
    for name, value in figures.items():
        say(f"{name:<{width}} {value:{form}}")
    return figures
