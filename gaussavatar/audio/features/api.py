"""What an audio feature is.

A feature is one file, ``audio/features/NAME.py``, with ``FACTS`` (what is known without opening it) and ``build()``,
and a line in :mod:`gaussavatar.audio.features.registry`. Everything after it (windows, batches, the encoder, driving)
asks the feature for its width, its rate and how far a video frame sees; nothing else in the program names one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.audio.gate import GateConfig
from gaussavatar.audio.normalise import AudioStatistics
from gaussavatar.audio.stream import FeatureStream
from gaussavatar.audio.windows import Window
from gaussavatar.types import Waveform


@dataclass(frozen=True)
class FeatureFacts:
    """What the program and an avatar's header say about a feature.

    Attributes:
        names: as in a recipe; more than one where several are heard together.
        dimension: numbers per feature frame.
        window: feature frames per second, and how many of them a video frame sees. Frame j is centred at
            ``j / rate`` seconds.
        look_ahead_ms: sound after its centre that a feature frame depends on.
        streamable: whether it can be had of sound that is still coming, with that look-ahead.
        leads: whether it can tell speech from pauses, as the first of a set has to.
        stream_alike: whether a stream gives what the whole gives; else it comes close.
        requires: packages that must be installed, by the name that is imported.
        install: the command that installs them.
        beside: how the name of a file with its columns ends that must lie beside the sound; "" where it is computed.
            The feature's module then has ``read_columns(path)``.
    """

    names: tuple[str, ...]
    dimension: int
    window: Window
    look_ahead_ms: float
    streamable: bool
    stream_alike: bool = True
    leads: bool = True
    requires: tuple[str, ...] = ()
    install: str = ""
    beside: str = ""

    @property
    def window_look_ahead_ms(self) -> float:
        """Sound that must have been heard after the middle of a video frame before its mouth is known.

        Nothing later is ever used except the statistics of whole-file normalisation, for which
        :class:`gaussavatar.audio.normalise.RunningNormaliser` is the streaming counterpart.
        """
        return self.window.reach_ms + self.look_ahead_ms


@dataclass(frozen=True)
class AugmentConfig:
    """How far the augmented voices may lie from the recorded one.

    Attributes:
        warp_low, warp_high: range of the vocal-tract length factor on the frequency axis.
        equaliser: standard deviation of the smooth random equaliser in nats (4.3 dB each).
        noise_probability: share of versions with added noise.
        snr_low, snr_high: range of the noise level under the mean of speech, in dB.
        level: range of the overall level in nats, up or down.
        band_limit_probability: share of versions without the upper bands.
        reverb_probability: share of versions with a decaying tail.
    """

    warp_low: float = 0.82
    warp_high: float = 1.22
    equaliser: float = 0.7
    noise_probability: float = 0.7
    snr_low: float = 8.0
    snr_high: float = 35.0
    level: float = 1.5
    band_limit_probability: float = 0.15
    reverb_probability: float = 0.1


@runtime_checkable
class AudioFeature(Protocol):
    """One thing that can be heard in a sound, from the samples to what the encoder sees and learns from.

    A feature holds at most weights; what depends on a recording is handed in. ``raw`` is what :meth:`extract` gives.
    """

    @property
    def facts(self) -> FeatureFacts:
        """Name, width, rate, look-ahead and what it needs."""
        ...

    def extract(self, waveform: Waveform) -> Float32[np.ndarray, "t d"]:
        """Raw features of a whole sound of 16 kHz, which begins and ends in digital silence."""
        ...

    def stream(self) -> FeatureStream:
        """The same from sound that comes in pieces.

        Raises:
            UserError: it cannot (``facts.streamable`` is false).
        """
        ...

    def statistics(self, raw: Float[np.ndarray, "t d"]) -> AudioStatistics:
        """What a recording is normalised with; sane also for one without speech, or without a single frame."""
        ...

    def activity(self, raw: Float32[np.ndarray, "t d"]) -> Float32[np.ndarray, "t"]:
        """How much each feature frame belongs to speech rather than to a pause, 0..1."""
        ...

    def gate(self, windows: Float32[np.ndarray, "n w d"], config: GateConfig | None = None) -> Float[np.ndarray, "n"]:
        """How far the mouth may follow each normalised window, 0 (silence) to 1 (speech)."""
        ...


@runtime_checkable
class Foresees(Protocol):
    """A feature that knows what voices have in common, so that few words tell of all that will be said."""

    def foreseen(self, raw: Float32[np.ndarray, "t d"], own: AudioStatistics) -> AudioStatistics:
        """The likely statistics of a whole recording whose beginning is ``raw``, with statistics ``own``."""
        ...


@runtime_checkable
class Recognises(Protocol):
    """A feature that can tell one voice from others."""

    def recognised(self, known: AudioStatistics, heard: AudioStatistics, seconds: float) -> float:
        """Probability that so many seconds of speech, with statistics ``heard``, are by the voice of ``known``."""
        ...
