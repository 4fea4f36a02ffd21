"""The sound of a file, decoded by PyAV: one track, on the file's own clock, whatever changes on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from gaussavatar.errors import UserError
from gaussavatar.media.probe import MediaInfo, SoundTrack, opened, probe, require_sound
from gaussavatar.media.process import undecodable
from gaussavatar.media.samples import LongArray
from gaussavatar.storage import scratch_folder
from gaussavatar.types import ANALYSIS_RATE, Waveform

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

SILENT = 1e-3
"""Largest sample (-60 dB) of a sound in which nobody speaks: recorders' own noise is louder."""
CANCELLED = 0.03
"""Power of a mix against that of its loudest channel, below which the channels take each other away."""
ENOUGH_DECODED = 0.95
"""A file that the decoder complains about must still give this part of its announced length."""
MOST_DAMAGED = 2 / 3
"""Part of a track's packets that may be undecodable, as ffmpeg has it."""
_MIN_SOUND_SECONDS = 0.04
_STEREO, _STEREO_RATE = "stereo", 48_000


ON_ITS_CLOCK = {"async": 1, "min_hard_comp": 0.02}
"""Options of ``aresample`` that keep a sound where its file's clock has it, to half a video frame.

Parts that were joined may each have some hundredths of a second less sound than picture; ffmpeg by itself lets .1 s of
that come together."""


@dataclass
class SoundFacts:
    """What is known of a track once it was decoded to its end."""

    samples: int = 0
    """That came out, per channel."""
    peak: float = 0.0
    """Largest sample of the mix, before it is brought into -1..1."""
    power: float = 0.0
    """Sum of the mix's squares."""
    channels: dict[int, float] = field(default_factory=dict)
    """Sum of the squares of each channel, where there are several, and of how many samples."""
    seen: int = 0
    changes: list[str] = field(default_factory=list)
    """Rate and layout from the second form on that the track takes."""
    bad: int = 0
    """Samples that are no numbers, and the second of the first one."""
    bad_at: float = 0.0
    packets: int = 0
    damaged: int = 0
    """Packets that were read, and how many of them could not be decoded."""
    error: str = ""
    """What was wrong with the last of these."""
    ended: bool = False
    """Whether reading ended before the end of the file."""

    @property
    def silent(self) -> bool:
        """Whether there is nothing to be heard."""
        return self.peak < SILENT

    @property
    def loudest(self) -> int | None:
        """The channel to take alone because the mix of all is next to nothing; None where the mix is sound."""
        if not self.seen or not self.samples:
            return None
        best = max(self.channels, key=lambda channel: self.channels[channel])
        power = self.channels[best] / self.seen
        return best if self.power / self.samples < CANCELLED * power and power > SILENT**2 / 4 else None


@dataclass(frozen=True)
class Heard:
    """A file's sound, and what a user should know of how it was read, a sentence each."""

    waveform: Waveform
    notes: tuple[str, ...]
    silent: bool


def read_audio(path: Path, rate: int = ANALYSIS_RATE) -> Waveform:
    """Read a file's sound, mixed to mono, at ``rate`` samples per second; time 0 is the file's time 0.

    Raises:
        UserError: see :func:`hear`.
    """
    return hear(path, rate).waveform


def hear(path: Path, rate: int = ANALYSIS_RATE) -> Heard:
    """Read a file's sound, mixed to mono, and say what is unusual about it.

    The default track is taken, else the first; where that is silent, one that is not. Channels that take each other
    away when they are mixed are not mixed: the loudest of them is taken.

    Raises:
        UserError: no such file, no audio track, empty or unreadable sound, or samples that are no numbers.
    """
    info = probe(path)
    track, facts, samples = _chosen(info, rate)
    notes = []
    if info.track is not None and track != info.track:
        silent, heard = (1 + info.tracks.index(one) for one in (info.track, track))
        notes.append(f"sound track {silent} is silent; track {heard} is heard")
    if (alone := facts.loudest) is not None:
        notes.append(f"the channels cancel each other when they are mixed; channel {alone + 1} alone is heard")
        facts, samples = _decoded(info, track, rate, alone)
    if facts.peak > 1.001:
        notes.append(f"the sound reaches {facts.peak:.3g} times full scale; what lies above 1 is cut off")
    if facts.silent:
        notes.append(f"there is nothing to be heard (loudest sample {20 * np.log10(max(facts.peak, 1e-9)):.0f} dB)")
    return Heard(Waveform(samples, rate, path), tuple(notes), facts.silent)


def require_speech(video: Path) -> None:
    """Refuse a video that says nothing: lips are learnt from its sound, for as long as that takes.

    Raises:
        UserError: it has no sound track, or there is nothing to be heard on any of them.
    """
    require_sound(probe(video))
    if hear(video).silent:
        raise UserError(f"speech in the sound of {video.name}", "silence", "film again, with the microphone on")


def _chosen(info: MediaInfo, rate: int) -> tuple[SoundTrack, SoundFacts, Float32[np.ndarray, "t"]]:
    """The track that is heard, decoded: the first that is not silent, beginning with the one that players take."""
    if info.track is None:
        raise UserError(f"a sound track in {info.path}", "a file without audio", "give a file with sound")
    order = sorted(info.tracks, key=lambda track: track != info.track)
    first = None
    for track in order:
        facts, samples = _decoded(info, track, rate)
        first = first or (track, facts, samples)
        if not facts.silent:
            return track, facts, samples
    assert first is not None
    return first


def _decoded(
    info: MediaInfo, track: SoundTrack, rate: int, alone: int | None = None
) -> tuple[SoundFacts, Float32[np.ndarray, "t"]]:
    """A track to its end, as mono in -1..1.

    Raises:
        UserError: it cannot be decoded, is empty, or holds what are no numbers.
    """
    facts, whole = SoundFacts(), LongArray()
    for block in decoded_blocks(info.path, track, rate, "mono", facts, alone):
        whole.add(np.clip(block[:, 0], -1, 1))
    samples, path = whole.array(), info.path
    short = len(samples) < ENOUGH_DECODED * info.seconds * rate
    if (facts.ended and short) or facts.damaged > MOST_DAMAGED * facts.packets:
        raise undecodable(path, [facts.error])
    if facts.bad:
        came = f"{facts.bad} that are NaN or infinite, the first at {facts.bad_at:.2f} s"
        raise UserError(f"samples that are numbers in {path}", came, "export the sound again")
    if len(samples) < _MIN_SOUND_SECONDS * rate:
        raise UserError(f"sound in {path}", "an empty audio track", "give a file with sound")
    return facts, samples


def decoded_blocks(
    path: Path, track: SoundTrack, rate: int, layout: str, facts: SoundFacts, alone: int | None = None
) -> Iterator[Float32[np.ndarray, "t c"]]:
    """A track's samples at one rate and layout, a block at a time, on the file's clock: gaps are silence.

    Args:
        path: the file.
        track: one of its tracks.
        rate: samples per second that come out.
        layout: ``mono`` or ``stereo``.
        facts: is filled in on the way.
        alone: the channel to take instead of a mix of all.
    """
    with opened(path) as container:
        start = (container.start_time or 0) / 1e6
        form: tuple[str, str, int] | None = None
        graph = None
        for frame in _frames(container, track, facts):
            came = (frame.format.name, frame.layout.name, frame.sample_rate)
            if came != form:
                if graph is not None:
                    facts.changes.append(f"{came[1]} at {came[2]} per second")
                    yield from _pulled(graph, None, facts)
                # A new graph goes on where the old one ended: what lies between is filled, what overlaps dropped.
                graph, form = _graph(frame, rate, layout, facts.samples, alone), came
            _look(frame, facts, start)
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(start / float(frame.time_base))
            yield from _pulled(graph, frame, facts)
        if graph is not None:
            yield from _pulled(graph, None, facts)


def _frames(container: InputContainer, track: SoundTrack, facts: SoundFacts) -> Iterator[AudioFrame]:
    """The frames of a track; what is damaged is left out, and noted."""
    from av.error import FFmpegError

    packets = container.demux(container.streams[track.index])
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as error:
            facts.error, facts.ended = str(error.strerror or error), True
            return
        if packet is None:
            return
        facts.packets += 1
        try:
            frames = packet.decode()
        except FFmpegError as error:
            facts.error = str(error.strerror or error)
            facts.damaged += 1
            continue
        yield from frames


def _graph(frame: AudioFrame, rate: int, layout: str, done: int, alone: int | None):  # noqa: ANN202
    """A chain of filters for frames like this one; ``done`` samples came out before it."""
    from av.filter import Graph

    graph = Graph()
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
        time_base=frame.time_base,
    )
    chain = [source]
    if alone is not None and frame.layout.nb_channels > alone:
        chain.append(graph.add("pan", f"mono|c0=c{alone}"))
    # Without the limit, equal channels would come out 1.4 times too loud and clip. First moments count in samples of
    # what comes in.
    first = round(done / rate * frame.sample_rate)
    clock = ":".join(f"{name}={value}" for name, value in ON_ITS_CLOCK.items())
    chain.append(graph.add("aresample", f"{rate}:{clock}:first_pts={first}:ochl={layout}:rematrix_maxval=1:osf=flt"))
    chain.append(graph.add("abuffersink"))
    for one, next_one in zip(chain, chain[1:], strict=False):
        one.link_to(next_one)
    graph.configure()
    return graph


def _pulled(graph, frame: AudioFrame | None, facts: SoundFacts) -> Iterator[Float32[np.ndarray, "t c"]]:  # noqa: ANN001
    """What comes out of a chain after one more frame, or after the last one."""
    from av.error import BlockingIOError as Hungry
    from av.error import EOFError as Ended

    graph.push(frame)
    while True:
        try:
            out = graph.pull()
        except (Hungry, Ended):
            return
        # Packed floats come as one row of all channels in turn.
        block = out.to_ndarray().reshape(-1, out.layout.nb_channels)
        mix = block if block.shape[1] == 1 else block.mean(axis=1, keepdims=True)
        facts.samples += len(block)
        facts.power += float(np.square(mix, dtype=np.float64).sum())
        facts.peak = max(facts.peak, float(np.abs(block).max(initial=0)))
        yield block


def _look(frame: AudioFrame, facts: SoundFacts, start: float) -> None:
    """Note what the samples themselves say: which are no numbers, and how loud each channel is."""
    floating = frame.format.name.startswith(("flt", "dbl"))
    count = frame.layout.nb_channels
    if not floating and count == 1:
        return
    raw = frame.to_ndarray()
    rows = raw.reshape(-1, count).T if raw.shape[0] == 1 and count > 1 else raw
    if floating and not np.isfinite(rows).all():
        wrong = ~np.isfinite(rows).all(axis=0)
        if not facts.bad:
            facts.bad_at = (frame.time or 0.0) - start + int(wrong.argmax()) / frame.sample_rate
        facts.bad += int(wrong.sum())
        return
    if count > 1:
        full = 1.0 if floating else float(np.iinfo(raw.dtype).max)
        middle = 128.0 if raw.dtype == np.uint8 else 0.0
        facts.seen += rows.shape[1]
        for channel, row in enumerate(rows):
            power = float(np.square((row.astype(np.float64) - middle) / full).sum())
            facts.channels[channel] = facts.channels.get(channel, 0.0) + power


@dataclass(frozen=True)
class SoundSource:
    """What an encoder takes a sound from: a file and the stream in it."""

    path: Path
    index: int
    rate: int
    late: float = 0.0
    """As :attr:`gaussavatar.media.probe.MediaInfo.late`."""


@contextmanager
def sound_source(path: Path) -> Iterator[SoundSource]:
    """The sound that :func:`hear` hears, for an encoder: the file itself, or where its track changes, one made of it.

    Raises:
        UserError: see :func:`hear`.
    """
    stat = path.stat()
    track, changing = _track_of(path, stat.st_mtime_ns, stat.st_size)
    if not changing:
        yield SoundSource(path, track.index, track.rate, track.late)
        return
    import soundfile

    with scratch_folder() as folder:
        even = folder / "sound.wav"
        with soundfile.SoundFile(even, "w", _STEREO_RATE, 2, "PCM_16") as file:
            for block in decoded_blocks(path, track, _STEREO_RATE, _STEREO, SoundFacts()):
                file.write(np.clip(block, -1, 1))
        yield SoundSource(even, 0, _STEREO_RATE)


@lru_cache(maxsize=16)
def _track_of(path: Path, modified: int, size: int) -> tuple[SoundTrack, bool]:
    """The track that is heard, and whether it changes on the way; time and size only tell whether the file is new."""
    track, facts, _ = _chosen(probe(path), ANALYSIS_RATE)
    return track, bool(facts.changes)
