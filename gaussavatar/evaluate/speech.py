"""``evaluate --speech``: an avatar's lips on the held-out part of its clip and under voices that it never heard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from gaussavatar.evaluate.held_out import Evaluated, HeldOut
from gaussavatar.evaluate.metrics import LANDMARK_SIZE, FaceSeries, lip_distance
from gaussavatar.evaluate.speech_closures import LipRange, lip_range, person_rest, real_closures, rest_figures
from gaussavatar.evaluate.speech_lips import code_lip_distance, lip_figures
from gaussavatar.evaluate.speech_silence import silences
from gaussavatar.evaluate.speech_syncnet import frames_sync, load_syncnet
from gaussavatar.evaluate.speech_theval import theval_figures, volume
from gaussavatar.evaluate.speech_units import unit_errors
from gaussavatar.evaluate.speech_voices import Person, Voice, lip_lag, voices_figures
from gaussavatar.landmarks.measures import lip_width
from gaussavatar.media.sound_file import read_audio
from gaussavatar.progress import Progress
from gaussavatar.training.layout import FitLayout
from gaussavatar.types import Waveform

DRIVEN = ("audio", "oracle", "static")
"""The ways of driving whose rendered frames are measured."""


@dataclass(frozen=True)
class SpeechRequest:
    """What ``evaluate --speech`` is to measure besides the held-out frames.

    Attributes:
        voices: strange voices.
        notes: lines for the report, such as which engines were not there.
        blocks: figures of the audio network block by block (:func:`gaussavatar.bench.lips.bench_lips`).
        syncnet: the user's weights of SyncNet.
    """

    voices: tuple[Voice, ...] = ()
    notes: tuple[str, ...] = ()
    blocks: Mapping[str, Any] | None = None
    syncnet: Path | None = None


@dataclass(frozen=True)
class Heard:
    """The clip's sound, where nobody speaks in it, what told so, and the person's lips."""

    waveform: Waveform
    silent: Bool[np.ndarray, "n"]
    spoken: Bool[np.ndarray, "n"]
    source: str
    lips: LipRange
    real: Float[np.ndarray, "n"]
    """Relative opening of the real lips in every frame of the clip."""

    @property
    def person(self) -> Person:
        """The person's own lips."""
        moving = self.real[self.spoken]
        std = float(moving.std()) if len(moving) else float(self.real.std())
        lag, _ = lip_lag(self.waveform, self.real)
        return Person(std, person_rest(self.real, self.silent), 0.0 if math.isnan(lag) else lag)


def listen(held: HeldOut, waveform: Waveform) -> Heard:
    """Everything about an avatar's clip that the figures of speech share."""
    clip = held.clip
    n = len(clip)
    silent, source = silences(waveform, n)
    learnt = clip.usable & (np.arange(n) < clip.n_train)
    lips = lip_range(clip.motion, clip.tracking.shape, held.avatar.closed.numpy(), learnt)
    spoken = ~silences(waveform, n, 0.0)[0]
    return Heard(waveform, silent, spoken, source, lips, lips.opening(clip.motion.mouth_codes))


def code_figures(held: HeldOut, heard: Heard) -> dict[str, float]:
    """The held-out lips that the sound asks for against the real ones, from codes: nothing is rendered."""
    codes, real = held.spoken[held.indices], held.clip.motion.mouth_codes[held.indices]
    opening, real_opening = heard.lips.opening(codes), heard.real[held.indices]
    widths = [np.asarray(lip_width(heard.lips.points(each))) for each in (codes, real)]
    silent = heard.silent[held.indices]
    rest = person_rest(heard.real, heard.silent)
    own = {f"real_{name}": value for name, value in rest_figures(real_opening, silent, rest).items()}
    return {
        **lip_figures(opening, real_opening, *widths),
        "lmd": float(code_lip_distance(codes, real, held.clip.motion, held.clip.tracking).mean()),
        **real_closures(opening, real_opening),
        **rest_figures(opening, silent, rest),
        **{name: own[name] for name in ("real_silence_closed", "real_silence_at_rest")},
    }


def rendered_figures(held: HeldOut, heard: Heard, rendered: FaceSeries, real: FaceSeries) -> dict[str, Any]:
    """The lips, muscles and THEval's figures of rendered held-out frames against the real ones."""
    first = int(held.indices[0])
    loud = volume(heard.waveform, int(held.indices[-1]) - first + 1, first)[held.indices - first]
    return {
        **lip_figures(rendered.aperture, real.aperture, rendered.width, real.width),
        "lmd": float(np.nanmean(lip_distance(rendered.points, real.points))),
        "units": unit_errors(rendered.points, real.points, held.clip.tracking, held.indices),
        "theval": theval_figures(
            rendered.points, real.points, loud, heard.silent[held.indices], heard.spoken[held.indices]
        ),
    }


def syncnet_figures(
    net: Mapping[str, Tensor], held: HeldOut, heard: Heard, found: Evaluated, progress: Progress
) -> dict[str, dict[str, float]]:
    """SyncNet's figures of the real frames and of the rendered ones, all cropped where the real faces are."""
    pictures = {"real": found.real, **{name: found.rendered[name] for name in DRIVEN if name in found.rendered}}
    figures = {}
    with progress.stage("SyncNet", len(pictures)) as advance:
        for name, frames in pictures.items():
            points = found.real_faces.points
            figures[name] = frames_sync(net, frames, points, LANDMARK_SIZE, heard.waveform, held.indices)
            advance(1)
    return figures


def speech_figures(
    folder: Path,
    held: HeldOut,
    found: Evaluated,
    request: SpeechRequest,
    progress: Progress,
) -> dict[str, Any]:
    """All figures of speech, in plain values; None stands where nothing could be measured.

    Args:
        folder: of the avatar.
        held: its held-out frames.
        found: their rendered and real pictures, and the faces in them.
        request: voices, blocks and weights.
        progress: told one step per voice.
    """
    net = None if request.syncnet is None else load_syncnet(request.syncnet)
    heard = listen(held, read_audio(FitLayout(folder).capture.audio))
    person = heard.person
    figures: dict[str, Any] = {
        "silences": heard.source,
        "notes": list(request.notes),
        "person": {"opening_std": person.std, "rest": person.rest, "lag_ms": person.lag_ms},
        "codes": code_figures(held, heard),
        "rendered": {
            name: rendered_figures(held, heard, found.faces[name], found.real_faces)
            for name in DRIVEN
            if name in found.faces
        },
    }
    if net is not None:
        figures["syncnet"] = syncnet_figures(net, held, heard, found, progress)
    if request.blocks is not None:
        figures["blocks"] = dict(request.blocks)
    if request.voices:
        with progress.stage("strange voices", len(request.voices)) as advance:
            figures["voices"] = voices_figures(
                request.voices,
                lambda sound: heard.lips.opening(held.avatar.codes_for_audio(sound)),
                person,
                advance,
            )
    return plain(figures)


def plain(value: Any) -> Any:
    """Figures as JSON has them: five significant digits, None for what is not a number."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
