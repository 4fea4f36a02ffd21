"""What the avatar is made of; the fields of a recipe's ``model`` part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Channel = Literal["position", "rotation", "scale", "color", "opacity"]
"""An attribute of a Gaussian that motion may change."""


@dataclass(frozen=True)
class BranchConfig:
    """One set of Gaussians."""

    count: int
    """How many Gaussians."""
    moves: tuple[Channel, ...] = ("position", "rotation", "scale", "color")
    """What motion may change; structure is persistent, so nothing is born or dies."""
    n_free: int = 4
    """Blendshapes besides those of the codes, driven by a small MLP of the codes."""
    deformation: Literal["blendshapes", "triplane", "vectors"] = "blendshapes"
    """The deformation design: ``model/deform/NAME.py``."""
    linear: bool = False
    """``triplane`` and ``vectors``: add a learnt part that is linear in the codes and starts at the landmarks'
    motion, as the blendshapes do. False is the published form of both."""
    hidden: int = 64
    """``triplane`` and ``vectors``: units of the MLP's hidden layers."""
    planes: tuple[float, float] = (16.0, 38.4)
    """``triplane``: sides of the coarsest and of the finest level (TalkingGaussian: face 16 to 38.4, mouth 64 to
    57.6)."""
    attention: bool = False
    """``triplane``: gate the mouth codes and the upper face by region-wise attention from the position's features."""
    axes: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """``triplane``: factors on the motion along x, y and z (TalkingGaussian's mouth: a fifth of y's along x and z)."""
    vector: int = 16
    """``vectors``: numbers that every moving Gaussian carries (32 in the paper; 16 costs the CPU half as much)."""


@dataclass(frozen=True)
class ModelConfig:
    """The avatar's two branches."""

    face: BranchConfig = BranchConfig(count=12_000)
    """Face, hair, ears: listens to mouth codes and upper-face channels."""
    mouth: BranchConfig = BranchConfig(count=1_500)
    """Inside of the mouth: listens to mouth codes only. With a count of 0 there is no such branch, and the face fills
    the mouth."""
    hair_fraction: float = 0.35
    """Share of the face branch that makes up hair, ears and skull; it does not move with the codes."""
    sh_degree: Literal[0, 1, 2] = 0
    """Degree of the spherical harmonics by which colours depend on the direction of view."""
    shading: bool = False
    """Colours that change with the head's rotation, as under light that stays where it is."""
    binding: Literal["free", "head"] = "free"
    """``head``: Gaussians ride on the person's head model, and learnt motion is what that leaves over; jaw, blink and
    expression can then be moved by name."""
