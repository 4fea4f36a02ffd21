"""Speech models of random weights, a hundred thousandth of the real ones, saved as users' models are."""

from __future__ import annotations

from pathlib import Path

import torch

from gaussavatar.audio.features import hubert, wav2vec2, whisper
from gaussavatar.audio.features.speech_models import ModelPlace

PLACES: tuple[ModelPlace, ...] = (hubert.PLACE, wav2vec2.PLACE, whisper.PLACE)

_CONVOLVED = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64,
              "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}  # fmt: skip
_WHISPER = {"d_model": 64, "encoder_layers": 3, "decoder_layers": 1, "encoder_attention_heads": 2,
            "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_source_positions": 200,
            "num_mel_bins": 80, "vocab_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
            "decoder_start_token_id": 1}  # fmt: skip


def save_tiny(place: ModelPlace, folder: Path) -> Path:
    """A model of the kind that ``place`` wants."""
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = getattr(transformers, place.loader.replace("Model", "Config"))
        model = getattr(transformers, place.loader)(config(**(_WHISPER if place.kind == "whisper" else _CONVOLVED)))
        model.save_pretrained(folder)
    return folder
