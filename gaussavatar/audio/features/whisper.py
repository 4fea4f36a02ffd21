"""The feature ``whisper``: hidden states of the encoder of a Whisper model (Radford et al. 2022)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32

from gaussavatar.audio.features.speech_models import RATE, ModelPlace, SpeechModelFeature, model_facts, shortened
from gaussavatar.types import ANALYSIS_RATE

FACTS = model_facts("whisper")

PLACE = ModelPlace("whisper", "GAUSSAVATAR_WHISPER", "openai/whisper-base", "whisper", "WhisperModel")


class WhisperListener:
    """Whisper's encoder, which always hears thirty seconds: silence follows a shorter sound."""

    def __init__(self, model: Any) -> None:
        self.longest = model.config.max_source_positions
        self._encoder = model.encoder
        self._encoder.layers = shortened(self._encoder.layers)
        transformers: Any = import_module("transformers")  # too large a package for a type checker
        self._spectrum = transformers.WhisperFeatureExtractor(
            model.config.num_mel_bins, chunk_length=self.longest // RATE
        )

    def __call__(self, samples: Float32[np.ndarray, "s"], scale: float) -> Float[torch.Tensor, "t h"]:
        """See :class:`gaussavatar.audio.features.speech_models.Listener`; Whisper scales sounds itself."""
        heard = self._spectrum(samples, sampling_rate=ANALYSIS_RATE, return_tensors="pt")
        return self._encoder(heard.input_features).last_hidden_state[0]


def build() -> SpeechModelFeature:
    """The feature; the model is opened when it first hears.

    Raises:
        UserError: there is no model.
    """
    PLACE.folder()
    return SpeechModelFeature(FACTS, lambda: WhisperListener(PLACE.read()))
