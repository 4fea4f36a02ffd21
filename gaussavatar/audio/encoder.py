"""The small network that hears the mouth: a window of audio features to mouth codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from gaussavatar.audio.features.api import AudioFeature
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.heard_before import HeardMatch
from gaussavatar.audio.own_range import RangeMatch
from gaussavatar.errors import UserError

SHORTEST_WINDOW, LONGEST_WINDOW = 33, 40
"""Feature frames that the four convolutions make one answer of."""


@dataclass(frozen=True)
class EncoderConfig:
    """Size of the encoder, and what it hears. The defaults of the latter read headers from before they were written.

    Attributes:
        n_codes: outputs.
        hidden: channels of the convolutions, per member.
        members: independent networks whose mean is the answer.
        linear: whether a linear map of the whole window is one more member.
        dropout: share of activations dropped in training.
        features: names of the audio features, in order.
        width: numbers per feature frame.
        window: feature frames of a window.
        own_range: whether it knows how wide the person's own codes are.
        heard: components by which it knows what it heard while it learnt; 0 where it does not.
    """

    n_codes: int
    hidden: int = 40
    members: int = 3
    linear: bool = True
    dropout: float = 0.15
    features: tuple[str, ...] = ("mel",)
    width: int = 40
    window: int = 33
    own_range: bool = False
    heard: int = 0


def heard_by(config: EncoderConfig) -> AudioFeature:
    """The features that an encoder was trained on, ready to hear.

    Raises:
        UserError: they are not known or not installed here, or of another width or window than the encoder's.
    """
    feature = open_features(config.features)
    facts = feature.facts
    if (facts.dimension, facts.window.length) != (config.width, config.window):
        raise UserError(
            f"audio features {', '.join(config.features)} of {config.window} x {config.width} values per frame",
            f"{facts.window.length} x {facts.dimension} from this version",
            "fit the avatar again",
        )
    return feature


class MemberConv(nn.Module):
    """Convolution over time of several independent members at once, as one matrix product.

    torch's grouped convolutions of such short sequences spend most of their time on
    layout on a CPU; this is four times faster.
    """

    def __init__(self, members: int, c_in: int, c_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        bound = (kernel * c_in) ** -0.5
        self.weight = nn.Parameter(torch.empty(members, kernel * c_in, c_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, 1, c_out))

    def forward(self, x: Float[Tensor, "#m b t c"]) -> Float[Tensor, "m b s d"]:
        """Valid convolution with stride; ``m`` may be one for an input that all members share."""
        columns: Tensor = _Columns.apply(x, self.kernel, self.stride)  # pyright: ignore[reportAssignmentType]
        members = len(self.weight)
        out = torch.baddbmm(self.bias, columns.flatten(1, 2).expand(members, -1, -1), self.weight)
        return out.unflatten(1, columns.shape[1:3])


class _Columns(torch.autograd.Function):
    """The rows of every window of a convolution side by side: one copy, where slices and their gradients are many."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, kernel: int, stride: int) -> Tensor:
        """Of (m, b, t, c) make (m, b, windows, kernel * c)."""
        ctx.kernel, ctx.stride, ctx.shape = kernel, stride, x.shape  # pyright: ignore[reportAttributeAccessIssue]
        m, b, t, c = x.shape
        windows = (t - kernel) // stride + 1
        laid = x.contiguous().as_strided((m, b, windows, kernel * c), (b * t * c, t * c, stride * c, 1))
        return laid.contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Add up what every window says of a row."""
        gathered = gradient.new_zeros(ctx.shape)
        last = (gradient.shape[2] - 1) * ctx.stride + 1
        for tap, part in enumerate(gradient.unflatten(3, (ctx.kernel, -1)).unbind(3)):
            gathered[:, :, tap : tap + last : ctx.stride] += part
        return gathered, None, None


class Dropout(nn.Module):
    """Leaves out a share of numbers in training, as ``nn.Dropout`` does; on a CPU a byte of chance decides on each.

    torch draws eight bytes for a number: a fifth of a step of so small a network.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """What is kept is enlarged by what is left out."""
        cut = round(256 * self.share)
        if not self.training or x.device.type != "cpu" or cut == 0:
            return functional.dropout(x, self.share, self.training)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= cut
        return x * (kept * (256.0 / (256 - cut)))


class AudioEncoder(nn.Module):
    """Mean of a few small convolutional networks and a linear map.

    Each answers alone (:meth:`each`), which is what pre-training fits; their mean errs
    less than any of them. Outputs are in units of the targets: the buffers ``centre``
    and ``spread`` hold the targets' mean and standard deviation.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        m, h = config.members, config.hidden
        self.stem = MemberConv(m, config.width, h, 5, 2)
        self.middle = MemberConv(m, h, h, 3, 2)
        self.top = MemberConv(m, h, h, 3, 2)
        self.head = MemberConv(m, h, config.n_codes, 3, 1)
        self.dropout = Dropout(config.dropout)
        self.linear = nn.Linear(config.window * config.width, config.n_codes) if config.linear else None
        self.register_buffer("centre", torch.zeros(config.n_codes))
        self.register_buffer("spread", torch.ones(config.n_codes))
        self.range = RangeMatch(config.n_codes) if config.own_range else None
        self.heard = HeardMatch(config.heard, config.width) if config.heard else None

    def each(self, windows: Float[Tensor, "b w d"]) -> Float[Tensor, "members b n_codes"]:
        """The standardised answer of every member (the linear map is the last)."""
        x = functional.relu(self.stem(windows[None]))
        x = functional.relu(self.middle(self.dropout(x)))
        x = functional.relu(self.top(self.dropout(x)))
        answers = self.head(self.dropout(x))[:, :, 0]
        if self.linear is None:
            return answers
        return torch.cat([answers, self.linear(windows.flatten(1))[None]])

    def forward(self, windows: Float[Tensor, "b w d"], ood: float = 0.0) -> Float[Tensor, "b n_codes"]:
        """Mouth codes in units of the targets; ``ood`` is how far what it never heard is brought to what it did."""
        if self.heard is not None:
            windows = self.heard(windows, ood)
        return self.centre + self.spread * self.each(windows).mean(0)
