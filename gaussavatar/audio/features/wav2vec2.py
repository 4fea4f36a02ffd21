"""The feature ``wav2vec2``: hidden states of a wav2vec 2.0 model (Baevski et al. 2020)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32

from gaussavatar.audio.features.speech_models import RATE, ModelPlace, SpeechModelFeature, model_facts, shortened

FACTS = model_facts("wav2vec2")

PLACE = ModelPlace("wav2vec2", "GAUSSAVATAR_WAV2VEC2", "facebook/wav2vec2-base-960h", "wav2vec2", "Wav2Vec2Model")

FIELD = 400
"""Samples that a frame of the convolutions sees."""

_LONGEST = 22 * RATE
"""Attention over longer pieces costs more per second."""


class ConvolvedListener:
    """wav2vec 2.0 and its kin: convolutions over the samples, then layers of attention."""

    longest = _LONGEST

    def __init__(self, model: Any) -> None:
        model.encoder.layers = shortened(model.encoder.layers)
        self._model = model

    def __call__(self, samples: Float32[np.ndarray, "s"], scale: float) -> Float[torch.Tensor, "t h"]:
        """See :class:`gaussavatar.audio.features.speech_models.Listener`."""
        # These models are trained on sounds of deviation one; frame j sees the samples from 320 j on.
        padded = np.pad(samples / np.float32(scale), FIELD // 2)
        return self._model(torch.from_numpy(padded)[None]).last_hidden_state[0]


def build() -> SpeechModelFeature:
    """The feature; the model is opened when it first hears.

    Raises:
        UserError: there is no model.
    """
    PLACE.folder()
    return SpeechModelFeature(FACTS, lambda: ConvolvedListener(PLACE.read()))
