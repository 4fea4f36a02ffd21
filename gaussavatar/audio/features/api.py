"""What an audio feature is, and the features that there are.

A feature is one file, ``audio/features/NAME.py``, with ``FACTS`` (what is known without opening it) and ``build()``,
and its name in :data:`KNOWN`. Everything after it (windows, batches, the encoder, driving) asks the feature for its
width, its rate and how far a video frame sees; nothing else in the program names one.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32

from gaussavatar.audio.gate import GateConfig
from gaussavatar.audio.normalise import AudioStatistics
from gaussavatar.audio.stream import FeatureStream
from gaussavatar.audio.windows import Window
from gaussavatar.errors import UserError
from gaussavatar.types import Waveform

KNOWN: dict[str, str] = {"mel": "gaussavatar.audio.features.mel"}
"""The features by name, and the module of each."""


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
        requires: packages that must be installed, by the name that is imported.
        install: the command that installs them.
    """

    names: tuple[str, ...]
    dimension: int
    window: Window
    look_ahead_ms: float
    streamable: bool
    requires: tuple[str, ...] = ()
    install: str = ""

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


@dataclass(frozen=True)
class Recording:
    """What training hears: one recording's raw features, and the sound that they are of.

    The sound may be missing for a feature whose other voices are made from its values, as log-mel's are.
    """

    raw: Float32[np.ndarray, "t d"]
    waveform: Waveform | None = None


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

    def other_voice(
        self, recording: Recording, config: AugmentConfig, generator: torch.Generator
    ) -> Float32[np.ndarray, "t d"]:
        """Raw features, as many frames, of another voice in another room saying the same."""
        ...

    def pauses(
        self, n: int, length: int, heard: Float32[np.ndarray, "p d"], generator: torch.Generator
    ) -> Float32[np.ndarray, "n length d"]:
        """Raw features of ``n`` made-up stretches without speech, as a recording with the pauses ``heard`` has them."""
        ...


def feature_facts(name: str) -> FeatureFacts:
    """What is known of a feature, also where what it requires is not installed.

    Raises:
        UserError: there is none of this name.
    """
    if name not in KNOWN:
        close = difflib.get_close_matches(str(name), KNOWN, n=1)
        hint = f"did you mean {close[0]}?" if close else "name one of these in audio.features"
        raise UserError(f"an audio feature: {', '.join(KNOWN)}", repr(name), hint)
    return import_module(KNOWN[name]).FACTS


def check_features(names: tuple[str, ...]) -> None:
    """Refuse a recipe's or an avatar's list of features that this program cannot mean.

    Raises:
        UserError: it is empty, has a name twice or one that is not known.
    """
    if not names or len(set(names)) < len(names):
        came = "none" if not names else f"one twice in {', '.join(names)}"
        raise UserError("at least one audio feature, each once", came, f"name some of {', '.join(KNOWN)}")
    for name in names:
        feature_facts(name)


@cache
def open_features(names: tuple[str, ...]) -> AudioFeature:
    """The feature of this name, ready to hear; several names are one feature, side by side, and the first leads.

    Raises:
        UserError: not known (see :func:`check_features`), or not installed; the message says what is and how to.
    """
    check_features(names)
    for name in names:
        facts = feature_facts(name)
        missing = [package for package in facts.requires if find_spec(package) is None]
        if missing:
            raise UserError(
                f"{' and '.join(missing)} for the audio feature {name}",
                "a Python without it",
                f"install it with {facts.install}, or name others of {', '.join(KNOWN)}",
            )
    parts = [import_module(KNOWN[name]).build() for name in names]
    if len(parts) == 1:
        return parts[0]
    from gaussavatar.audio.features.join import JoinedFeature

    return JoinedFeature(parts)
