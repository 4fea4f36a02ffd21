"""The feature ``hubert``: hidden states of a HuBERT model (Hsu et al. 2021), which hears as wav2vec 2.0 does."""

from __future__ import annotations

from gaussavatar.audio.features.speech_models import ModelPlace, SpeechModelFeature, model_facts
from gaussavatar.audio.features.wav2vec2 import ConvolvedListener

FACTS = model_facts("hubert")

PLACE = ModelPlace("hubert", "GAUSSAVATAR_HUBERT", "facebook/hubert-base-ls960", "hubert", "HubertModel")


def build() -> SpeechModelFeature:
    """The feature; the model is opened when it first hears.

    Raises:
        UserError: there is no model.
    """
    PLACE.folder()
    return SpeechModelFeature(FACTS, lambda: ConvolvedListener(PLACE.read()))
