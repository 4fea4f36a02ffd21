"""Where nobody speaks, frame by frame: silero-vad's network where its package is installed, else the sound's energy.

The package carries its weights; they are loaded from its folder and the package is not imported, since importing it
sets the threads of the whole process. Speech begins where the network's probability reaches one half and ends after
100 ms under .35; stretches under 250 ms are no speech, and every stretch is 30 ms wider on either side: the package's
own defaults, which THEval (arXiv 2511.04520) measures with.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from gaussavatar.audio.energy import silent_frames
from gaussavatar.intervals import true_runs
from gaussavatar.types import ANALYSIS_RATE, VIDEO_FPS, Waveform

CHUNK = 512
"""Samples at 16 kHz that the network hears at once."""

SPEECH, NO_SPEECH = 0.5, 0.35
LEAST_PAUSE, LEAST_SPEECH, MARGIN = 0.1, 0.25, 0.03
LEAST_SILENCE = 0.3
"""Seconds of a silence that counts, as in THEval."""

SILERO, ENERGY = "silero-vad", "energy"


def silences(
    waveform: Waveform, n_frames: int, least_seconds: float = LEAST_SILENCE, fps: float = VIDEO_FPS
) -> tuple[Bool[np.ndarray, "n_frames"], str]:
    """The frames of silences of at least ``least_seconds``, and what told them: :data:`SILERO` or :data:`ENERGY`."""
    weights = silero_weights()
    if weights is None or waveform.rate != ANALYSIS_RATE:
        quiet, source = silent_frames(waveform, n_frames, fps), ENERGY
    else:
        spans = speech_spans(speech_probabilities(waveform, weights), CHUNK / ANALYSIS_RATE)
        quiet, source = ~_frames_of(spans, n_frames, fps), SILERO
    kept = np.zeros(n_frames, bool)
    for start, stop in true_runs(quiet):
        kept[start:stop] = stop - start >= least_seconds * fps
    return kept, source


def silero_weights() -> Path | None:
    """The weights inside the installed package silero-vad; None where it is not installed."""
    spec = find_spec("silero_vad")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "data" / "silero_vad.jit"
        if path.exists():
            return path
    return None


@cache
def _network(path: Path) -> torch.jit.ScriptModule:
    return torch.jit.load(str(path), map_location="cpu").eval()


def speech_probabilities(waveform: Waveform, weights: Path) -> Float[np.ndarray, "k"]:
    """The network's probability of speech in every :data:`CHUNK` samples of a sound at 16 kHz."""
    network = _network(weights)
    network.reset_states()
    samples = np.asarray(waveform.samples, np.float32)
    chunks = torch.from_numpy(np.pad(samples, (0, -len(samples) % CHUNK))).reshape(-1, CHUNK)
    with torch.no_grad():
        return np.array([float(network(chunk[None], ANALYSIS_RATE)) for chunk in chunks])


def speech_spans(probabilities: Float[np.ndarray, "k"], step: float) -> list[tuple[float, float]]:
    """Start and end in seconds of every stretch of speech; ``step`` is the time from one probability to the next."""
    spans: list[tuple[float, float]] = []
    begun: float | None = None
    paused: float | None = None
    for place, probability in enumerate(probabilities):
        now = place * step
        if probability >= SPEECH:
            begun, paused = now if begun is None else begun, None
        elif begun is not None and probability < NO_SPEECH:
            paused = now if paused is None else paused
            if now - paused >= LEAST_PAUSE:
                spans.append((begun, paused))
                begun = paused = None
    if begun is not None:
        spans.append((begun, len(probabilities) * step))
    return [(start - MARGIN, end + MARGIN) for start, end in spans if end - start >= LEAST_SPEECH]


def _frames_of(spans: list[tuple[float, float]], n_frames: int, fps: float) -> Bool[np.ndarray, "n_frames"]:
    inside = np.zeros(n_frames, bool)
    for start, end in spans:
        inside[max(0, int(start * fps)) : int(end * fps) + 1] = True
    return inside
