"""Hidden states of large speech models as features: where a model lies, how it is run, what is kept of it.

A model is read from the folder that an environment variable names, else from the user's Hugging Face cache; nothing is
ever downloaded, and only ``.safetensors`` weights are read. Of its encoder the first two thirds of the layers run: what
lies there tells phones best, while the last layers turn to each model's own task (Pasad et al., Layer-wise Analysis of
a Self-Supervised Speech Representation Model, ASRU 2021). Every hidden state is brought to mean zero and deviation one
over its channels, cut at three (a few channels of such models are fifty times larger than the rest and would drown
them), and projected on 48 fixed directions, orthogonal and drawn from a seed. Leading principal components would be
tighter, but they need a recording, and features must mean the same for every avatar, sound and machine; a random
projection keeps distances (Johnson and Lindenstrauss 1984) and needs nothing but the seed. The level of the sound is
one more column, by which pauses are told.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32

from gaussavatar.audio.features.api import FeatureFacts
from gaussavatar.audio.features.columns import (
    loudness_activity,
    loudness_column,
    loudness_gate,
    loudness_statistics,
    speech_statistics,
)
from gaussavatar.audio.gate import GateConfig
from gaussavatar.audio.normalise import AudioStatistics, side_by_side
from gaussavatar.audio.stream import FeatureStream, n_centred_frames
from gaussavatar.audio.windows import Window
from gaussavatar.errors import UserError
from gaussavatar.types import ANALYSIS_RATE, Waveform

RATE = 50
HOP = ANALYSIS_RATE // RATE
KEPT = 48
"""Columns of the projection."""

CONTEXT = RATE
"""Feature frames heard on either side of a piece."""

INSTALL = "pip install 'gaussavatar[asr]'"

_SEED = 20
_LAYERS = 2 / 3
_MOST = 3.0
_SPREAD = 0.6
"""Deviation that is expected of a projected column."""

_LEAST_SCALE = 0.01
"""A sound whose deviation is smaller (-40 dB) is not brought to one but left as quiet as it is: made-up pauses, which
are heard apart from the speech around them, would come out as loud as that."""

_DISTINCT_PAUSES = 6


@dataclass(frozen=True)
class ModelPlace:
    """Where a speech model comes from.

    Attributes:
        name: the feature.
        variable: the environment variable that may name a folder.
        hub: the model's name in the Hugging Face cache.
        kind: ``model_type`` of its ``config.json``.
        loader: the class of transformers that reads it.
    """

    name: str
    variable: str
    hub: str
    kind: str
    loader: str

    def folder(self) -> Path:
        """The folder with ``config.json`` and ``model.safetensors``.

        Raises:
            UserError: there is none, or what is there is of another kind.
        """
        named = os.environ.get(self.variable)
        folder = Path(named) if named else self._in_cache()
        if folder is None or not all((folder / file).is_file() for file in ("config.json", "model.safetensors")):
            raise UserError(
                f"a model for the audio feature {self.name} (config.json, model.safetensors)",
                f"{self.variable}={folder} without them" if named else f"no {self.hub} in the Hugging Face cache",
                f"set {self.variable} to its folder; where there is a network, {self._command} makes one",
            )
        return folder

    @property
    def _command(self) -> str:
        made = f"M.from_pretrained('{self.hub}').save_pretrained('{self.name}')"
        return f'python -c "from transformers import {self.loader} as M; {made}"'

    def _in_cache(self) -> Path | None:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return Path(snapshot_download(self.hub, local_files_only=True))
        except (LocalEntryNotFoundError, OSError):
            return None

    def read(self) -> Any:
        """The model with all its weights, on the CPU.

        Raises:
            UserError: see :meth:`folder`; or the files are damaged, or do not hold all weights.
        """
        from safetensors import SafetensorError

        transformers: Any = import_module("transformers")  # too large a package for a type checker
        folder = self.folder()
        do = f"save the model anew, or set {self.variable} to another folder"
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        settings = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
        try:
            kind = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).model_type
            if kind != self.kind:
                raise UserError(f"a model of type {self.kind} in {folder}", str(kind), do)
            model, told = getattr(transformers, self.loader).from_pretrained(folder, dtype=torch.float32, **settings)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(f"a whole {self.kind} model in {folder}", first[:160], do) from error
        # The vector that stands for masked frames in pre-training is never heard.
        missing = [key for key in told["missing_keys"] if "masked_spec_embed" not in key]
        if missing:
            raise UserError(f"all weights of {self.kind} in {folder}", f"none for {missing[0]}", do)
        return model.eval()


@runtime_checkable
class Listener(Protocol):
    """A model that is open: what it makes of up to ``longest`` frames of sound."""

    longest: int

    def __call__(self, samples: Float32[np.ndarray, "s"], scale: float) -> Float[torch.Tensor, "t h"]:
        """Hidden states, frame j centred at sample ``320 j``; at least one per whole 320 samples.

        Args:
            samples: a stretch of a sound.
            scale: deviation of the whole sound that it belongs to.
        """
        ...


def shortened(layers: torch.nn.ModuleList) -> torch.nn.ModuleList:
    """The layers that run."""
    return layers[: max(1, round(_LAYERS * len(layers)))]


@cache
def projection(width: int) -> Float32[torch.Tensor, "width 48"]:
    """Fixed orthogonal directions of unit length; the same on every machine.

    Raises:
        ValueError: the hidden states have fewer channels than directions.
    """
    if width < KEPT:
        raise ValueError(f"a speech model with at least {KEPT} channels, got {width}")
    drawn = torch.randn((width, KEPT), generator=torch.Generator().manual_seed(_SEED), dtype=torch.float64)
    directions, triangle = torch.linalg.qr(drawn)
    return (directions * triangle.diagonal().sign()).float()


def reduced(hidden: Float[torch.Tensor, "t h"]) -> Float32[np.ndarray, "t 48"]:
    """What is kept of hidden states."""
    even = torch.nn.functional.layer_norm(hidden.float(), hidden.shape[-1:]).clamp(-_MOST, _MOST)
    return (even @ projection(hidden.shape[1])).numpy()


def model_facts(name: str) -> FeatureFacts:
    """Facts of a feature of this file."""
    return FeatureFacts(
        names=(name,),
        dimension=KEPT + 1,
        window=Window(RATE, 16),
        look_ahead_ms=1000.0 * CONTEXT / RATE,
        streamable=False,
        requires=("transformers",),
        install=INSTALL,
    )


class SpeechModelFeature:
    """A speech model as an :class:`gaussavatar.audio.features.api.AudioFeature`.

    Args:
        facts: :func:`model_facts`.
        listen: opens the model; called when the first sound is heard.
    """

    def __init__(self, facts: FeatureFacts, listen: Callable[[], Listener]) -> None:
        self._facts, self._listen = facts, listen

    @cached_property
    def _listener(self) -> Listener:
        return self._listen()

    @property
    def facts(self) -> FeatureFacts:
        """Width, rate and what it needs."""
        return self._facts

    def extract(self, waveform: Waveform) -> Float32[np.ndarray, "t 49"]:
        """Projected hidden states and the sound's level, in pieces with a second of context."""
        samples = np.asarray(waveform.samples, np.float32)
        return self._hear(waveform, max(float(samples.std(dtype=np.float64)) if len(samples) else 0.0, _LEAST_SCALE))

    def stream(self) -> FeatureStream:
        """Refused: every frame attends to all that is said around it.

        Raises:
            UserError: always.
        """
        name = self._facts.names[0]
        raise UserError("audio features that can follow live sound", f"{name}, which cannot", "name others")

    def statistics(self, raw: Float[np.ndarray, "t 49"]) -> AudioStatistics:
        """The sound's own, of speech and pauses apart; the level's are log-mel's."""
        activity = self.activity(raw.astype(np.float32))
        return side_by_side(speech_statistics(raw[:, :KEPT], activity, _SPREAD), loudness_statistics(raw[:, KEPT]))

    def activity(self, raw: Float32[np.ndarray, "t 49"]) -> Float32[np.ndarray, "t"]:
        """As its level tells it."""
        return loudness_activity(raw[:, KEPT])

    def gate(self, windows: Float32[np.ndarray, "n w 49"], config: GateConfig | None = None) -> Float[np.ndarray, "n"]:
        """Silence as the level tells it."""
        return loudness_gate(windows[..., KEPT], RATE, config)

    def _hear(self, waveform: Waveform, scale: float) -> np.ndarray:
        if waveform.rate != ANALYSIS_RATE:
            raise ValueError(f"speech models hear {ANALYSIS_RATE} samples per second, got {waveform.rate}")
        samples, listener = np.asarray(waveform.samples, np.float32), self._listener
        n, step = n_centred_frames(len(samples), HOP), listener.longest - 2 * CONTEXT
        out = np.empty((n, KEPT + 1), np.float32)
        out[:, KEPT:] = loudness_column(waveform, RATE)
        for start in range(0, n, step):
            stop, first = min(n, start + step), max(0, start - CONTEXT)
            last = min(n, stop + CONTEXT)
            # The last frame of a sound has half of its samples after the sound's end.
            part = samples[first * HOP : last * HOP]
            with torch.no_grad():
                hidden = listener(np.pad(part, (0, (last - first) * HOP - len(part))), scale)
            out[start:stop, :KEPT] = reduced(hidden[start - first : stop - first])
        return out
