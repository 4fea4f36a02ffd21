"""The network of ``hama``, from the weights that its package carries, in torch.

A conformer (Gulati et al. 2020) over log-mel; docs/gsa.md tells it layer by layer, ``assets/web/speech/conformer.js``
is its form for pages. The package's own engine answers the same, which the tests hold, and takes ten times as long: a
fit that hears its clip in nine voices spent a tenth of its time there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from gaussavatar.audio.features.hama_pack import BLOCKS, HEADS, WIDTH

HOP, LENGTH = 160, 400
"""Samples from one row of log-mel to the next, and in its window."""

LOWEST = 1e-10
"""Power below which a band counts as silent."""

TAPS = 31
"""Of the convolution over time, in answers."""

Layer = tuple[Tensor, Tensor]
"""Weights, outputs x inputs, and bias."""


@dataclass(frozen=True)
class _Block:
    norm: Layer
    ffn1: tuple[Layer, Layer, Layer]
    attention: tuple[Layer, Layer, Layer]
    convolution: tuple[Layer, Layer, Layer, Layer]
    ffn2: tuple[Layer, Layer, Layer]


class Conformer:
    """The network on the CPU, from sound to scores.

    Args:
        sections: matrices as :func:`~gaussavatar.audio.features.hama_pack.network_sections` gives them.
        kernels: cosines, then sines, under their window; they turn 400 samples into a spectrum.
    """

    def __init__(
        self, sections: dict[str, np.ndarray], kernels: tuple[Float32[np.ndarray, "f l"], Float32[np.ndarray, "f l"]]
    ) -> None:
        self._kernels = torch.from_numpy(np.concatenate(kernels))
        self._mel = torch.from_numpy(np.array(sections["hama.mel"], np.float32))
        self._stem, self._out = _layer(sections["hama.stem"]), _layer(sections["hama.out"])
        self._blocks = [_block(sections, f"hama.{k}") for k in range(BLOCKS)]

    def __call__(self, samples: Float32[np.ndarray, "s"]) -> Float32[np.ndarray, "t tokens"]:
        """Logarithms of the shares of all tokens; row j is centred at ``0.02 j`` s."""
        with torch.inference_mode():
            x = F.gelu(_linear(self._rows(torch.from_numpy(samples)), self._stem))
            for block in self._blocks:
                x = x + 0.5 * _feed_forward(x, block.ffn1)
                x = x + _attention(x, block.attention)
                x = x + _along_time(x, block.convolution)
                x = x + 0.5 * _feed_forward(x, block.ffn2)
                x = _norm(x, block.norm)
            return torch.log_softmax(_linear(x, self._out), dim=-1).numpy()

    def _rows(self, samples: Float[Tensor, "s"]) -> Float[Tensor, "t w"]:
        """Three neighbouring rows of log-mel for each answer, of which there is one for every two rows."""
        around = _mirrored(samples, LENGTH // 2).unfold(0, LENGTH, HOP)
        spectrum = around @ self._kernels.T
        real, imaginary = spectrum.chunk(2, dim=1)
        mel = ((real.square() + imaginary.square()) @ self._mel).clamp_min(LOWEST).log()
        # It was trained on numbers of half precision.
        mel = F.pad(mel.half().float(), (0, 0, 1, 1))
        return mel.unfold(0, 3, 2).transpose(1, 2).flatten(1)


def _mirrored(samples: Float[Tensor, "s"], reach: int) -> Float[Tensor, "p"]:
    """A sound with ``reach`` samples more at both ends, where it is mirrored, as often as it takes."""
    last = len(samples) - 1
    if last < 1:
        return samples.expand(1 + 2 * reach) if last == 0 else samples.new_zeros(2 * reach)
    index = (torch.arange(-reach, last + 1 + reach) + last).remainder(2 * last)
    return samples[(index - last).abs()]


def _linear(x: Float[Tensor, "t i"], layer: Layer) -> Float[Tensor, "t o"]:
    return F.linear(x, *layer)


def _norm(x: Float[Tensor, "t w"], layer: Layer) -> Float[Tensor, "t w"]:
    return F.layer_norm(x, (WIDTH,), *layer, eps=1e-5)


def _feed_forward(x: Float[Tensor, "t w"], layers: tuple[Layer, Layer, Layer]) -> Float[Tensor, "t w"]:
    norm, inward, outward = layers
    return _linear(F.silu(_linear(_norm(x, norm), inward)), outward)


def _attention(x: Float[Tensor, "t w"], layers: tuple[Layer, Layer, Layer]) -> Float[Tensor, "t w"]:
    norm, inward, outward = layers
    query, key, value = _linear(_norm(x, norm), inward).unflatten(1, (3, HEADS, -1)).permute(1, 2, 0, 3)
    shares = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(WIDTH / HEADS), dim=-1)
    return _linear((shares @ value).transpose(0, 1).flatten(1), outward)


def _along_time(x: Float[Tensor, "t w"], layers: tuple[Layer, Layer, Layer, Layer]) -> Float[Tensor, "t w"]:
    norm, inward, (taps, bias), outward = layers
    gated = F.glu(_linear(_norm(x, norm), inward), dim=-1)
    spread = F.conv1d(gated.T[None], taps[:, None], bias, padding=TAPS // 2, groups=WIDTH)[0].T
    return _linear(F.silu(spread), outward)


def _block(sections: dict[str, np.ndarray], name: str) -> _Block:
    def layer(part: str) -> Layer:
        return _layer(sections[f"{name}.{part}"])

    def norm(part: str) -> Layer:
        scale, shift = (torch.from_numpy(row.astype(np.float32)) for row in sections[f"{name}.{part}"])
        return scale, shift

    def three(part: str) -> tuple[Layer, Layer, Layer]:
        return norm(f"{part}.norm"), layer(f"{part}.in"), layer(f"{part}.out")

    convolution = (norm("conv.norm"), layer("conv.in"), layer("conv.depth"), layer("conv.out"))
    return _Block(norm("norm"), three("ffn1"), three("attn"), convolution, three("ffn2"))


def _layer(matrix: np.ndarray) -> Layer:
    """Of a matrix inputs x outputs whose last row is the bias."""
    whole = torch.from_numpy(matrix.astype(np.float32))
    return whole[:-1].T.contiguous(), whole[-1].contiguous()
