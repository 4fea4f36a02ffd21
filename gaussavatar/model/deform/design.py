"""What turns codes into motion: the interface of every design, and the design that a name stands for.

A design is one file, ``model/deform/NAME.py``, with ``build(request)``; its name is a value
of ``BranchConfig.deformation``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.model.config import BranchConfig
from gaussavatar.model.gaussians import InitialBranch
from gaussavatar.model.per_gaussian import PerGaussian

__all__ = ["Deformation", "DeformationRequest", "PerGaussian", "WithLinear", "inner_design", "make_deformation"]


@runtime_checkable
class Deformation(Protocol):
    """Codes to motion of the moving Gaussians, in units of ``MOTION_SCALE``."""

    def __call__(self, codes: Float[Tensor, "b c"], means: Float[Tensor, "m 3"]) -> Float[Tensor, "b m w"]:
        """Motion for each code vector; ``means`` are the canonical positions of the moving Gaussians."""
        ...

    def per_gaussian(self) -> dict[str, PerGaussian]:
        """The design's own parameters and buffers with an entry for each moving Gaussian; {} where there is none."""
        ...


@dataclass(frozen=True)
class DeformationRequest:
    """What a design is built from. The last ``n_upper`` codes are upper-face channels, the others mouth codes."""

    config: BranchConfig
    n_codes: int
    n_upper: int
    width: int
    """Numbers per Gaussian that motion changes; the first three are the position."""
    start: InitialBranch


def make_deformation(request: DeformationRequest) -> nn.Module:
    """Build the design that ``request.config.deformation`` names; the result is a :class:`Deformation`."""
    design: nn.Module = import_module(f"gaussavatar.model.deform.{request.config.deformation}").build(request)
    if request.config.linear and request.config.deformation != "blendshapes":
        return WithLinear(design, request.start.position)
    return design


class WithLinear(nn.Module):
    """A design plus a displacement that is linear in the codes and starts at the landmarks' motion."""

    def __init__(self, design: nn.Module, position: Float[Tensor, "c m 3"]) -> None:
        super().__init__()
        self.design = design
        self.linear = nn.Parameter(position.flatten(1).clone())

    def forward(self, codes: Float[Tensor, "b c"], means: Float[Tensor, "m 3"]) -> Float[Tensor, "b m w"]:
        """See :class:`Deformation`."""
        motion = self.design(codes, means)
        linear = (codes @ self.linear).view(codes.shape[0], -1, 3)
        return torch.cat([motion[..., :3] + linear, motion[..., 3:]], dim=-1)

    def per_gaussian(self) -> dict[str, PerGaussian]:
        """The linear part; the design answers for itself."""
        return {"linear": PerGaussian(axis=1, width=3)}


def inner_design(deformation: nn.Module) -> nn.Module:
    """The design itself, where it was given a linear part."""
    return deformation.design if isinstance(deformation, WithLinear) else deformation
