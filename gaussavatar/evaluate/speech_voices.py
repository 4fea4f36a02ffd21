"""How an avatar speaks voices that it never heard: agreement, labials, amplitude, lag and silence.

Nobody filmed the avatar's person speaking these sounds, so there are no real lips to compare with. What can be asked:
the lips of one sentence should move alike whoever says it; they should close on the sounds that close lips; they should
move as far as the person's do, at the moment at which the person's do, and rest where nobody speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from jaxtyping import Bool, Float
from scipy.signal import resample

from gaussavatar.audio.features.mel_bands import log_mel
from gaussavatar.audio.offset import estimate_av_offset
from gaussavatar.evaluate.speech_closures import LABIALS, TimedSound, phone_closures, rest_figures
from gaussavatar.evaluate.speech_silence import silences
from gaussavatar.types import VIDEO_FPS, Waveform

TRACTS = (0.85, 0.92, 1.08, 1.17)
"""Factors on all frequencies, and on the speed, that make other throats of a recording."""

MARK_SECONDS = 0.1
CHANCE_SHIFTS = 13
LABIAL_REACH = 4
"""Frames to either side of a labial's middle within which its closure is looked for."""


@dataclass(frozen=True)
class Sound:
    """A speech sound, its start and end in seconds; an empty symbol is a pause."""

    symbol: str
    start: float
    end: float


@dataclass(frozen=True)
class Voice:
    """A sound that an avatar is to speak.

    Attributes:
        name: for the table.
        kind: ``engine`` (a synthesiser that the audio features may have learnt from), ``demo`` (one that none has) or
            ``real``.
        language: two letters, or "".
        text: what is said: voices of the same text are compared; "" says the same as no other.
        waveform: the sound, 16 kHz.
        sounds: its speech sounds, where they are known.
        timeline: marks (label, second) that voices of one text share; the sounds' beginnings where it is empty.
    """

    name: str
    kind: str
    language: str
    text: str
    waveform: Waveform
    sounds: tuple[TimedSound, ...] = ()
    timeline: tuple[tuple[str, float], ...] = ()

    @property
    def marks(self) -> tuple[tuple[str, float], ...]:
        """The timeline."""
        return self.timeline or tuple((sound.symbol, sound.start) for sound in self.sounds)


def other_tracts(voice: Voice, factors: Sequence[float] = TRACTS) -> list[Voice]:
    """A recording as it is and as other throats would have said it, with the timeline that they share.

    Played faster, all resonances and the pitch rise as in a smaller person. That the speech is faster as well is known
    exactly, and taken out when the lips are compared.
    """
    n = len(voice.waveform.samples)
    seconds = np.arange(0.0, voice.waveform.seconds, MARK_SECONDS)
    made = []
    for factor in (1.0, *factors):
        samples = voice.waveform.samples if factor == 1.0 else resample(voice.waveform.samples, round(n / factor))
        sounds = tuple(Sound(s.symbol, s.start / factor, s.end / factor) for s in voice.sounds)
        timeline = tuple((str(k), float(second / factor)) for k, second in enumerate(seconds))
        name = voice.name if factor == 1.0 else f"{voice.name} x{factor:g}"
        waveform = Waveform(np.asarray(samples, np.float32), voice.waveform.rate)
        made.append(Voice(name, voice.kind, voice.language, voice.text, waveform, sounds, timeline))
    return made


def aligned(
    openings: Sequence[Float[np.ndarray, "_"]], voices: Sequence[Voice], fps: float = VIDEO_FPS
) -> tuple[Float[np.ndarray, "v k"], Bool[np.ndarray, "k"]]:
    """The openings of voices of one text on the first one's time.

    Marks with the same labels in the same order are matched (Ratcliff and Obershelp's longest common blocks), time
    between them runs linearly. What lies before the first voice's first sound and after its last is left out.

    Returns:
        The openings, and which frames are sounds of the first voice rather than pauses (marks with an empty label).
    """
    first = voices[0].marks
    grid = np.arange(first[0][1] + 0.5 / fps, first[-1][1], 1.0 / fps)
    inside = np.searchsorted([second for _, second in first], grid, side="right") - 1
    spoken = np.array([first[k][0] != "" for k in inside], bool)
    between = slice(int(spoken.argmax()), len(spoken) - int(spoken[::-1].argmax()))
    grid, spoken = grid[between], spoken[between]
    rows = []
    for opening, voice in zip(openings, voices, strict=True):
        matcher = SequenceMatcher(None, [label for label, _ in first], [label for label, _ in voice.marks], False)
        pairs = [
            (first[block.a + k][1], voice.marks[block.b + k][1])
            for block in matcher.get_matching_blocks()
            for k in range(block.size)
        ]
        there = np.interp(grid, *np.array(pairs).T) if pairs else grid
        rows.append(np.interp(there, (np.arange(len(opening)) + 0.5) / fps, opening))
    return np.array(rows), spoken


def agreement(curves: Float[np.ndarray, "v k"], spoken: Bool[np.ndarray, "k"]) -> dict[str, float]:
    """Mean correlation of all pairs of curves, of the voice that agrees least with the others, and by chance.

    ``agreement_spoken`` leaves the pauses between words out, in which closed mouths agree without any speech.
    ``chance`` pairs each curve with the others shifted by a fifth to four fifths of their length.
    """
    r, strict = np.corrcoef(curves), np.corrcoef(curves[:, spoken])
    pairs = np.triu_indices(len(curves), 1)
    n = len(curves)
    shifts = (np.linspace(0.2, 0.8, CHANCE_SHIFTS) * curves.shape[1]).astype(int)
    apart = [np.corrcoef(curves, np.roll(curves, shift, axis=1))[:n, n:] for shift in shifts]
    off = ~np.eye(n, dtype=bool)
    return {
        "agreement": float(r[pairs].mean()),
        "agreement_spoken": float(strict[pairs].mean()),
        "worst": float(((r.sum(1) - 1) / (len(r) - 1)).min()),
        "chance": float(np.mean([r[off] for r in apart])),
    }


def lip_lag(waveform: Waveform, opening: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """Milliseconds by which lips come later than natural lips do for a sound, and the standard error.

    The offset at which the sound tells most about the lips (:func:`gaussavatar.audio.offset.estimate_av_offset`);
    nan where five seconds of it are not there or the lips do not move.
    """
    found = estimate_av_offset(log_mel(waveform), np.asarray(opening, np.float32))
    return (float("nan"), float("nan")) if found is None else (-found.milliseconds, found.spread_ms)


def labial_lag(opening: Float[np.ndarray, "n"], sounds: Sequence[TimedSound], fps: float = VIDEO_FPS) -> float:
    """Mean milliseconds from the middle of each labial to where the lips are nearest to closed around it."""
    lags = []
    for sound in sounds:
        if sound.symbol[:1] not in LABIALS or not sound.symbol:
            continue
        middle = (sound.start + sound.end) / 2
        centre = int(middle * fps)
        around = np.arange(max(0, centre - LABIAL_REACH), min(len(opening), centre + LABIAL_REACH + 1))
        if len(around):
            lags.append((float(around[np.argmin(opening[around])]) + 0.5) / fps - middle)
    return 1000.0 * float(np.mean(lags)) if lags else float("nan")


@dataclass(frozen=True)
class Person:
    """What is known of the person's own lips: deviation of the opening while they speak, rest, and lag in their clip.

    ``lag_ms``: :func:`lip_lag` of the real lips under the clip's sound.
    """

    std: float
    rest: float = 0.0
    lag_ms: float = 0.0


def voice_figures(voice: Voice, opening: Float[np.ndarray, "n"], person: Person) -> dict[str, float | str]:
    """What one voice makes of the lips.

    Returns:
        ``amplitude``: deviation of the opening while somebody speaks over the person's own; ``lag_ms``,
        ``lag_error_ms``: of the lips against what is natural; ``lag_own_ms``: against the person's in their clip;
        for voices whose sounds are known those of :func:`~gaussavatar.evaluate.speech_closures.phone_closures` and
        ``labial_lag_ms``; and those of :func:`~gaussavatar.evaluate.speech_closures.rest_figures`.
    """
    silent, _ = silences(voice.waveform, len(opening))
    spoken = opening[~silent]
    lag, error = lip_lag(voice.waveform, opening)
    figures: dict[str, float | str] = {"name": voice.name, "kind": voice.kind, "language": voice.language}
    figures |= {
        "amplitude": float(spoken.std() / max(person.std, 1e-9)) if len(spoken) else float("nan"),
        "lag_ms": lag,
        "lag_error_ms": error,
        "lag_own_ms": lag - person.lag_ms,
    }
    if voice.sounds:
        figures |= phone_closures(opening, voice.sounds)
        figures["labial_lag_ms"] = labial_lag(opening, voice.sounds)
    return figures | rest_figures(opening, silent, person.rest)


def voices_figures(
    voices: Sequence[Voice],
    opening_of: Callable[[Waveform], Float[np.ndarray, "_"]],
    person: Person,
    advance: Callable[[int], None] = lambda steps: None,
) -> dict[str, object]:
    """What strange voices make of an avatar's lips.

    Args:
        voices: of known sounds, or recordings; a recording that shares its text with no other voice is compared with
            itself in other throats (:func:`other_tracts`).
        opening_of: relative opening of the lips in every video frame for a sound.
        person: the person's own lips.
        advance: told one step per voice.

    Returns:
        ``voices``: :func:`voice_figures` of each; ``texts``: :func:`agreement` of the voices of each text; and over all
        of them: ``agreement`` (of the engines; pairs of voices count alike), ``agreement_demo``, ``agreement_real``;
        ``labials_closed`` (of the engines; labials count alike), ``labials_demo_closed``; ``amplitude``, ``lag_ms``,
        ``lag_own_ms``, ``labial_lag_ms`` (medians), ``amplitude_lowest``, ``amplitude_highest``; ``silence_closed``
        and ``silence_at_rest`` (frames count alike); beside shares what chance gives.
    """
    rows, texts = [], []
    groups: dict[tuple[str, str, str], list[Voice]] = {}
    for voice in voices:
        groups.setdefault((voice.kind, voice.language, voice.text or voice.name), []).append(voice)
    for (kind, language, text), same in groups.items():
        openings = [opening_of(voice.waveform) for voice in same]
        for voice, opening in zip(same, openings, strict=True):
            rows.append(voice_figures(voice, opening, person))
            advance(1)
        if len(same) == 1:
            same = other_tracts(same[0])
            openings = [openings[0], *(opening_of(voice.waveform) for voice in same[1:])]
        found = agreement(*aligned(openings, same))
        texts.append({"text": text, "kind": kind, "language": language, "voices": len(same), **found})
    return {**summary(rows, texts), "voices": rows, "texts": texts}


def summary(rows: Sequence[dict], texts: Sequence[dict]) -> dict[str, float]:
    """The figures over all voices, see :func:`voices_figures`."""

    def column(name: str) -> np.ndarray:
        return np.array([row.get(name, np.nan) for row in rows], float)

    kinds = np.array([row["kind"] for row in rows])

    def weighted(name: str, weight: str, kind: str = "") -> float:
        values, weights = column(name), np.nan_to_num(column(weight))
        used = np.isfinite(values) & (weights > 0) & ((kinds == kind) | (kind == ""))
        return float(np.average(values[used], weights=weights[used])) if used.any() else float("nan")

    def middle(name: str) -> float:
        values = column(name)
        return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")

    def mean(kind: str, name: str) -> float:
        chosen = [text for text in texts if text["kind"] == kind]
        pairs = [text["voices"] * (text["voices"] - 1) for text in chosen]
        return float(np.average([text[name] for text in chosen], weights=pairs)) if chosen else float("nan")

    amplitude = column("amplitude")
    return {
        "agreement": mean("engine", "agreement"),
        "agreement_spoken": mean("engine", "agreement_spoken"),
        "agreement_chance": mean("engine", "chance"),
        "agreement_demo": mean("demo", "agreement"),
        "agreement_demo_chance": mean("demo", "chance"),
        "agreement_real": mean("real", "agreement"),
        "amplitude": middle("amplitude"),
        "amplitude_lowest": float(np.nanmin(amplitude, initial=np.inf)),
        "amplitude_highest": float(np.nanmax(amplitude, initial=-np.inf)),
        "labials_closed": weighted("labials_closed", "labials", "engine"),
        "labials_chance": weighted("labials_chance", "labials", "engine"),
        "labials_demo_closed": weighted("labials_closed", "labials", "demo"),
        "labials_demo_chance": weighted("labials_chance", "labials", "demo"),
        "lag_ms": middle("lag_ms"),
        "lag_own_ms": middle("lag_own_ms"),
        "labial_lag_ms": middle("labial_lag_ms"),
        "silence_closed": weighted("silence_closed", "silent_frames"),
        "silence_closed_chance": weighted("silence_closed_chance", "silent_frames"),
        "silence_at_rest": weighted("silence_at_rest", "silent_frames"),
        "silence_at_rest_chance": weighted("silence_at_rest_chance", "silent_frames"),
    }
