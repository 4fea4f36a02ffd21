"""From any sound to mouth codes, the way `speak` takes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float32

from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.audio.gate import GateConfig, silence_gate
from gaussavatar.audio.mel import AudioStatistics, log_mel, mel_statistics, normalise, windows
from gaussavatar.errors import UserError
from gaussavatar.types import VIDEO_FPS, Waveform


@dataclass(frozen=True)
class DriveConfig:
    """How sound becomes motion.

    Attributes:
        mouth_gain: widens the codes around the encoder's mean, against the too small
            movement that least squares leaves.
        gate: closes the mouth in silence; None leaves it to the encoder.
        batch: windows per call of the encoder.
    """

    mouth_gain: float = 1.15
    gate: GateConfig | None = field(default_factory=GateConfig)
    batch: int = 512


def n_video_frames(waveform: Waveform, fps: float = VIDEO_FPS) -> int:
    """Video frames that cover the sound; at least one."""
    return max(1, int(np.ceil(waveform.seconds * fps - 1e-6)))


def codes_for_audio(
    encoder: AudioEncoder,
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
        n_frames: video frames wanted; as many as the sound covers by default.
        statistics: other statistics than the sound's own.
        config: gain and gate.

    Raises:
        UserError: the sound is empty or holds values that are not finite.
    """
    if len(waveform.samples) == 0:
        raise UserError("a sound to speak", "one without a single sample", "give another audio file")
    if not np.isfinite(waveform.samples).all():
        raise UserError("a sound with finite samples", "NaN or infinity in it", "export the audio file again")
    mel = log_mel(waveform)
    statistics = statistics or mel_statistics(mel)
    seen = windows(
        normalise(mel, statistics),
        n_video_frames(waveform) if n_frames is None else n_frames,
        fill=statistics.silence,
    )
    return codes_for_windows(encoder, seen, closed=closed, config=config)


def codes_for_windows(
    encoder: AudioEncoder,
    windows: Float32[np.ndarray, "n 33 40"],
    *,
    closed: Float32[np.ndarray, "n_codes"],
    config: DriveConfig | None = None,
) -> Float32[np.ndarray, "n n_codes"]:
    """Mouth codes for normalised windows, from a file or from a stream."""
    config = config or DriveConfig()
    parameter = next(encoder.parameters())
    was_training = encoder.training
    encoder.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(windows), config.batch):
            part = torch.from_numpy(np.ascontiguousarray(windows[start : start + config.batch]))
            parts.append(encoder(part.to(parameter.device, parameter.dtype)).cpu())
    encoder.train(was_training)
    centre = encoder.centre.cpu()
    codes = centre + config.mouth_gain * (torch.cat(parts) - centre) if parts else torch.zeros(0, len(centre))
    answer = codes.numpy().astype(np.float32)
    if config.gate is None:
        return answer
    gate = silence_gate(windows, config.gate)[:, None].astype(np.float32)
    return closed + gate * (answer - closed)
