"""From any sound to mouth codes, the way `speak` takes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float32

from gaussavatar.audio.blend import Blend
from gaussavatar.audio.encoder import AudioEncoder, heard_by
from gaussavatar.audio.features.api import AudioFeature
from gaussavatar.audio.features.pieces import extract_in_pieces
from gaussavatar.audio.gate import GateConfig
from gaussavatar.audio.normalise import AudioStatistics, normalise
from gaussavatar.audio.windows import windows_in_turn
from gaussavatar.errors import UserError
from gaussavatar.media.samples import STRETCH, finite
from gaussavatar.motion.track import frames_of_seconds
from gaussavatar.types import Waveform


@dataclass(frozen=True)
class DriveConfig:
    """How sound becomes motion.

    Attributes:
        mouth_gain: widens the codes around the encoder's mean: 1 where the network knows how wide this person moves
            (:mod:`gaussavatar.audio.own_range`). Networks from before that were timid, and spoke with 1.1 to 1.15.
        gate: closes the mouth in silence; None leaves it to the encoder.
        ood: how far sound of a kind that the encoder never heard is brought to what it did hear, 0 (not at all) to 1
            (:mod:`gaussavatar.audio.heard_before`). Networks from before that do not know what they heard.
        batch: windows per call of the encoder.
    """

    mouth_gain: float = 1.0
    gate: GateConfig | None = field(default_factory=GateConfig)
    ood: float = 0.3
    batch: int = 512


def codes_for_audio(
    encoder: AudioEncoder | Blend,
    waveform: Waveform,
    *,
    closed: Float32[np.ndarray, "n_codes"],
    n_frames: int | None = None,
    statistics: AudioStatistics | None = None,
    config: DriveConfig | None = None,
) -> Float32[np.ndarray, "n_frames n_codes"]:
    """Mouth codes for a whole sound, normalised with its own statistics.

    Args:
        encoder: of the avatar.
        waveform: what drives, 16 kHz mono.
        closed: codes of the closed mouth, taken where nobody speaks.
        n_frames: video frames wanted; as many as its length has by default.
        statistics: other statistics than the sound's own.
        config: gain and gate.

    Raises:
        UserError: the sound is empty or holds values that are not finite, or what the encoder hears cannot be had
            here (:func:`gaussavatar.audio.encoder.heard_by`).
    """
    if len(waveform.samples) == 0:
        raise UserError("a sound to speak", "one without a single sample", "give another audio file")
    if not finite(waveform.samples):
        raise UserError("a sound with finite samples", "NaN or infinity in it", "export the audio file again")
    config = config or DriveConfig()
    feature = heard_by(encoder.config)
    raw = extract_in_pieces(feature, waveform)
    own = statistics or feature.statistics(raw)
    seen = windows_in_turn(
        raw,
        frames_of_seconds(waveform.seconds) if n_frames is None else n_frames,
        feature.facts.window,
        config.batch,
        lambda heard: normalise(heard, own),
        fill=own.silence,
    )
    told = [answers_of(encoder, part, config, feature) for part in seen]
    if not told:
        return np.zeros((0, len(closed)), np.float32)
    answers, gate = (np.concatenate(parts) for parts in zip(*told, strict=True))
    del raw, seen, told
    voice = None
    if encoder.range is not None and (gate > 0.5).any():
        voice = encoder.range.of_voice(torch.from_numpy(answers[gate > 0.5]), encoder.centre.cpu())
    return spoken(encoder, answers, gate, closed, config, voice)


def codes_for_windows(
    encoder: AudioEncoder | Blend,
    windows: Float32[np.ndarray, "n w d"],
    *,
    closed: Float32[np.ndarray, "n_codes"],
    config: DriveConfig | None = None,
) -> Float32[np.ndarray, "n n_codes"]:
    """Mouth codes for normalised windows of a stream, whose voice is taken as it comes."""
    config = config or DriveConfig()
    answers, gate = answers_of(encoder, windows, config)
    return spoken(encoder, answers, gate, closed, config, None)


def answers_of(
    encoder: AudioEncoder | Blend,
    windows: Float32[np.ndarray, "n w d"],
    config: DriveConfig,
    feature: AudioFeature | None = None,
) -> tuple[Float32[np.ndarray, "n n_codes"], Float32[np.ndarray, "n"]]:
    """What the network answers, and how far it may be followed: 0 in silence.

    ``feature`` is what the windows are of; opened anew when None.
    """
    parameter = next(encoder.parameters())
    was_training = encoder.training
    encoder.eval()
    parts = [torch.zeros(0, len(encoder.centre))]
    with torch.no_grad():
        for start in range(0, len(windows), config.batch):
            part = torch.from_numpy(np.ascontiguousarray(windows[start : start + config.batch]))
            parts.append(encoder(part.to(parameter.device, parameter.dtype), config.ood).cpu())
    encoder.train(was_training)
    gate = np.ones(len(windows), np.float32)
    if config.gate is not None:
        gate = (feature or heard_by(encoder.config)).gate(windows, config.gate).astype(np.float32)
    return torch.cat(parts).numpy().astype(np.float32), gate


def spoken(
    encoder: AudioEncoder | Blend,
    answers: Float32[np.ndarray, "n n_codes"],
    gate: Float32[np.ndarray, "n"],
    closed: Float32[np.ndarray, "n_codes"],
    config: DriveConfig,
    voice: tuple[float, float] | None,
) -> Float32[np.ndarray, "n n_codes"]:
    """Answers in the person's own range, with the wished gain, closed in silence; a stretch at a time.

    ``voice`` is what :meth:`gaussavatar.audio.own_range.RangeMatch.of_voice` says of it; None for the person's own.
    """
    centre, made = encoder.centre.cpu(), np.empty_like(answers)
    for start in range(0, len(answers), STRETCH):
        rows = slice(start, start + STRETCH)
        codes = torch.from_numpy(answers[rows])
        if encoder.range is not None:
            codes = encoder.range.cpu()(codes, centre, voice or (1.0, 0.0))
        wide = (centre + config.mouth_gain * (codes - centre)).numpy().astype(np.float32)
        made[rows] = closed + gate[rows, None] * (wide - closed)
    return made
