"""Perceptual distance by the features of a network trained on photographs, from weights that the user has.

LPIPS (Zhang et al., CVPR 2018, sec. 3): features of several layers, scaled to unit length over the channels, squared
differences weighted per channel by learnt linear heads, mean over the picture, sum over the layers. Without the heads
every channel counts alike; figures of that kind are called perceptual distance and must not be compared with LPIPS.
"""

from __future__ import annotations

import importlib.util
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gaussavatar.errors import UserError
from gaussavatar.storage import file_digest

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and deviation of photographs in -1..1 that the backbones were trained with (ImageNet)."""

UNREADABLE = (
    *(SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError, KeyError),
    *(IndexError, AttributeError, TypeError, EOFError, OSError),
)
"""What the readers raise at files that are damaged or something else."""

LEAST_SIDE = 64
"""Pictures below this side are enlarged: the deeper layers would see a pixel or none."""


@dataclass(frozen=True)
class Layer:
    """One convolution: number in ``features.N``, channels in and out, kernel, stride, padding; what is around it."""

    number: int
    shape: tuple[int, int, int]
    stride: int = 1
    pool: int = 0
    """Kernel of the max pooling (stride 2) before it; 0 for none."""
    compared: bool = False
    """Whether the activation behind it is a feature that is compared."""


ALEX = (
    Layer(0, (3, 64, 11), 4, compared=True),
    Layer(3, (64, 192, 5), pool=3, compared=True),
    Layer(6, (192, 384, 3), pool=3, compared=True),
    Layer(8, (384, 256, 3), compared=True),
    Layer(10, (256, 256, 3), compared=True),
)
"""AlexNet (Krizhevsky, 2014), convolutions only."""

VGG16 = (
    Layer(0, (3, 64, 3)), Layer(2, (64, 64, 3), compared=True),
    Layer(5, (64, 128, 3), pool=2), Layer(7, (128, 128, 3), compared=True),
    Layer(10, (128, 256, 3), pool=2), Layer(12, (256, 256, 3)), Layer(14, (256, 256, 3), compared=True),
    Layer(17, (256, 512, 3), pool=2), Layer(19, (512, 512, 3)), Layer(21, (512, 512, 3), compared=True),
    Layer(24, (512, 512, 3), pool=2), Layer(26, (512, 512, 3)), Layer(28, (512, 512, 3), compared=True),
)  # fmt: skip
"""VGG-16 (Simonyan and Zisserman, 2015, configuration D), convolutions only."""

BACKBONES = {"alex": ALEX, "vgg16": VGG16}


class PerceptualLoss(nn.Module):
    """Distance of pictures with gradients to the first one; the weights are fixed."""

    def __init__(self, weights: Path, heads: Path | None = None) -> None:
        """Read a backbone.

        Args:
            weights: state dict of torchvision's AlexNet or VGG-16 (.safetensors, or .pth), which may hold the heads.
            heads: the linear heads by themselves; those of an installed ``lpips`` package when not given.

        Raises:
            UserError: a file is missing, damaged, or holds something else.
        """
        super().__init__()
        state = read_state(weights)
        self.kind, self.layers = backbone_of(state, weights)
        self.checksum = file_digest(weights)
        for layer in self.layers:
            for part in ("weight", "bias"):
                self.register_buffer(f"{part}{layer.number}", state[f"features.{layer.number}.{part}"].float())
        own = {name: value for name, value in state.items() if name.startswith("lin")}
        found = heads or (None if own else installed_heads(self.kind))
        widths = [layer.shape[1] for layer in self.layers if layer.compared]
        values = check_heads(read_state(found) if found else own, widths, found or weights)
        self.has_heads = bool(values)
        for index, width in enumerate(widths):
            self.register_buffer(f"head{index}", values[index] if values else torch.ones(width))
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])

    @property
    def title(self) -> str:
        """What the figures are to be called."""
        return f"{'LPIPS' if self.has_heads else 'perceptual distance'} ({self.kind}, sha256 {self.checksum[:16]})"

    def features(self, images: Float[Tensor, "b h w 3"]) -> list[Float[Tensor, "b c h2 w2"]]:
        """Compared features of pictures in 0..1, of unit length over the channels."""
        x = images.movedim(-1, 1) * 2 - 1
        if min(x.shape[-2:]) < LEAST_SIDE:
            factor = LEAST_SIDE / min(x.shape[-2:])
            size = [max(LEAST_SIDE, round(side * factor)) for side in x.shape[-2:]]
            x = F.interpolate(x, size, mode="bilinear", align_corners=False)
        x = (x - self.shift) / self.scale
        found = []
        for layer in self.layers:
            if layer.pool:
                x = F.max_pool2d(x, layer.pool, 2)
            padding = 2 if layer.shape[2] > 3 else 1
            weight, bias = getattr(self, f"weight{layer.number}"), getattr(self, f"bias{layer.number}")
            x = F.relu(F.conv2d(x, weight, bias, layer.stride, padding))
            if layer.compared:
                found.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return found

    def forward(self, images: Float[Tensor, "b h w 3"], real: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b"]:
        """Distance of each pair of pictures in 0..1; no gradient reaches ``real``."""
        with torch.no_grad():
            wanted = self.features(real)
        total = images.new_zeros(images.shape[0])
        for index, (a, b) in enumerate(zip(self.features(images), wanted, strict=True)):
            head = getattr(self, f"head{index}")[:, None, None]
            total = total + ((a - b).square() * head).sum(dim=1).mean(dim=(1, 2))
        return total


def perceptual_loss(
    rendered: Float[Tensor, "b h w 3"],
    real: Float[Tensor, "b h w 3"],
    boxes: Float[Tensor, "b 4"],
    net: PerceptualLoss,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Mean distance of two crops of every frame: one about the middle of its box (the mouth), one anywhere.

    ``boxes`` are x0, y0, x1, y1 in pixels. Crops keep the cost small: a quarter of the side, at least 64 pixels.
    """
    count, height, width = rendered.shape[:3]
    side = min(height, width, max(LEAST_SIDE, min(height, width) // 4))
    room = torch.tensor([width - side, height - side])
    corners = boxes.cpu().float()
    jitter = (torch.rand(count, 2, generator=generator) - 0.5) * side / 4
    mouth = (corners[:, :2] + corners[:, 2:]) / 2 - side / 2 + jitter
    anywhere = torch.rand(count, 2, generator=generator) * (room + 1)
    places = torch.cat([mouth, anywhere]).floor().long().clamp_min(0).minimum(room).tolist()
    rows = [*range(count), *range(count)]

    def crops(images: Tensor) -> Tensor:
        return torch.stack([images[row, y : y + side, x : x + side] for row, (x, y) in zip(rows, places, strict=True)])

    return net(crops(rendered), crops(real)).mean()


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a .safetensors file, or of a .pth file that holds nothing but tensors.

    Raises:
        UserError: no such file, or one that cannot be read safely.
    """
    if not path.is_file():
        raise UserError(f"network weights at {path}", "no such file", "give a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise UserError(f"network weights in {path}", f"an unreadable file ({reason})", "download it again") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"a state dict in {path}", type(state).__name__, "save the network's state_dict()")
    return state


def backbone_of(state: dict[str, Tensor], path: Path) -> tuple[str, tuple[Layer, ...]]:
    """Which backbone a state dict is, by the shapes of its convolutions.

    Raises:
        UserError: neither of those that are known.
    """
    for kind, layers in BACKBONES.items():
        fits = all(
            tuple(state.get(f"features.{layer.number}.weight", torch.empty(0)).shape)
            == (layer.shape[1], layer.shape[0], layer.shape[2], layer.shape[2])
            and tuple(state.get(f"features.{layer.number}.bias", torch.empty(0)).shape) == (layer.shape[1],)
            for layer in layers
        )
        if fits:
            return kind, layers
    raise UserError(
        f"the weights of torchvision's AlexNet or VGG-16 in {path}",
        f"{len(state)} tensors that are neither",
        "give the backbone's state dict (features.0.weight, ...)",
    )


def check_heads(state: dict[str, Tensor], widths: list[int], path: Path) -> list[Tensor]:
    """Weights per channel of every layer from ``linN.model.1.weight`` (1, c, 1, 1); [] where there are none.

    Raises:
        UserError: there are some, but of other shapes.
    """
    if not state:
        return []
    names = [f"lin{index}.model.1.weight" for index in range(len(widths))]
    if any(name not in state or state[name].numel() != width for name, width in zip(names, widths, strict=True)):
        raise UserError(f"LPIPS heads for this backbone in {path}", "others", "give those of the same backbone")
    return [state[name].float().reshape(-1) for name in names]


def installed_heads(kind: str) -> Path | None:
    """The linear heads that an installed ``lpips`` package carries; the package itself is not imported."""
    spec = importlib.util.find_spec("lpips")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "weights" / "v0.1" / f"{'vgg' if kind == 'vgg16' else kind}.pth"
    return path if path.is_file() else None
