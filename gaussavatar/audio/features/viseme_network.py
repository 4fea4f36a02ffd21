"""A small network that hears which mouth speech asks for, whoever speaks: what plays it; ``audio/prior`` makes it.

The network sees log-mel of 100 frames per second, normalised by what was heard so far (:func:`normaliser`), and halves
the rate. It is plain on purpose (one-dimensional convolutions, the rectifier, residual sums), so that
it runs anywhere. No convolution is padded: who runs it hands in the frames that it sees before and after.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from gaussavatar.audio.features.mel import mel_statistics
from gaussavatar.audio.features.mel_bands import LOG_FLOOR, MEL_RATE, N_MELS
from gaussavatar.audio.normalise import AudioStatistics, RunningNormaliser
from gaussavatar.audio.phone_classes import CLASSES
from gaussavatar.resources import resource
from gaussavatar.storage import read_arrays

ARTICULATION = ("opening", "rounding", "width", "closure")
"""What the mouth does, 0..1 each: jaw and lips apart, lips forward, corners apart, lips pressed together."""

RATE = MEL_RATE // 2
"""Frames of the network per second; its frame j is centred on frame 2 j of the log-mel."""

STEM = 5
"""Frames of log-mel that the first convolution sees."""

WEIGHTS = "viseme.safetensors"


@dataclass(frozen=True)
class Layer:
    """One residual convolution of three taps.

    Attributes:
        dilation: frames from tap to tap.
        causal: whether it sees its own frame and two before it, rather than one to either side.
    """

    dilation: int
    causal: bool

    @property
    def before(self) -> int:
        """Frames that it sees before its own."""
        return self.dilation * (2 if self.causal else 1)

    @property
    def after(self) -> int:
        """Frames that it sees after its own."""
        return 0 if self.causal else self.dilation


@dataclass(frozen=True)
class Reach:
    """Frames of log-mel that a frame of the network sees before and after the one it is centred on."""

    before: int
    after: int


SILENT = -2.0
"""Every band of normalised log-mel before a sound begins and after it ends."""

_TYPICAL = AudioStatistics(*(np.full(N_MELS, value, np.float32) for value in (-12.0, 2.6, -18.5, -18.5)))
"""For sounds of which nothing was heard yet."""

_MEMORY_SECONDS = 12.0


def heard_statistics(mel: Float[np.ndarray, "t 40"]) -> AudioStatistics:
    """The log-mel's statistics without digital silence, of which files have some before they begin."""
    heard = mel[mel.max(1) > LOG_FLOOR + 1.0]
    return mel_statistics(heard) if len(heard) else _TYPICAL


def normaliser() -> RunningNormaliser:
    """What the network's log-mel is normalised with, in files as in streams, so that both are heard alike."""
    return RunningNormaliser(heard_statistics, MEL_RATE, memory_seconds=_MEMORY_SECONDS)


def between_silence(mel: Float32[np.ndarray, "t 40"], reach: Reach) -> Float32[np.ndarray, "s 40"]:
    """A whole sound's normalised log-mel and the silence around it that its first and last frames see."""
    return np.pad(mel, ((reach.before, reach.after), (0, 0)), constant_values=SILENT)


LAYERS = (Layer(1, False), Layer(1, False), Layer(2, False), Layer(1, True), Layer(2, True), Layer(4, True))
"""Four frames of 20 ms ahead of a frame's own, and eighteen before."""


def reach_of(layers: tuple[Layer, ...]) -> Reach:
    """How far the stem and these layers see together."""
    half = STEM // 2
    return Reach(half + 2 * sum(one.before for one in layers), half + 2 * sum(one.after for one in layers))


def residual(x: Float[Tensor, "b c t"], change: Float[Tensor, "b c s"], layer: Layer) -> Float[Tensor, "b c s"]:
    """A layer's sum: what came in, without the frames that the unpadded convolution has no result for."""
    return x[..., layer.before : x.shape[-1] - layer.after] + change


@dataclass(frozen=True)
class VisemeNetwork:
    """The trained network, batch normalisation folded in.

    Attributes:
        stem: weight and bias of the first convolution, which has a stride of two.
        layers: what follows it; ``convolutions``: their weights and biases.
        head: weight and bias of the outputs: one score per class, then the articulation.
        centre, components: of the last layer, what is given to who drives a mouth: ``(trunk - centre) @ components.T``.
        made: how it was made, in words.
    """

    stem: tuple[Tensor, Tensor]
    layers: tuple[Layer, ...]
    convolutions: tuple[tuple[Tensor, Tensor], ...]
    head: tuple[Tensor, Tensor]
    centre: Float[Tensor, "h"]
    components: Float[Tensor, "k h"]
    made: str = ""

    @property
    def reach(self) -> Reach:
        """Frames of log-mel that it sees."""
        return reach_of(self.layers)

    def trunk(self, mel: Float[Tensor, "b t 40"]) -> Float[Tensor, "b s h"]:
        """The last layer at every second frame, from ``reach.before`` frames in to ``reach.after`` before the end."""
        x = F.relu(F.conv1d(mel.transpose(1, 2), *self.stem, stride=2))
        for layer, (weight, bias) in zip(self.layers, self.convolutions, strict=True):
            x = residual(x, F.relu(F.conv1d(x, weight, bias, dilation=layer.dilation)), layer)
        return x.transpose(1, 2)

    def outputs(self, trunk: Float[Tensor, "b s h"]) -> tuple[Float[Tensor, "b s c"], Float[Tensor, "b s 4"]]:
        """Log-probability of each of :data:`CLASSES`, and :data:`ARTICULATION`."""
        both = trunk @ self.head[0].T + self.head[1]
        scores, mouth = both[..., : len(CLASSES)], both[..., len(CLASSES) :]
        closure = torch.sigmoid(mouth[..., 3:])
        return torch.log_softmax(scores, -1), torch.cat([mouth[..., :3].clamp(-0.5, 1.5), closure], -1)


def network_arrays(network: VisemeNetwork) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The network as arrays of half precision and metadata, as :func:`read_network` takes them."""
    pairs = {"stem": network.stem, "head": network.head}
    pairs |= {f"layer{k}": pair for k, pair in enumerate(network.convolutions)}
    tensors = {
        f"{name}.{part}": t for name, pair in pairs.items() for part, t in zip(("weight", "bias"), pair, strict=True)
    }
    tensors |= {name: getattr(network, name) for name in ("centre", "components")}
    arrays = {name: tensor.detach().numpy().astype(np.float16) for name, tensor in tensors.items()}
    layers = [[one.dilation, one.causal] for one in network.layers]
    meta = {"layers": json.dumps(layers), "classes": json.dumps(CLASSES), "made": network.made}
    return arrays, meta


def read_network(path: Path) -> VisemeNetwork:
    """Read a network from a safetensors file.

    Raises:
        UserError: the file is missing or damaged.
        ValueError: it is of other classes than these.
    """
    arrays, meta = read_arrays(path)
    if tuple(json.loads(meta["classes"])) != CLASSES or arrays["stem.weight"].shape[1] != N_MELS:
        raise ValueError(f"{path} is of other classes or bands")
    tensors = {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}
    layers = tuple(Layer(int(dilation), bool(causal)) for dilation, causal in json.loads(meta["layers"]))

    def pair(name: str) -> tuple[Tensor, Tensor]:
        return tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    return VisemeNetwork(
        stem=pair("stem"),
        layers=layers,
        convolutions=tuple(pair(f"layer{k}") for k in range(len(layers))),
        head=pair("head"),
        centre=tensors["centre"],
        components=tensors["components"],
        made=meta.get("made", ""),
    )


@cache
def viseme_network() -> VisemeNetwork:
    """The network that comes with the program."""
    return read_network(resource("assets") / WEIGHTS)


def mouth_of(network: VisemeNetwork, mel: Float32[np.ndarray, "b t 40"]) -> Float32[np.ndarray, "b s d"]:
    """What drives a mouth at every second frame of normalised log-mel (which, :meth:`VisemeNetwork.trunk` tells).

    The columns: the trunk's principal components, :data:`ARTICULATION`, and the log-odds of speech against silence.
    """
    with torch.no_grad():
        trunk = network.trunk(torch.from_numpy(np.ascontiguousarray(mel, np.float32)))
        scores, mouth = network.outputs(trunk)
        silent = scores[..., :1]
        speech = (torch.log1p(-silent.exp().clamp_max(1.0 - 1e-6)) - silent).clamp(-8.0, 8.0)
        told = (trunk - network.centre) @ network.components.T
        return torch.cat([told, mouth, speech], -1).numpy()
